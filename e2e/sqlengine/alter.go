package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

// altered is ALTER TABLE with ADD COLUMN and DROP COLUMN, which the driver only pretends to: the
// table is made again from its rows. A column that is added is NULL in them. No history is kept.
func (e *engine) altered(ctx context.Context, req request) (done bool, out response) {
	sql := skipComments(req.SQL)
	if len(sql) < len("ALTER") || !strings.EqualFold(sql[:len("ALTER")], "ALTER") {
		return false, response{}
	}
	id, list, err := e.alteredTable(sql, req)
	if err != nil || list == "" {
		return false, response{} // what is left is refused by its kind
	}
	out = response{StatementType: "ALTER_TABLE", Targets: []tableID{id}, Analysed: true}
	old := e.catalog.tables[id.String()]
	if old == nil || old.view {
		out.Error = &failure{Reason: "notFound", Message: fmt.Sprintf("Not found: Table %s:%s.%s was not found in location US", id.Project,
			id.Dataset, id.Table)}
		return true, out
	}
	staging := id
	staging.Table += "__next"
	name, next := quotePath(id), quotePath(staging)
	err = e.all(ctx, analysis{}, req,
		"CREATE TABLE "+next+" AS SELECT "+list+" FROM "+name, "DROP TABLE "+name,
		"CREATE TABLE "+name+" AS SELECT * FROM "+next, "DROP TABLE "+next)
	if err != nil {
		out.Error = runFailure(err)
		return true, out
	}
	made := e.catalog.tables[id.String()]
	made.made, made.base, made.snapshot = old.made, old.base, old.snapshot
	for i, f := range made.columns {
		if j := slices.IndexFunc(old.columns, func(g field) bool { return g.Name == f.Name }); j >= 0 {
			made.columns[i].Mode = old.columns[j].Mode
		}
	}
	return true, out
}

// alteredTable gives the table and what to select of it; nothing where the statement is another.
func (e *engine) alteredTable(sql string, req request) (id tableID, list string, err error) {
	script, done, err := e.analyzer.parse(sql)
	if err != nil {
		return id, "", err
	}
	defer done()
	defer caught(&err)
	stmt, ok := must(must(script.StatementListNode()).Child(0)).(*googlesql.ASTAlterTableStatement)
	if !ok {
		return id, "", nil
	}
	var added, dropped []string
	children(must(stmt.ActionList()), func(n googlesql.ASTNode) {
		switch n := n.(type) {
		case *googlesql.ASTAddColumnAction:
			definition := must(n.ColumnDefinition())
			start, end := span(must(definition.Schema()))
			added = append(added, "CAST(NULL AS "+sql[start:end]+") AS `"+must(must(definition.Name()).GetAsString())+"`")
		case *googlesql.ASTDropColumnAction:
			dropped = append(dropped, "`"+must(must(n.ColumnName()).GetAsString())+"`")
		default:
			panic(errors.New("an action that is not carried out here"))
		}
	})
	list = "*"
	if dropped != nil {
		list += " EXCEPT (" + strings.Join(dropped, ", ") + ")"
	}
	path := must(must(stmt.Path()).ToIdentifierVector())
	return target(path, req.Project, req.Dataset, false), strings.Join(append([]string{list}, added...), ", "), nil
}
