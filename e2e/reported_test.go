//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReported tries what BigQuery reports of a job, or does not: the tables that it read, how much
// a query would read, which limit it is over.
func TestReported(t *testing.T) {
	d := startDemo(t, "--policy", "e2e/testdata/reported/policy.yaml", "--seed", "e2e/testdata/reported/data.sql")
	const jobs = "/bigquery/v2/projects/demo/jobs"
	insert := func(t *testing.T, persona, sql string) string {
		t.Helper()
		a := d.call("POST", jobs, d.token(persona), map[string]any{"configuration": map[string]any{"query": map[string]any{
			"query": sql, "useLegacySql": false,
		}}})
		if a.Status != 200 {
			t.Fatalf("%s: %d %s", sql, a.Status, a.message())
		}
		return a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	}
	refused := func(t *testing.T, what string, a answer, says string) {
		t.Helper()
		if a.Status != 403 || !strings.HasPrefix(a.message(), "accessDenied: bqgate: ") || !strings.Contains(a.message(), says) {
			t.Errorf("%s: %d %s, want 403 with %q", what, a.Status, a.message(), says)
		}
	}
	rows := func(t *testing.T, what string, a answer, want string) {
		t.Helper()
		if a.Status != 200 || fmt.Sprint(a.rows(t)) != want {
			t.Errorf("%s: %d %s %s, want %s", what, a.Status, a.message(), a.Body, want)
		}
	}

	t.Run("sizes that nobody knows", func(t *testing.T) {
		for sql, known := range map[string]bool{
			"SELECT id FROM crm.plain":                                  true,
			"SELECT id FROM crm.plain -- fake:accuracy=UPPER_BOUND":     true,
			"SELECT id FROM crm.plain -- fake:accuracy=UNKNOWN":         false,
			"SELECT id FROM crm.plain -- fake:accuracy=LOWER_BOUND":     false,
			"SELECT id FROM crm.regional":                               false,
			"SELECT p.id FROM crm.plain p JOIN crm.regional USING (id)": false,
		} {
			t.Run(sql, func(t *testing.T) {
				a := d.query("agent", sql)
				if a.Status != 200 || (a.json(t)["jobComplete"] == true) != known {
					t.Errorf("%s: %d %s, known: %t", sql, a.Status, a.Body, known)
				}
				if a = d.query("reviewer", sql); known && a.Status != 200 {
					t.Errorf("under max_bytes: %s: %d %s", sql, a.Status, a.message())
				} else if !known {
					refused(t, "over max_bytes: "+sql, a,
						"does not say beforehand how much the query would read, and at most 1 GiB are allowed")
				}
			})
		}
		job := d.hold(t, "agent", "SELECT region FROM crm.regional")
		r := d.request(t, "reviewer", job)
		if r["estimated_bytes"] != nil || !strings.Contains(fmt.Sprint(r["why"]), "may read any amount") {
			t.Errorf("the reviewer reads %v bytes, %v", r["estimated_bytes"], r["why"])
		}
	})

	t.Run("limits", func(t *testing.T) {
		limited := func(sql, limit string) answer {
			return d.call("POST", "/bigquery/v2/projects/demo/queries", d.token("analyst"),
				map[string]any{"query": sql, "useLegacySql": false, "maximumBytesBilled": limit})
		}
		for sql, says := range map[string]string{
			"SELECT id FROM crm.big":     "more than 20 MiB, the maximumBytesBilled of the request",
			"SELECT ssn FROM crm.people": "more than 1 B, the maximumBytesBilled of the request",
		} {
			a := limited(sql, map[bool]string{true: "1", false: "20971520"}[strings.Contains(sql, "ssn")])
			if a.Status != 400 || !strings.HasPrefix(a.message(), "bytesBilledLimitExceeded: bqgate: ") ||
				!strings.Contains(a.message(), says) {
				t.Errorf("%s: %d %s", sql, a.Status, a.message())
			}
		}
		for reason, says := range map[string]string{
			"resourcesExceeded": "more memory or computing", "quotaExceeded": "a quota of BigQuery's is used up", "stopped": "cancelled",
			"invalidQuery": "could not run the query",
		} {
			t.Run(reason, func(t *testing.T) {
				a := d.query("analyst", "SELECT ssn FROM crm.people -- fake:fail="+reason)
				if a.Status < 400 || a.Status > 499 || !strings.HasPrefix(a.message(), reason+": bqgate: ") ||
					!strings.Contains(a.message(), says) {
					t.Errorf("%s: %d %s", reason, a.Status, a.message())
				}
			})
		}
	})

	t.Run("what a job read", func(t *testing.T) {
		for _, sql := range []string{
			"SELECT id FROM crm.plain ORDER BY id -- fake:lists=demo.crm.plain@1764547200000",
			"SELECT id FROM crm.plain ORDER BY id -- fake:lists=demo.crm.plain$20261130",
			"SELECT id FROM crm.plain ORDER BY id -- fake:chosen=demo.crm.mv",
		} {
			t.Run(sql, func(t *testing.T) {
				rows(t, sql, d.query("agent", sql), "[[1] [2]]")
			})
		}
		refused(t, "another table", d.query("agent", "SELECT id FROM crm.plain -- fake:lists=demo.crm.plain,demo.crm.people"),
			"BigQuery's job does not agree with what was decided")
		for sql, says := range map[string]string{
			"SELECT id FROM crm.plain -- fake:lists=none": "(checks.referenced_tables.missing_tables)",
			"SELECT id FROM crm.plain -- fake:lists=demo.crm.mv " +
				"-- fake:chosen=demo.crm.mv": "(checks.referenced_tables.materialized_views)",
			"SELECT id FROM crm.people -- fake:lists=none": "a query without tables that have sensitive " +
				"columns",
		} {
			t.Run(sql, func(t *testing.T) {
				refused(t, sql, d.query("agent", sql), says)
			})
		}
		// An analyst's queries wait for nobody.
		lookup := "SELECT id FROM crm.regional ORDER BY id -- fake:lists=demo.crm.regional,demo.crm.regions"
		cached := map[string]string{
			insert(t, "analyst", "SELECT id FROM crm.plain ORDER BY id -- fake:cached"): "(checks.referenced_tables.cached_results)",
			insert(t, "analyst", "SELECT id FROM crm.people ORDER BY id -- fake:cached"): "a query without tables that have sensitive " +
				"columns",
			insert(t, "analyst", "SELECT id FROM crm.regional ORDER BY id -- fake:cached"): "row access policies",
			insert(t, "analyst", lookup): "(checks.referenced_tables.row_access_lookups)",
		}
		results := func(job string) answer { return d.poll(t, d.token("analyst"), job) }
		for job, says := range cached {
			t.Run(job, func(t *testing.T) {
				refused(t, "first", results(job), says)
				refused(t, "again", results(job), says)
			})
		}
		// An operator accepts what can be, and the same jobs can be read, but for what reads
		// sensitive or row-filtered tables.
		file := filepath.Join(d.dir, "bqgate.yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, "\nchecks: {referenced_tables: {cached_results: accept, missing_tables: accept, row_access_lookups: "+
			"[demo.crm.regions]}}\n"...)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		d.restart(t)
		for job, says := range cached {
			t.Run(job, func(t *testing.T) {
				switch a := results(job); {
				case strings.Contains(says, "cached_results"), strings.Contains(says, "lookups"):
					rows(t, "accepted: "+says, a, "[[1] [2]]")
				default:
					refused(t, "accepted elsewhere", a, says)
				}
			})
		}
		refused(t, "another table, still", d.query("agent", "SELECT id FROM crm.plain -- fake:lists=demo.crm.plain,demo.crm.people"),
			"BigQuery's job does not agree with what was decided")
	})
	d.searchCanaries()
}
