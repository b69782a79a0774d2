//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestBehind reads tables through views, functions, table functions and wildcards: what is masked
// is masked behind each of them, and what changes while it is read is not shown (A8).
func TestBehind(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--policy", "e2e/testdata/behind/policy.yaml", "--seed", "e2e/testdata/behind/data.sql")
	for name, test := range map[string]struct {
		sql  string
		want string
	}{
		"view":           {"SELECT reference, name FROM crm.contacts ORDER BY id", "[[XXXXX1001 Ada] [XXXXX1002 Bob] [XXXXX1003 Cy]]"},
		"function":       {"SELECT lib.greet(name) AS g FROM crm.people ORDER BY id", "[[Hello Ada] [Hello Bob] [Hello Cy]]"},
		"table function": {"SELECT id, reference FROM lib.after_id(1) ORDER BY id", "[[2 XXXXX1002] [3 XXXXX1003]]"},
		"wildcard": {"SELECT person, ssn, _TABLE_SUFFIX AS day FROM `demo.crm.visits_*` ORDER BY person",
			"[[1 <nil> 1] [2 <nil> 2]]"},
		"wildcard by suffix": {"SELECT person, place FROM `crm.visits_*` WHERE _TABLE_SUFFIX = '2'", "[[2 Oslo]]"},
	} {
		t.Run(name, func(t *testing.T) {
			a := d.query("agent", test.sql)
			if a.Status != 200 {
				t.Errorf("%s: status %d %s", name, a.Status, a.message())
				return
			}
			if got := fmt.Sprint(a.rows(t)); got != test.want {
				t.Errorf("%s: rows %s, want %s", name, got, test.want)
			}
		})
	}
	// Computed from a secret: masked before it is computed, or refused. No whole secret comes out
	// either way, which searchCanaries holds.
	for _, sql := range []string{
		"SELECT lib.tail(ssn) AS t FROM crm.people", "SELECT lib.first_ssn() AS s", "SELECT UPPER(reference) AS r FROM lib.after_id(0)",
		"SELECT id FROM lib.after_id(0) WHERE reference LIKE '911%'",
	} {
		t.Run(sql, func(t *testing.T) {
			if a := d.query("agent", sql); a.Status != 200 && a.Status != 403 {
				t.Errorf("%s: status %d %s", sql, a.Status, a.message())
			}
		})
	}
	for sql, want := range map[string]string{
		"SELECT lib.first_ssn() AS s": "crm.people.ssn",
		"SELECT UPPER(reference) AS r FROM lib.after_id(0)": "demo.lib.after_id is a function that reads demo.crm.people.ssn; read " +
			"demo.crm.people itself",
		"SELECT 1 FROM `crm.visits_*` WHERE ssn = _TABLE_SUFFIX":  "there is no _TABLE_SUFFIX; leave it out, or name one table",
		"SELECT ssn FROM `crm.visitors_*`":                        "was not found",
		"SELECT person FROM `crm.visits_1*`":                      "crm.visits_1 is a table of its own, which BigQuery does not take in",
		"SELECT table_name FROM crm.INFORMATION_SCHEMA.TABLES":    "must name it by itself",
		"SELECT query FROM `region-us`.INFORMATION_SCHEMA.JOBS":   "the SQL of everybody's jobs",
		"SELECT id FROM crm.contacts, crm.INFORMATION_SCHEMA.SCH": "not known",
	} {
		t.Run(sql, func(t *testing.T) {
			if a := d.query("agent", sql); a.Status != 403 || !strings.Contains(a.message(), want) {
				t.Errorf("%s: status %d %s, want 403 with %q", sql, a.Status, a.message(), want)
			}
		})
	}
	if a := d.query("agent", "SELECT lib.nothing(1) AS s"); a.Status != 400 ||
		!strings.Contains(a.message(), "the function demo.lib.nothing was not found") {
		t.Errorf("a function that is not there: status %d %s, want BigQuery's 400", a.Status, a.message())
	}
	// Who may read the tables may not for that read a view or call a function over them, nor more
	// of a wildcard than the rule covers (A33).
	for _, sql := range []string{
		"SELECT id FROM crm.contacts", "SELECT lib.greet(name) AS g FROM crm.people", "SELECT id FROM lib.after_id(1)",
		"SELECT person FROM `crm.visits_*`", "SELECT person FROM `crm.calls_*`",
	} {
		t.Run(sql, func(t *testing.T) {
			if a := d.query("analyst", sql); a.Status != 403 || !strings.Contains(a.message(), "no policy lets you read it") {
				t.Errorf("analyst: %s: status %d %s, want 403", sql, a.Status, a.message())
			}
		})
	}
	if a := d.query("analyst", "SELECT id FROM crm.old_visits"); a.Status != 403 ||
		!strings.Contains(a.message(), "crm.visits_2 is behind a view or a function that the query names") {
		t.Errorf("analyst: a view that the rule covers, over a table that it does not: status %d %s", a.Status, a.message())
	}
	if a := d.query("analyst", "SELECT person FROM `crm.calls_1*`"); a.Status != 200 {
		t.Errorf("analyst: the wildcard that the rule covers: status %d %s", a.Status, a.message())
	}
	t.Run("A34 row access policies", func(t *testing.T) { attackRowAccess(t, d) })
	t.Run("the account", func(t *testing.T) { attackAccount(t, d) })
	attackChanged(t, d)
	d.searchCanaries()
}

// A8: what the gateway has read is changed before the query runs. It still believes the old text,
// under which the column is clear; the next time it knows better.
func attackChanged(t *testing.T, d *demo) {
	for name, test := range map[string]struct{ change, sql, before, again string }{
		"a view": {
			"CREATE OR REPLACE VIEW demo.crm.names AS SELECT id, ssn AS label FROM demo.crm.people",
			"SELECT label FROM crm.names ORDER BY id", "[[Ada] [Bob] [Cy]]", "[[XXXXX1001] [XXXXX1002] [XXXXX1003]]",
		},
		"a view behind a view": {
			"CREATE OR REPLACE VIEW demo.crm.inner AS SELECT id, ssn AS label FROM demo.crm.people",
			"SELECT label FROM crm.outer ORDER BY id", "[[Ada] [Bob] [Cy]]", "[[XXXXX1001] [XXXXX1002] [XXXXX1003]]",
		},
		"a function": {
			"CREATE OR REPLACE FUNCTION demo.lib.who() RETURNS STRING AS ((SELECT MIN(ssn) FROM demo.crm.people))",
			"SELECT lib.who() AS w", "[[Ada]]", "",
		},
		"columns that change places": {
			"CREATE OR REPLACE TABLE demo.crm.swap AS SELECT note AS ssn, ssn AS note FROM demo.crm.swap",
			"SELECT note FROM crm.swap", "[[hello]]", "",
		},
		"a table that joins a wildcard": {
			"CREATE TABLE demo.crm.days_9 (id INT64, label STRING)",
			"SELECT label FROM `crm.days_*` ORDER BY id", "[[quiet]]", "[[quiet]]",
		},
	} {
		a := d.query("agent", test.sql)
		if a.Status != 200 {
			t.Fatalf("%s, before: status %d %s", name, a.Status, a.message())
		}
		if got := fmt.Sprint(a.rows(t)); got != test.before {
			t.Errorf("%s, before: rows %s, want %s", name, got, test.before)
		}
		d.fake(t, "/_fake/plant", map[string]any{"account": "crm-reader@demo.iam.gserviceaccount.com",
			"job_id": "change_" + strings.ReplaceAll(name, " ", "_"), "sql": test.change})
		a = d.query("agent", test.sql)
		if a.Status != 403 || !strings.Contains(a.message(), "does not agree with what was decided") ||
			!strings.Contains(a.message(), "the same query again") {
			t.Errorf("%s, after: status %d %s, want 403 that says to ask again", name, a.Status, a.message())
		}
		if test.again == "" { // it would show what somebody wrote into a clear column, or be refused
			continue
		}
		a = d.query("agent", test.sql)
		if a.Status != 200 || fmt.Sprint(a.rows(t)) != test.again {
			t.Errorf("%s, again: status %d %s %s, want %s", name, a.Status, a.message(), a.Body, test.again)
		}
	}
}
