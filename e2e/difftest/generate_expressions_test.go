package difftest

import (
	"fmt"
	"slices"
	"strings"
)

// paths notes what can be reached from a reference: fields, and elements of arrays.
func (s *scope) paths() map[string][]string {
	if s.flat != nil {
		return s.flat
	}
	s.flat = map[string][]string{}
	var walk func(ref string, k *kind, depth int)
	walk = func(ref string, k *kind, depth int) {
		s.flat[k.String()] = append(s.flat[k.String()], ref)
		if depth == 0 {
			return
		}
		switch {
		case k.element != nil:
			for _, subscript := range []string{"[SAFE_OFFSET(0)]", "[SAFE_ORDINAL(2)]", "[OFFSET(0)]"} {
				walk(ref+subscript, k.element, depth-1)
			}
		case k.name == "STRUCT":
			for i, f := range k.fields {
				if k.names[i] != "" {
					walk(ref+"."+k.names[i], f, depth-1)
				}
			}
		}
	}
	for _, i := range s.items {
		walk(i.ref, i.kind, 4)
	}
	return s.flat
}

// reference is a column of the type, or a path into one; "" where there is none. Outer scopes are
// tried less often.
func (g *generator) reference(k *kind, s *scope) string {
	var found string
	for at := s; at != nil; at = at.outer {
		if refs := at.paths()[k.String()]; len(refs) > 0 {
			if found = pick(g, refs); !g.one(4) {
				return found
			}
		}
	}
	return found
}

var literals = map[string][]string{
	"STRING":     {"'x'", "'open'", "'M'", "'-'", "''", "CAST(NULL AS STRING)"},
	"INT64":      {"0", "1", "2", "3", "7", "-1", "100", "CAST(NULL AS INT64)"},
	"FLOAT64":    {"0.5", "1.0", "-2.25", "100.0"},
	"BOOL":       {"TRUE", "FALSE", "CAST(NULL AS BOOL)"},
	"NUMERIC":    {"NUMERIC '1.5'", "NUMERIC '0'", "NUMERIC '5000'"},
	"BIGNUMERIC": {"BIGNUMERIC '1.5'", "BIGNUMERIC '0'"},
	"DATE":       {"DATE '2000-01-31'", "DATE '1975-06-01'"},
	"DATETIME":   {"DATETIME '2000-01-31 10:00:00'"},
	"TIME":       {"TIME '10:30:00'"},
	"TIMESTAMP":  {"TIMESTAMP '2000-01-31 10:00:00+00'"},
	"BYTES":      {"b'ab'", "b''"},
	"JSON":       {`JSON '{"k": "v", "n": 1}'`, `JSON '[1, "x"]'`},
}

func (g *generator) literal(k *kind) string {
	switch {
	case k.element != nil:
		if g.one(3) {
			return "CAST([] AS " + k.String() + ")"
		}
		return "[" + g.literal(k.element) + "]"
	case k.name == "STRUCT":
		return g.structure(k, func(f *kind) string { return g.literal(f) })
	}
	return pick(g, literals[k.name])
}

func (g *generator) structure(k *kind, field func(*kind) string) string {
	parts := make([]string, len(k.fields))
	for i, f := range k.fields {
		parts[i] = field(f)
		if k.names[i] != "" {
			parts[i] += " AS " + k.names[i]
		}
	}
	return "STRUCT(" + strings.Join(parts, ", ") + ")"
}

// expression makes an expression of a type.
func (g *generator) expression(k *kind, s *scope) string {
	if k == truth && !g.one(8) && g.spend(1) {
		return g.fill(pick(g, templates["BOOL"]), s)
	}
	if g.budget <= 0 || !g.one(3) {
		if ref := g.reference(k, s); ref != "" && !g.one(15) {
			return ref
		}
	}
	if !g.spend(1) {
		return g.small(k, s)
	}
	for {
		switch n := g.r.IntN(24); {
		case n < 12 && len(templates[k.String()]) > 0:
			return g.fill(pick(g, templates[k.String()]), s)
		case n == 12:
			return g.literal(k)
		case n == 13:
			return "IF(" + g.expression(truth, s) + ", " + g.expression(k, s) + ", " + g.expression(k, s) + ")"
		case n == 14:
			return "CASE WHEN " + g.expression(truth, s) + " THEN " + g.expression(k, s) + " ELSE " + g.expression(k, s) + " END"
		case n == 15:
			return pick(g, []string{"COALESCE", "IFNULL"}) + "(" + g.expression(k, s) + ", " + g.expression(k, s) + ")"
		case n == 16 && k.groupable():
			return "NULLIF(" + g.expression(k, s) + ", " + g.expression(k, s) + ")"
		case n == 17 && g.spend(2):
			return g.scalarSubquery(k, s)
		case n == 18:
			other := pick(g, []*kind{text, integer})
			return "STRUCT(" + g.expression(k, s) + " AS f, " + g.expression(other, s) + " AS o).f"
		case n == 19 && k.element == nil:
			return "[" + g.expression(k, s) + ", " + g.expression(k, s) + "][" +
				pick(g, []string{"OFFSET(0)", "SAFE_OFFSET(1)", "ORDINAL(1)"}) + "]"
		case n == 20 && k.element == nil && g.one(2):
			v := g.name("v")
			vk := pick(g, []*kind{text, integer, k})
			inner := &scope{items: []item{{v, vk}}, outer: s}
			return "WITH(" + v + " AS " + g.expression(vk, s) + ", " + g.expression(k, inner) + ")"
		case n == 21 && k.name == "STRUCT":
			return g.structure(k, func(f *kind) string { return g.expression(f, s) })
		case n == 22 && k.element != nil:
			return g.array(k, s)
		case n == 23 && k.groupable() && g.one(3):
			return "CASE " + g.expression(text, s) + " WHEN " + g.expression(text, s) + " THEN " + g.expression(k, s) + " ELSE " +
				g.expression(k, s) + " END"
		}
	}
}

// small makes something of a reference of another type, where there is one.
func (g *generator) small(k *kind, s *scope) string {
	switch {
	case k.name == "STRUCT":
		return g.structure(k, func(f *kind) string { return g.expression(f, s) })
	case k.element != nil:
		return "[" + g.expression(k.element, s) + "]"
	}
	for _, c := range conversions[k.name] {
		if ref := g.reference(c.from, s); ref != "" && !g.one(8) {
			return strings.ReplaceAll(c.how, "%", ref)
		}
	}
	return g.literal(k)
}

var conversions = map[string][]struct {
	from *kind
	how  string
}{
	"STRING": {{integer, "CAST(% AS STRING)"}, {day, "CAST(% AS STRING)"}, {raw, "TO_HEX(%)"}, {document, "TO_JSON_STRING(%)"},
		{arrayOf(text), "ARRAY_TO_STRING(%, '+')"}},
	"INT64":      {{text, "LENGTH(%)"}, {day, "EXTRACT(DAY FROM %)"}, {raw, "BYTE_LENGTH(%)"}, {arrayOf(text), "ARRAY_LENGTH(%)"}},
	"FLOAT64":    {{numeric, "CAST(% AS FLOAT64)"}, {integer, "% / 2"}, {text, "LENGTH(%) / 2"}},
	"BOOL":       {{text, "% > 'D'"}, {integer, "% >= 1"}, {day, "% IS NOT NULL"}},
	"NUMERIC":    {{integer, "CAST(% AS NUMERIC)"}, {text, "CAST(LENGTH(%) AS NUMERIC)"}},
	"BIGNUMERIC": {{numeric, "CAST(% AS BIGNUMERIC)"}, {integer, "CAST(% AS BIGNUMERIC)"}},
	"DATE":       {{timestamp, "DATE(%)"}, {integer, "DATE_FROM_UNIX_DATE(%)"}},
	"TIMESTAMP":  {{day, "TIMESTAMP(%)"}, {integer, "TIMESTAMP_SECONDS(%)"}},
	"DATETIME":   {{timestamp, "DATETIME(%)"}, {day, "DATETIME(%)"}},
	"TIME":       {{timestamp, "TIME(%)"}},
	"BYTES":      {{text, "CAST(% AS BYTES)"}},
	"JSON":       {{text, "TO_JSON(%)"}, {integer, "TO_JSON(%)"}},
}

// key is an expression to group, order or partition by, which must not be a literal.
func (g *generator) key(k *kind, s *scope) string {
	for range 5 {
		if e := g.expression(k, s); !slices.Contains(literals[k.name], e) && (e[0] > '9' || e[0] == '(') {
			return e
		}
	}
	if ref := g.reference(k, s); ref != "" {
		return ref
	}
	return "COALESCE(" + g.literal(k) + ", " + g.literal(k) + ")"
}

func (g *generator) scalarSubquery(k *kind, s *scope) string {
	c := g.name("c")
	if k.name == "STRUCT" && g.one(2) {
		from, inner := g.from(s)
		items := make([]string, len(k.fields))
		for i, f := range k.fields {
			items[i] = g.expression(f, inner) + " AS " + k.names[i]
		}
		return "(SELECT AS STRUCT " + strings.Join(items, ", ") + " FROM " + from + g.where(inner) + " LIMIT 1)"
	}
	if g.one(3) { // the aggregate of a query is one row
		from, inner := g.from(s)
		return "(SELECT " + g.aggregate(k, inner) + " AS " + c + " FROM " + from + g.where(inner) + ")"
	}
	return "(SELECT * FROM (" + g.query([]*kind{k}, []string{c}, s) + ") LIMIT 1)"
}

func (g *generator) array(k *kind, s *scope) string {
	e := k.element
	switch g.r.IntN(6) {
	case 0:
		return "[" + g.expression(e, s) + ", " + g.expression(e, s) + "]"
	case 1:
		if g.spend(2) {
			return "ARRAY(" + g.query([]*kind{e}, []string{g.name("c")}, s) + ")"
		}
	case 2:
		return "ARRAY_CONCAT(" + g.expression(k, s) + ", " + g.expression(k, s) + ")"
	case 3:
		return "ARRAY_REVERSE(" + g.expression(k, s) + ")"
	case 4:
		v := g.name("e")
		inner := &scope{items: []item{{v, e}}, outer: s}
		return "ARRAY_FILTER(" + g.expression(k, s) + ", " + v + " -> " + g.expression(truth, inner) + ")"
	case 5:
		v := g.name("e")
		from := pick(g, []*kind{text, integer})
		inner := &scope{items: []item{{v, from}}, outer: s}
		return "ARRAY_TRANSFORM(" + g.expression(arrayOf(from), s) + ", " + v + " -> " + g.expression(e, inner) + ")"
	}
	return "[" + g.expression(e, s) + "]"
}

// holes of templates.
var holes = map[string]*kind{
	"s": text, "i": integer, "f": float, "b": truth, "n": numeric, "g": big, "d": day, "dt": datetime, "c": clock, "t": timestamp, "y": raw,
	"j":  document,
	"as": arrayOf(text), "ai": arrayOf(integer),
}

// fill replaces the holes of a template: {s} by an expression of type STRING and so on, {p} by a
// small number, {w} by a short word, {guess} by the word of a canary, {x} by anything, {q:s} by a
// query with one column of a type, {s>b} by a lambda, {over} by a window, {keys} by a STRING to
// sort by; % by what is given.
func (g *generator) fill(template string, s *scope, given ...string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(template, "{")
		if len(given) > 0 {
			before = strings.ReplaceAll(before, "%", given[0])
		}
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		hole, after, _ := strings.Cut(rest, "}")
		template = after
		switch {
		case hole == "p":
			fmt.Fprint(&b, 1+g.r.IntN(4))
		case hole == "w":
			b.WriteString(pick(g, []string{"'-'", "'1'", "'a'", "'x'", "'9'"}))
		case hole == "guess":
			b.WriteString(g.guess())
		case hole == "x":
			b.WriteString(g.expression(pick(g, wanted), s))
		case hole == "e": // what can be compared
			b.WriteString(g.expression(pick(g, []*kind{text, text, integer, day, numeric}), s))
		case strings.HasPrefix(hole, "key"):
			b.WriteString(g.key(holes[hole[3:]], s))
		case hole == "over":
			b.WriteString(g.window(s, false))
		case hole == "overorder":
			b.WriteString(g.window(s, true))
		case hole == "frame":
			b.WriteString(g.window(s, true) +
				pick(g, []string{"", "", " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", " ROWS UNBOUNDED PRECEDING"}))
		case strings.HasPrefix(hole, "q:"):
			b.WriteString(g.query([]*kind{holes[hole[2:]]}, []string{g.name("c")}, s))
		case strings.HasPrefix(hole, "exists"):
			from, inner := g.from(s)
			b.WriteString("SELECT 1 FROM " + from + " WHERE " + g.expression(truth, inner))
		case strings.Contains(hole, ">"): // a lambda: {s>b}
			v := g.name("e")
			from, to, _ := strings.Cut(hole, ">")
			inner := &scope{items: []item{{v, holes[from]}}, outer: s}
			b.WriteString(v + " -> " + g.expression(holes[to], inner))
		default:
			k, ok := holes[hole]
			if !ok {
				panic("the template hole {" + hole + "} is not known")
			}
			b.WriteString(g.expression(k, s))
		}
	}
}

// guess is what an attacker might compare with: a real word of the data, or the beginning of one.
func (g *generator) guess() string {
	for {
		t := pick(g, tables)
		leaves := pick(g, pick(g, t.rows)).leaves()
		if v := pick(g, leaves); v.plain != "" && v.column.scalarName() == "STRING" {
			return quote(pick(g, []string{v.plain, v.plain[:1], v.plain[:5]}))
		}
	}
}

// window is the inside of OVER ( … ).
func (g *generator) window(s *scope, ordered bool) string {
	var parts []string
	if g.one(2) {
		parts = append(parts, "PARTITION BY "+g.key(pick(g, []*kind{text, integer}), s))
	}
	if ordered || g.one(2) {
		parts = append(parts, "ORDER BY "+g.key(pick(g, []*kind{text, integer, day}), s)+pick(g, []string{"", " DESC"}))
	}
	return strings.Join(parts, " ")
}

// aggregate makes an aggregate of a type.
func (g *generator) aggregate(k *kind, s *scope) string {
	if list := aggregates[k.String()]; len(list) > 0 && !g.one(6) {
		return g.fill(pick(g, list), s)
	}
	if k.element != nil && k.element.element == nil && g.one(2) {
		return "ARRAY_AGG(" + g.expression(k.element, s) +
			pick(g, []string{"", " IGNORE NULLS", " LIMIT 2", " ORDER BY " + g.key(integer, s)}) + ")"
	}
	if k.orderable() && g.one(2) {
		return pick(g, []string{"MAX", "MIN"}) + "(" + g.expression(k, s) + ")"
	}
	return "ANY_VALUE(" + g.expression(k, s) + ")"
}

// analytic makes an analytic function of a type, or, sometimes, an expression without one.
func (g *generator) analytic(k *kind, s *scope) string {
	list := slices.Clone(analytics[k.String()])
	e := g.expression(k, s)
	if len(list) > 0 && g.one(2) {
		return g.fill(pick(g, list), s)
	}
	if k.element != nil || k.name == "STRUCT" || k.name == "JSON" {
		return e
	}
	return g.fill(pick(g, []string{
		"LAG(%) OVER ({overorder})", "LEAD(%, 2) OVER ({overorder})", "FIRST_VALUE(%) OVER ({frame})", "LAST_VALUE(%) OVER ({frame})",
		"NTH_VALUE(%, 2) OVER ({frame})",
		"MAX(%) OVER ({over})", "MIN(%) OVER ({frame})", "ANY_VALUE(%) OVER ({over})",
	}), s, e)
}
