package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

const informationSchema = "INFORMATION_SCHEMA"

// information writes each view of INFORMATION_SCHEMA that a query reads as a subquery with
// BigQuery's columns and the rows of this catalog: the driver has such views too, with some of the
// columns. It says whether the text reads one. Views and functions over them are not made here.
func (e *engine) information(ctx context.Context, req request) (_ string, reads bool, err error) {
	sql := req.SQL
	if !strings.Contains(sql, informationSchema) {
		return sql, false, nil
	}
	script, done, err := e.analyzer.parse(sql)
	if err != nil {
		return sql, false, nil //nolint:nilerr // the driver parses it too, and has words for it
	}
	defer done()
	defer caught(&err)
	var splices []splice
	var walk func(googlesql.ASTNode)
	walk = func(n googlesql.ASTNode) {
		switch n := n.(type) {
		case *googlesql.ASTCreateViewStatement, *googlesql.ASTCreateFunctionStatement, *googlesql.ASTCreateTableFunctionStatement:
			return
		case *googlesql.ASTTablePathExpression:
			if path := must(n.PathExpr()); path != nil {
				names := must(path.ToIdentifierVector())
				if text := e.informationText(ctx, strings.Split(strings.Join(names, "."), "."), req); text != "" {
					if must(n.Alias()) == nil {
						text += " AS `" + names[len(names)-1] + "`"
					}
					start, end := span(path)
					splices = append(splices, splice{start, end, text})
				}
			}
		}
		children(n, walk)
	}
	walk(script)
	slices.SortFunc(splices, func(a, b splice) int { return cmp.Compare(b.start, a.start) })
	for _, s := range splices {
		sql = sql[:s.start] + s.text + sql[s.end:]
	}
	return sql, len(splices) > 0, nil
}

// informationText is the subquery for a path, or "" for one that is no view of INFORMATION_SCHEMA.
func (e *engine) informationText(ctx context.Context, parts []string, req request) string {
	at := len(parts) - 2
	if at < 0 || parts[at] != informationSchema {
		return ""
	}
	view, known := informationViews[parts[at+1]]
	if !known {
		panic(&failure{Reason: "notFound", Message: "Not found: Table " + strings.Join(parts, ".") + " was not found in location US"})
	}
	project, dataset := req.Project, ""
	switch before := parts[:at]; {
	case len(before) == 2:
		project, dataset = before[0], before[1]
	case len(before) == 1 && view.project:
		project = before[0]
	case len(before) == 1:
		dataset = before[0]
	}
	if strings.HasPrefix(dataset, "region-") || view.project {
		dataset = ""
	} else if dataset == "" {
		panic(&failure{Reason: "invalidQuery",
			Message: fmt.Sprintf("%s must be qualified with a dataset or region", strings.Join(parts, "."))})
	} else if !e.catalog.datasets[project+"."+dataset] {
		panic(&failure{Reason: "notFound", Message: fmt.Sprintf("Not found: Dataset %s:%s was not found in location US", project, dataset)})
	}
	rows := view.rows(&informed{engine: e, ctx: ctx, project: project, dataset: dataset})
	var selects []string
	for _, row := range rows {
		selects = append(selects, "SELECT "+selectList(view.columns, row))
	}
	if selects == nil {
		selects = []string{"SELECT " + selectList(view.columns, make([]any, len(view.columns))) + " FROM (SELECT 1) WHERE FALSE"}
	}
	return "(" + strings.Join(selects, " UNION ALL ") + ")"
}

func selectList(columns []informationColumn, row []any) string {
	var items []string
	for i, c := range columns {
		text := "NULL"
		switch v := row[i].(type) {
		case string:
			text = stringLiteral(v)
		case int64:
			text = fmt.Sprint(v)
		case micros:
			text = fmt.Sprintf("TIMESTAMP_MICROS(%d)", int64(v))
		}
		if text != "NULL" && c.kind == "STRING" || strings.HasPrefix(text, "TIMESTAMP") {
			items = append(items, text+" AS "+c.name)
			continue
		}
		items = append(items, "CAST("+text+" AS "+c.kind+") AS "+c.name)
	}
	return strings.Join(items, ", ")
}

// stringLiteral quotes a text for GoogleSQL.
func stringLiteral(text string) string {
	return "'" + strings.NewReplacer("\\", "\\\\", "'", "\\'", "\n", "\\n", "\r", "\\r").Replace(text) + "'"
}
