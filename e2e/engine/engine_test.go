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
		"INSERT INTO d.t VALUES (1, 'x', [STRUCT('k1', 'n1'), STRUCT('k2', NULL)], TIMESTAMP '2024-01-01 00:00:00+00', b'\\xff'), (2, NULL, [], NULL, NULL)",
		"CREATE VIEW d.v AS SELECT id, s AS name FROM d.t",
		"CREATE VIEW d.w AS SELECT name FROM d.v",
		"CREATE TABLE d.days_1 (id INT64)",
		"INSERT INTO d.days_1 VALUES (7)",
		"CREATE TABLE d.days_2 (id INT64, s STRING, r ARRAY<STRUCT<k STRING>>)",
		"INSERT INTO d.days_2 VALUES (8, 'x', [STRUCT('k')])",
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
		{"SELECT t.s FROM `p.d.t` ORDER BY id", `[["x"],[null]]`},
		{"SELECT AS STRUCT id, s FROM d.t WHERE id = 1", `[[["1","x"]]]`},
		{"SELECT name FROM w ORDER BY 1 DESC", `[["x"],[null]]`},
		{"SELECT * FROM `p.d.days_*` ORDER BY id", `[["7",null,[]],["8","x",[["k"]]]]`},
		{"SELECT *, _TABLE_SUFFIX FROM `d.days_*` ORDER BY id", `[["7",null,[],"1"],["8","x",[["k"]],"2"]]`},
		{"SELECT w.* EXCEPT (r), w._TABLE_SUFFIX AS x FROM d.`days_*` w WHERE _table_suffix > '1'", `[["8","x","2"]]`},
		{"SELECT * REPLACE (0 AS id) FROM (SELECT *, _TABLE_SUFFIX AS y FROM `days_*`) WHERE y = '2'", `[["0","x",[["k"]],"2"]]`},
		{"SELECT t.id, w.id FROM t JOIN `days_*` AS w ON w.id - 6 = t.id ORDER BY 1", `[["1","7"],["2","8"]]`},
		{"FROM `days_*` |> WHERE id > 7 |> SELECT id", `[["8"]]`},
		{"SELECT SESSION_USER() AS u, current_user(), 'SESSION_USER()' FROM t", `[["a@b.example","a@b.example","SESSION_USER()"],["a@b.example","a@b.example","SESSION_USER()"]]`},
		{"SELECT 1.5, 1e20, 2.0", `[["1.5","1E+20","2.0"]]`},
	} {
		r := ask(t, "run", c.sql)
		if r.Error != nil {
			t.Errorf("%s: %v", c.sql, r.Error)
			continue
		}
		if got, _ := json.Marshal(r.Rows); string(got) != c.rows {
			t.Errorf("%s:\n got %s\nwant %s", c.sql, got, c.rows)
		}
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
		r := ask(t, "dry", c.sql)
		if r.Error != nil {
			t.Errorf("%s: %v", c.sql, r.Error)
			continue
		}
		var cols []string
		for _, f := range r.Columns {
			cols = append(cols, f.Name+":"+f.Type)
		}
		if r.StatementType != c.kind || join(r.Tables) != c.tables || join(r.Views) != c.views || strings.Join(cols, " ") != c.columns {
			t.Errorf("%s: %s, tables %q, views %q, columns %v", c.sql, r.StatementType, join(r.Tables), join(r.Views), cols)
		}
	}
	for sql, want := range map[string]string{
		"SELECT * FROM `p.d.*`":       "Views cannot be queried through prefix. Matched views are: p:d.v, p:d.w",
		"SELECT 1 FROM `p.d.nights*`": "p.d.nights* does not match any table.",
	} {
		if r := ask(t, "dry", sql); r.Error == nil || r.Error.Message != want {
			t.Errorf("%s: %v, want %s", sql, r.Error, want)
		}
	}
	if r := ask(t, "run", "SELECT COUNT(*) FROM t"); r.Rows[0][0] != "2" {
		t.Error("a dry run changed the data")
	}
}

func TestSplitBackticks(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT 1":                           "SELECT 1",
		"FROM `a.b.c` x":                     "FROM `a`.`b`.`c` x",
		"FROM `a.b`.c, `c`":                  "FROM `a`.`b`.c, `c`",
		"SELECT '`a.b`', \"`a.b`\" -- `a.b`": "SELECT '`a.b`', \"`a.b`\" -- `a.b`",
		"SELECT '''`a.b`''' # `a.b`\n`x.y`":  "SELECT '''`a.b`''' # `a.b`\n`x`.`y`",
		"SELECT 'it\\'s `a.b`' /* `a.b` */":  "SELECT 'it\\'s `a.b`' /* `a.b` */",
		"`a..b` `open.":                      "`a..b` `open.",
	} {
		if got := splitBackticks(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
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
		if r := ask(t, "run", c.do); r.Error != nil {
			t.Errorf("%s: %v", c.do, r.Error)
			continue
		}
		r := ask(t, "run", c.ask)
		if r.Error != nil {
			t.Errorf("%s: %v", c.ask, r.Error)
		}
		if got, _ := json.Marshal(r.Rows); string(got) != c.rows {
			t.Errorf("%s: %s, want %s", c.ask, got, c.rows)
		}
	}
	for _, row := range ask(t, "catalog", "").Catalog {
		if strings.Contains(row.ID.Table, "__") {
			t.Errorf("%s stayed", row.ID)
		}
	}
}

func TestUnknownOp(t *testing.T) {
	if r := ask(t, "nope", ""); r.Error == nil || r.ID != 9 {
		t.Fatalf("%+v", r)
	}
}
