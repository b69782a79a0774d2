//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// SESSION_USER() is the account that every agent runs under: its name is nobody's business, and a
// view that keeps to the rows of "the user" would show the account's.
func attackAccount(t *testing.T, d *demo) {
	const jobs = "/bigquery/v2/projects/demo/jobs"
	d.forget(t)
	for name, sql := range map[string]string{
		"shown":                   "SELECT SESSION_USER() AS u",
		"shown by the other name": "SELECT CURRENT_USER() AS u",
		"in other letters":        "SELECT sEssion_usER /* x */ () AS u",
		"quoted":                  "SELECT `session_user`() AS u",
		"safe":                    "SELECT SAFE.SESSION_USER() AS u",
		"computed with":           "SELECT LENGTH(SESSION_USER()) AS n",
		"a filter":                "SELECT COUNT(*) AS n FROM crm.people WHERE SESSION_USER() LIKE '%gserviceaccount%'",
		"a join":                  "SELECT p.id FROM crm.people p JOIN (SELECT SESSION_USER() AS u) ON p.name < u",
		"an order":                "SELECT id FROM crm.people ORDER BY CONCAT(name, CURRENT_USER())",
		"a table nobody reads":    "WITH a AS (SELECT SESSION_USER() AS u) SELECT id FROM crm.people",
		"a column nobody takes":   "SELECT id FROM (SELECT id, SESSION_USER() AS u FROM crm.people)",
		"a branch never taken":    "SELECT IF(FALSE, SESSION_USER(), 'x') AS u",
		"a subquery":              "SELECT id FROM crm.people WHERE name IN (SELECT SESSION_USER())",
		"an array":                "SELECT x FROM UNNEST([CURRENT_USER()]) AS x",
		"a pipe":                  "FROM crm.people |> EXTEND SESSION_USER() AS u |> SELECT id",
		"beside a masked table":   "SELECT COUNT(DISTINCT ssn) AS n FROM crm.people WHERE SESSION_USER() != ''",
		"a view":                  "SELECT id FROM crm.mine",
		"a view of a view":        "SELECT number FROM crm.mine_again",
		"a function":              "SELECT lib.me() AS u",
		"a function of one":       "SELECT id FROM crm.people WHERE lib.greet_me() != ''",
		"a table function":        "SELECT id FROM lib.mine_after(0)",
	} {
		t.Run(name, func(t *testing.T) {
			config := map[string]any{"query": sql, "useLegacySql": false}
			for form, a := range map[string]answer{
				"query":  d.query("agent", sql),
				"insert": d.call("POST", jobs, d.token("agent"), map[string]any{"configuration": map[string]any{"query": config}}),
				"dry run": d.call("POST", jobs, d.token("agent"),
					map[string]any{"configuration": map[string]any{"dryRun": true, "query": config}}),
			} {
				if a.Status != 403 || !strings.Contains(a.message(), "which gives the gateway's account") {
					t.Errorf("%s: status %d %s", form, a.Status, a.message())
				}
				if strings.Contains(string(a.Body), "gserviceaccount") {
					t.Errorf("%s tells of the account: %s", form, a.Body)
				}
			}
		})
	}
	for _, r := range d.arrived() {
		if r.Service == "bigquery" && r.Method == "POST" {
			t.Errorf("%s %s went upstream: %s", r.Method, r.Path, r.Body)
		}
	}
	for _, sql := range []string{"SELECT SESSION_USER AS u", "SELECT CURRENT_USER AS u", "SELECT @@session_user AS u",
		"SELECT @@session_id AS u", "SELECT NET.SESSION_USER() AS u"} {
		if a := d.query("agent", sql); a.Status != 400 && a.Status != 403 {
			t.Errorf("%s: status %d %s", sql, a.Status, a.Body)
		}
	}
	if a := d.query("agent", "SELECT 'SESSION_USER()' AS u, id FROM crm.people WHERE id = 1"); a.Status != 200 {
		t.Errorf("a text that only names it: status %d %s", a.Status, a.message())
	}
}
