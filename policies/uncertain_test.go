package policies

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

// A44: where a sensitive column is in the statement, or may be in the table, what can be read two
// ways is refused. Where none is, all of it is allowed.
func TestA44(t *testing.T) {
	const wildcard, then, metadata, pseudo = googlesql.WhyWildcard, googlesql.WhySystemTime, googlesql.WhyInformationSchema,
		googlesql.WhyPseudoColumns
	columns := func(text string) string {
		return readAll + "columns: [" + text + "]\ntables: [{match: demo.crm.people, unlisted: clear}]\n"
	}
	ssn := columns("{match: demo.crm.people.ssn, mask: ALWAYS_NULL}")
	anyID := columns(`{match: "*.*.*.national_id", mask: ALWAYS_NULL}`)
	inside := columns(`{match: "*.*.*.data.national_id", mask: ALWAYS_NULL}`)
	for name, c := range map[string]struct {
		policy    string
		why       googlesql.Why
		row       bool
		names     string
		others    string // columns of a member that differs
		sensitive bool   // demo.crm.people is read too
		allow     bool
		says      string
	}{
		"nothing sensitive":                               {ssn, wildcard, true, "a", "a b", false, true, ""},
		"nothing sensitive, as it was":                    {ssn, then, true, "a", "", false, true, ""},
		"nothing sensitive, metadata":                     {ssn, metadata, true, "a", "", false, true, ""},
		"a row beside a sensitive table":                  {ssn, wildcard, true, "", "a b", true, false, "is read as a whole"},
		"a name beside a sensitive table":                 {ssn, wildcard, false, "a", "a b", true, false, "a could be a column of"},
		"a name in other letters":                         {ssn, wildcard, false, "A", "a b", true, false, "could be a column of"},
		"another name beside a sensitive table":           {ssn, wildcard, false, "z", "a b", true, true, ""},
		"a plain use beside a sensitive table":            {ssn, wildcard, false, "", "a b", true, true, ""},
		"as it was, a row beside a sensitive table":       {ssn, then, true, "", "", true, false, "is read as a whole"},
		"as it was, a name beside a sensitive table":      {ssn, then, false, "a", "", true, false, "could be a column of"},
		"as it was, a plain use beside a sensitive table": {ssn, then, false, "", "", true, true, ""},
		"metadata, a row beside a sensitive table":        {ssn, metadata, true, "", "", true, false, "is read as a whole"},
		"metadata, a name beside a sensitive table":       {ssn, metadata, false, "a", "", true, false, "could be a column of"},
		"a pseudo column": {ssn, pseudo, false, "_partitiontime", "", true, false,
			"_partitiontime could be"},
		"a pseudo column, nothing sensitive": {ssn, pseudo, false, "_partitiontime", "", false, true, ""},
		"a member has one":                   {anyID, wildcard, false, "", "a national_id", false, true, ""},
		"a member has one, the row": {anyID, wildcard, true, "", "a national_id", false, false,
			"is read as a whole"},
		"a member has one, its name": {anyID, wildcard, false, "national_id", "a national_id", false, false,
			"national_id could be"},
		"a member has one, another name":                   {anyID, wildcard, false, "z", "a national_id", false, true, ""},
		"no member has one":                                {anyID, wildcard, true, "national_id", "a b", false, true, ""},
		"it may have had one, the row":                     {anyID, then, true, "", "", false, false, "is read as a whole"},
		"it may have had one, its name":                    {anyID, then, false, "national_id", "", false, false, "national_id could be"},
		"it may have had one, another name":                {anyID, then, false, "z", "", false, true, ""},
		"it may have had one, a column":                    {anyID, then, false, "", "", false, true, ""},
		"it may have had a field, in a column that is one": {inside, then, false, "", "", false, true, ""},
		"a reason that nobody knows":                       {ssn, "else", true, "", "", true, false, "is read as a whole"},
	} {
		t.Run(name, func(t *testing.T) {
			set := mustLoad(t, c.policy)
			id := "demo.crm.log_*"
			if c.why != wildcard {
				id = "demo.crm.log"
			}
			table := tableOf(id, "a")
			if c.others != "" {
				table.Others = []bigquery.Schema{tableOf(id, strings.Fields(c.others)...).Schema}
			}
			a := selects(id, "a")
			if c.policy == anyID && strings.Contains(c.others, "national_id") {
				a.Statements[0].Columns[0].Sources = nil // a column that no entry lists is masked beside sensitive ones
			}
			a.Statements[0].Uncertain = []googlesql.Uncertain{{Table: id, Why: c.why, Row: c.row, Names: strings.Fields(c.names)}}
			tables := []*bigquery.Table{table}
			if c.sensitive {
				tables = append(tables, tableOf("demo.crm.people", "name", "ssn"))
				a.Statements[0].Tables = append(a.Statements[0].Tables, "demo.crm.people")
			}
			d := set.decide(ask(subject("x", "g"), a, tables...))
			if allowed := d.Effect == Allow; allowed != c.allow || !strings.Contains(d.Message, c.says) {
				t.Errorf("%v %q, want allowed %v and %q", d.Effect, d.Message, c.allow, c.says)
			}
		})
	}
	// A STRUCT whose fields are not all known.
	structure := func(fields ...string) *bigquery.Table {
		table := tableOf("demo.crm.log_*", "a")
		table.Schema.Fields = append(table.Schema.Fields,
			bigquery.Field{Name: "data", Type: "RECORD", Fields: tableOf("demo.crm.x", fields...).Schema.Fields})
		return table
	}
	for name, c := range map[string]struct {
		policy string
		why    googlesql.Why
		column string
		allow  bool
	}{
		"the field of another member, in its STRUCT": {inside, wildcard, "data.plain", false},
		"the field of another member, elsewhere":     {inside, wildcard, "a", true},
		"a field of then, in its STRUCT":             {inside, then, "data.plain", false},
		"a field of then, elsewhere":                 {inside, then, "a", true},
		"no such field":                              {ssn, then, "data.plain", true},
	} {
		t.Run(name, func(t *testing.T) {
			table := structure("plain")
			if c.why == wildcard {
				table.Others = []bigquery.Schema{structure("plain", "national_id").Schema}
			}
			set := mustLoad(t, strings.Replace(c.policy, "tables: [", `tables: [{match: "demo.crm.*", unlisted: clear}, `, 1))
			a := selects("demo.crm.log_*", "a")
			a.Statements[0].Columns[0].Sources = []googlesql.Source{{Column: "demo.crm.log_*." + c.column, Carry: googlesql.CarryDerived}}
			a.Statements[0].Uncertain = []googlesql.Uncertain{{Table: "demo.crm.log_*", Why: c.why}}
			if d := set.decide(ask(subject("x", "g"), a, table)); (d.Effect == Allow) != c.allow {
				t.Errorf("%v %q, want allowed %v", d.Effect, d.Message, c.allow)
			}
		})
	}
	// Nothing is certain of a table that the evaluation does not know.
	a := selects("demo.crm.log", "a")
	a.Statements[0].Uncertain = []googlesql.Uncertain{{Table: "demo.crm.other", Why: then}}
	if d := mustLoad(t, ssn).decide(ask(subject("x", "g"), a, tableOf("demo.crm.log", "a"))); d.Effect != Refuse {
		t.Errorf("a table that nobody knows: %v", d.Effect)
	}
}

// A wildcard is judged by the union of its members: by the names of all, and the columns of all.
func TestWildcardsAreJudgedByTheUnionOfTheirMembers(t *testing.T) {
	const newest = "id"
	for name, c := range map[string]struct {
		entry  string
		others string
		want   masking.Rule // of id
	}{
		"no column":                     {`{match: "*.*.*.ssn", mask: ALWAYS_NULL}`, "id name", masking.Clear},
		"an older member's":             {`{match: "*.*.*.ssn", mask: ALWAYS_NULL}`, "id ssn", masking.DefaultMaskingValue},
		"one member's, by its name":     {"{match: demo.crm.log_1.id, mask: ALWAYS_NULL}", "id name", masking.AlwaysNull},
		"one member's, in capitals":     {"{match: demo.crm.LOG_1.ID, mask: ALWAYS_NULL}", "id name", masking.AlwaysNull},
		"another table's":               {"{match: demo.crm.lag_1.id, mask: ALWAYS_NULL}", "id name", masking.Clear},
		"an older member's other field": {`{match: "*.*.*.id", mask: ALWAYS_NULL}`, "ssn", masking.AlwaysNull},
	} {
		t.Run(name, func(t *testing.T) {
			table := tableOf("demo.crm.log_*", newest)
			table.Others = []bigquery.Schema{tableOf("demo.crm.log_*", strings.Fields(c.others)...).Schema}
			d := mustLoad(t, readAll+"columns: ["+c.entry+"]\n").decide(ask(subject("x", "g"), selects("demo.crm.log_*", "id"), table))
			if d.Effect != Allow || d.Mask.Columns[0].Mask != c.want {
				t.Errorf("%v %v %q, want %s", d.Effect, d.Mask.Columns, d.Message, c.want)
			}
		})
	}
}

// A45: a snapshot, a clone and a table of a linked dataset are what they show the rows of.
func TestA45(t *testing.T) {
	const sensitive = `columns:
  - {match: demo.crm.people.ssn, mask: LAST_FOUR_CHARACTERS}
  - {match: demo.crm.people.id, clear: true}
`
	base := func(columns ...string) *bigquery.Table { return tableOf("demo.crm.people", columns...) }
	of := func(o *bigquery.Table) bigquery.Origin { return bigquery.Origin{ID: o.TableReference, Table: o} }
	gone := bigquery.Origin{ID: bigquery.TableID{Project: "demo", Dataset: "crm", Table: "people"}}
	clone := tableOf("demo.crm.clone", "id", "ssn", "name")
	clone.Origins = []bigquery.Origin{of(base("id", "ssn", "name"))}
	orphan := tableOf("demo.crm.orphan", "id", "ssn", "name")
	orphan.Origins = []bigquery.Origin{gone}
	for name, c := range map[string]struct {
		more   string
		origin bigquery.Origin
		want   string // rules of id, ssn and name; "" for a refusal
	}{
		"a snapshot": {"", of(base("id", "ssn", "name")), "CLEAR LAST_FOUR_CHARACTERS DEFAULT_MASKING_VALUE"},
		"unlisted columns are clear": {"tables: [{match: demo.crm.people, unlisted: clear}]\n", of(base("id", "ssn", "name")),
			"CLEAR LAST_FOUR_CHARACTERS CLEAR"},
		"a column that the base has not": {"tables: [{match: demo.crm.people, unlisted: clear}]\n", of(base("id", "ssn")),
			"CLEAR LAST_FOUR_CHARACTERS DEFAULT_MASKING_VALUE"},
		"the base has lost the column": {"tables: [{match: demo.crm.people, unlisted: clear}]\n", of(base("id", "name")),
			"CLEAR LAST_FOUR_CHARACTERS CLEAR"},
		"it says for itself mask": {
			"tables: [{match: demo.crm.people, unlisted: clear}, {match: demo.crm.snap, unlisted: mask}]\n", of(base("id", "ssn", "name")),
			"DEFAULT_MASKING_VALUE LAST_FOUR_CHARACTERS DEFAULT_MASKING_VALUE",
		},
		"it says for itself clear": {"tables: [{match: demo.crm.snap, unlisted: clear}]\n", of(base("id", "ssn", "name")),
			"CLEAR LAST_FOUR_CHARACTERS CLEAR"},
		"the base says mask": {"tables: [{match: demo.crm.people, unlisted: mask}]\n", of(base("id", "ssn", "name")),
			"CLEAR LAST_FOUR_CHARACTERS DEFAULT_MASKING_VALUE"},
		"a snapshot of a clone":        {"", of(clone), "CLEAR LAST_FOUR_CHARACTERS DEFAULT_MASKING_VALUE"},
		"a snapshot of another table":  {"", of(tableOf("demo.crm.other", "id", "ssn", "name")), "CLEAR CLEAR CLEAR"},
		"the base is gone":             {"", gone, ""},
		"the base of the base is gone": {"", of(orphan), ""},
		"gone, but named by itself": {"tables: [{match: demo.crm.snap, unlisted: clear}]\n", gone,
			"CLEAR LAST_FOUR_CHARACTERS CLEAR"},
		"gone, named by itself, mask": {"tables: [{match: demo.crm.snap, unlisted: mask}]\n", gone,
			"DEFAULT_MASKING_VALUE LAST_FOUR_CHARACTERS DEFAULT_MASKING_VALUE"},
		"gone, named with all of its project": {`tables: [{match: "demo.*.*", unlisted: clear}]` + "\n", gone, ""},
		"gone, named by high_value alone":     {"tables: [{match: demo.crm.snap, high_value: true}]\n", gone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			snap := tableOf("demo.crm.snap", "id", "ssn", "name")
			snap.Type, snap.Origins = "SNAPSHOT", []bigquery.Origin{c.origin}
			r := ask(subject("x", "g"), selects("demo.crm.snap", "id", "ssn", "name"), snap)
			for _, t := range withOrigins(snap) {
				r.RowAccess[t.TableReference.String()] = bigquery.RowAccessNone
			}
			d := mustLoad(t, readAll+sensitive+c.more).decide(r)
			var rules []string
			for _, column := range d.Mask.Columns {
				rules = append(rules, string(column.Mask))
			}
			if got := strings.Join(rules, " "); got != c.want {
				t.Errorf("%v %s %q, want %s", d.Effect, got, d.Message, c.want)
			}
			if strings.Contains(d.Message, "people") {
				t.Errorf("the refusal names what the snapshot was made of: %q", d.Message)
			}
		})
	}
	// High value and row access policies follow too.
	snap := tableOf("demo.crm.snap", "id")
	snap.Origins = []bigquery.Origin{of(clone)}
	set := mustLoad(t, readAll+"tables: [{match: demo.crm.people, high_value: true}]\n")
	if v := set.view(snap, nil); !v.highValue {
		t.Error("a snapshot of a high-value table is none")
	}
	r := ask(subject("x", "g"), selects("demo.crm.snap", "id"), snap)
	asked := set.needsRowAccess(r)
	var names []string
	for _, a := range asked {
		names = append(names, a.TableReference.Table)
	}
	if got := strings.Join(names, " "); got != "snap clone people" {
		t.Errorf("row access policies are asked of %s", got)
	}
	r.RowAccess["demo.crm.clone"], r.RowAccess["demo.crm.people"] = bigquery.RowAccessNone, bigquery.RowAccessPolicies
	if d := set.decide(r); d.Effect != Refuse || !strings.Contains(d.Message, "crm.snap has row access policies") {
		t.Errorf("a snapshot of a table with row access policies: %v %q", d.Effect, d.Message)
	}
}

// What BigQuery may not list whole cannot be compared.
func TestMoreThanFiftyTables(t *testing.T) {
	for _, n := range []int{50, 51} {
		a := &googlesql.Analysis{
			Statements: []googlesql.Statement{{Kind: "SELECT", Columns: []googlesql.Column{{Name: "one", Type: "INT64"}}}},
		}
		var tables []*bigquery.Table
		for i := range n {
			name := "demo.crm.t" + strings.Repeat("i", i+1)
			a.Statements[0].Tables = append(a.Statements[0].Tables, name)
			tables = append(tables, tableOf(name, "a"))
		}
		d := mustLoad(t, readAll).decide(ask(subject("x", "g"), a, tables...))
		if (d.Effect == Allow) != (n == 50) || n > 50 && !strings.Contains(d.Message, "it reads 51 tables") {
			t.Errorf("%d tables: %v %q", n, d.Effect, d.Message)
		}
	}
}
