package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	googlesql "github.com/goccy/go-googlesql"
)

// version is a table as it was until it was replaced. It is kept under a name that nothing lists.
type version struct {
	until int64 // microseconds since the epoch
	id    tableID
}

// keep puts a table aside before it is replaced.
func (e *engine) keep(ctx context.Context, a analysis, req request, id tableID) error {
	kept := id
	kept.Table += fmt.Sprintf("__until_%d", len(e.catalog.past[id.String()]))
	if err := e.all(ctx, a, req, "CREATE TABLE "+quotePath(kept)+" AS SELECT * FROM "+quotePath(id)); err != nil {
		return err
	}
	e.catalog.tables[kept.String()].was = &id
	e.catalog.past[id.String()] = append(e.catalog.past[id.String()], version{time.Now().UnixMicro(), kept})
	return nil
}

// asOf reads tables as they were: BigQuery's FOR SYSTEM_TIME AS OF "references the historical
// versions of the table definition and rows that were current at timestamp_expression"
// (https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#for_system_time_as_of).
// The driver does not know the clause: the name of the table becomes that of the version that was
// kept, and the clause is left out. A text that does not parse is returned as it is.
func (e *engine) asOf(ctx context.Context, req request) (_ string, err error) {
	sql := req.SQL
	if !strings.Contains(strings.ToUpper(sql), "SYSTEM_TIME") {
		return sql, nil
	}
	script, done, err := e.analyzer.parse(sql)
	if err != nil {
		return sql, nil //nolint:nilerr // the driver parses it too, and has words for it
	}
	defer done()
	defer caught(&err)
	statements := must(script.StatementListNode())
	if n := must(statements.NumChildren()); n != 1 {
		return sql, nil
	}
	if _, query := must(statements.Child(0)).(*googlesql.ASTQueryStatement); !query {
		return sql, nil
	}
	var splices []splice
	var walk func(googlesql.ASTNode)
	walk = func(n googlesql.ASTNode) {
		if t, ok := n.(*googlesql.ASTTablePathExpression); ok {
			if clause := must(t.ForSystemTime()); clause != nil && must(t.PathExpr()) != nil {
				splices = append(splices, e.versionAt(ctx, req, t, clause)...)
			}
		}
		children(n, walk)
	}
	walk(statements)
	slices.SortFunc(splices, func(a, b splice) int { return cmp.Compare(b.start, a.start) })
	for _, s := range splices {
		sql = sql[:s.start] + s.text + sql[s.end:]
	}
	return sql, nil
}

// versionAt names the version that one reference reads.
func (e *engine) versionAt(ctx context.Context, req request, n *googlesql.ASTTablePathExpression,
	clause *googlesql.ASTForSystemTime) []splice {
	from, to := span(clause)
	out := []splice{{from, to, " "}}
	path := must(n.PathExpr())
	names := must(path.ToIdentifierVector())
	at := req
	start, end := span(must(clause.Expression()))
	at.SQL = "SELECT UNIX_MICROS(" + req.SQL[start:end] + ")"
	_, rows, _, err := e.query(ctx, at)
	if err != nil {
		panic(err)
	}
	text, _ := rows[0][0].(string)
	micros, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(fmt.Errorf("FOR SYSTEM_TIME AS OF %q: %w", text, err))
	}
	for _, v := range e.catalog.past[strings.Join(complete(strings.Split(strings.Join(names, "."), "."), req.Project, req.Dataset), ".")] {
		if micros < v.until {
			name := quotePath(v.id)
			if must(n.Alias()) == nil {
				name += " AS `" + names[len(names)-1] + "`"
			}
			start, end := span(path)
			return append(out, splice{start, end, name})
		}
	}
	return out
}
