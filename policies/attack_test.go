package policies

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
)

// selects is the analysis of "SELECT column, … FROM table".
func selects(table string, columns ...string) *googlesql.Analysis {
	st := googlesql.Statement{Kind: "SELECT", Tables: []string{table}}
	for _, c := range columns {
		st.Columns = append(st.Columns,
			googlesql.Column{Name: c, Type: "STRING", Sources: []googlesql.Source{{Column: table + "." + c, Carry: googlesql.CarryDirect}}})
	}
	return &googlesql.Analysis{Statements: []googlesql.Statement{st}}
}

// tableOf is a table of STRING columns.
func tableOf(name string, columns ...string) *bigquery.Table {
	id, _ := parseTable(name)
	t := &bigquery.Table{TableReference: id, Type: "TABLE"}
	for _, c := range columns {
		t.Schema.Fields = append(t.Schema.Fields, bigquery.Field{Name: c, Type: "STRING"})
	}
	return t
}

func ask(who identity.Subject, a *googlesql.Analysis, tables ...*bigquery.Table) Input {
	r := Input{Subject: who, Now: now, Method: "jobs.query", Project: "demo", Analysis: a, Tables: map[string]*bigquery.Table{},
		RowAccess: map[string]bigquery.RowAccess{}}
	for _, t := range tables {
		r.Tables[t.TableReference.String()] = t
		r.RowAccess[t.TableReference.String()] = bigquery.RowAccessNone
	}
	return r
}

const readAll = `version: bqgate/v1
groups: {g: {issuer: demo, when: '"g" in claims.groups'}, h: {issuer: demo, when: '"h" in claims.groups'}}
rules:
  - {name: r, groups: [g], read: [demo.crm.*]}
`

// TestZeroValuesRefuse: whatever is missing, the answer is no.
func TestZeroValuesRefuse(t *testing.T) {
	set, table := mustLoad(t, readAll), tableOf("demo.crm.t", "a")
	whole := func() Input { return ask(subject("x", "g"), selects("demo.crm.t", "a"), table) }
	if d := set.decide(whole()); d.Effect != Allow {
		t.Fatalf("the whole request is not allowed: %+v", d)
	}
	var nobody *Set
	cases := map[string]struct {
		set  *Set
		spur func(*Input)
	}{
		"nil set":                 {nobody, func(*Input) {}},
		"zero set":                {&Set{}, func(*Input) {}},
		"zero request":            {set, func(r *Input) { *r = Input{} }},
		"no subject":              {set, func(r *Input) { r.Subject = identity.Subject{} }},
		"no issuer name":          {set, func(r *Input) { r.Subject.Name = "" }},
		"other issuer":            {set, func(r *Input) { r.Subject.Name = "other" }},
		"no claims":               {set, func(r *Input) { r.Subject.Claims = nil }},
		"groups claim is text":    {set, func(r *Input) { r.Subject.Claims = map[string]any{"groups": "g"} }},
		"token groups only":       {set, func(r *Input) { r.Subject.Claims, r.Subject.Groups = nil, []string{"g"} }},
		"no method":               {set, func(r *Input) { r.Method = "" }},
		"other method":            {set, func(r *Input) { r.Method = "tabledata.insertAll" }},
		"no analysis":             {set, func(r *Input) { r.Analysis = nil }},
		"zero analysis":           {set, func(r *Input) { r.Analysis = &googlesql.Analysis{} }},
		"zero statement":          {set, func(r *Input) { r.Analysis = &googlesql.Analysis{Statements: make([]googlesql.Statement, 1)} }},
		"kind in other letters":   {set, func(r *Input) { r.Analysis.Statements[0].Kind = "select" }},
		"error beside a SELECT":   {set, func(r *Input) { r.Analysis.Error = &googlesql.Error{} }},
		"no schemas":              {set, func(r *Input) { r.Tables = nil }},
		"schema of another table": {set, func(r *Input) { r.Tables["demo.crm.t"] = tableOf("demo.crm.u", "a") }},
		"schema without columns":  {set, func(r *Input) { r.Tables["demo.crm.t"] = tableOf("demo.crm.t") }},
		"unknown type of table": {set, func(r *Input) {
			r.Tables["demo.crm.t"] = &bigquery.Table{TableReference: table.TableReference, Type: "REMOTE", Schema: table.Schema}
		}},
		"view that was not traced": {set, func(r *Input) {
			r.Tables["demo.crm.t"] = &bigquery.Table{TableReference: table.TableReference, Type: "VIEW", Schema: table.Schema}
		}},
		"no type of a column": {set, func(r *Input) { r.Analysis.Statements[0].Columns[0].Type = "" }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := whole()
			c.spur(&r)
			d := c.set.decide(r)
			if d.Effect != Refuse {
				t.Fatalf("%s: %+v", d.Effect, d)
			}
			checkSound(t, d)
			if c.set.needsEstimate(r) {
				t.Error("BigQuery would be asked about a request that is refused anyway")
			}
		})
	}
	if (Effect(0)) != Refuse || (Decision{}).Effect != Refuse || Effect(77).String() != "refuse" {
		t.Error("a zero or unknown effect does not refuse")
	}
}

// TestA18 adds a column to a table with sensitive ones: nothing that nobody listed is shown. A
// sensitive one that is renamed closes the table: TestColumnsThatAreNotThere.
func TestA18(t *testing.T) {
	base := readAll + "columns:\n  - {match: demo.crm.t.ssn, mask: LAST_FOUR_CHARACTERS}\n  - {match: demo.crm.t.id, clear: true}\n"
	for _, c := range []struct {
		name, more string
		columns    []string
		want       map[string]masking.Rule
	}{
		{"new column", "", []string{"id", "ssn", "ssn_backup"},
			map[string]masking.Rule{"id": masking.Clear, "ssn": masking.LastFourCharacters, "ssn_backup": masking.DefaultMaskingValue}},
		{"unlisted: clear", "tables:\n  - {match: demo.crm.t, unlisted: clear}\n", []string{"ssn", "note"},
			map[string]masking.Rule{"ssn": masking.LastFourCharacters, "note": masking.Clear}},
		{"one entry says mask", "tables:\n  - {match: demo.crm.*, unlisted: clear}\n  - {match: demo.*.t, unlisted: mask}\n",
			[]string{"ssn", "note"}, map[string]masking.Rule{"ssn": masking.LastFourCharacters, "note": masking.DefaultMaskingValue}},
		{"clear for other letters", "tables:\n  - {match: demo.crm.T, unlisted: clear}\n", []string{"ssn", "note"},
			map[string]masking.Rule{"ssn": masking.LastFourCharacters, "note": masking.DefaultMaskingValue}},
		{"mask without sensitive ones", "tables:\n  - {match: demo.crm.u, unlisted: mask}\n", []string{"note"},
			map[string]masking.Rule{"note": masking.DefaultMaskingValue}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := "demo.crm.t"
			if strings.Contains(c.more, "crm.u") {
				name = "demo.crm.u"
			}
			d := mustLoad(t, base+c.more).decide(ask(subject("x", "g"), selects(name, c.columns...), tableOf(name, c.columns...)))
			if d.Effect != Allow {
				t.Fatal(d.Message)
			}
			for _, column := range d.Mask.Columns {
				if column.Mask != c.want[column.Name] {
					t.Errorf("%s is %s, want %s", column.Name, column.Mask, c.want[column.Name])
				}
			}
		})
	}
}

// TestA24 puts every pair of rules on one column, in both orders and by patterns of every width:
// the strictest holds, and two partial ones give DEFAULT_MASKING_VALUE.
func TestA24(t *testing.T) {
	partial := []masking.Rule{masking.DateYearMask, masking.EmailMask, masking.LastFourCharacters, masking.FirstFourCharacters}
	order := []masking.Rule{
		masking.AlwaysNull, masking.DefaultMaskingValue, masking.RandomHash, masking.SHA256, masking.DateYearMask, masking.EmailMask,
		masking.LastFourCharacters,
		masking.FirstFourCharacters,
	}
	patterns := []string{"demo.crm.t.c", "demo.crm.*.c", "*.*.*.*", "demo.c*m.t.C"}
	entry := func(pattern string, r masking.Rule) string {
		text := fmt.Sprintf("  - {match: %q, mask: %s", pattern, r)
		if r == masking.SHA256 {
			text += ", reversible_by_dictionary: accepted"
		}
		return text + "}\n"
	}
	pairs := 0
	for _, a := range order {
		for _, b := range order {
			for i, first := range patterns {
				second := patterns[(i+1)%len(patterns)]
				set := mustLoad(t, readAll+"columns:\n"+entry(first, a)+entry(second, b))
				d := set.decide(ask(subject("x", "g"), selects("demo.crm.t", "c"), tableOf("demo.crm.t", "c")))
				if d.Effect != Allow || len(d.Mask.Columns) != 1 {
					t.Fatal(d.Message)
				}
				// DATE_YEAR_MASK is not for STRING, so it counts as DEFAULT_MASKING_VALUE.
				x, y := a.For("STRING"), b.For("STRING")
				want := x
				if slices.Index(order, y) < slices.Index(order, x) {
					want = y
				}
				if x != y && slices.Contains(partial, x) && slices.Contains(partial, y) {
					want = masking.DefaultMaskingValue
				}
				if got := d.Mask.Columns[0].Mask; got != want {
					t.Errorf("%s and %s give %s, want %s", a, b, got, want)
				}
				pairs++
			}
		}
	}
	t.Logf("%d combinations", pairs)
}

// TestA24Order: the order of three entries does not matter.
func TestA24Order(t *testing.T) {
	rules := []masking.Rule{masking.FirstFourCharacters, masking.RandomHash, masking.LastFourCharacters}
	for _, p := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		if got := strictest([]masking.Rule{rules[p[0]], rules[p[1]], rules[p[2]]}); got != masking.DefaultMaskingValue {
			t.Errorf("order %v gives %s", p, got)
		}
	}
}

// TestExemptionsAreExplicit: a group without an exemption, an exemption for other tables, for a
// wider name or for a column beside shows nothing more.
func TestExemptionsAreExplicit(t *testing.T) {
	base := `version: bqgate/v1
groups: {g: {issuer: demo, when: '"g" in claims.groups'}, h: {issuer: demo, when: '"h" in claims.groups'}}
columns:
  - {match: demo.crm.t.ssn, mask: ALWAYS_NULL}
  - {match: demo.crm.t.id, clear: true}
`
	for _, c := range []struct {
		name, rules string
		groups      []string
		want        masking.Rule
	}{
		{"none", "  - {name: a, groups: [g], read: [demo.crm.*]}\n", []string{"g"}, masking.AlwaysNull},
		{"explicit", "  - {name: a, groups: [g], read: [demo.crm.*], clear: [demo.crm.t.ssn]}\n", []string{"g"}, masking.Clear},
		{"of another group", "  - {name: a, groups: [g], read: [demo.crm.*]}\n  - {name: b, groups: [h], read: [demo.crm.*], clear: " +
			"[demo.crm.t.ssn]}\n", []string{"g"}, masking.AlwaysNull},
		{"of one of two groups", "  - {name: a, groups: [g], read: [demo.crm.*]}\n  - {name: b, groups: [h], read: [demo.crm.*], clear: " +
			"[demo.crm.t.ssn]}\n", []string{"g", "h"}, masking.Clear},
		{"in a rule that does not read the table",
			"  - {name: a, groups: [g], read: [demo.crm.*]}\n  - {name: b, groups: [g], read: [demo.*.u], clear: ['demo.*.*.ssn']}\n",
			[]string{"g"}, masking.AlwaysNull},
		{"of a column beside", "  - {name: a, groups: [g], read: [demo.crm.*], clear: [demo.crm.t.ssn2]}\n", []string{"g"},
			masking.AlwaysNull},
		{"of a field below", "  - {name: a, groups: [g], read: [demo.crm.*], clear: [demo.crm.t.ssn.x]}\n", []string{"g"},
			masking.AlwaysNull},
		{"by clear: true in columns", "  - {name: a, groups: [g], read: [demo.crm.*]}\ncolumnsX", []string{"g"}, masking.AlwaysNull},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := base + "rules:\n" + c.rules
			if rest, ok := strings.CutSuffix(text, "columnsX"); ok {
				text = strings.Replace(rest, "  - {match: demo.crm.t.id",
					"  - {match: 'demo.crm.t.s*', clear: true}\n  - {match: demo.crm.t.id", 1)
			}
			d := mustLoad(t, text).decide(ask(subject("x", c.groups...), selects("demo.crm.t", "ssn"), tableOf("demo.crm.t", "id", "ssn")))
			if d.Effect != Allow || d.Mask.Columns[0].Mask != c.want {
				t.Errorf("%s %s %v, want %s", d.Effect, d.Message, d.Mask.Columns, c.want)
			}
			if d.Mask.Sensitive != (c.want != masking.Clear) {
				t.Errorf("sensitive is %v", d.Mask.Sensitive)
			}
			if !slices.Equal(d.Sensitive, []string{"demo.crm.t.ssn"}) {
				t.Errorf("the reviewer is told of %v", d.Sensitive)
			}
		})
	}
}

// TestA33: a wildcard table is covered only by a pattern that covers every table it may ever have,
// and is restricted by one that touches any.
func TestA33(t *testing.T) {
	for _, c := range []struct {
		read, table string
		want        Effect
	}{
		{"demo.crm.events_*", "demo.crm.events_*", Allow},
		{"demo.crm.*", "demo.crm.events_*", Allow},
		{"demo.crm.e*s_*", "demo.crm.events_2*", Allow},
		{"demo.crm.events_2026", "demo.crm.events_*", Refuse},
		{"demo.crm.events_2*", "demo.crm.events_*", Refuse},
		{"demo.crm.events_*_eu", "demo.crm.events_*", Refuse},
		{"demo.crm.*_eu", "demo.crm.events_*", Refuse},
		{"demo.crm.events_?", "demo.crm.events_*", Refuse},
	} {
		t.Run(c.read, func(t *testing.T) {
			text := strings.Replace(readAll, "demo.crm.*", c.read, 1)
			if strings.Contains(c.read, "?") {
				if _, err := LoadBytes("p.yaml", []byte(text), Options{}); err == nil {
					t.Errorf("%s was loaded", c.read)
				}
				return
			}
			set := mustLoad(t, text)
			if d := set.decide(ask(subject("x", "g"), selects(c.table, "a"), tableOf(c.table, "a"))); d.Effect != c.want {
				t.Errorf("%s by %s: %s %s", c.table, c.read, d.Effect, d.Message)
			}
		})
	}
	// One member with a sensitive column is enough.
	set := mustLoad(t, readAll+"columns:\n  - {match: demo.crm.events_2026.a, mask: ALWAYS_NULL}\n")
	d := set.decide(ask(subject("x", "g"), selects("demo.crm.events_*", "a", "b"), tableOf("demo.crm.events_*", "a", "b")))
	if d.Effect != Allow || d.Mask.Columns[0].Mask != masking.AlwaysNull || d.Mask.Columns[1].Mask != masking.DefaultMaskingValue {
		t.Errorf("the wildcard table is not masked as its strictest member: %v %s", d.Mask.Columns, d.Message)
	}
}

// TestExistenceIsNotTold: for one who may not read it, a table that exists, one that does not and
// one with a column that does not are the same.
func TestExistenceIsNotTold(t *testing.T) {
	set := demoSet(t)
	exists := ask(subject("a", "ai-agents"), selects("demo.hr.reviews", "note"))
	exists.Tables["demo.hr.reviews"] = catalog(t)["demo.hr.reviews"]
	missing, column := exists, exists
	missing.Tables = nil
	missing.Analysis = &googlesql.Analysis{
		Statements: []googlesql.Statement{{Kind: "SELECT", Tables: []string{"demo.hr.reviews"}}},
		Error:      &googlesql.Error{Code: googlesql.ErrorNotFound, Message: "table demo.hr.reviews does not exist"},
	}
	column.Analysis = &googlesql.Analysis{
		Statements: missing.Analysis.Statements, Error: &googlesql.Error{Code: googlesql.ErrorSyntax,
			Message: "Unrecognized name: nix; did you mean note?"},
	}
	want := Explain(set.decide(exists)).String()
	for name, r := range map[string]Input{"missing": missing, "missing column": column} {
		for _, bytes := range []int64{-1, 0, 1 << 50} {
			t.Run(fmt.Sprint(bytes), func(t *testing.T) {
				r.Estimate = &Estimate{Bytes: bytes}
				if got := Explain(set.decide(r)).String(); got != want {
					t.Errorf("%s differs:\n%s\nfrom:\n%s", name, got, want)
				}
			})
		}
		if r.Estimate = nil; set.needsEstimate(r) {
			t.Error("BigQuery would be asked about a table that the subject must not know")
		}
	}
	// A name that an alias hides may be missing from the analysis of a text with an error. What the
	// error says is then not told either.
	hidden := column
	hidden.Analysis = &googlesql.Analysis{Statements: []googlesql.Statement{{Kind: "SELECT"}}, Error: column.Analysis.Error}
	hiddenMissing := missing
	hiddenMissing.Analysis = &googlesql.Analysis{Statements: hidden.Analysis.Statements, Error: missing.Analysis.Error}
	for _, r := range []Input{hidden, hiddenMissing} {
		if d := set.decide(r); d.Effect != Refuse || strings.Contains(d.Message, "note") || strings.Contains(d.Message, "reviews") {
			t.Errorf("told of a hidden table: %s", d.Message)
		}
	}
	if stranger := set.decide(ask(subject("s", "visitors"), selects("demo.hr.reviews", "note"))); strings.Contains(stranger.Message+
		stranger.Remedy, "crm") || strings.Contains(stranger.Message, "hr") {
		t.Errorf("a stranger is told of what exists: %s %s", stranger.Message, stranger.Remedy)
	}
}

// TestViews: lineage leads through a view to its tables, so what the policy says of the view's own
// columns cannot be kept and the view is refused.
func TestViews(t *testing.T) {
	view := tableOf("demo.crm.v", "ssn", "id")
	view.Type, view.View = "VIEW", &bigquery.View{Query: "SELECT social AS ssn, id FROM demo.crm.t"}
	a := selects("demo.crm.t", "social")
	a.Statements[0].Tables = []string{"demo.crm.t", "demo.crm.v"}
	for _, c := range []struct {
		columns string
		want    Effect
		mask    masking.Rule
	}{
		{"  - {match: demo.crm.t.social, mask: ALWAYS_NULL}\n", Allow, masking.AlwaysNull},
		{"  - {match: demo.crm.v.ssn, mask: ALWAYS_NULL}\n", Refuse, ""},
		{"  - {match: 'demo.*.*.ssn', mask: ALWAYS_NULL}\n", Refuse, ""},
	} {
		t.Run(c.columns, func(t *testing.T) {
			d := mustLoad(t, readAll+"columns:\n"+c.columns).decide(ask(subject("x", "g"), a, view, tableOf("demo.crm.t", "social", "id")))
			if d.Effect != c.want || c.want == Allow && d.Mask.Columns[0].Mask != c.mask {
				t.Errorf("%s: %s %s %v", c.columns, d.Effect, d.Message, d.Mask.Columns)
			}
		})
	}
}

// TestConditionBomb: a condition that costs too much ends soon, and ends as the stricter answer.
func TestConditionBomb(t *testing.T) {
	many := make([]any, 20_000)
	for i := range many {
		many[i] = fmt.Sprintf("group-%d", i)
	}
	bomb := `claims.groups.all(a, claims.groups.all(b, claims.groups.all(c, a + b + c != "x")))`
	set := mustLoad(t, fmt.Sprintf("version: bqgate/v1\ngroups:\n  g: {issuer: demo, when: '%s'}\nrules:\n  - {name: r, groups: [g], "+
		"read: [demo.crm.*]}\n", bomb))
	who := subject("x")
	who.Claims["groups"] = many
	start := time.Now()
	if groups := set.Groups(who); len(groups) != 0 {
		t.Errorf("in groups %v", groups)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
	set = mustLoad(t, readAll+`approvals:
  - name: bomb
    when: '!subject.people.all(a, subject.people.all(b, subject.people.all(c, a + b + c != "x")))'
    reviewers: [h]
`)
	who = subject("x", "g")
	for i := range 2000 {
		who.People = append(who.People, fmt.Sprint("p", i))
	}
	if d := set.decide(ask(who, selects("demo.crm.t", "a"), tableOf("demo.crm.t", "a"))); d.Effect != Refuse {
		t.Errorf("an approval that cannot be evaluated lets the query through: %+v", d)
	}
	if _, err := LoadBytes("p.yaml",
		[]byte("version: bqgate/v1\ngroups:\n  g: {issuer: demo, when: '"+strings.Repeat("(", 3000)+"true"+strings.Repeat(")", 1000)+
			"'}\n"), Options{}); err == nil {
		t.Error("a condition with thousands of parentheses was loaded")
	}
}
