package difftest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// lookalikes are names of rows and WITH queries that are also those of projects, datasets and
// tables, some of them quoted as a whole.
var lookalikes = []string{
	"demo", "crm", "ds", "orders", "orders", "customers", "customers", "`my-proj`", "`demo.crm`", "`ds.orders`", "`ds.customers`",
	"`Demo.Crm.Orders`",
	"`my-proj.ds.customers`", "`p.d.t`",
}

// row is a name for a row, mostly one that nothing else has.
func (g *generator) row() string {
	if g.one(6) {
		return pick(g, lookalikes)
	}
	return g.name("t")
}

// cte is a name for a WITH query, and its columns. If it is a table's name, they are called like
// the table's.
func (g *generator) cte() (name string, kinds []*kind, names []string) {
	if g.one(3) {
		t := pick(g, tables)
		p := strings.Split(t.name, ".")
		if name = pick(g, []string{"`" + t.name + "`", "`" + p[1] + "." + p[2] + "`", p[2]}); !g.hidden(name) {
			few := fewColumns(t, 3)
			return name, few.fields, few.names
		}
	}
	kinds, names = g.columns()
	return g.name("w"), kinds, names
}

// fewColumns are the first few columns of a table that are no ARRAY and no STRUCT.
func fewColumns(t *table, most int) *kind {
	row := &kind{name: "STRUCT"}
	for _, c := range t.columns {
		if !c.array && len(c.fields) == 0 && len(row.fields) < most {
			row.names, row.fields = append(row.names, c.name), append(row.fields, c.kind)
		}
	}
	return row
}

// hidden reports whether a name of one identifier is that of a WITH query that can be seen.
func (g *generator) hidden(name string) bool {
	return slices.ContainsFunc(g.ctes, func(s source) bool { return strings.EqualFold(strings.Trim(s.name, "`"), strings.Trim(name, "`")) })
}

// spell writes a table's name in one of the ways that BigQuery reads.
func (g *generator) spell(t *table) string {
	p := strings.Split(t.name, ".")
	forms := []string{
		"`" + p[0] + "`.`" + p[1] + "`.`" + p[2] + "`", p[0] + "." + p[1] + "." + p[2], "`" + p[0] + "." + p[1] + "`." + p[2],
		"`" + p[0] + "`.`" + p[1] + "." + p[2] + "`",
	}
	if p[0] == project {
		forms = append(forms, p[1]+"."+p[2])
	}
	whole := []string{"`" + t.name + "`", "`" + t.name + "`"}
	if p[0] == project {
		whole = append(whole, "`"+p[1]+"."+p[2]+"`")
	}
	for _, name := range whole {
		if !g.hidden(name) {
			forms = append(forms, name)
		}
	}
	return pick(g, forms)
}

var lastIdentifier = regexp.MustCompile("(?:`[^`]+`|[A-Za-z_0-9]+)$")

// called adds an alias to a name, or leaves it with its own: its last identifier.
func (g *generator) called(name string) (sql, alias string) {
	if g.one(4) {
		return name, lastIdentifier.FindString(name)
	}
	alias = g.row()
	return name + " AS " + alias, alias
}

var path = regexp.MustCompile("^(?:`[^`]+`|\\w+)(?:\\.(?:`[^`]+`|\\w+))+$")

// arrayOrTable has an array that is named like a table, and reads the one or the other.
func (g *generator) arrayOrTable(outer *scope) (string, []item) {
	t := pick(g, tables)
	p := strings.Split(t.name, ".")
	element := fewColumns(t, 5)
	from, s := g.from(outer)
	var fields []string
	for i, name := range element.names {
		fields = append(fields, g.expression(element.fields[i], s)+" AS `"+name+"`")
	}
	array := fmt.Sprintf("[STRUCT(%s)] AS %s", strings.Join(fields, ", "), p[2])
	alias, row := p[1], g.name("t")
	if g.one(3) { // the row is named like the project
		alias, array = "`"+p[0]+"`", fmt.Sprintf("STRUCT([STRUCT(%s)] AS %s) AS %s", strings.Join(fields, ", "), p[2], p[1])
	}
	sql := fmt.Sprintf("(SELECT %s FROM %s) AS %s, ", array, from, alias)
	if whole := "`" + t.name + "`"; g.one(2) && !g.hidden(whole) {
		if p[0] == project && g.one(2) && !g.hidden(p[1]+"."+p[2]) {
			whole = "`" + p[1] + "." + p[2] + "`"
		}
		return sql + whole + " AS " + row, tableItems(t, row)
	}
	name := alias + "." + p[2]
	if alias != p[1] {
		name = alias + "." + p[1] + "." + p[2]
	}
	var items []item
	for i, f := range element.fields {
		items = append(items, item{row + "." + element.names[i], f})
	}
	return sql + name + " AS " + row, items
}
