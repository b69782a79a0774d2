package difftest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator makes queries that are right by their types. Everything it does follows from its source
// of random numbers.
type generator struct {
	r      *rand.Rand
	names  int
	budget int // how much more may be nested; at 0 only references and literals are made
	ctes   []source
}

// source is something that FROM can name: its columns by name.
type source struct {
	name    string
	columns []item
}

// item is a reference and its type.
type item struct {
	ref  string
	kind *kind
}

// scope is what expressions can refer to.
type scope struct {
	items []item
	outer *scope
	flat  map[string][]string // references and paths into them, by type
}

// generate makes the query of a number.
func generate(seed, number uint64) *query {
	g := &generator{r: rand.New(rand.NewPCG(seed, number))}
	g.budget = 1 + g.r.IntN(9)
	if g.one(10) {
		g.budget = 30
	}
	return &query{number: int(number), sql: g.statement(), project: project}
}

func (g *generator) one(n int) bool { return g.r.IntN(n) == 0 }

func (g *generator) name(prefix string) string {
	g.names++
	return fmt.Sprintf("%s%d", prefix, g.names)
}

func pick[T any](g *generator, list []T) T { return list[g.r.IntN(len(list))] }

// spend reports whether something nested may still be made.
func (g *generator) spend(cost int) bool {
	if g.budget < cost {
		return false
	}
	g.budget -= cost
	return true
}

var wanted = []*kind{
	text, text, text, text, text, text, text, integer, integer, integer, float, truth, numeric, big, day, timestamp, datetime, clock, raw,
	document,
	arrayOf(text), arrayOf(integer), structOf([]string{"a", "b"}, text, integer), structOf([]string{"a", "t"}, text, arrayOf(text)),
	arrayOf(structOf([]string{"k", "v"}, text, text)),
}

// statement is a query as a client sends it.
func (g *generator) statement() string {
	var want []*kind
	var names []string
	for range 1 + g.r.IntN(3) {
		want = append(want, pick(g, wanted))
		names = append(names, g.name("c"))
	}
	switch g.r.IntN(20) {
	case 0:
		from, s := g.from(nil)
		return "SELECT AS STRUCT " + g.list(want, names, s) + " FROM " + from + g.where(s)
	case 1:
		from, s := g.from(nil)
		return "SELECT AS VALUE " + g.expression(pick(g, wanted), s) + " FROM " + from + g.where(s)
	case 2:
		from, s := g.from(nil)
		_ = s
		return "SELECT * FROM " + from
	case 3:
		from, _ := g.from(nil)
		return "FROM " + from
	}
	return g.query(want, names, nil)
}

// query makes a query with columns of these types and names. Queries inside may refer to the outer
// scope.
func (g *generator) query(want []*kind, names []string, outer *scope) string {
	if !g.spend(2) {
		return g.plain(want, names, outer)
	}
	forms := []func([]*kind, []string, *scope) string{
		g.plain, g.plain, g.plain, g.plain, g.grouped, g.grouped, g.windowed, g.setOperation, g.with, g.recursive, g.starred, g.piped,
		g.piped, g.wrapped, g.leftOut,
	}
	return pick(g, forms)(want, names, outer)
}

// list is a select list.
func (g *generator) list(want []*kind, names []string, s *scope) string {
	items := make([]string, len(want))
	for i, k := range want {
		items[i] = g.expression(k, s) + " AS " + names[i]
	}
	return strings.Join(items, ", ")
}

func (g *generator) plain(want []*kind, names []string, outer *scope) string {
	from, s := g.from(outer)
	distinct := ""
	if g.one(8) && !slices.ContainsFunc(want, func(k *kind) bool { return !k.groupable() }) {
		distinct = "DISTINCT "
	}
	sql := "SELECT " + distinct + g.list(want, names, s) + " FROM " + from + g.where(s)
	return sql + g.order(want, s, distinct != "") + g.limit()
}

func (g *generator) where(s *scope) string {
	if !g.one(3) {
		return ""
	}
	return " WHERE " + g.expression(truth, s)
}

// order is an ORDER BY, mostly none. After DISTINCT only the columns themselves are there.
func (g *generator) order(want []*kind, s *scope, distinct bool) string {
	if !g.one(4) {
		return ""
	}
	var keys []string
	for i, k := range want {
		if k.orderable() && g.one(2) {
			keys = append(keys, fmt.Sprint(i+1)+pick(g, []string{"", " DESC", " NULLS LAST"}))
		}
	}
	if !distinct && g.one(2) && s != nil {
		keys = append(keys, g.key(pick(g, []*kind{text, integer, day}), s))
	}
	if len(keys) == 0 {
		return ""
	}
	return " ORDER BY " + strings.Join(keys, ", ")
}

func (g *generator) limit() string {
	switch g.r.IntN(8) {
	case 0:
		return fmt.Sprintf(" LIMIT %d", 1+g.r.IntN(4))
	case 1:
		return fmt.Sprintf(" LIMIT %d OFFSET %d", 1+g.r.IntN(4), g.r.IntN(3))
	}
	return ""
}

// grouped is an aggregation whose columns are keys and aggregates.
func (g *generator) grouped(want []*kind, names []string, outer *scope) string {
	from, s := g.from(outer)
	var items, keys []string
	for i, k := range want {
		if k.groupable() && g.one(2) {
			items = append(items, g.key(k, s)+" AS "+names[i])
			keys = append(keys, names[i])
			continue
		}
		items = append(items, g.aggregate(k, s)+" AS "+names[i])
	}
	sql := "SELECT " + strings.Join(items, ", ") + " FROM " + from + g.where(s)
	switch {
	case len(keys) == 0 && g.one(2):
		if k := g.reference(text, s); k != "" {
			sql += " GROUP BY " + k
		}
	case len(keys) == 0:
	case g.one(6):
		sql += " GROUP BY ROLLUP(" + strings.Join(keys, ", ") + ")"
	case g.one(6) && len(keys) > 1:
		sql += " GROUP BY GROUPING SETS((" + strings.Join(keys, ", ") + "), " + keys[0] + ", ())"
	case g.one(6):
		sql += " GROUP BY CUBE(" + strings.Join(keys, ", ") + ")"
	default:
		sql += " GROUP BY " + strings.Join(keys, ", ")
	}
	if strings.Contains(sql, " GROUP BY ") && g.one(3) {
		sql += " HAVING " + pick(g, []string{"COUNT(*) > 1", "COUNT(*) >= 1", g.aggregate(text, s) + " > 'M'",
			g.aggregate(integer, s) + " > 3", g.aggregate(truth, s)})
	}
	return sql + g.order(want, nil, true) + g.limit()
}

// windowed has analytic functions, and perhaps QUALIFY.
func (g *generator) windowed(want []*kind, names []string, outer *scope) string {
	from, s := g.from(outer)
	var items []string
	for i, k := range want {
		items = append(items, g.analytic(k, s)+" AS "+names[i])
	}
	sql := "SELECT " + strings.Join(items, ", ") + " FROM " + from + " WHERE " + g.expression(truth, s)
	if g.one(3) {
		sql = strings.Replace(sql, "SELECT ", "SELECT ", 1)
		sql += " QUALIFY " + pick(g, []string{
			"ROW_NUMBER() OVER (" + g.window(s, true) + ") <= 2", g.analytic(text, s) + " IS NOT NULL", g.analytic(integer, s) + " > 1",
		})
	}
	return sql + g.order(want, nil, true) + g.limit()
}

func (g *generator) setOperation(want []*kind, names []string, outer *scope) string {
	operators := []string{"UNION ALL", "UNION ALL"} // the engine knows neither BY NAME nor CORRESPONDING
	if !slices.ContainsFunc(want, func(k *kind) bool { return !k.groupable() }) {
		operators = append(operators, "UNION DISTINCT", "INTERSECT DISTINCT", "EXCEPT DISTINCT")
	}
	operator := pick(g, operators)
	sql := "(" + g.query(want, names, outer) + ") " + operator + " (" + g.query(want, names, outer) + ")"
	return sql + g.order(want, nil, true) + g.limit()
}

// with puts what it selects from into WITH queries. It is not correlated: the outer scope is not
// seen inside.
func (g *generator) with(want []*kind, names []string, outer *scope) string {
	before := len(g.ctes)
	var entries []string
	for range 1 + g.r.IntN(2) {
		name, kinds, columns := g.cte()
		sql := g.query(kinds, columns, nil)
		s := source{name: name}
		for i := range columns {
			s.columns = append(s.columns, item{columns[i], kinds[i]})
		}
		entries = append(entries, s.name+" AS ("+sql+")")
		g.ctes = append(g.ctes, s)
	}
	sql := "WITH " + strings.Join(entries, ", ") + " " + g.query(want, names, outer)
	g.ctes = g.ctes[:before]
	return sql
}

// columns are a few types and names for a subquery.
func (g *generator) columns() ([]*kind, []string) {
	var kinds []*kind
	var names []string
	for range 1 + g.r.IntN(3) {
		kinds, names = append(kinds, pick(g, wanted)), append(names, g.name("c"))
	}
	return kinds, names
}

// recursive follows a tree of employees and selects from what it gathers.
func (g *generator) recursive(want []*kind, names []string, outer *scope) string {
	r, key, word, level := g.name("r"), g.name("k"), g.name("s"), g.name("n")
	base := &scope{items: tableItems(tableNamed("my-proj.ds.employees"), "e")}
	step := &scope{items: append(slices.Clone(base.items), item{"p." + word, text}, item{"p." + key, integer})}
	before := len(g.ctes)
	columns := fmt.Sprintf("e.emp_id AS %s, %s AS %s, 1 AS %s", key, g.expression(text, base), word, level)
	term := fmt.Sprintf("SELECT e.emp_id, %s, p.%s + 1 FROM %s AS p JOIN ds.employees AS e ON e.mgr_id = p.%s WHERE p.%s < 3",
		g.expression(text, step), level, r, key, level)
	operator := pick(g, []string{"UNION ALL", "UNION ALL", "UNION DISTINCT"})
	sql := fmt.Sprintf("WITH RECURSIVE %s AS (SELECT %s FROM ds.employees AS e WHERE %s %s %s) ", r, columns,
		pick(g, []string{"e.emp_id < 3", "TRUE", g.expression(truth, base)}), operator, term)
	g.ctes = append(g.ctes, source{r, []item{{key, integer}, {word, text}, {level, integer}}})
	sql += g.plainFrom(r+" AS x", &scope{items: []item{{"x." + key, integer}, {"x." + word, text}, {"x." + level, integer}}, outer: outer},
		want, names)
	g.ctes = g.ctes[:before]
	return sql
}

func (g *generator) plainFrom(from string, s *scope, want []*kind, names []string) string {
	return "SELECT " + g.list(want, names, s) + " FROM " + from + g.where(s)
}

// starred passes columns on by stars.
func (g *generator) starred(want []*kind, names []string, outer *scope) string {
	x := g.name("t")
	switch g.r.IntN(4) {
	case 0:
		return "SELECT * FROM (" + g.query(want, names, outer) + ")"
	case 1:
		return "SELECT " + x + ".* FROM (" + g.query(want, names, outer) + ") AS " + x
	case 2:
		extra := g.name("c")
		return "SELECT * EXCEPT (" + extra + ") FROM (" + g.query(append(slices.Clone(want), text), append(slices.Clone(names), extra),
			outer) + ")"
	}
	i := g.r.IntN(len(want))
	s := &scope{outer: outer}
	for j := range want {
		s.items = append(s.items, item{names[j], want[j]})
	}
	return "SELECT * REPLACE (" + g.expression(want[i], s) + " AS " + names[i] + ") FROM (" + g.query(want, names, outer) + ")"
}

// wrapped computes on a subquery.
func (g *generator) wrapped(want []*kind, names []string, outer *scope) string {
	kinds, columns := g.columns()
	x := g.name("t")
	s := &scope{outer: outer}
	for i := range kinds {
		s.items = append(s.items, item{x + "." + columns[i], kinds[i]})
	}
	return g.plainFrom("("+g.query(kinds, columns, outer)+") AS "+x, s, want, names)
}

// piped is a query in pipe syntax.
func (g *generator) piped(want []*kind, names []string, outer *scope) string {
	kinds, columns := g.columns()
	x := g.name("t")
	sql := "FROM (" + g.query(kinds, columns, outer) + ") AS " + x
	s := &scope{outer: outer}
	for i := range kinds {
		s.items = append(s.items, item{columns[i], kinds[i]})
	}
	for range 1 + g.r.IntN(4) {
		s = &scope{items: s.items, outer: outer}
		switch g.r.IntN(13) {
		case 12:
			if g.one(3) { // which fails most of the time
				sql += " |> ASSERT " + g.expression(truth, s) + ", 'no'"
			}
		case 0:
			sql += " |> WHERE " + g.expression(truth, s)
		case 1, 2:
			k, n := pick(g, wanted), g.name("e")
			sql += " |> EXTEND " + g.expression(k, s) + " AS " + n
			s.items = append(slices.Clone(s.items), item{n, k})
		case 3:
			i := g.r.IntN(len(s.items))
			sql += " |> SET " + s.items[i].ref + " = " + g.expression(s.items[i].kind, s)
		case 4:
			if len(s.items) > 1 {
				i := g.r.IntN(len(s.items))
				sql += " |> DROP " + s.items[i].ref
				s.items = slices.Delete(slices.Clone(s.items), i, i+1)
			}
		case 5:
			i, n := g.r.IntN(len(s.items)), g.name("n")
			sql += " |> RENAME " + s.items[i].ref + " AS " + n
			s.items = slices.Clone(s.items)
			s.items[i].ref = n
		case 6:
			sql += " |> ORDER BY " + g.key(pick(g, []*kind{text, integer}), s)
		case 7:
			sql += fmt.Sprintf(" |> LIMIT %d", 2+g.r.IntN(5))
		case 8:
			k, n, key := pick(g, wanted), g.name("a"), g.name("k")
			sql += " |> AGGREGATE " + g.aggregate(k, s) + " AS " + n + " GROUP BY " + g.key(text, s) + " AS " + key
			s.items = []item{{n, k}, {key, text}}
		case 9:
			y := g.name("t")
			ks, cs := g.columns()
			joined := &scope{items: slices.Clone(s.items), outer: outer}
			for i := range ks {
				joined.items = append(joined.items, item{cs[i], ks[i]})
			}
			sql += " |> " + pick(g, []string{"JOIN", "LEFT JOIN"}) + " (" + g.query(ks, cs, outer) + ") AS " + y + " ON " +
				g.expression(truth, joined)
			s = joined
		case 10:
			k, n := pick(g, wanted), g.name("e")
			sql += " |> EXTEND " + g.analytic(k, s) + " AS " + n
			s.items = append(slices.Clone(s.items), item{n, k})
		default:
			if ks, cs := itemKinds(s.items); len(ks) > 0 {
				sql += " |> UNION ALL (" + g.query(ks, cs, outer) + ")"
			}
		}
	}
	s = &scope{items: s.items, outer: outer}
	sql += " |> SELECT " + g.list(want, names, s)
	if g.one(6) && !slices.ContainsFunc(want, func(k *kind) bool { return !k.groupable() }) {
		sql += " |> DISTINCT"
	}
	return sql
}

func itemKinds(items []item) (kinds []*kind, names []string) {
	for _, i := range items {
		kinds, names = append(kinds, i.kind), append(names, i.ref)
	}
	return kinds, names
}
