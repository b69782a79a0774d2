package difftest

import (
	"fmt"
	"slices"
	"strings"
)

func tableNamed(name string) *table {
	return tables[slices.IndexFunc(tables, func(t *table) bool { return t.name == name })]
}

func tableItems(t *table, alias string) []item {
	var items []item
	for _, c := range t.columns {
		items = append(items, item{alias + "." + c.name, c.kind})
	}
	return items
}

// from makes a FROM clause and the scope behind it.
func (g *generator) from(outer *scope) (string, *scope) {
	sql, items := g.relation(outer)
	comma := false // GoogleSQL wants parentheses around a RIGHT or FULL JOIN after one
	for joins := 0; joins < 2 && g.one(4); joins++ {
		s := &scope{items: items, outer: outer}
		if g.one(2) {
			more, element := g.unnest(s)
			if more != "" {
				sql += pick(g, []string{" CROSS JOIN ", ", ", " LEFT JOIN ", " JOIN "}) + more
				comma = comma || strings.HasSuffix(sql, ", "+more)
				if i := strings.LastIndex(sql, " JOIN "); i >= 0 && strings.HasPrefix(sql[i+6:], "UNNEST") && g.one(2) &&
					!strings.HasSuffix(sql[:i], "CROSS") {
					s := &scope{items: append(slices.Clone(items), element...), outer: outer}
					sql += " ON " + g.expression(truth, s)
				}
				items = append(slices.Clone(items), element...)
				continue
			}
		}
		right, more := g.relation(outer)
		both := append(slices.Clone(items), more...)
		kind := pick(g, []string{" JOIN ", " JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ", " CROSS JOIN ", ", "})
		if comma && (kind == " RIGHT JOIN " || kind == " FULL JOIN ") {
			kind = " JOIN "
		}
		comma = comma || kind == ", "
		switch kind {
		case " CROSS JOIN ", ", ":
			sql += kind + right
		default:
			sql += kind + right + " ON " + g.condition(items, more, both, outer)
		}
		items = both
	}
	return sql, &scope{items: items, outer: outer}
}

// condition joins mostly by keys, sometimes by anything.
func (g *generator) condition(left, right, both []item, outer *scope) string {
	if !g.one(3) {
		a, b := g.reference(integer, &scope{items: left}), g.reference(integer, &scope{items: right})
		if a != "" && b != "" {
			return a + " = " + b
		}
	}
	return g.expression(truth, &scope{items: both, outer: outer})
}

// relation is one thing to read from.
func (g *generator) relation(outer *scope) (string, []item) {
	alias := g.row()
	switch n := g.r.IntN(20); {
	case n < 4 && len(g.ctes) > 0:
		c := pick(g, g.ctes)
		sql, alias := g.called(c.name)
		var items []item
		for _, i := range c.columns {
			items = append(items, item{alias + "." + i.ref, i.kind})
		}
		return sql, items
	case n < 7 && g.spend(3):
		kinds, names := g.columns()
		var items []item
		for i := range kinds {
			items = append(items, item{alias + "." + names[i], kinds[i]})
		}
		return "(" + g.query(kinds, names, outer) + ") AS " + alias, items
	case n == 7 && g.spend(3):
		return g.pivot(alias, outer)
	case n == 8 && g.spend(3):
		return g.unpivot(alias, outer)
	case n == 9:
		if sql, items := g.using(); sql != "" {
			return sql, items
		}
	case n == 10 && outer != nil:
		if sql, items := g.unnest(outer); sql != "" {
			return sql, items
		}
	case n == 12 || n == 13:
		return g.defined(alias)
	case n == 11:
		return "UNNEST(" + g.expression(arrayOf(text), outer) + ") AS " + alias, []item{{alias, text}}
	}
	if g.one(12) && g.spend(3) {
		return g.arrayOrTable(outer)
	}
	t := pick(g, tables)
	sql, alias := g.called(g.spell(t))
	items := tableItems(t, alias)
	if g.one(8) { // the row as a value
		row := &kind{name: "STRUCT"}
		for _, c := range t.columns {
			row.names, row.fields = append(row.names, c.name), append(row.fields, c.kind)
		}
		items = append(items, item{alias, row})
	}
	sample := ""
	if g.one(30) {
		sample = " TABLESAMPLE SYSTEM (100 PERCENT)"
	}
	return sql + sample, items
}

// unnest takes apart an array of the scope.
func (g *generator) unnest(s *scope) (string, []item) {
	var arrays []item
	for at := s; at != nil; at = at.outer {
		for _, i := range at.items {
			if i.kind.element != nil {
				arrays = append(arrays, i)
			}
		}
	}
	alias := g.name("u")
	var array item
	switch {
	case len(arrays) > 0 && !g.one(5):
		array = pick(g, arrays)
	case g.spend(1):
		k := arrayOf(pick(g, []*kind{text, integer}))
		array = item{g.expression(k, s), k}
	default:
		return "", nil
	}
	sql := "UNNEST(" + array.ref + ") AS " + alias
	if path.MatchString(array.ref) && g.one(3) {
		sql = array.ref + " AS " + alias
	}
	var items []item
	if e := array.kind.element; e.name == "STRUCT" {
		for i, f := range e.fields {
			items = append(items, item{alias + "." + e.names[i], f})
		}
	} else {
		items = append(items, item{alias, e})
	}
	if g.one(3) {
		offset := g.name("o")
		sql += " WITH OFFSET AS " + offset
		items = append(items, item{offset, integer})
	}
	return sql, items
}

// using joins two tables by columns of the same name.
func (g *generator) using() (string, []item) {
	pairs := [][3]string{
		{"demo.crm.customers", "demo.crm.orders", "id"}, {"demo.crm.orders", "demo.crm.events", "id"},
		{"demo.crm.customers", "my-proj.ds.customers", "id"},
		{"my-proj.ds.customers", "demo.finance.payroll", "ssn"}, {"demo.crm.orders", "my-proj.ds.orders", "customer_id, status"},
	}
	p := pick(g, pairs)
	a, b := g.name("t"), g.name("t")
	left, right := tableNamed(p[0]), tableNamed(p[1])
	sql := g.spell(left) + " AS " + a + pick(g, []string{" JOIN ", " LEFT JOIN ", " FULL JOIN ", " RIGHT JOIN "}) + g.spell(right) +
		" AS " + b + " USING (" + p[2] + ")"
	items := append(tableItems(left, a), tableItems(right, b)...)
	for _, name := range strings.Split(p[2], ", ") {
		for _, c := range left.columns {
			if c.name == name {
				items = append(items, item{name, c.kind})
			}
		}
	}
	return "(" + sql + ")", items
}

func (g *generator) pivot(alias string, outer *scope) (string, []item) {
	key, by, value := g.name("k"), g.name("f"), g.name("v")
	k := pick(g, []*kind{text, integer, day})
	from, s := g.from(outer)
	inner := fmt.Sprintf("SELECT %s AS %s, %s AS %s, %s AS %s FROM %s", g.expression(k, s), key, g.few(s), by, g.expression(text, s), value,
		from)
	aggregate := pick(g, []string{"MAX(%s)", "MIN(%s)", "COUNT(%s)", "COUNT(DISTINCT %s)", "STRING_AGG(%s, '+')"})
	result := text
	if strings.HasPrefix(aggregate, "COUNT") {
		result = integer
	}
	sql := fmt.Sprintf("(SELECT * FROM (%s) PIVOT(%s AS p FOR %s IN ('open' AS o, 'shut' AS h))) AS %s", inner,
		fmt.Sprintf(aggregate, value), by, alias)
	return sql, []item{{alias + "." + key, k}, {alias + ".p_o", result}, {alias + ".p_h", result}}
}

// few is a string of few values where there is one.
func (g *generator) few(s *scope) string {
	var found []string
	for _, i := range s.items {
		for _, name := range []string{".status", ".region", ".dept", ".q", ".prod"} {
			if strings.HasSuffix(i.ref, name) && i.kind.is(text) {
				found = append(found, i.ref)
			}
		}
	}
	if len(found) == 0 {
		return g.expression(text, s)
	}
	return pick(g, found)
}

func (g *generator) unpivot(alias string, outer *scope) (string, []item) {
	key, a, b, value, label := g.name("k"), g.name("x"), g.name("x"), g.name("v"), g.name("l")
	k, v := pick(g, []*kind{text, integer, day}), pick(g, []*kind{text, integer, numeric})
	from, s := g.from(outer)
	first, second := g.expression(v, s), g.expression(v, s)
	if first == second {
		second = "NULLIF(" + second + ", " + g.literal(v) + ")"
	}
	inner := fmt.Sprintf("SELECT %s AS %s, %s AS %s, %s AS %s FROM %s", g.expression(k, s), key, first, a, second, b, from)
	nulls := pick(g, []string{"", "", " INCLUDE NULLS", " EXCLUDE NULLS"})
	sql := fmt.Sprintf("(SELECT * FROM (%s) UNPIVOT%s(%s FOR %s IN (%s, %s))) AS %s", inner, nulls, value, label, a, b, alias)
	return sql, []item{{alias + "." + key, k}, {alias + "." + value, v}, {alias + "." + label, text}}
}
