package googlesql

import (
	"errors"
	"strings"
	"testing"
)

// hiddenRows is a transform of the kind that a row filter is: of rows for which the condition does
// not hold every column is NULL, and the row is left out.
type hiddenRows struct {
	table, condition string
	columns          []string
	refuses          *Error
}

func (h hiddenRows) changes(_ string, s *Statement, f face) (changes, *Error) {
	c := changes{reads: map[int]wrapping{}}
	for i, r := range s.References {
		if r.Table != h.table {
			continue
		}
		c.reads[i] = func(source string) (string, *Error) {
			if f == proves {
				return "SELECT * FROM " + source, nil
			}
			var all []string
			for _, name := range h.columns {
				all = append(all, "IF("+h.condition+", "+RowAlias+".`"+name+"`, NULL) AS `"+name+"`")
			}
			return "SELECT * REPLACE (" + strings.Join(all, ", ") + ") FROM " + source + " WHERE " + h.condition, nil
		}
	}
	return c, nil
}

func (h hiddenRows) hides(column string) bool { return within(column, h.table) }

func (h hiddenRows) proven(*Analysis, *Statement) *Error { return h.refuses }

// largeGroups is a transform of the kind that a smallest group is: a condition behind the text.
type largeGroups struct{ having string }

func (g largeGroups) changes(text string, _ *Statement, _ face) (changes, *Error) {
	return changes{edits: []replacement{{Span{len(text), len(text)}, " HAVING " + g.having}}}, nil
}

func (g largeGroups) hides(string) bool { return false }

func (g largeGroups) proven(*Analysis, *Statement) *Error { return nil }

// overTheText takes the place of the whole text, and so of what others change.
type overTheText struct{ largeGroups }

func (overTheText) changes(text string, _ *Statement, _ face) (changes, *Error) {
	return changes{edits: []replacement{{Span{0, len(text)}, text}}}, nil
}

// TestTransformsOfSeveralKinds: whatever kinds there are, they are made in their order by one
// splice and held to one proof.
func TestTransformsOfSeveralKinds(t *testing.T) {
	analyzer := testAnalyzer(t)
	query := Query{SQL: "SELECT UPPER(ssn) AS s, COUNT(*) AS n FROM crm.customers AS c GROUP BY s", Project: "demo",
		Catalog: Files{"testdata/catalog"}, Caller: "test"}
	original, err := analyzer.Analyze(t.Context(), query)
	if err != nil || original.Error != nil {
		t.Fatal(err, original.Error)
	}
	mask := TableMask{
		Table:   "demo.crm.customers",
		Columns: []ColumnMask{{Column: "ssn", Expression: "LEFT(bqgate_row.`ssn`, 1)", Constant: "CAST(NULL AS STRING)"}},
		Hides:   []string{"demo.crm.customers.ssn"},
	}
	rows := hiddenRows{table: "demo.crm.customers", condition: RowAlias + ".`id` > 7", columns: []string{"ssn"}}
	groups := largeGroups{"COUNT(DISTINCT c.id) >= 11"}
	const table = "`demo`.`crm`.`customers` AS bqgate_row"
	for name, c := range map[string]struct {
		transforms []Transform
		from       string // what stands behind FROM
		behind     string // and at the end
		refused    string
	}{
		"rows, then masks": {transforms: []Transform{rows, mask},
			from: "(SELECT * REPLACE (LEFT(bqgate_row.`ssn`, 1) AS `ssn`) FROM (SELECT * REPLACE (IF(bqgate_row.`id` > 7, " +
				"bqgate_row.`ssn`, NULL) AS `ssn`) FROM " + table + " WHERE bqgate_row.`id` > 7) AS bqgate_row)"},
		"masks, then rows": {transforms: []Transform{mask, rows},
			from: "(SELECT * REPLACE (IF(bqgate_row.`id` > 7, bqgate_row.`ssn`, NULL) AS `ssn`) FROM (SELECT * REPLACE (" +
				"LEFT(bqgate_row.`ssn`, 1) AS `ssn`) FROM " + table + ") AS bqgate_row WHERE bqgate_row.`id` > 7)"},
		"masks and groups": {transforms: []Transform{mask, groups},
			from:   "(SELECT * REPLACE (LEFT(bqgate_row.`ssn`, 1) AS `ssn`) FROM " + table + ")",
			behind: " HAVING COUNT(DISTINCT c.id) >= 11"},
		"a kind that does not hold": {transforms: []Transform{mask, hiddenRows{table: rows.table, condition: rows.condition,
			columns: rows.columns, refuses: unsupported("rows are not hidden")}}, refused: "rows are not hidden"},
		"a kind that reads more": {transforms: []Transform{mask, largeGroups{"(SELECT COUNT(*) FROM crm.orders) > 1"}},
			refused: "it reads other tables"},
		"changes of the same place": {transforms: []Transform{mask, overTheText{}}, refused: "the places of its tables"},
		"one of them is none":       {transforms: []Transform{mask, nil}, refused: "only a single SELECT"},
		"nothing that changes the text": {transforms: []Transform{hiddenRows{table: "demo.crm.orders"}},
			refused: "none of its tables is named"},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := analyzer.Rewrite(t.Context(), query, original, c.transforms)
			var refused *Error
			switch {
			case c.refused != "":
				if !errors.As(err, &refused) || !strings.Contains(refused.Message, c.refused) {
					t.Errorf("%+v, %v", made, err)
				}
			case err != nil:
				t.Error(err)
			default:
				if want := "SELECT UPPER(ssn) AS s, COUNT(*) AS n FROM " + c.from + " AS c GROUP BY s" + c.behind; made.SQL != want {
					t.Errorf("got:\n%s\nwant:\n%s", made.SQL, want)
				}
				if made.Proof.Statements[0].Reads("demo.crm.customers.ssn") {
					t.Errorf("the proof reads the masked column: %+v", made.Proof.Statements[0])
				}
			}
		})
	}
}
