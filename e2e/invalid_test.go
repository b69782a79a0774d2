//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// SQL that BigQuery itself would not run is BigQuery's 400, with the engine's words, by a query, an
// insert and a dry run: tools show that to the model which wrote it. What a policy refuses stays
// 403, a table that is not there too.
func TestInvalidSQL(t *testing.T) {
	d := startDemo(t)
	path := "/bigquery/v2/projects/" + d.Project
	for _, c := range []struct {
		sql, says string
		status    int
	}{
		{"SELEC 1", "SELEC", 400},
		{"SELECT nope FROM crm.orders", "nope", 400},
		{"SELECT LOWER(id) FROM crm.orders", "LOWER", 400},
		{"SELECT status, id FROM crm.orders GROUP BY status", "id", 400},
		{"SELECT nosuch(id) FROM crm.orders", "NOSUCH", 400},
		{"SELECT id FROM crm.orders WHERE status = @s", "@s", 400},
		{"SELECT id FROM crm.orders WHERE status = ?", "?", 400},
		{"SELECT id FROM crm.orders JOIN crm.customers USING (nope)", "nope", 400},
		{"SELECT id FROM crm.nosuch", "crm.nosuch", 403},
		{"SELECT note FROM hr.reviews", "hr.reviews does not exist or no policy lets you read it", 403},
		{"SELECT nope FROM hr.reviews", "hr.reviews does not exist or no policy lets you read it", 403},
		{"DROP TABLE crm.orders", "DROP_TABLE", 403},
	} {
		t.Run(c.sql, func(t *testing.T) {
			for form, a := range map[string]answer{
				"query": d.query("agent", c.sql),
				"dry run": d.call("POST", path+"/queries", d.token("agent"),
					map[string]any{"query": c.sql, "useLegacySql": false, "dryRun": true}),
				"insert": d.call("POST", path+"/jobs", d.token("agent"),
					map[string]any{"configuration": map[string]any{"query": map[string]any{
						"query": c.sql, "useLegacySql": false,
					}}}),
			} {
				reason := map[int]string{400: "invalidQuery: bqgate: ", 403: "accessDenied: bqgate: "}[c.status]
				if a.Status != c.status || !strings.HasPrefix(a.message(), reason) || !strings.Contains(a.message(), c.says) {
					t.Errorf("%s: %d %q; want %d %s… %q", form, a.Status, a.message(), c.status, reason, c.says)
				}
			}
		})
	}
}
