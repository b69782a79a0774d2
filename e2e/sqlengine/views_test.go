package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// ran runs statements one after the other in an engine of its own.
func ran(t *testing.T, statements ...string) *engine {
	t.Helper()
	e, err := openEngine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range statements {
		if r := e.handle(request{Op: "run", SQL: sql, Project: "p"}); r.Error != nil {
			t.Fatalf("%s: %v", sql, r.Error)
		}
	}
	return e
}

func columnNames(fields []field) string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name+":"+f.Type)
	}
	return strings.Join(names, " ")
}

func (e *engine) shown(t *testing.T, table string) tableRow {
	t.Helper()
	for _, row := range e.catalog.tableRows() {
		if row.ID.Dataset+"."+row.ID.Table == table {
			return row
		}
	}
	t.Fatalf("there is no %s", table)
	return tableRow{}
}

// A list of columns names them by position, and the query is kept without it.
func TestViewsWithAListOfColumns(t *testing.T) {
	e := ran(t, "CREATE SCHEMA d", "CREATE TABLE d.t (id INT64, s STRING, a ARRAY<STRUCT<k STRING>>)",
		"INSERT INTO d.t VALUES (1, 'x', [STRUCT('k')])",
		"CREATE VIEW d.v9 AS SELECT 1 AS one")
	for name, test := range map[string]struct{ sql, query, columns, rows string }{
		"names": {"CREATE VIEW d.v0 (one, two) AS SELECT id, s FROM d.t", "SELECT id, s FROM d.t", "one:INTEGER two:STRING",
			`[["1","x"]]`},
		"swapped": {"CREATE VIEW d.v1(s, id) AS SELECT id, s FROM d.t", "SELECT id, s FROM d.t", "s:INTEGER id:STRING",
			`[["1","x"]]`},
		"no names of own": {"CREATE VIEW d.v2(u, n) AS SELECT UPPER(s), 7 FROM d.t", "SELECT UPPER(s), 7 FROM d.t", "u:STRING n:INTEGER",
			`[["X","7"]]`},
		"twice one name": {"CREATE VIEW d.v3(b, c) AS SELECT id, id FROM d.t", "SELECT id, id FROM d.t", "b:INTEGER c:INTEGER",
			`[["1","1"]]`},
		"with a WITH": {"CREATE VIEW d.v4(b) AS WITH w AS (SELECT s FROM d.t) SELECT s FROM w ORDER BY s LIMIT 1",
			"WITH w AS (SELECT s FROM d.t) SELECT s FROM w ORDER BY s LIMIT 1", "b:STRING", `[["x"]]`},
		"records": {"CREATE VIEW d.v5(b, c) AS SELECT a, s FROM d.t", "SELECT a, s FROM d.t", "b:RECORD c:STRING",
			`[[[["k"]],"x"]]`},
		"options": {"CREATE VIEW d.v6(b OPTIONS(description='d'), c) OPTIONS(description='e') AS SELECT id, s FROM d.t",
			"SELECT id, s FROM d.t", "b:INTEGER c:STRING", `[["1","x"]]`},
		"or replace": {"CREATE OR REPLACE VIEW d.v9(three) AS SELECT s FROM d.t", "SELECT s FROM d.t", "three:STRING", `[["x"]]`},
		"a star": {"CREATE VIEW d.v7(b, c, e) AS SELECT * FROM d.t", "SELECT * FROM d.t", "b:INTEGER c:STRING e:RECORD",
			`[["1","x",[["k"]]]]`},
		"a comment before": {"-- why\nCREATE VIEW d.v8 (b) AS SELECT s FROM d.t -- because", "SELECT s FROM d.t", "b:STRING", `[["x"]]`},
	} {
		t.Run(name, func(t *testing.T) {
			r := e.handle(request{Op: "run", SQL: test.sql, Project: "p"})
			if r.Error != nil || r.StatementType != "CREATE_VIEW" {
				t.Fatalf("%s %v", r.StatementType, r.Error)
			}
			view := e.shown(t, "d."+r.Targets[0].Table)
			if view.Query != test.query || columnNames(view.Columns) != test.columns || !view.Listed {
				t.Errorf("shown: %+v", view)
			}
			r = e.handle(request{Op: "run", SQL: "SELECT * FROM d." + view.ID.Table, Project: "p"})
			rows, err := json.Marshal(r.Rows)
			if err != nil || r.Error != nil || string(rows) != test.rows || columnNames(r.Columns) != test.columns {
				t.Errorf("queried: %s %s %v", columnNames(r.Columns), rows, r.Error)
			}
			if len(r.Tables) != 1 || r.Tables[0].Table != "t" || len(r.Views) != 1 {
				t.Errorf("read: %v through %v", r.Tables, r.Views)
			}
		})
	}
	r := e.handle(request{Op: "run", SQL: "CREATE VIEW d.w(b) AS SELECT id, s FROM d.t", Project: "p"})
	if r.Error == nil || r.Error.Reason != "invalidQuery" {
		t.Errorf("a list that is too short: %v", r.Error)
	}
	if ran := e.shown(t, "d.t"); ran.Listed {
		t.Error("a table is called a view with a list")
	}
}

// A view over a table that changed shows the columns that it had, and gives those of its query now.
func TestViewsOverTablesThatChange(t *testing.T) {
	e := ran(t, "CREATE SCHEMA d", "CREATE TABLE d.t (id INT64 NOT NULL, s STRING)", "INSERT INTO d.t VALUES (1, 'x')",
		"CREATE VIEW d.star AS SELECT * FROM d.t", "CREATE VIEW d.over AS SELECT * FROM d.star", "CREATE VIEW d.plain AS SELECT s FROM d.t",
		"CREATE VIEW d.listed(a, b) AS SELECT * FROM d.t", "CREATE VIEW d.aside AS SELECT 1 AS one")
	check := func(step string, want map[string]string) {
		t.Helper()
		for view, columns := range want {
			r := e.handle(request{Op: "run", SQL: "SELECT * FROM d." + view, Project: "p"})
			got := columnNames(r.Columns)
			if r.Error != nil {
				got = r.Error.Reason
				if !strings.Contains(r.Error.Message, "failed to parse view 'p.d."+view+"'") {
					t.Errorf("%s: %s: %v", step, view, r.Error)
				}
			}
			if got != columns {
				t.Errorf("%s: %s gives %s, want %s", step, view, got, columns)
			}
		}
		for view, columns := range map[string]string{
			"star": "id:INTEGER s:STRING", "over": "id:INTEGER s:STRING", "plain": "s:STRING", "listed": "a:INTEGER b:STRING",
			"aside": "one:INTEGER",
		} {
			t.Run(view, func(t *testing.T) {
				if got := columnNames(e.shown(t, "d."+view).Columns); got != columns {
					t.Errorf("%s: %s shows %s, want %s", step, view, got, columns)
				}
			})
		}
	}
	alter := func(sql string) {
		t.Helper()
		if r := e.handle(request{Op: "run", SQL: sql, Project: "p"}); r.Error != nil {
			t.Fatalf("%s: %v", sql, r.Error)
		}
	}
	check("made", map[string]string{"star": "id:INTEGER s:STRING", "over": "id:INTEGER s:STRING", "plain": "s:STRING",
		"listed": "a:INTEGER b:STRING"})
	alter("ALTER TABLE d.t ADD COLUMN extra ARRAY<STRUCT<k INT64>>")
	check("grown", map[string]string{"star": "id:INTEGER s:STRING extra:RECORD", "over": "id:INTEGER s:STRING extra:RECORD",
		"plain": "s:STRING", "listed": "invalidQuery"})
	if got := e.shown(t, "d.t").Columns[0].Mode; got != "REQUIRED" {
		t.Errorf("a column that was NOT NULL is %s", got)
	}
	alter("ALTER TABLE d.t DROP COLUMN s, DROP COLUMN extra")
	check("less", map[string]string{"star": "id:INTEGER", "over": "id:INTEGER", "plain": "invalidQuery", "listed": "invalidQuery",
		"aside": "one:INTEGER"})
	alter("CREATE OR REPLACE TABLE d.t AS SELECT 'y' AS s, 2 AS id")
	check("again", map[string]string{"star": "s:STRING id:INTEGER", "over": "s:STRING id:INTEGER", "plain": "s:STRING",
		"listed": "a:STRING b:INTEGER"})
	alter("DROP TABLE d.t")
	check("gone", map[string]string{"star": "invalidQuery", "over": "invalidQuery", "plain": "invalidQuery"})
	for sql, reason := range map[string]string{"ALTER TABLE d.none ADD COLUMN x INT64": "notFound",
		"ALTER TABLE d.t RENAME TO u": "notImplemented", "ALTER SCHEMA d SET OPTIONS ()": "notImplemented"} {
		t.Run(sql, func(t *testing.T) {
			if r := e.handle(request{Op: "run", SQL: sql, Project: "p"}); r.Error == nil || r.Error.Reason != reason {
				t.Errorf("%s: %v, want %s", sql, r.Error, reason)
			}
		})
	}
}
