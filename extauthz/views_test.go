package extauthz

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
)

// A policy that comes to speak of a view's own column ends the reads of it, also where the schema
// that BigQuery stores of the view lacks the column (A17): the policy is shown those that the view
// had when the query ran.
func TestReadsShowTheColumnsOfNow(t *testing.T) {
	text := func(name string) bigquery.Field { return bigquery.Field{Name: name, Type: "STRING"} }
	for name, c := range map[string]struct {
		schemas  map[string]bigquery.Schema
		policy   string
		readable bool
	}{
		"the policy as it was": {
			map[string]bigquery.Schema{"p.finance.payroll": {Fields: []bigquery.Field{text("employee"), text("salary")}}}, "", true,
		},
		"a column of now": {
			map[string]bigquery.Schema{"p.finance.payroll": {Fields: []bigquery.Field{text("employee"), text("salary")}}}, "salary", false,
		},
		"a column of before": {map[string]bigquery.Schema{"p.finance.payroll": {Fields: []bigquery.Field{text("salary")}}},
			"employee", true},
		"as stored, another column": {nil, "salary", true},
		"as stored, its column":     {nil, "employee", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSeenWorld(t)
			w.policy(readPolicy)
			no := false
			w.table.Type, w.table.View = "VIEW", &bigquery.View{Query: "SELECT * FROM p.crm.t", UseLegacySQL: &no}
			w.table.Schema.Fields = []bigquery.Field{text("employee")} // as BigQuery stores it
			w.analysis = func() *googlesql.Analysis {
				table := w.table
				return &googlesql.Analysis{Tables: map[string]*bigquery.Table{"p.finance.payroll": &table},
					Statements: []googlesql.Statement{{
						Kind: "SELECT", Tables: []string{"p.finance.payroll"}, Columns: []googlesql.Column{{Name: "n", Type: "INT64"}},
					}}}
			}
			o := w.ask(boundQuery())
			if o.forward == nil {
				t.Fatalf("%d %s", o.status, o.body)
			}
			r := o.forward.Record
			r.Reads.Schemas = c.schemas
			r.Job = bigquery.JobReference{ProjectID: "p", JobID: "j", Location: "US"}
			if err := w.s.Jobs.Create(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if _, err := w.s.Jobs.Verify(t.Context(), r, jobs.Verification{}); err != nil {
				t.Fatal(err)
			}
			if c.policy != "" {
				w.policy(readPolicy + "columns:\n  - {match: \"p.*.*." + c.policy + "\", mask: ALWAYS_NULL}\n")
			}
			o = w.results("j")
			if (o.forward != nil) != c.readable || o.forward == nil && (o.status != 403 || !strings.Contains(string(o.body), "is a view")) {
				t.Errorf("readable: %v, want %v: %d %s", o.forward != nil, c.readable, o.status, o.body)
			}
		})
	}
}
