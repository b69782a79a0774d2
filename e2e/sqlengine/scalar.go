package main

import (
	"cmp"
	"context"
	"slices"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

// moreThanOne is BigQuery's error about a scalar subquery with several rows: "If the subquery
// returns more than one row, the query fails with a runtime error."
// (https://cloud.google.com/bigquery/docs/reference/standard-sql/subqueries)
const moreThanOne = "Scalar subquery produced more than one element"

// scalars runs a query once more where it has scalar subqueries of which the driver takes the first
// row, whatever rows there are, and tells whether one has several. What the query answers is left
// as it is.
func (e *engine) scalars(ctx context.Context, req request) *failure {
	req.SQL = e.analyzer.counting(req.SQL)
	if req.SQL == "" {
		return nil
	}
	if _, _, _, err := e.query(ctx, req); err != nil {
		if f := runFailure(err); f.Message == moreThanOne {
			return f
		}
	}
	return nil
}

// counting is the text with each scalar subquery (Q) that could have several rows in words that
// fail where it has; "" where none could.
func (an *analyzer) counting(sql string) string {
	if !strings.Contains(sql, "(") {
		return ""
	}
	script, done, err := an.parse(sql)
	if err != nil {
		return ""
	}
	defer done()
	splices, err := scalarSplices(script, sql)
	if err != nil || len(splices) == 0 {
		return ""
	}
	slices.SortStableFunc(splices, func(a, b splice) int { return cmp.Compare(b.start, a.start) })
	for _, s := range splices {
		sql = sql[:s.start] + s.text + sql[s.end:]
	}
	return sql
}

func scalarSplices(script googlesql.ASTNode, sql string) (found []splice, err error) {
	defer caught(&err)
	var walk func(n googlesql.ASTNode)
	walk = func(n googlesql.ASTNode) {
		s, ok := n.(*googlesql.ASTExpressionSubquery)
		if ok && must(s.Modifier()) == googlesql.ASTExpressionSubqueryEnums_ModifierNone && !limitedToOne(s, sql) {
			start, end := span(s)
			found = append(found,
				splice{start, start, "(SELECT IF(ARRAY_LENGTH(a) > 1, ERROR('" + moreThanOne + "'), a[SAFE_OFFSET(0)]) FROM (SELECT ARRAY"},
				splice{end, end, " AS a))"})
		}
		children(n, walk)
	}
	walk(script)
	return found, nil
}

// limitedToOne says whether a subquery has one row by its words alone: a SELECT without FROM, or
// LIMIT 1.
func limitedToOne(s *googlesql.ASTExpressionSubquery, sql string) bool {
	one := false
	children(s, func(n googlesql.ASTNode) {
		query, ok := n.(*googlesql.ASTQuery)
		if !ok {
			return
		}
		children(query, func(part googlesql.ASTNode) {
			switch part := part.(type) {
			case *googlesql.ASTSelect:
				one = one || must(part.FromClause()) == nil
			case *googlesql.ASTLimitOffset:
				if limit := must(part.LimitExpression()); limit != nil {
					start, end := span(limit)
					one = one || sql[start:end] == "1"
				}
			}
		})
	})
	return one
}
