package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestInformationSchema(t *testing.T) {
	e := ran(t, "CREATE SCHEMA d", "CREATE SCHEMA empty",
		"CREATE TABLE d.t (id INT64 NOT NULL, s STRING, a ARRAY<STRUCT<k STRING, n NUMERIC>>)",
		"INSERT INTO d.t VALUES (1, 'x', []), (2, 'y', NULL)", "CREATE VIEW d.v(one) AS SELECT s FROM d.t WHERE s = 'it\\'s'",
		"CREATE FUNCTION d.f(x INT64) AS (2 * x)", "CREATE SNAPSHOT TABLE d.shot CLONE d.t")
	for _, test := range []struct{ sql, rows string }{
		{"SELECT table_name, table_type, is_insertable_into FROM d.INFORMATION_SCHEMA.TABLES ORDER BY 1",
			`[["shot","SNAPSHOT","NO"],["t","BASE TABLE","YES"],["v","VIEW","NO"]]`},
		{"SELECT base_table_name FROM p.d.INFORMATION_SCHEMA.TABLES AS i WHERE i.table_name = 'shot'", `[["t"]]`},
		{"SELECT TABLES.ddl FROM `p.d`.INFORMATION_SCHEMA.TABLES WHERE table_type = 'VIEW'",
			`[["CREATE VIEW ` + "`p.d.v`" + `\nAS SELECT s FROM d.t WHERE s = 'it\\'s';"]]`},
		{"SELECT column_name, ordinal_position, is_nullable, data_type FROM d.INFORMATION_SCHEMA.COLUMNS WHERE table_name = 't' ORDER BY 2",
			`[["id","1","NO","INT64"],["s","2","YES","STRING"],["a","3","YES","ARRAY\u003cSTRUCT\u003c` + "`k` STRING, `n`" +
				` NUMERIC\u003e\u003e"]]`},
		{"SELECT field_path FROM d.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS WHERE table_name = 't' AND column_name = 'a' ORDER BY 1",
			`[["a"],["a.k"],["a.n"]]`},
		{"SELECT total_rows FROM d.INFORMATION_SCHEMA.PARTITIONS", `[["2"]]`},
		{"SELECT option_value FROM `p.d.INFORMATION_SCHEMA.TABLE_OPTIONS` WHERE table_name = 'v'", `[["\"v\""]]`},
		{"SELECT * FROM d.INFORMATION_SCHEMA.KEY_COLUMN_USAGE", `[]`},
		{"SELECT view_definition FROM d.INFORMATION_SCHEMA.VIEWS", `[["SELECT s FROM d.t WHERE s = 'it\\'s'"]]`},
		{"SELECT routine_definition FROM d.INFORMATION_SCHEMA.ROUTINES", `[["2 * x"]]`},
		{"SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA ORDER BY 1", `[["d"],["empty"]]`},
		{"SELECT COUNT(*) FROM `region-us`.INFORMATION_SCHEMA.TABLES", `[["3"]]`},
		{"SELECT * FROM empty.INFORMATION_SCHEMA.COLUMNS", `[]`},
		{"SELECT c.column_name FROM d.INFORMATION_SCHEMA.TABLES t JOIN d.INFORMATION_SCHEMA.COLUMNS c USING (table_name) WHERE " +
			"t.table_type = 'VIEW'", `[["one"]]`},
	} {
		t.Run(test.sql, func(t *testing.T) {
			for _, op := range []string{"dry", "run"} {
				r := e.handle(request{Op: op, SQL: test.sql, Project: "p"})
				if r.Error != nil || !r.Metadata || !r.Analysed || len(r.Tables) != 0 {
					t.Errorf("%s: %s: %v, metadata %t, tables %v", op, test.sql, r.Error, r.Metadata, r.Tables)
				}
				if rows, err := json.Marshal(r.Rows); op == "run" && (err != nil || string(rows) != test.rows) {
					t.Errorf("%s:\n got %s\nwant %s", test.sql, rows, test.rows)
				}
			}
		})
	}
	for sql, want := range map[string]string{
		"SELECT * FROM none.INFORMATION_SCHEMA.TABLES": "notFound: Not found: Dataset p:none was not found in location US",
		"SELECT * FROM d.INFORMATION_SCHEMA.NONE": "notFound: Not found: Table d.INFORMATION_SCHEMA.NONE was not found in location " +
			"US",
		"SELECT * FROM INFORMATION_SCHEMA.TABLES": "invalidQuery: INFORMATION_SCHEMA.TABLES must be qualified with a dataset or " +
			"region",
		"SELECT none FROM d.INFORMATION_SCHEMA.TABLES":  "invalidQuery: Unrecognized name: none at [1:8]",
		"SELECT 'd.INFORMATION_SCHEMA.TABLES' FROM d.t": "",
	} {
		t.Run(sql, func(t *testing.T) {
			r := e.handle(request{Op: "run", SQL: sql, Project: "p"})
			if got := strings.TrimPrefix(errText(r.Error), "<nil>"); got != want || want == "" && r.Metadata {
				t.Errorf("%s: %q, want %q", sql, got, want)
			}
		})
	}
}

// Each view has all columns that BigQuery documents, in its order.
func TestInformationSchemaColumns(t *testing.T) {
	e := ran(t, "CREATE SCHEMA d", "CREATE TABLE d.t (id INT64)", "CREATE VIEW d.v AS SELECT id FROM d.t",
		"CREATE FUNCTION d.f(x INT64) AS (x)")
	for name, want := range map[string]int{
		"TABLES": 23, "COLUMNS": 21, "COLUMN_FIELD_PATHS": 11, "PARTITIONS": 9, "TABLE_OPTIONS": 6, "TABLE_CONSTRAINTS": 10,
		"KEY_COLUMN_USAGE":        9,
		"CONSTRAINT_COLUMN_USAGE": 7, "VIEWS": 6, "ROUTINES": 17, "SCHEMATA": 9,
	} {
		t.Run(name, func(t *testing.T) {
			from := "d.INFORMATION_SCHEMA." + name
			if informationViews[name].project {
				from = "INFORMATION_SCHEMA." + name
			}
			r := e.handle(request{Op: "run", SQL: "SELECT * FROM " + from, Project: "p"})
			if r.Error != nil || len(r.Columns) != want {
				t.Errorf("%s: %d columns, want %d: %v", name, len(r.Columns), want, r.Error)
				return
			}
			for i, c := range informationViews[name].columns {
				if r.Columns[i].Name != c.name {
					t.Errorf("%s: column %d is %s, want %s", name, i, r.Columns[i].Name, c.name)
				}
			}
		})
	}
	if len(informationViews) != 11 {
		t.Errorf("%d views", len(informationViews))
	}
}

func errText(f *failure) string {
	if f == nil {
		return ""
	}
	return f.Error()
}
