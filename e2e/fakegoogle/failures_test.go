package fakegoogle

import (
	"bytes"
	"strings"
	"testing"
)

// What a gateway must withstand has to happen here first: values in errors, and answers that are no
// JSON.
func TestValuesLeaveInEveryWayThatGoogleHas(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	const sql = "SELECT ssn FROM crm.customers ORDER BY id"
	first := cell(t, c.query(sql, nil).tree(t), 0, 0).(string)
	for reason, status := range map[string]int{"rateLimitExceeded": 403, "backendError": 503, "duplicate": 409, "resourcesExceeded": 400} {
		t.Run(reason, func(t *testing.T) {
			r := c.query(sql+" -- fake:fail="+reason, nil)
			if r.status != status || !strings.Contains(string(r.body), reason) || !strings.Contains(string(r.body), first) {
				t.Errorf("%s: %d %s", reason, r.status, r.body)
			}
		})
	}
	if r := c.query("SELECT 1 -- fake:fail=nothing", nil); r.status != 400 || !strings.Contains(string(r.body), "no reason nothing") {
		t.Errorf("a reason that BigQuery has not: %d %s", r.status, r.body)
	}
	job := c.query(sql, nil).tree(t)["jobReference"].(map[string]any)["jobId"].(string)
	for query, begins := range map[string]string{"alt=proto": "\x0a", "alt=media": "\x0a", "callback=f": "// API callback\nf({",
		"alt=json": "{"} {
		t.Run(query, func(t *testing.T) {
			r := c.do("GET", base+"/queries/"+job+"?"+query, nil)
			if r.status != 200 || !strings.HasPrefix(string(r.body), begins) || !bytes.Contains(r.body, []byte(first)) {
				t.Errorf("%s: %d %.60q", query, r.status, r.body)
			}
		})
	}
}

// A dry run and the finished job tell of views, functions, table functions and the members of
// wildcards alike, and routines.get gives their bodies.
func TestWhatIsRead(t *testing.T) {
	s := start(t)
	if err := s.Seed(t.Context(), `CREATE SCHEMA lib;
CREATE FUNCTION lib.twice(x STRING) RETURNS STRING AS (CONCAT(x, x));
CREATE TABLE FUNCTION lib.some(least INT64) AS SELECT id FROM demo.crm.orders WHERE id > least;
CREATE VIEW lib.names AS SELECT demo.lib.twice(name) AS n FROM demo.crm.customers;
CREATE TABLE lib.day_1 (id INT64);
CREATE TABLE lib.day_2 (id INT64);`); err != nil {
		t.Fatal(err)
	}
	c := as(t, s, reader)
	for i, test := range []struct{ sql, tables, views, routines string }{
		{"SELECT n FROM lib.names", `"customers"`, `"names"`, `"twice"`},
		{"SELECT id FROM lib.some(1)", `"orders"`, "", `"some"`},
		{"SELECT id, _TABLE_SUFFIX AS x FROM `lib.day_*`", `"day_1" "day_2"`, "", ""},
	} {
		t.Run(test.sql, func(t *testing.T) {
			for _, dry := range []bool{true, false} {
				r := c.insert("read_"+itoa(i), test.sql, dry)
				if !dry {
					if r = c.do("GET", base+"/queries/read_"+itoa(i), nil); r.status != 200 {
						t.Errorf("%s: %d %s", test.sql, r.status, r.body)
					}
					r = c.do("GET", base+"/jobs/read_"+itoa(i), nil)
				}
				query, ok := r.tree(t)["statistics"].(map[string]any)["query"].(map[string]any)
				if !ok {
					t.Fatalf("%s: %s", test.sql, r.body)
				}
				for key, want := range map[string]string{"referencedTables": test.tables, "referencedLogicalViews": test.views,
					"referencedRoutines": test.routines} {
					var got []string
					list, _ := query[key].([]any)
					for _, one := range list {
						ref := one.(map[string]any)
						for _, name := range []string{"tableId", "routineId"} {
							if v, ok := ref[name].(string); ok {
								got = append(got, `"`+v+`"`)
							}
						}
					}
					if strings.Join(got, " ") != want {
						t.Errorf("%s (dry %t): %s %v, want %s", test.sql, dry, key, got, want)
					}
				}
			}
		})
	}
	r := c.do("GET", base+"/datasets/lib/routines/twice", nil)
	if r.status != 200 || !strings.Contains(string(r.body), "CONCAT(x, x)") {
		t.Errorf("routines.get: %d %s", r.status, r.body)
	}
	if r := c.do("GET", base+"/datasets/lib/routines/thrice", nil); r.status != 404 {
		t.Errorf("routines.get of none: %d %s", r.status, r.body)
	}
}
