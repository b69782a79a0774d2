package main

import (
	"slices"
	"strconv"
	"strings"
)

var tableTypes = map[string]string{"TABLE": "BASE TABLE", "VIEW": "VIEW", "SNAPSHOT": "SNAPSHOT"}

func tablesRows(i *informed) [][]any {
	var out [][]any
	for _, t := range i.tables() {
		kind, insertable := tableTypes[t.Type], "NO"
		if t.Type == "TABLE" && t.Base != nil {
			kind = "CLONE"
		}
		if t.Type == "TABLE" {
			insertable = "YES"
		}
		base := []any{nil, nil, nil}
		if t.Base != nil {
			base = []any{t.Base.Project, t.Base.Dataset, t.Base.Table}
		}
		row := []any{t.ID.Project, t.ID.Dataset, t.ID.Table, kind, nil, insertable, "NO", "NO", "NO", made(t)}
		row = append(append(row, base...), nil, nil, nil, nil, nil, nil, ddl(t), nil, nil, nil)
		out = append(out, row)
	}
	return out
}

// ddl is the statement that would make a table or a view again; of a view it shows the query.
func ddl(t tableRow) string {
	name := quoteName(t.ID)
	if t.Type == "VIEW" {
		return "CREATE VIEW " + name + "\nAS " + t.Query + ";"
	}
	var columns []string
	for _, c := range t.Columns {
		columns = append(columns, "  "+c.Name+" "+sqlType(c))
	}
	return "CREATE TABLE " + name + "\n(\n" + strings.Join(columns, ",\n") + "\n);"
}

func quoteName(t tableID) string { return "`" + t.String() + "`" }

func columnsRows(i *informed) [][]any {
	var out [][]any
	for _, t := range i.tables() {
		for n, c := range t.Columns {
			nullable := "YES"
			if c.Mode == "REQUIRED" {
				nullable = "NO"
			}
			out = append(out, []any{
				t.ID.Project, t.ID.Dataset, t.ID.Table, c.Name, int64(n + 1), nullable, sqlType(c), "NEVER", nil, nil, nil,
				"NO", nil, "NO", "NO", nil, "NULL", "NULL", nil, nil, nil,
			})
		}
	}
	return out
}

func fieldPathsRows(i *informed) [][]any {
	var out [][]any
	for _, t := range i.tables() {
		for _, c := range t.Columns {
			var walk func(path string, f field)
			walk = func(path string, f field) {
				out = append(out, []any{t.ID.Project, t.ID.Dataset, t.ID.Table, c.Name, path, sqlType(f), nil, "NULL", nil, nil, nil})
				for _, sub := range f.Fields {
					walk(path+"."+sub.Name, sub)
				}
			}
			walk(c.Name, c)
		}
	}
	return out
}

// partitionsRows has one row for each table, since none is partitioned here.
func partitionsRows(i *informed) [][]any {
	var out [][]any
	for _, t := range i.tables() {
		if t.Type != "TABLE" {
			continue
		}
		_, rows, _, err := i.engine.query(i.ctx, request{Project: i.project, SQL: "SELECT COUNT(*) FROM " + quotePath(t.ID)})
		if err != nil {
			panic(err)
		}
		text, _ := rows[0][0].(string)
		count, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			panic(err)
		}
		size := count * int64(len(t.Columns)) * 8
		out = append(out, []any{t.ID.Project, t.ID.Dataset, t.ID.Table, nil, count, size, size, made(t), "ACTIVE"})
	}
	return out
}

func tableOptionsRows(i *informed) [][]any {
	var out [][]any
	for _, t := range i.tables() {
		out = append(out, []any{t.ID.Project, t.ID.Dataset, t.ID.Table, "friendly_name", "STRING", `"` + t.ID.Table + `"`})
	}
	return out
}

func viewsRows(i *informed) [][]any {
	var out [][]any
	for _, t := range i.tables() {
		if t.Type == "VIEW" {
			out = append(out, []any{t.ID.Project, t.ID.Dataset, t.ID.Table, t.Query, nil, "YES"})
		}
	}
	return out
}

func routinesRows(i *informed) [][]any {
	var out [][]any
	for _, r := range i.engine.catalog.routineRows() {
		if r.ID.Project != i.project || i.dataset != "" && r.ID.Dataset != i.dataset {
			continue
		}
		kind := "FUNCTION"
		var returns any
		if r.Table {
			kind = "TABLE FUNCTION"
		}
		if r.Returns != nil {
			returns = sqlType(*r.Returns)
		}
		id := []any{r.ID.Project, r.ID.Dataset, r.ID.Table}
		row := append(slices.Clone(id), id...)
		at := micros(1700000000000) * 1000
		row = append(row, kind, returns, "SQL", r.Body, nil, nil, nil, at, at, "CREATE FUNCTION "+quoteName(r.ID)+" AS ("+r.Body+");", nil)
		out = append(out, row)
	}
	return out
}

func schemataRows(i *informed) [][]any {
	var out [][]any
	at := micros(1700000000000) * 1000
	for _, name := range i.engine.catalog.datasetNames() {
		if project, dataset, _ := strings.Cut(name, "."); project == i.project {
			out = append(out, []any{project, dataset, nil, at, at, "US", "CREATE SCHEMA `" + name + "`\nOPTIONS(\n  location=\"us\"\n);",
				nil, nil})
		}
	}
	return out
}
