package policies

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// noRowAccess says of tables that they have no row access policies.
func noRowAccess(tables map[string]*bigquery.Table) map[string]bigquery.RowAccess {
	known := map[string]bigquery.RowAccess{}
	for name := range tables {
		known[name] = bigquery.RowAccessNone
	}
	return known
}

const rowAccessPolicy = `version: bqgate/v1
groups: {g: {issuer: demo, when: '"g" in claims.groups'}, h: {issuer: demo, when: '"h" in claims.groups'}}
rules:
  - {name: r, groups: [g], read: [demo.crm.*]}
`

// A34: a table with row access policies shows the rows of the account that all share. It is refused
// unless a rule of the same credential names it, and so is one of which nothing is known.
func TestA34(t *testing.T) {
	const has, none, unknown = bigquery.RowAccessPolicies, bigquery.RowAccessNone, bigquery.RowAccess("")
	named := func(patterns string) string {
		return strings.Replace(rowAccessPolicy, "read: [demo.crm.*]", "read: [demo.crm.*], row_access_policies: ["+patterns+"]", 1)
	}
	for name, c := range map[string]struct {
		policy string
		table  string
		access bigquery.RowAccess
		groups []string
		allow  bool
		asks   bool // whether Decide wants to know
		says   string
		remedy string
	}{
		"none": {rowAccessPolicy, "demo.crm.regional", none, []string{"g"}, true, true, "", ""},
		"unknown": {rowAccessPolicy, "demo.crm.regional", unknown, []string{"g"}, false, true,
			"it is not known whether crm.regional has row access policies", "again"},
		"another word": {
			rowAccessPolicy, "demo.crm.regional", "none", []string{"g"}, false, true, "it is not known", "again",
		},
		"policies": {
			rowAccessPolicy, "demo.crm.regional", has, []string{"g"}, false, true,
			"crm.regional has row access policies, which BigQuery applies to the account",
			`rule r (row_access_policies: ["demo.crm.regional"])`,
		},
		"named":             {named("demo.crm.regional"), "demo.crm.regional", has, []string{"g"}, true, false, "", ""},
		"named and unknown": {named("demo.crm.reg*"), "demo.crm.regional", unknown, []string{"g"}, true, false, "", ""},
		"another one is named": {named("demo.crm.orders"), "demo.crm.regional", has, []string{"g"}, false, true,
			"has row access policies", "an operator"},
		"named in other letters": {named("demo.crm.Regional"), "demo.crm.regional", has, []string{"g"}, false, true,
			"has row access policies", ""},
		"a wildcard": {rowAccessPolicy, "demo.crm.visits_*", has, []string{"g"}, false, true,
			"takes in a table that has row access policies", "names each table"},
		"a wildcard, a member named": {named("demo.crm.visits_1"), "demo.crm.visits_*", has, []string{"g"}, false, true,
			"takes in a table", ""},
		"a wildcard, narrower pattern": {named("demo.crm.visits_2*"), "demo.crm.visits_*", has, []string{"g"}, false, true,
			"takes in a table", ""},
		"a wildcard, named": {named("demo.crm.visits_*"), "demo.crm.visits_*", has, []string{"g"}, true, false, "", ""},
		"by a rule of nobody's": {
			rowAccessPolicy + "  - {name: other, groups: [h], read: [demo.crm.*], row_access_policies: [demo.crm.*]}\n",
			"demo.crm.regional", has, []string{"g"}, false, true, "has row access policies", "rule r",
		},
		"by a rule of another group of the subject": {
			rowAccessPolicy + "  - {name: other, groups: [h], read: [demo.crm.*], row_access_policies: [demo.crm.*]}\n",
			"demo.crm.regional", has, []string{"g", "h"}, true, false, "", "",
		},
		"by a rule of another credential": {
			rowAccessPolicy + "  - {name: other, groups: [h], read: [demo.crm.*], row_access_policies: [demo.crm.*], credential: b}\n",
			"demo.crm.regional", has, []string{"g", "h"}, false, true, "has row access policies", "rule r",
		},
		"by a rule that reads others": {
			rowAccessPolicy + "  - {name: other, groups: [g], read: [demo.crm.o*], row_access_policies: [demo.crm.*]}\n",
			"demo.crm.regional", has, []string{"g"}, false, true, "has row access policies", "rule r",
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, table := mustLoad(t, c.policy), tableOf(c.table, "a")
			r := ask(subject("x", c.groups...), selects(c.table, "a"), table)
			r.RowAccess = map[string]bigquery.RowAccess{c.table: c.access}
			if needs := set.needsRowAccess(r); (len(needs) == 1) != c.asks || c.asks && needs[0] != table {
				t.Errorf("wants to know it of %v", needs)
			}
			d := set.decide(r)
			checkSound(t, d)
			if (d.Effect == Allow) != c.allow || !strings.Contains(d.Message, c.says) || !strings.Contains(d.Remedy, c.remedy) ||
				d.Effect == Refuse && d.Rule.ID() != "policy/r" {
				t.Errorf("%s by %s: %s; would pass: %s", d.Effect, d.Rule.ID(), d.Message, d.Remedy)
			}
		})
	}
}

// Only stored tables have row access policies; those behind a view count. Nothing is asked of a
// query that is refused anyway.
func TestWhatIsAskedForRowAccess(t *testing.T) {
	set := mustLoad(t, strings.Replace(rowAccessPolicy, "read: [demo.crm.*]", "read: [demo.crm.*, demo.crm.INFORMATION_SCHEMA.TABLES]", 1))
	table, view, metadata := tableOf("demo.crm.t", "a"), tableOf("demo.crm.v", "a"),
		tableOf("demo.crm.INFORMATION_SCHEMA.TABLES", "table_name")
	view.Type, view.View, metadata.Type = "VIEW", &bigquery.View{Query: "SELECT a FROM demo.crm.t"}, "INFORMATION_SCHEMA"
	behind := selects("demo.crm.t", "a")
	behind.Statements[0].Tables = []string{"demo.crm.INFORMATION_SCHEMA.TABLES", "demo.crm.t", "demo.crm.v"}
	r := ask(subject("x", "g"), behind, table, view, metadata)
	if needs := set.needsRowAccess(r); !slices.Equal(needs, []*bigquery.Table{table}) {
		t.Errorf("asked of %v", needs)
	}
	r.RowAccess = map[string]bigquery.RowAccess{"demo.crm.t": bigquery.RowAccessPolicies}
	if d := set.decide(r); d.Effect != Refuse || !strings.Contains(d.Message, "crm.t has row access policies") {
		t.Errorf("behind a view: %s %s", d.Effect, d.Message)
	}
	r.RowAccess = map[string]bigquery.RowAccess{"demo.crm.t": bigquery.RowAccessNone}
	if d := set.decide(r); d.Effect != Allow {
		t.Errorf("behind a view, without policies: %s %s", d.Effect, d.Message)
	}
	closed := selects("demo.hr.reviews", "note")
	closed.Statements[0].Tables = append(closed.Statements[0].Tables, "demo.crm.t")
	drop := selects("demo.crm.t", "a")
	drop.Statements[0].Kind = "DROP_TABLE"
	for name, a := range map[string]*googlesql.Analysis{
		"a closed table": closed, "a DROP": drop, "not understood": {Error: &googlesql.Error{Code: googlesql.ErrorSyntax, Message: "x"}},
		"nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(subject("x", "g"), a, table, tableOf("demo.hr.reviews", "note"))
			if needs := set.needsRowAccess(r); len(needs) != 0 {
				t.Errorf("%s: asked of %v", name, needs)
			}
		})
	}
	var nobody *Set
	if needs := nobody.needsRowAccess(r); len(needs) != 0 {
		t.Errorf("no policy: asked of %v", needs)
	}
}

// Whoever looks at a policy sees which tables it names.
func TestRowAccessIsDescribed(t *testing.T) {
	set := mustLoad(t, strings.Replace(rowAccessPolicy, "read: [demo.crm.*]", "read: [demo.crm.*], row_access_policies: [demo.crm.reg*, "+
		"demo.crm.t]", 1))
	out := fmt.Sprint(set.Outline())
	if !strings.Contains(out, "g read demo.crm.*, in spite of row access policies demo.crm.reg*, demo.crm.t, with credential default") {
		t.Error(out)
	}
}
