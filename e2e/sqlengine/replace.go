package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// created finds the head of a CREATE OR REPLACE statement: what stands before the name, and the
// name.
var created = regexp.MustCompile("(?is)^(\\s*CREATE\\s+)OR\\s+REPLACE\\s+((?:TABLE|VIEW)\\s+)((?:`[^`]*`|" +
	"[\\w-]+)(?:\\s*\\.\\s*(?:`[^`]*`|[\\w-]+))*)")

// replaceExisting carries out CREATE OR REPLACE where the object exists: the driver would store the
// new one and go on resolving names against the old one. A view is dropped and created; a table is
// made under another name first, since its query may read the table that it replaces. The first
// result tells whether this was such a statement.
func (e *engine) replaceExisting(ctx context.Context, a analysis, req request) (bool, error) {
	if a.mode != "CREATE_OR_REPLACE" || len(a.targets) != 1 || e.catalog.tables[a.targets[0].String()] == nil {
		return false, nil
	}
	sql, err := e.analyzer.respell(req)
	if err != nil {
		return true, err
	}
	text := skipComments(sql)
	m := created.FindStringSubmatchIndex(text)
	if m == nil {
		return true, fmt.Errorf("CREATE OR REPLACE of %s is not in a form that can be carried out here", a.targets[0])
	}
	target := a.targets[0]
	old := e.catalog.tables[target.String()]
	name := quotePath(target)
	head, rest := text[m[2]:m[3]]+text[m[4]:m[5]], text[m[7]:]
	drop := "DROP TABLE " + name
	if old.view {
		drop = "DROP VIEW " + name
	}
	if strings.EqualFold(strings.TrimSpace(text[m[4]:m[5]]), "VIEW") {
		return true, e.all(ctx, a, req, drop, head+name+rest)
	}
	if !old.view {
		if err := e.keep(ctx, a, req, target); err != nil {
			return true, err
		}
	}
	staging := target
	staging.Table += "__next"
	next := quotePath(staging)
	return true, e.all(ctx, a, req, head+next+rest, drop, "CREATE TABLE "+name+" AS SELECT * FROM "+next, "DROP TABLE "+next)
}

// all runs statements one after the other and applies what each changes.
func (e *engine) all(ctx context.Context, a analysis, req request, statements ...string) error {
	for _, sql := range statements {
		req.SQL = sql
		_, _, changed, err := e.query(ctx, req)
		if err != nil {
			return err
		}
		e.catalog.apply(changed, a)
	}
	return nil
}

func quotePath(t tableID) string { return "`" + t.Project + "`.`" + t.Dataset + "`.`" + t.Table + "`" }

// skipComments cuts comments and spaces off the front.
func skipComments(sql string) string {
	for sql != "" {
		end := tokenEnd(sql, 0)
		comment := sql[0] == '#' || strings.HasPrefix(sql, "--") || strings.HasPrefix(sql, "/*")
		if !comment && strings.TrimSpace(sql[:end]) != "" {
			return sql
		}
		sql = sql[end:]
	}
	return sql
}
