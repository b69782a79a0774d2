package googlesql

import (
	"errors"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bqgate/bqgate/internal/golden"
)

// ssnMask masks ssn of crm.customers in words that are easy to see, phones as a whole.
var ssnMask = []Transform{TableMask{
	Table: "demo.crm.customers",
	Columns: []ColumnMask{
		{Column: "ssn", Expression: "LEFT(bqgate_row.`ssn`, 1)", Constant: "CAST(NULL AS STRING)"},
		{Column: "phones", Expression: "bqgate_row.`phones`", Constant: "CAST([] AS ARRAY<STRUCT<`kind` STRING, `number` STRING>>)"},
	},
	Hides: []string{"demo.crm.customers.ssn", "demo.crm.customers.phones.kind", "demo.crm.customers.phones.number"},
}}

// TestRewrite has each shape of a table's reference: `name.sql`, and beside it `name.want`, the
// text for BigQuery with M for the masks, or why there is none.
func TestRewrite(t *testing.T) {
	const file = "testdata/rewrite.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range archive.Files {
		if name, ok := strings.CutSuffix(f.Name, ".want"); ok {
			want[name] = string(f.Data)
		}
	}
	out := txtar.Archive{Comment: archive.Comment}
	analyzer := testAnalyzer(t)
	for _, f := range archive.Files {
		name, ok := strings.CutSuffix(f.Name, ".sql")
		if !ok {
			continue
		}
		query := Query{SQL: strings.TrimSuffix(string(f.Data), "\n"), Project: "demo", Catalog: Files{"testdata/catalog"},
			Caller: "test"}
		got := ""
		original, err := analyzer.Analyze(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		made, err := analyzer.Rewrite(t.Context(), query, original, ssnMask)
		var refused *Error
		switch {
		case errors.As(err, &refused):
			got = "refused: " + refused.Message + "\n"
		case err != nil:
			t.Errorf("%s: %v", name, err)
			continue
		default:
			got = strings.ReplaceAll(made.SQL, "* REPLACE (LEFT(bqgate_row.`ssn`, 1) AS `ssn`, bqgate_row.`phones` AS `phones`)", "M") +
				"\n"
			if s := made.Proof.Statements[0]; s.Reads("demo.crm.customers.ssn") || s.Reads("demo.crm.customers.phones") {
				t.Errorf("%s: the proof reads masked columns: %+v", name, s)
			}
		}
		out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
		if !golden.Update() && got != want[name] {
			t.Errorf("%s: %s\ngot:\n%swant:\n%s", name, query.SQL, got, want[name])
		}
	}
	if golden.Update() {
		golden.File(t, file, txtar.Format(&out))
	}
}

// TestRewriteProves: masks that do not do what they say are found out, whatever went wrong in
// making them.
func TestRewriteProves(t *testing.T) {
	analyzer := testAnalyzer(t)
	query := Query{SQL: "SELECT id, UPPER(ssn) AS s, name FROM crm.customers WHERE ssn > 'a'", Project: "demo",
		Catalog: Files{"testdata/catalog"}, Caller: "test"}
	original, err := analyzer.Analyze(t.Context(), query)
	if err != nil || original.Error != nil {
		t.Fatal(err, original.Error)
	}
	mask := func(column, expression, constant string) []Transform {
		return []Transform{TableMask{Table: "demo.crm.customers",
			Columns: []ColumnMask{{Column: column, Expression: expression, Constant: constant}}}}
	}
	for name, masks := range map[string][]Transform{
		"the constant is the column": mask("ssn", "'x'", "bqgate_row.`ssn`"),
		"another type":               mask("ssn", "1", "1"),
		"another type in one text":   mask("ssn", "b'x'", "'x'"),
		"a column that is not there": mask("nothing", "'x'", "'x'"),
		"SQL that is none":           mask("ssn", "(((", "'x'"),
		"an end of the subquery":     mask("ssn", "'x' AS `ssn`) FROM `demo`.`crm`.`customers` AS bqgate_row) -- ", "'x'"),
		"a comment":                  mask("ssn", "'x' /* ", "'x'"),
		"another table":              mask("ssn", "(SELECT MAX(status) FROM `demo`.`crm`.`orders`)", "'x'"),
		"no table of the query": {
			TableMask{Table: "demo.crm.orders", Columns: []ColumnMask{{Column: "status", Expression: "'x'", Constant: "'x'"}}},
		},
		"no masks":                 nil,
		"no columns":               {TableMask{Table: "demo.crm.customers"}},
		"a transform that is none": {nil},
		"a name with a quote":      mask("s`sn", "'x'", "'x'"),
	} {
		t.Run(name, func(t *testing.T) {
			made, err := analyzer.Rewrite(t.Context(), query, original, masks)
			var refused *Error
			if made != nil || !errors.As(err, &refused) || refused.Message == "" {
				t.Errorf("%s: %+v, %v", name, made, err)
			}
		})
	}
	made, err := analyzer.Rewrite(t.Context(), query, original, mask("ssn", "'x'", "CAST(NULL AS STRING)"))
	if err != nil || !strings.Contains(made.SQL, "REPLACE ('x' AS `ssn`)") {
		t.Errorf("%+v, %v", made, err)
	}
	// Only a single SELECT is ever rewritten.
	for _, sql := range []string{"SELECT 1; SELECT ssn FROM crm.customers", "DELETE FROM crm.customers WHERE ssn = '1'",
		"SELECT nothing FROM crm.customers", "CREATE TABLE crm.x AS SELECT ssn FROM crm.customers"} {
		t.Run(sql, func(t *testing.T) {
			query.SQL = sql
			if original, err = analyzer.Analyze(t.Context(), query); err != nil {
				t.Fatal(err)
			}
			if made, err := analyzer.Rewrite(t.Context(), query, original, mask("ssn", "'x'", "'x'")); made != nil || err == nil {
				t.Errorf("%s: %+v, %v", sql, made, err)
			}
		})
	}
	if made, err := analyzer.Rewrite(t.Context(), query, nil, mask("ssn", "'x'", "'x'")); made != nil || err == nil {
		t.Errorf("nothing: %+v, %v", made, err)
	}
}

// TestRewriteOfAViewThatUnnests: the rows of a masked view say no more than its elements do, masked
// or not; who counts them, or leaves them out, learns the array's length, which no mask at the view
// can hide.
func TestRewriteOfAViewThatUnnests(t *testing.T) {
	analyzer := testAnalyzer(t)
	var masks [][]Transform
	for _, expression := range []string{"LEFT(bqgate_row.`number`, 1)", "''"} {
		masks = append(masks, []Transform{TableMask{
			Table:   "demo.views.numbers",
			Columns: []ColumnMask{{Column: "number", Expression: expression, Constant: "CAST(NULL AS STRING)"}},
			Hides:   []string{"demo.crm.customers.phones.number"},
		}})
	}
	for sql, rewritten := range map[string]bool{
		"SELECT UPPER(number) AS n FROM views.numbers":                        true,
		"SELECT id, number FROM views.numbers ORDER BY number":                true,
		"SELECT MAX(number) AS n FROM views.numbers":                          true,
		"SELECT UPPER(number) AS n FROM views.numbers WHERE kind = 'home'":    true,
		"SELECT kind, UPPER(number) AS n FROM views.numbers":                  true,
		"SELECT COUNT(*) AS n FROM views.numbers":                             false,
		"SELECT id FROM views.numbers":                                        false,
		"SELECT UPPER(number) AS n, COUNT(*) OVER () AS c FROM views.numbers": false,
		// the elements decide, and are masked
		"SELECT COUNT(*) AS n FROM views.numbers WHERE number > 'x'":                                   true,
		"SELECT UPPER(a.number) AS n FROM views.numbers AS a, views.numbers AS b WHERE a.kind = 'x'":   false,
		"SELECT UPPER(a.number) AS n FROM views.numbers AS a, views.numbers AS b WHERE b.kind = 'x'":   true,
		"SELECT UPPER(number) AS n FROM views.numbers UNION ALL SELECT 'x' FROM views.numbers":         false,
		"SELECT UPPER(number) AS n, (SELECT COUNT(*) FROM views.numbers) AS c FROM views.numbers AS a": false,
	} {
		t.Run(sql, func(t *testing.T) {
			query := Query{SQL: sql, Project: "demo", Catalog: Files{"testdata/catalog"}, Caller: "test"}
			original, err := analyzer.Analyze(t.Context(), query)
			if err != nil || original.Error != nil {
				t.Fatal(sql, err, original.Error)
			}
			for _, masks := range masks {
				made, err := analyzer.Rewrite(t.Context(), query, original, masks)
				var refused *Error
				switch {
				case rewritten && err != nil:
					t.Errorf("%s: %v", sql, err)
				case rewritten && made.Proof.Statements[0].Reads("demo.crm.customers.phones.number"):
					t.Errorf("%s: the proof reads the masked column: %+v", sql, made.Proof.Statements[0])
				case !rewritten && err == nil && !made.Proof.Statements[0].Reads("demo.crm.customers.phones.number"):
					t.Errorf("%s: the proof does not say that the array's length is used: %+v", sql, made.Proof.Statements[0])
				case !rewritten && err != nil && !errors.As(err, &refused):
					t.Errorf("%s: %v", sql, err)
				}
			}
		})
	}
}
