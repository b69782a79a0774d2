package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
)

var shared = sync.OnceValues(func() (*engine, error) {
	e, err := openEngine(context.Background())
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{
		"CREATE SCHEMA d",
		"CREATE TABLE d.t (id INT64, s STRING, a ARRAY<STRUCT<k STRING, n STRING>>, ts TIMESTAMP, b BYTES)",
		"INSERT INTO d.t VALUES (1, 'x', [STRUCT('k1', 'n1'), STRUCT('k2', NULL)], TIMESTAMP '2024-01-01 00:00:00+00', b'\\xff'), (2, " +
			"NULL, [], NULL, NULL)",
		"CREATE VIEW d.v AS SELECT id, s AS name FROM d.t",
		"CREATE VIEW d.w AS SELECT name FROM d.v",
		"CREATE TABLE d.days_1 (id INT64)",
		"INSERT INTO d.days_1 VALUES (7)",
		"CREATE TABLE d.days_2 (id INT64, s STRING, r ARRAY<STRUCT<k STRING>>)",
		"INSERT INTO d.days_2 VALUES (8, 'x', [STRUCT('k')])",
		"CREATE FUNCTION `p.d.twice`(x INT64) AS (2 * x)",
		"CREATE TABLE FUNCTION `p.d.above`(x INT64) AS (SELECT id FROM `p.d`.t WHERE id > x)",
		"CREATE VIEW `p.d.both` AS SELECT `d.t`.s, t.s AS z FROM `d.t` JOIN `p.d`.t USING (id)",
		"CREATE TABLE d.log (id INT64, extra STRING)",
		"INSERT INTO d.log VALUES (1, 'not a member')",
		"CREATE TABLE d.log_1 (id INT64, was STRING)",
		"INSERT INTO d.log_1 VALUES (2, 'member')",
		"CREATE OR REPLACE TABLE d.log AS SELECT id, extra FROM d.log", // the newest of all
		"CREATE TABLE d.travel (id INT64, before STRING)",
		"INSERT INTO d.travel VALUES (3, 'old')",
		"CREATE OR REPLACE TABLE d.travel AS SELECT id, 'new' AS now FROM d.travel",
		"CREATE SNAPSHOT TABLE d.shot CLONE d.travel",
		"CREATE TABLE d.twin CLONE p.d.travel",
	} {
		if r := e.handle(request{Op: "run", SQL: sql, Project: "p"}); r.Error != nil {
			return nil, r.Error
		}
	}
	return e, nil
})

func ask(t *testing.T, op, sql string) response {
	t.Helper()
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return e.handle(request{ID: 9, Op: op, SQL: sql, Project: "p", Dataset: "d", User: "a@b.example"})
}

func TestRun(t *testing.T) {
	for _, c := range []struct{ sql, rows string }{
		{"SELECT * FROM t ORDER BY id", `[["1","x",[["k1","n1"],["k2",null]],"1704067200000000","/w=="],["2",null,[],null,null]]`},
		{"SELECT t.s FROM d.t ORDER BY id", `[["x"],[null]]`},
		{"SELECT AS STRUCT id, s FROM d.t WHERE id = 1", `[[["1","x"]]]`},
		{"SELECT name FROM w ORDER BY 1 DESC", `[["x"],[null]]`},
		{"SELECT * FROM `p.d.days_*` ORDER BY id", `[["7",null,[]],["8","x",[["k"]]]]`},
		{"SELECT *, _TABLE_SUFFIX FROM `d.days_*` ORDER BY id", `[["7",null,[],"1"],["8","x",[["k"]],"2"]]`},
		{"SELECT w.* EXCEPT (r), w._TABLE_SUFFIX AS x FROM d.`days_*` w WHERE _table_suffix > '1'", `[["8","x","2"]]`},
		{"SELECT * REPLACE (0 AS id) FROM (SELECT *, _TABLE_SUFFIX AS y FROM `days_*`) WHERE y = '2'", `[["0","x",[["k"]],"2"]]`},
		{"SELECT t.id, w.id FROM t JOIN `days_*` AS w ON w.id - 6 = t.id ORDER BY 1", `[["1","7"],["2","8"]]`},
		{"FROM `days_*` |> WHERE id > 7 |> SELECT id", `[["8"]]`},
		{"SELECT SESSION_USER() AS u, current_user(), 'SESSION_USER()' FROM t",
			`[["a@b.example","a@b.example","SESSION_USER()"],["a@b.example","a@b.example","SESSION_USER()"]]`},
		{"SELECT * FROM `d.log*`", `[["2","member"]]`},
		{"SELECT *, _TABLE_SUFFIX FROM `d.log*`", `[["2","member","_1"]]`},
		{"SELECT * FROM d.travel", `[["3","new"]]`},
		{"SELECT * FROM d.travel FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)", `[["3","old"]]`},
		{"SELECT t.before, u.now FROM travel AS t FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01 00:00:00+00' JOIN travel AS u USING (id)",
			`[["old","new"]]`},
		{"SELECT `p.d.travel`.before FROM `p.d.travel` FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01 00:00:00+00'", `[["old"]]`},
		{"SELECT (SELECT ANY_VALUE(now) FROM travel FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01 00:00:00+00') FROM (SELECT 'outer' AS now)",
			`[["outer"]]`},
		{"SELECT * FROM d.travel FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()", `[["3","new"]]`},
		{"SELECT * FROM d.shot", `[["3","new"]]`},
		{"SELECT * FROM d.twin", `[["3","new"]]`},
		{"SELECT 1.5, 1e20, 2.0", `[["1.5","1E+20","2.0"]]`},
		{"SELECT CAST('7' AS INT), CAST(2.6 AS smallint), ARRAY<INTEGER>[1], STRUCT<a BIGINT>(2).a, SAFE_CAST('x' AS TINYINT), 'INT' " +
			"FROM d.days_1", `[["7","3",["1"],"2",null,"INT"]]`},
	} {
		t.Run(c.sql, func(t *testing.T) {
			r := ask(t, "run", c.sql)
			if r.Error != nil {
				t.Errorf("%s: %v", c.sql, r.Error)
				return
			}
			if got, _ := json.Marshal(r.Rows); string(got) != c.rows {
				t.Errorf("%s:\n got %s\nwant %s", c.sql, got, c.rows)
			}
		})
	}
}

func TestDry(t *testing.T) {
	join := func(ids []tableID) string {
		var out []string
		for _, id := range ids {
			out = append(out, id.String())
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct{ sql, kind, tables, views, columns string }{
		{"SELECT id, UPPER(s) FROM t", "SELECT", "p.d.t", "", "id:INTEGER $col2:STRING"},
		{"SELECT * FROM w", "SELECT", "p.d.t", "p.d.v p.d.w", "name:STRING"},
		{"WITH t AS (SELECT 1 AS one) SELECT * FROM t", "SELECT", "", "", "one:INTEGER"},
		{"SELECT 'TableScan(table=p.d.v)' AS s FROM t", "SELECT", "p.d.t", "", "s:STRING"},
		{"SELECT a FROM t WHERE EXISTS (SELECT 1 FROM v)", "SELECT", "p.d.t", "p.d.v", "a:RECORD"},
		{"SELECT id, _TABLE_SUFFIX AS x FROM `days_*`", "SELECT", "p.d.days_1 p.d.days_2", "", "id:INTEGER x:STRING"},
		{"DROP TABLE t", "DROP_TABLE", "", "", ""},
		{"INSERT INTO t (id) SELECT id FROM v", "INSERT", "p.d.t", "p.d.v", ""},
		{"CREATE TABLE d.u AS SELECT s FROM t", "CREATE_TABLE_AS_SELECT", "p.d.t", "", ""},
		{"SELECT 1; SELECT 2", "SCRIPT", "", "", ""},
		{"EXECUTE IMMEDIATE 'SELECT 1'", "SCRIPT", "", "", ""},
	} {
		t.Run(c.sql, func(t *testing.T) {
			r := ask(t, "dry", c.sql)
			if r.Error != nil {
				t.Errorf("%s: %v", c.sql, r.Error)
				return
			}
			var cols []string
			for _, f := range r.Columns {
				cols = append(cols, f.Name+":"+f.Type)
			}
			if r.StatementType != c.kind || join(r.Tables) != c.tables || join(r.Views) != c.views || strings.Join(cols, " ") != c.columns {
				t.Errorf("%s: %s, tables %q, views %q, columns %v", c.sql, r.StatementType, join(r.Tables), join(r.Views), cols)
			}
		})
	}
	for sql, want := range map[string]string{
		"SELECT * FROM `p.d.*`":       "Views cannot be queried through prefix. Matched views are: p:d.both, p:d.v, p:d.w",
		"SELECT 1 FROM `p.d.nights*`": "p.d.nights* does not match any table.",
	} {
		t.Run(sql, func(t *testing.T) {
			if r := ask(t, "dry", sql); r.Error == nil || r.Error.Message != want {
				t.Errorf("%s: %v, want %s", sql, r.Error, want)
			}
		})
	}
	if r := ask(t, "run", "SELECT COUNT(*) FROM t"); r.Rows[0][0] != "2" {
		t.Error("a dry run changed the data")
	}
}

// A quoted name is one identifier but where a table or a routine is looked for; see names.go.
func TestNames(t *testing.T) {
	const rows, absent = `[["x"],[null]]`, "Unrecognized name: "
	for _, c := range []struct{ sql, want string }{
		{"SELECT `p.d.t`.s FROM `p.d.t` ORDER BY id", rows},
		{"SELECT `d.t`.s FROM `d.t` ORDER BY id", rows},
		{"SELECT `P.D.T`.s FROM `p.d.t` ORDER BY id", rows},
		{"SELECT t.s FROM `p.d.t`", absent + "t"},
		{"SELECT t FROM `d.t`", absent + "t"},
		{"SELECT t.s FROM `p.d`.t ORDER BY id", rows},
		{"SELECT `d.t`.s FROM p.`d.t` ORDER BY id", rows},
		{"SELECT t.s FROM p.`d.t`", absent + "t"},
		{"SELECT t.s FROM `p`.`d`.`t` ORDER BY id", rows},
		{"SELECT x.s FROM `p.d`.t AS x ORDER BY id", rows},
		{"WITH `d.t` AS (SELECT 7 AS s) SELECT s FROM `d.t`", `[["7"]]`},
		{"WITH `D.T` AS (SELECT 7 AS s) SELECT s FROM `d.t`", `[["7"]]`},
		{"WITH `d.t` AS (SELECT 7 AS s) SELECT s FROM d.t ORDER BY id", rows},
		{"WITH `d.t` AS (SELECT 7 AS s) SELECT s FROM `p.d.t` ORDER BY id", rows},
		{"WITH `d.t` AS (SELECT 7 AS s) SELECT s FROM `p.d`.t ORDER BY id", rows},
		{"WITH t AS (SELECT 7 AS s) SELECT s FROM `d.t` ORDER BY id", rows},
		{"WITH `d.days_*` AS (SELECT 7 AS id) SELECT id FROM `d.days_*`", `[["7"]]`},
		{"SELECT x.s FROM (SELECT [STRUCT('no' AS s)] AS t) AS d, `d.t` AS x ORDER BY id", rows},
		{"SELECT x.s FROM (SELECT [STRUCT('no' AS s)] AS t) AS d, d.t AS x", `[["no"]]`},
		{"SELECT x.s FROM (SELECT [STRUCT('no' AS s)] AS t) AS `p.d`, `p.d`.t AS x", `[["no"]]`},
		{"SELECT (SELECT MAX(x.s) FROM `p.d.t` AS x) FROM (SELECT STRUCT([STRUCT('no' AS s)] AS t) AS d) AS p", `[["x"]]`},
		{"SELECT (SELECT MAX(x.s) FROM `p.d`.t AS x) FROM (SELECT STRUCT([STRUCT('no' AS s)] AS t) AS d) AS p", `[["x"]]`},
		{"SELECT a.n FROM `d.t`, `d.t`.a ORDER BY 1 DESC", `[["n1"],[null]]`},
		{"SELECT (SELECT t.id FROM `d.days_1`) FROM d.t AS t ORDER BY 1", `[["1"],["2"]]`},
		{"SELECT (SELECT days_1.id FROM `d.days_1`) FROM d.t AS days_1 ORDER BY 1", `[["1"],["2"]]`},
		{"SELECT `p.d.days_*`.id, _TABLE_SUFFIX FROM `p.d.days_*` ORDER BY 1", `[["7","1"],["8","2"]]`},
		{"SELECT `days_*`.id FROM `p.d`.`days_*` ORDER BY 1", `[["7"],["8"]]`},
		{"SELECT `d.days_*`.id FROM p.`d.days_*` ORDER BY 1", `[["7"],["8"]]`},
		{"SELECT `p.d.twice`(id), `d.twice`(1), p.`d.twice`(2) FROM d.days_1", `[["14","2","4"]]`},
		{"SELECT id FROM `p.d.above`(1)", `[["2"]]`},
		{"SELECT * FROM d.both ORDER BY 1 DESC", `[["x","x"],[null,null]]`},
		{"FROM `d.t` |> WHERE `d.t`.id = 1 |> SELECT s", `[["x"]]`},
		{"SELECT '`p.d`.t', \"`d.t`\" -- `p.d`.t\nFROM `p.d`.days_1 /* `p.d`.t */", "[[\"`p.d`.t\",\"`d.t`\"]]"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			for _, op := range []string{"run", "rows", "dry"} {
				r := ask(t, op, c.sql)
				switch got, _ := json.Marshal(r.Rows); {
				case strings.HasPrefix(c.want, absent):
					if r.Error == nil || !strings.Contains(r.Error.Message, c.want) {
						t.Errorf("%s %s: %s %v, want %s", op, c.sql, got, r.Error, c.want)
					}
				case r.Error != nil:
					if op == "rows" && strings.Contains(c.sql, "days_*`") {
						continue // which only "run" knows
					}
					t.Errorf("%s %s: %v", op, c.sql, r.Error)
				case op != "dry" && string(got) != c.want:
					t.Errorf("%s %s:\n got %s\nwant %s", op, c.sql, got, c.want)
				}
			}
		})
	}
}

func TestReplace(t *testing.T) {
	for _, c := range []struct{ do, ask, rows string }{
		{"CREATE OR REPLACE VIEW d.r AS SELECT id FROM t", "SELECT * FROM r ORDER BY 1", `[["1"],["2"]]`},
		{"-- again\nCREATE OR REPLACE VIEW `p.d.r` AS SELECT s AS id FROM t", "SELECT id FROM r ORDER BY 1 DESC", `[["x"],[null]]`},
		{"CREATE OR REPLACE TABLE d.c AS SELECT id, s FROM t", "SELECT s FROM c WHERE id = 1", `[["x"]]`},
		{"CREATE OR REPLACE TABLE d.c AS SELECT id AS s, s AS id FROM c", "SELECT id, s FROM c WHERE s = 1", `[["x","1"]]`},
		{"CREATE OR REPLACE TABLE d.c (z DATE)", "SELECT COUNT(z) FROM c", `[["0"]]`},
	} {
		t.Run(c.do, func(t *testing.T) {
			if r := ask(t, "run", c.do); r.Error != nil {
				t.Errorf("%s: %v", c.do, r.Error)
				return
			}
			r := ask(t, "run", c.ask)
			if r.Error != nil {
				t.Errorf("%s: %v", c.ask, r.Error)
			}
			if got, _ := json.Marshal(r.Rows); string(got) != c.rows {
				t.Errorf("%s: %s, want %s", c.ask, got, c.rows)
			}
		})
	}
	for _, row := range ask(t, "catalog", "").Catalog {
		if strings.Contains(row.ID.Table, "__") {
			t.Errorf("%s stayed", row.ID)
		}
	}
}

// What is understood and fails while it runs is BigQuery's invalidQuery, whatever the driver does:
// it panics, or takes the first of several rows.
func TestRunTimeErrors(t *testing.T) {
	for _, sql := range []string{
		"SELECT REPEAT('x', -1)", "SELECT REPEAT(s, id - 5) FROM t", "SELECT LPAD('x', -1)", "SELECT 1 << -1",
		"SELECT STRING_AGG(s, ',' LIMIT 0) FROM t",
		"SELECT 1 / 0", "SELECT CAST('x' AS INT64) + id FROM t", "SELECT [1][OFFSET(2)]", "SELECT ERROR('no')",
		"INSERT INTO t (s) SELECT REPEAT('x', -1)",
		"SELECT (SELECT id FROM t)", "SELECT id FROM t WHERE id = (SELECT id FROM t)", "SELECT (SELECT x.k FROM UNNEST(t.a) AS x) FROM t",
		"SELECT (SELECT (SELECT id FROM t))", "SELECT (SELECT id FROM t UNION ALL SELECT 7)", "SELECT IF((SELECT s FROM t) = 'x', 1, 2)",
		"SELECT (SELECT AS STRUCT id, s FROM t).s", "WITH w AS (SELECT (SELECT id FROM t) AS x) SELECT x FROM w",
		"SELECT (SELECT id FROM t LIMIT 2)",
	} {
		t.Run(sql, func(t *testing.T) {
			r := ask(t, "run", sql)
			if r.Error == nil || r.Error.Reason != "invalidQuery" || !r.Error.RunTime {
				t.Errorf("%+v %v", r.Error, r.Rows)
			}
			if r := ask(t, "run", "SELECT id FROM t ORDER BY 1"); r.Error != nil || len(r.Rows) != 2 {
				t.Errorf("afterwards: %+v %v", r.Error, r.Rows)
			}
		})
	}
}

// A scalar subquery that has one row at most answers as it did.
func TestScalarSubqueries(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT (SELECT s FROM t WHERE id = 1)":                                `[["x"]]`,
		"SELECT (SELECT s FROM t WHERE id = 2)":                                `[[null]]`,
		"SELECT (SELECT s FROM t WHERE id = 3)":                                `[[null]]`,
		"SELECT (SELECT a FROM t WHERE id = 1)":                                `[[[["k1","n1"],["k2",null]]]]`,
		"SELECT (SELECT id FROM t ORDER BY id LIMIT 1)":                        `[["1"]]`,
		"SELECT (SELECT COUNT(*) FROM t)":                                      `[["2"]]`,
		"SELECT id, (SELECT MAX(x.k) FROM UNNEST(t.a) AS x) FROM t ORDER BY 1": `[["1","k2"],["2",null]]`,
		"SELECT (SELECT AS STRUCT id, s FROM t WHERE id = 1)":                  `[[["1","x"]]]`,
		"SELECT '(SELECT id FROM t)' AS x":                                     `[["(SELECT id FROM t)"]]`,
		"SELECT ARRAY(SELECT id FROM t ORDER BY id), EXISTS(SELECT id FROM t)": `[[["1","2"],"true"]]`,
		"SELECT 1 IN (SELECT id FROM t)":                                       `[["true"]]`,
	} {
		t.Run(sql, func(t *testing.T) {
			r := ask(t, "run", sql)
			if got, _ := json.Marshal(r.Rows); r.Error != nil || string(got) != want {
				t.Errorf("%v %s, want %s", r.Error, got, want)
			}
		})
	}
}

func TestUnknownOp(t *testing.T) {
	if r := ask(t, "nope", ""); r.Error == nil || r.ID != 9 {
		t.Fatalf("%+v", r)
	}
}

// A snapshot and a clone tell what they were made of, and no kept version is listed.
func TestCatalogTellsOfClones(t *testing.T) {
	bases := map[string]string{}
	for _, row := range ask(t, "catalog", "").Catalog {
		if strings.Contains(row.ID.Table, "__") {
			t.Errorf("%s is listed", row.ID)
		}
		if row.Base != nil {
			bases[row.ID.Table] = row.Type + " of " + row.Base.String()
		}
	}
	if bases["shot"] != "SNAPSHOT of p.d.travel" || bases["twin"] != "TABLE of p.d.travel" || len(bases) != 2 {
		t.Errorf("%v", bases)
	}
	r := ask(t, "dry", "SELECT before FROM travel FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01 00:00:00+00'")
	if r.Error != nil || len(r.Tables) != 1 || r.Tables[0].String() != "p.d.travel" {
		t.Errorf("a dry run of an older version reads %v, %v", r.Tables, r.Error)
	}
	if r := ask(t, "run", "SELECT * FROM `d.travel_*`"); r.Error == nil {
		t.Errorf("a wildcard takes in kept versions: %v", r.Rows)
	}
}
