//go:build e2e

package e2e

import (
	"fmt"
	"testing"
)

// TestUncertain reads tables of whose columns the gateway cannot be sure (A44), and tables that
// show others under another name (A45), at a stand-in that goes by Google's documentation: what
// could show a secret under its reading is refused, and plain reads go on.
func TestUncertain(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--policy", "e2e/testdata/uncertain/policy.yaml", "--seed", "e2e/testdata/uncertain/data.sql")
	const then = " FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)"
	for name, test := range map[string]struct{ sql, want string }{
		"a snapshot":              {"SELECT name, ssn FROM crm.people_snap ORDER BY id", "[[Ada XXXXX1001] [Bob XXXXX1002]]"},
		"a clone of a snapshot":   {"SELECT name, ssn FROM crm.people_clone ORDER BY id", "[[Ada XXXXX1001] [Bob XXXXX1002]]"},
		"a linked dataset":        {"SELECT name, ssn FROM share.people", "[[Ada XXXXX1001]]"},
		"a snapshot, computed on": {"SELECT COUNT(*) AS n FROM crm.people_snap WHERE ssn LIKE '911%'", "[[0]]"},
		"members that differ":     {"SELECT * FROM `logs.bus_*` ORDER BY id", "[[b1] [b2]]"},
		"members that do not": {"SELECT TO_JSON_STRING(t) AS j FROM `logs.day_*` AS t ORDER BY id",
			`[[{"id":"d1","note":"x"}] [{"id":"d2","note":"y"}]]`},
		"beside secrets, by names": {"SELECT b.id, p.ssn FROM `logs.bus_*` AS b JOIN crm.people AS p ON p.id = 1 ORDER BY b.id",
			"[[b1 XXXXX1001] [b2 XXXXX1001]]"},
		"beside secrets, below": {"SELECT (SELECT MAX(b.id) FROM `logs.bus_*` AS b WHERE b.id != p.name) AS m, ssn FROM " +
			"crm.people AS p ORDER BY p.id", "[[b2 XXXXX1001] [b2 XXXXX1002]]"},
		"as it was":                      {"SELECT v.id FROM logs.visits AS v" + then, "[[v1]]"},
		"INFORMATION_SCHEMA, by a names": {"SELECT table_name FROM logs.INFORMATION_SCHEMA.TABLES WHERE table_name = 'day_1'", "[[day_1]]"},
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
	for name, sql := range map[string]string{
		"the prefix is a table":         "SELECT TO_JSON_STRING(t) AS j FROM `logs.web_*` AS t",
		"the prefix is a table, a star": "SELECT * FROM `logs.web_*`",
		"an older member's column":      "SELECT TO_JSON_STRING(t) AS j FROM `logs.app_*` AS t",
		"a star":                        "SELECT * FROM `logs.app_*`",
		"captured, as it was": "SELECT (SELECT ANY_VALUE(city) FROM logs.visits" + then +
			") AS v FROM (SELECT ssn AS city FROM crm.people)",
		"captured by ARRAY": "SELECT ARRAY(SELECT city FROM logs.visits" + then +
			") AS v FROM (SELECT ssn AS city FROM crm.people)",
		"captured in a filter": "SELECT COUNT(*) AS n FROM (SELECT ssn AS city FROM crm.people) WHERE EXISTS (SELECT 1 FROM " +
			"logs.visits" + then + " WHERE city LIKE '911%')",
		"captured, a wildcard": "SELECT (SELECT ANY_VALUE(id) FROM `logs.bus_*`) AS v FROM (SELECT ssn AS id FROM crm.people)",
		"captured, INFORMATION_SCHEMA": "SELECT (SELECT ANY_VALUE(table_name) FROM logs.INFORMATION_SCHEMA.TABLES) AS v FROM (SELECT " +
			"ssn AS table_name FROM crm.people)",
		"a secret table as it was":      "SELECT name FROM crm.people" + then,
		"a secret's snapshot as it was": "SELECT name FROM crm.people_snap" + then,
		"the row as it was":             "SELECT TO_JSON_STRING(v) AS j FROM logs.visits AS v" + then,
		"what it was made of is gone":   "SELECT ssn FROM crm.leaver_snap",
		"a field with a dot":            "SELECT STRUCT(STRUCT(name AS b) AS a, ssn AS `a.b`) AS s FROM crm.people",
		"a row beside secrets":          "SELECT TO_JSON_STRING(b) AS j, p.ssn FROM `logs.bus_*` AS b, crm.people AS p",
		"by position":                   "SELECT id FROM (SELECT * FROM `logs.bus_*` UNION ALL SELECT ssn FROM crm.people)",
	} {
		t.Run(name, func(t *testing.T) {
			if a := d.query("agent", sql); a.Status != 403 {
				t.Errorf("%s: %s: status %d %s %s", name, sql, a.Status, a.message(), a.Body)
			}
		})
	}
	d.searchCanaries()
}
