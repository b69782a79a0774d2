package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

const tableSuffix = "_TABLE_SUFFIX"

// members are the tables that a wildcard takes in, the newest last. BigQuery: "The wildcard
// character, "*", represents one or more characters of a table name"
// (https://cloud.google.com/bigquery/docs/reference/standard-sql/wildcard-table-reference), so a
// table of the prefix's own name is none.
func (c *catalog) members(wildcard string) []*entry {
	var found []*entry
	for key, e := range c.tables {
		if rest, ok := strings.CutPrefix(key, strings.TrimSuffix(wildcard, "*")); ok && rest != "" && e.was == nil {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return cmp.Compare(a.made, b.made) })
	return found
}

// viewsAmong is BigQuery's error about a wildcard that takes in views, or "".
func viewsAmong(members []*entry) string {
	var views []string
	for _, m := range members {
		if m.view {
			views = append(views, m.id.Project+":"+m.id.Dataset+"."+m.id.Table)
		}
	}
	if len(views) == 0 {
		return ""
	}
	slices.Sort(views)
	return "Views cannot be queried through prefix. Matched views are: " + strings.Join(views, ", ")
}

// wildcardTable is the table that a wildcard stands for: the columns of its newest member, and
// _TABLE_SUFFIX.
func (an *analyzer) wildcardTable(key string) (googlesql.TableNode, error) {
	members := an.catalog.members(key)
	if len(members) == 0 {
		return nil, errNone
	}
	table, err := googlesql.NewSimpleTable(key, 0)
	if err != nil {
		return nil, err
	}
	an.pinned = append(an.pinned, table)
	columns := append(slices.Clone(members[len(members)-1].columns), field{Name: tableSuffix, Type: "STRING"})
	for i, col := range columns {
		t, err := an.typeOf(col)
		if err != nil {
			return nil, err
		}
		c, err := googlesql.NewSimpleColumn(key, col.Name, t, i == len(columns)-1, true)
		if err != nil {
			return nil, err
		}
		if err := table.AddColumn2(c, false); err != nil {
			return nil, err
		}
		an.pinned = append(an.pinned, c, t)
	}
	return table, nil
}

// expand writes out what the driver does not know. SESSION_USER() and CURRENT_USER() become the
// e-mail that they give. Each wildcard table becomes a subquery over its members, since the driver
// mistakes wildcards of three parts. Columns are those of the newest member; where another member
// has none of that name it gives NULL, as at BigQuery. The pseudo column _TABLE_SUFFIX is there
// only if the text names it, and then each * of the SELECT over it leaves it out.
func (an *analyzer) expand(req request) (_ string, err error) {
	sql := req.SQL
	if !strings.Contains(sql, "*`") && len(req.Filters) == 0 && (req.User == "" || !strings.Contains(strings.ToUpper(sql), "_USER")) {
		return sql, nil
	}
	script, done, err := an.parse(sql)
	if err != nil {
		return sql, nil //nolint:nilerr // the driver parses it too, and has words for it
	}
	defer done()
	defer caught(&err)
	x := expander{an: an, request: req, suffix: strings.Contains(strings.ToUpper(sql), tableSuffix), queries: withQueries(script)}
	x.walk(script, false)
	slices.SortFunc(x.splices, func(a, b splice) int { return cmp.Compare(b.start, a.start) })
	for _, s := range x.splices {
		sql = sql[:s.start] + s.text + sql[s.end:]
	}
	return sql, nil
}

// splice is a text in place of another.
type splice struct {
	start, end int
	text       string
}

type expander struct {
	an      *analyzer
	request request
	suffix  bool            // the text names _TABLE_SUFFIX
	queries map[string]bool // names of WITH queries, lower case
	splices []splice
}

// walk goes through the parsed text; over says whether the SELECT around reads a wildcard table.
func (x *expander) walk(n googlesql.ASTNode, over bool) {
	start, end := span(n)
	switch n := n.(type) {
	case *googlesql.ASTTablePathExpression:
		if members := x.wildcard(n); members != nil {
			x.table(n, members)
			return
		}
		if x.filtered(n) {
			return
		}
	case *googlesql.ASTFunctionCall:
		name := strings.ToUpper(strings.Join(must(must(n.Function()).ToIdentifierVector()), "."))
		if x.request.User != "" && (name == "SESSION_USER" || name == "CURRENT_USER") {
			x.splices = append(x.splices, splice{start, end, "'" + x.request.User + "'"})
			return
		}
	case *googlesql.ASTFromQuery:
		if x.suffix && x.reads(n) {
			panic(errors.New("a pipe query that names " + tableSuffix + " is not carried out here"))
		}
	case *googlesql.ASTSelect:
		from := must(n.FromClause())
		over = from != nil && x.reads(from)
	case *googlesql.ASTStar, *googlesql.ASTDotStar:
		if over && x.suffix {
			x.splices = append(x.splices, splice{end - 1, end, "* EXCEPT (" + tableSuffix + ")"})
		}
	case *googlesql.ASTStarModifiers:
		if !over || !x.suffix {
			break
		}
		if except := must(n.ExceptList()); except != nil {
			_, to := span(must(except.Identifiers(0)))
			x.splices = append(x.splices, splice{to, to, ", " + tableSuffix})
		} else {
			x.splices = append(x.splices, splice{start, start, "EXCEPT (" + tableSuffix + ") "})
		}
	}
	children(n, func(child googlesql.ASTNode) { x.walk(child, over) })
}

// withQueries are the names of all WITH queries, lower case.
func withQueries(n googlesql.ASTNode) map[string]bool {
	found := map[string]bool{}
	var walk func(googlesql.ASTNode)
	walk = func(n googlesql.ASTNode) {
		if q, ok := n.(*googlesql.ASTAliasedQuery); ok {
			found[strings.ToLower(must(must(q.Alias()).GetAsString()))] = true
		}
		children(n, walk)
	}
	walk(n)
	return found
}

// wildcard gives the members of a table's name, or nil if it is no wildcard or takes in none.
func (x *expander) wildcard(n *googlesql.ASTTablePathExpression) []*entry {
	path := must(n.PathExpr())
	if path == nil {
		return nil
	}
	names := must(path.ToIdentifierVector())
	key := strings.Join(complete(strings.Split(strings.Join(names, "."), "."), x.request.Project, x.request.Dataset), ".")
	if !strings.HasSuffix(key, "*") || len(names) == 1 && x.queries[strings.ToLower(names[0])] {
		return nil
	}
	return x.an.catalog.members(key)
}

// filtered writes a table with a filter as a subquery of the rows that are left.
func (x *expander) filtered(n *googlesql.ASTTablePathExpression) bool {
	path := must(n.PathExpr())
	if path == nil || len(x.request.Filters) == 0 {
		return false
	}
	names := must(path.ToIdentifierVector())
	if len(names) == 1 && x.queries[strings.ToLower(names[0])] {
		return false
	}
	parts := complete(strings.Split(strings.Join(names, "."), "."), x.request.Project, x.request.Dataset)
	predicate, ok := x.request.Filters[strings.Join(parts, ".")]
	if !ok {
		return false
	}
	text := "(SELECT * FROM `" + strings.Join(parts, "`.`") + "` WHERE " + predicate + ")"
	if must(n.Alias()) == nil {
		last := names[len(names)-1]
		text += " AS `" + last[strings.LastIndexByte(last, '.')+1:] + "`"
	}
	start, end := span(path)
	x.splices = append(x.splices, splice{start, end, text})
	return true
}

// reads says whether a FROM clause names a wildcard table, not counting its subqueries.
func (x *expander) reads(n googlesql.ASTNode) bool {
	found := false
	children(n, func(child googlesql.ASTNode) {
		switch child := child.(type) {
		case *googlesql.ASTQuery:
		case *googlesql.ASTTablePathExpression:
			found = found || x.wildcard(child) != nil
		default:
			found = found || x.reads(child)
		}
	})
	return found
}

func (x *expander) table(n *googlesql.ASTTablePathExpression, members []*entry) {
	path := must(n.PathExpr())
	names := must(path.ToIdentifierVector())
	last := names[len(names)-1]
	prefix := len(last[strings.LastIndexByte(last, '.')+1:]) - len("*")
	var parts []string
	for _, m := range members {
		var columns []string
		for _, c := range members[len(members)-1].columns {
			name := "`" + c.Name + "`"
			if !slices.ContainsFunc(m.columns, func(f field) bool { return strings.EqualFold(f.Name, c.Name) }) {
				name = "CAST(NULL AS " + sqlType(c) + ") AS " + name
			}
			columns = append(columns, name)
		}
		if x.suffix {
			columns = append(columns, "'"+m.id.Table[prefix:]+"' AS "+tableSuffix)
		}
		parts = append(parts, "SELECT "+strings.Join(columns, ", ")+" FROM "+quotePath(m.id))
	}
	text := "(" + strings.Join(parts, " UNION ALL ") + ")"
	if must(n.Alias()) == nil {
		text += " AS `" + last + "`"
	}
	start, end := span(path)
	x.splices = append(x.splices, splice{start, end, text})
}

// sqlType writes a column's type as SQL does.
func sqlType(f field) string {
	word := f.Type
	switch f.Type {
	case "INTEGER":
		word = "INT64"
	case "FLOAT":
		word = "FLOAT64"
	case "BOOLEAN":
		word = "BOOL"
	case "RECORD":
		var fields []string
		for _, sub := range f.Fields {
			fields = append(fields, "`"+sub.Name+"` "+sqlType(sub))
		}
		word = "STRUCT<" + strings.Join(fields, ", ") + ">"
	}
	if f.Mode == "REPEATED" {
		return "ARRAY<" + word + ">"
	}
	return word
}

func children(n googlesql.ASTNode, visit func(googlesql.ASTNode)) {
	count := must(n.NumChildren())
	for i := int32(0); i < count; i++ {
		if child := must(n.Child(i)); child != nil {
			visit(child)
		}
	}
}

func span(n googlesql.ASTNode) (start, end int) {
	r := must(n.GetParseLocationRange())
	return int(must(must(r.Start()).GetByteOffset())), int(must(must(r.End()).GetByteOffset()))
}

// caught is deferred by whoever calls must: its error becomes the caller's.
func caught(err *error) {
	if r := recover(); r != nil {
		failed, ok := r.(error)
		if !ok {
			panic(r)
		}
		*err = failed
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Errorf("read the parsed text: %w", err))
	}
	return v
}
