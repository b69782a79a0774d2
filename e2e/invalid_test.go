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
		// What is no statement, and what is one of other databases or programs.
		{"SELECT id FROM crm.orders LIMIT 1;;", "the same without the empty statement", 400},
		{";", "the same without the empty statement", 400},
		{"-- nothing", "there is no statement", 400},
		{"/* nothing */ ", "there is no statement", 400},
		{"EXPLAIN SELECT id FROM crm.orders", "EXPLAIN is not a statement of BigQuery's", 400},
		{"EXPLAIN ANALYZE SELECT id FROM crm.orders", "a dry run of the query itself", 400},
		{"DESCRIBE crm.orders", "DESCRIBE is not a statement of BigQuery's", 400},
		{"DESCRIBE hr.reviews", "DESCRIBE is not a statement of BigQuery's", 400},
		{"SHOW TABLES", "tables.list", 400},
		{"USE crm", "defaultDataset", 400},
		{`\d crm.orders`, "a command of a program", 400},
		{"```sql\nSELECT id FROM crm.orders\n```", "without the Markdown", 400},
		{"BEGIN; SELECT 1; END", "END", 400},
		{"BEGIN SELECT 1; END", "a script is not allowed", 403},
		{"SET x = 1", "SET is not allowed", 403},
		{"SELECT 1; SELECT 2", "a script of 2 statements", 403},
		{"EXPLAIN SELECT 1; DROP TABLE crm.orders", "a script that contains DROP_TABLE", 403},
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
				t.Run(form, func(t *testing.T) {
					reason := map[int]string{400: "invalidQuery: bqgate: ", 403: "accessDenied: bqgate: "}[c.status]
					if a.Status != c.status || !strings.HasPrefix(a.message(), reason) || !strings.Contains(a.message(), c.says) {
						t.Errorf("%s: %d %q; want %d %s… %q", form, a.Status, a.message(), c.status, reason, c.says)
					}
				})
			}
		})
	}
}
