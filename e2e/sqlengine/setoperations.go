package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

// The driver mixes up columns of a set operation. It names the result's columns after those of the
// first query, and takes them by these names: where the first query gives one column twice,
// `SELECT a, a FROM t UNION ALL SELECT b, c FROM u`, both columns of the result are the first of
// that name, and b stands where c should. So such a query is run in other words: its first query Q
// becomes
//
//	((SELECT CAST(NULL AS STRING) AS x, CAST(NULL AS STRING) AS y FROM UNNEST([1]) WHERE FALSE)
//	UNION ALL (Q))
//
// which is Q for any data, nothing and then Q, and whose first query has no column twice. Where the
// driver errs is read off GoogleSQL's resolved tree, by the very condition of the driver's error,
// so that it does not matter how the text comes to have a column twice; and so is, afterwards, that
// it errs no more. A query that cannot be put in such words is not run: no answer is better than a
// wrong one.

// maxMended bounds the set operations of a query that are put in other words.
const maxMended = 20

// errMixedUp is about a query whose answer would be wrong.
var errMixedUp = errors.New("unimplemented: a set operation whose first query has a column twice, and that could not be put in other words")

// mended is a text in words that the driver understands.
type mended struct {
	sql   string
	times int // set operations that were put in other words
	err   error
}

// mend spells a query for the driver, and puts its set operations in other words that the driver
// would mix up. What the analyzer does not take stays as it is: the driver has words for it.
func (e *engine) mend(req request) mended {
	upper := strings.ToUpper(req.SQL)
	operations := strings.Contains(upper, "UNION") || strings.Contains(upper, "INTERSECT") || strings.Contains(upper, "EXCEPT")
	if !operations && !respelt(req.SQL) {
		return mended{sql: req.SQL}
	}
	key := fmt.Sprint(e.catalog.version, "\x00", req.Project, "\x00", req.Dataset, "\x00", req.SQL)
	if m, ok := e.mended[key]; ok {
		return m
	}
	if e.mended == nil || len(e.mended) >= 1000 {
		e.mended = map[string]mended{}
	}
	spelt, err := e.analyzer.respell(req)
	m := mended{sql: spelt, err: err}
	req.SQL = spelt
	if err == nil && operations {
		if before, err := e.analyzer.mixedUp(req); err == nil && len(before.repeated) > 0 {
			m = e.analyzer.mend(req, before)
		}
	}
	e.mended[key] = m
	return m
}

func (an *analyzer) mend(req request, now mixture) mended {
	m := mended{sql: req.SQL}
	for ; len(now.repeated) > 0; m.times++ {
		next, after, ok := an.mendOne(req, m.sql, now)
		if !ok || m.times == maxMended {
			m.err = errMixedUp
			return m
		}
		m.sql, now = next, after
	}
	return m
}

// mendOne tries each set operation of the text with the columns of each that the driver would mix
// up. The right pair is the one after which exactly that one is no longer mixed up, while the
// query's columns stay what they are.
func (an *analyzer) mendOne(req request, sql string, now mixture) (string, mixture, bool) {
	places, err := an.firstQueries(sql)
	if err != nil {
		return "", mixture{}, false
	}
	for _, p := range places {
		for i, columns := range now.repeated {
			if slices.Contains(now.repeated[:i], columns) {
				continue
			}
			req.SQL = sql[:p.start] + "((" + nothing(columns) + ") UNION ALL (" + sql[p.start:p.end] + ")) " + sql[p.end:]
			after, err := an.mixedUp(req)
			if err == nil && after.columns == now.columns &&
				slices.Equal(after.repeated, slices.Delete(slices.Clone(now.repeated), i, i+1)) {
				return req.SQL, after, true
			}
		}
	}
	return "", mixture{}, false
}

// nothing is a query of no rows with these columns.
func nothing(columns string) string {
	var list []string
	for column := range strings.SplitSeq(columns, "\x00") {
		name, kind, _ := strings.Cut(column, "\x01")
		column = "CAST(NULL AS " + kind + ")"
		if !strings.HasPrefix(name, "$") {
			column += " AS `" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
		}
		list = append(list, column)
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM UNNEST([1]) WHERE FALSE"
}

// firstQueries are the places of the first queries of all set operations of a text, with and
// without a pipe.
func (an *analyzer) firstQueries(sql string) (places []splice, err error) {
	script, done, err := an.parse(sql)
	if err != nil {
		return nil, err
	}
	defer done()
	defer caught(&err)
	var walk func(n googlesql.ASTNode, query int)
	walk = func(n googlesql.ASTNode, query int) {
		start, end := span(n)
		switch n.(type) {
		case *googlesql.ASTQuery:
			query = start
		case *googlesql.ASTPipeSetOperation:
			places = append(places, splice{start: query, end: start})
		case *googlesql.ASTSetOperation:
			first := len(sql)
			children(n, func(child googlesql.ASTNode) {
				if list, ok := child.(*googlesql.ASTSetOperationMetadataList); ok {
					first, _ = span(list)
				}
			})
			if first < end {
				places = append(places, splice{start: start, end: first})
			}
		}
		children(n, func(child googlesql.ASTNode) {
			walk(child, query)
			if with, ok := child.(*googlesql.ASTWithClause); ok {
				_, query = span(with)
			}
		})
	}
	walk(script, 0)
	return places, nil
}

// mixture is what decides whether the driver errs.
type mixture struct {
	repeated []string // sorted: for each set operation whose first query has a column twice, the result's columns
	columns  string   // of the query
}

// mixedUp resolves a query and looks at its set operations.
func (an *analyzer) mixedUp(req request) (m mixture, err error) {
	out, err := an.resolve(req.SQL, req.Project, req.Dataset)
	if err != nil {
		return m, err
	}
	defer freeAnalyzerOutput(out)
	defer caught(&err)
	query, ok := must(out.ResolvedStatement()).(*googlesql.ResolvedQueryStmt)
	if !ok {
		return m, errors.New("no query")
	}
	for _, c := range must(query.OutputColumnList()) {
		m.columns += nameAndType(must(c.Name()), must(c.Column())) + "\x00"
	}
	var walk func(googlesql.ResolvedNode)
	walk = func(n googlesql.ResolvedNode) {
		if set, ok := n.(*googlesql.ResolvedSetOperationScan); ok {
			if columns, twice := repeats(set); twice {
				m.repeated = append(m.repeated, columns)
			}
		}
		for _, c := range must(n.GetChildNodes()) {
			walk(c)
		}
	}
	walk(query)
	slices.Sort(m.repeated)
	return m, nil
}

// repeats tells a set operation's columns, and whether its first query has a column twice.
func repeats(set *googlesql.ResolvedSetOperationScan) (string, bool) {
	twice := false
	seen := map[int32]bool{}
	for _, c := range must(must(set.InputItemList2(0)).OutputColumnList()) {
		id := must(c.ColumnId())
		twice = twice || seen[id]
		seen[id] = true
	}
	var columns []string
	for _, c := range must(set.MutableColumnList()) {
		columns = append(columns, nameAndType(must(c.Name()), c))
	}
	return strings.Join(columns, "\x00"), twice
}

func nameAndType(name string, c *googlesql.ResolvedColumn) string {
	t := must(c.Type())
	named, ok := t.(interface {
		TypeName(googlesql.ProductMode) (string, error)
	})
	if !ok {
		panic(fmt.Errorf("column %q has the type %s, whose name is not known", name, must(t.DebugString(false))))
	}
	return name + "\x01" + must(named.TypeName(googlesql.ProductModeProductExternal))
}
