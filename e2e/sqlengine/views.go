package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

// viewText is what a CREATE VIEW says of its columns: their names, where it lists them
// ("view_column_name_list … The number of columns in this list must match the number of columns in
// the underlying query",
// https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language#create_view_statement),
// and the query, which is what BigQuery keeps as the view's.
type viewText struct {
	names []string
	query string
}

// listed writes a CREATE VIEW with a list of columns in words that the driver knows: the list's
// names are those of the first branch of a UNION ALL that has no row. Other statements come back as
// they are, with a nil text.
func (e *engine) listed(req request) (_ request, _ *viewText, err error) {
	sql := skipComments(req.SQL)
	if len(sql) < len("CREATE") || !strings.EqualFold(sql[:len("CREATE")], "CREATE") {
		return req, nil, nil
	}
	script, done, err := e.analyzer.parse(sql)
	if err != nil {
		return req, nil, nil //nolint:nilerr // the driver parses it too, and has words for it
	}
	defer done()
	defer caught(&err)
	view, ok := must(must(script.StatementListNode()).Child(0)).(*googlesql.ASTCreateViewStatement)
	if !ok {
		return req, nil, nil
	}
	list := must(view.ColumnWithOptionsList())
	if list == nil {
		return req, nil, nil
	}
	text := &viewText{}
	children(list, func(n googlesql.ASTNode) {
		if column, ok := n.(*googlesql.ASTColumnWithOptions); ok {
			text.names = append(text.names, must(must(column.Name()).GetAsString()))
		}
	})
	start, end := span(must(view.Query()))
	text.query = sql[start:end]
	a, fail := e.analyzer.analyze(text.query, req.Project, req.Dataset)
	if fail != nil {
		return req, nil, fail
	}
	if len(a.columns) != len(text.names) {
		return req, nil, &failure{
			Reason:  "invalidQuery",
			Message: fmt.Sprintf("The column list names %d columns, and the view's query has %d", len(text.names), len(a.columns)),
		}
	}
	var columns []string
	for i, name := range text.names {
		columns = append(columns, "CAST(NULL AS "+sqlType(a.columns[i])+") AS `"+name+"`")
	}
	from, to := span(list)
	req.SQL = sql[:from] + " " + sql[to:start] + "SELECT " + strings.Join(columns, ", ") + " FROM (SELECT 1) WHERE FALSE UNION ALL (" +
		text.query + ")" + sql[end:]
	return req, text, nil
}

// kept is what the catalog keeps of a view beside what the driver has: how to make it again.
func (e *engine) kept(req request, targets []tableID, text *viewText) {
	for _, id := range targets {
		made := e.catalog.tables[id.String()]
		if made == nil || !made.view {
			continue
		}
		made.project, made.dataset, made.shown = req.Project, req.Dataset, made.columns
		if text != nil {
			made.query, made.names = text.query, text.names
		}
	}
}

// renew makes the views over changed tables and views again, since the driver keeps the columns
// that a view's query had when it was made. At BigQuery "the schema reported for a view … may be
// inaccurate" when what it reads has changed, "queries over the view produce accurate results"
// (https://cloud.google.com/bigquery/docs/views-intro#view_limitations): what is shown stays. A
// view whose query is wrong now is broken until what it reads is right again.
func (e *engine) renew(ctx context.Context, changed []tableID) {
	var over []*entry
	for _, v := range e.catalog.tables {
		if v.view && !slices.Contains(changed, v.id) && slices.ContainsFunc(changed, v.over) {
			over = append(over, v)
		}
	}
	slices.SortFunc(over, func(a, b *entry) int { return cmp.Compare(a.made, b.made) })
	for _, old := range over {
		req := request{Project: old.project, Dataset: old.dataset}
		if old.broken == "" {
			req.SQL = "DROP VIEW " + quotePath(old.id)
			if _, _, _, err := e.query(ctx, req); err != nil {
				old.broken = runFailure(err).Message
				continue
			}
		}
		delete(e.catalog.tables, old.id.String())
		e.catalog.version++
		list := ""
		if old.names != nil {
			list = " (`" + strings.Join(old.names, "`, `") + "`)"
		}
		req.SQL = "CREATE VIEW " + quotePath(old.id) + list + " AS " + old.query
		out := e.runOne(ctx, req)
		made := e.catalog.tables[old.id.String()]
		if out.Error != nil || made == nil {
			old.broken = fmt.Sprintf("%s; failed to parse view '%s'", words(out.Error), old.id)
			e.catalog.tables[old.id.String()] = old
			e.catalog.version++
			continue
		}
		made.shown, made.made = old.shown, old.made
	}
}

func words(f *failure) string {
	if f == nil {
		return "The view was not made"
	}
	return f.Message
}

// over says whether a view reads a table or a view; a tableID without a table is a dataset.
func (e *entry) over(id tableID) bool {
	same := func(read tableID) bool {
		return read == id || id.Table == "" && read.Project == id.Project && read.Dataset == id.Dataset
	}
	return slices.ContainsFunc(e.reads, same) || slices.ContainsFunc(e.through, same)
}
