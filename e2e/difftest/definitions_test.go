package difftest

import (
	"context"
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// definition is a view, a function or a table function of the database. What it reads it mostly
// only carries: nothing in its body says that a value is used, and the analysis must find that in
// the query, wherever that calls it.
type definition struct {
	name      string // dataset.name, in the project of the queries
	word      string // VIEW, FUNCTION or TABLE FUNCTION
	arguments []item // a function's
	returns   *kind  // of a function
	columns   []item // of the others
	list      bool   // a view's columns are named by the list that it is made with, by position
	grown     bool   // a view's stored schema is older than its query
	body      string
}

const customers = "`my-proj`.ds.customers"

// definitions are in an order in which they can be made.
var definitions = []*definition{
	{
		name: "lib.ssn_of", word: "FUNCTION", arguments: argument("i", integer), returns: text,
		body: "(SELECT ssn FROM " + customers + " WHERE id = i)",
	},
	{name: "lib.again", word: "FUNCTION", arguments: argument("i", integer), returns: text, body: "`my-proj`.lib.ssn_of(i)"},
	{
		name: "lib.tags_of", word: "FUNCTION", arguments: argument("i", integer), returns: arrayOf(text),
		body: "ARRAY(SELECT t FROM " + customers + ", UNNEST(tags) AS t WHERE id = i)",
	},
	{
		name: "lib.person", word: "FUNCTION", arguments: argument("i", integer), returns: structOf([]string{"a", "b"}, text, integer),
		body: "(SELECT AS STRUCT name AS a, id AS b FROM " + customers + " WHERE id = i)",
	},
	{name: "lib.twice", word: "FUNCTION", arguments: argument("s", text), returns: text, body: "CONCAT(s, s)"},
	{
		name: "lib.known", word: "FUNCTION", arguments: argument("s", text), returns: truth,
		body: "EXISTS(SELECT 1 FROM " + customers + " WHERE name > s)",
	},
	{
		name: "views.people", word: "VIEW",
		columns: []item{{"id", integer}, {"code", text}, {"mail", text}, {"tags", arrayOf(text)}, {"region", text}},
		body:    "SELECT id, ssn AS code, UPPER(email) AS mail, tags, region FROM " + customers,
	},
	{
		name: "lib.code_of", word: "FUNCTION", arguments: argument("i", integer), returns: text,
		body: "(SELECT code FROM `my-proj`.views.people WHERE id = i)",
	},
	{
		name: "views.numbers", word: "VIEW", columns: []item{{"id", integer}, {"kind", text}, {"number", text}},
		body: "SELECT c.id, p.kind, p.number FROM " + customers + " AS c, UNNEST(c.phones) AS p",
	},
	{
		name: "views.numbers_again", word: "VIEW", columns: []item{{"id", integer}, {"number", text}},
		body: "SELECT id, number FROM `my-proj`.views.numbers",
	},
	{
		name: "views.marked", word: "VIEW",
		columns: []item{{"id", integer}, {"pairs", arrayOf(structOf([]string{"k", "v"}, text, text))}, {"kinds", arrayOf(text)}},
		body: "SELECT id, ARRAY(SELECT AS STRUCT p.number AS k, 'x' AS v FROM UNNEST(phones) AS p) AS pairs, " +
			"ARRAY(SELECT p.kind FROM UNNEST(phones) AS p) AS kinds FROM " + customers,
	},
	{
		name: "views.with_call", word: "VIEW", columns: []item{{"id", integer}, {"word", text}, {"card", text}},
		body: "SELECT order_id AS id, `my-proj`.lib.ssn_of(customer_id) AS word, card FROM `my-proj`.ds.orders",
	},
	{
		name: "views.named", word: "VIEW", list: true, columns: []item{{"ssn", text}, {"id", integer}, {"email", text}},
		body: "SELECT email, id, ssn FROM " + customers, // swapped
	},
	{
		name: "views.named_again", word: "VIEW", list: true, columns: []item{{"email", text}, {"ssn", text}, {"n", integer}},
		body: "SELECT UPPER(email), ssn, id + 1 FROM `my-proj`.views.named",
	},
	{
		name: "views.star", word: "VIEW", grown: true, columns: []item{{"ssn", text}, {"id", integer}, {"email", text}},
		body: "SELECT * FROM `my-proj`.views.named",
	},
	{
		name: "lib.rows_from", word: "TABLE FUNCTION", arguments: argument("i", integer),
		columns: []item{{"id", integer}, {"ssn", text}, {"email", text}},
		body:    "SELECT id, ssn, email FROM " + customers + " WHERE id >= i",
	},
	{
		name: "lib.numbers_from", word: "TABLE FUNCTION", arguments: argument("i", integer),
		columns: []item{{"id", integer}, {"number", text}, {"mark", text}},
		body:    "SELECT c.id, p.number, 'x' AS mark FROM " + customers + " AS c, UNNEST(c.phones) AS p WHERE c.id >= i",
	},
}

func argument(name string, k *kind) []item { return []item{{name, k}} }

// calls are calls of the functions, as templates by the type that they have.
var calls = map[string][]string{
	"STRING": {
		"lib.ssn_of({i})", "lib.ssn_of({p})", "`my-proj`.lib.again({p})", "`my-proj.lib.code_of`({p})", "lib.person({p}).a",
		"lib.tags_of({p})[SAFE_OFFSET(0)]", "lib.twice({s})", "IF(lib.ssn_of({p}) > {guess}, ERROR('x'), {s})",
		"IF(lib.person({p}).a > {guess}, ERROR('x'), {s})",
	},
	"INT64": {"lib.person({i}).b", "LENGTH(lib.again({p}))", "ARRAY_LENGTH(lib.tags_of({p}))",
		"IF(lib.code_of({p}) > {guess}, 1, {i})"},
	"BOOL":                              {"lib.known({s})", "lib.known({guess})", "lib.ssn_of({p}) > {guess}", "lib.code_of({p}) = {s}"},
	"ARRAY<STRING>":                     {"lib.tags_of({i})", "lib.tags_of({p})", "[lib.ssn_of({p}), {s}]"},
	"STRUCT<a STRING, b INT64>":         {"lib.person({i})", "lib.person({p})"},
	"STRUCT<a STRING, t ARRAY<STRING>>": {"STRUCT(lib.again({p}) AS a, lib.tags_of({p}) AS t)"},
}

func init() {
	for k, list := range calls {
		templates[k] = append(templates[k], list...)
	}
}

func (d *definition) create() string {
	parts := strings.Split(d.name, ".")
	name, body := "`my-proj`."+parts[0]+"."+parts[1], d.body
	if d.word == "FUNCTION" {
		body = "(" + body + ")"
	}
	if d.list {
		var names []string
		for _, c := range d.columns {
			names = append(names, c.ref)
		}
		name += " (" + strings.Join(names, ", ") + ")"
	}
	if d.word != "VIEW" {
		var arguments []string
		for _, a := range d.arguments {
			arguments = append(arguments, a.ref+" "+a.kind.String())
		}
		name += "(" + strings.Join(arguments, ", ") + ")"
	}
	return fmt.Sprintf("CREATE %s %s AS %s", d.word, name, body)
}

// definedStatements make the definitions.
func definedStatements() []string {
	statements := []string{"CREATE SCHEMA `my-proj`.lib", "CREATE SCHEMA `my-proj`.views"}
	for _, d := range definitions {
		statements = append(statements, d.create())
	}
	return statements
}

// reach is the text of a query with the bodies of all that it names, and of what these name.
func (q *query) reach() string {
	all, known := q.sql, map[*definition]bool{}
	for again := true; again; {
		again = false
		for _, d := range definitions {
			if !known[d] && strings.Contains(strings.ReplaceAll(all, "`", ""), d.name) {
				known[d], again = true, true
				all += "\n" + d.body
			}
		}
	}
	return all
}

// leftOut computes something beside what is wanted that nobody takes, and that fails for some
// values: for "q" and what begins with it, which is the short value that a cell may be changed to.
func (g *generator) leftOut(want []*kind, names []string, outer *scope) string {
	from, s := g.from(outer)
	value := g.fill(pick(g, []string{
		"lib.ssn_of({i})", "lib.ssn_of({p})", "lib.again({i})", "lib.code_of({i})", "lib.person({i}).a",
		"lib.tags_of({i})[SAFE_OFFSET(0)]", "lib.twice({s})", "{s}", "{s}",
	}), s)
	extra := g.name("d")
	risk := "IF(" + value + " LIKE 'q%', ERROR('x'), 'a')"
	risk = fmt.Sprintf(pick(g,
		[]string{"MAX(%s) OVER ()", "COUNT(%s) OVER ()", "ROW_NUMBER() OVER (ORDER BY %s)", "STRUCT(1 AS a, %s AS b).a"}), risk)
	inner := "SELECT " + g.list(want, names, s) + ", " + risk + " AS " + extra + " FROM " + from + g.where(s)
	return "SELECT " + strings.Join(names, ", ") + " FROM (" + inner + ")"
}

// defined is a relation that a view or a table function makes.
func (g *generator) defined(alias string) (string, []item) {
	for {
		d := pick(g, definitions)
		if d.word == "FUNCTION" {
			continue
		}
		var items []item
		for _, c := range d.columns {
			items = append(items, item{alias + "." + c.ref, c.kind})
		}
		name := pick(g, []string{d.name, "`my-proj`." + d.name, "`my-proj." + d.name + "`"})
		if d.word != "VIEW" {
			name += fmt.Sprintf("(%d)", 1+g.r.IntN(4))
		}
		return name + " AS " + alias, items
	}
}

func definitionOf(word string, project, dataset, name string) *definition {
	for _, d := range definitions {
		if project == "my-proj" && d.name == dataset+"."+name && (word == "VIEW") == (d.word == "VIEW") {
			return d
		}
	}
	return nil
}

// view is a view as the analysis sees it; nil for none.
func view(id bigquery.TableID) *bigquery.Table {
	d := definitionOf("VIEW", id.Project, id.Dataset, id.Table)
	if d == nil {
		return nil
	}
	table := &bigquery.Table{TableReference: id, Type: "VIEW",
		View: &bigquery.View{Query: d.body, UseLegacySQL: new(bool), UseExplicitColumnNames: d.list}}
	for _, c := range d.columns {
		table.Schema.Fields = append(table.Schema.Fields, c.kind.field(c.ref))
	}
	if d.grown {
		table.Schema.Fields = table.Schema.Fields[:1]
	}
	return table
}

func (k *kind) field(name string) bigquery.Field {
	if k.element != nil {
		f := k.element.field(name)
		f.Mode = "REPEATED"
		return f
	}
	f := bigquery.Field{Name: name, Type: k.name}
	for i, inner := range k.fields {
		f.Fields = append(f.Fields, inner.field(k.names[i]))
	}
	return f
}

// Routine is a function as the analysis sees it.
func (catalog) Routine(_ context.Context, id bigquery.RoutineID) (*bigquery.Routine, error) {
	d := definitionOf("FUNCTION", id.Project, id.Dataset, id.Routine)
	if d == nil {
		return nil, googlesql.ErrNotFound
	}
	r := &bigquery.Routine{RoutineReference: id, RoutineType: "SCALAR_FUNCTION", Language: "SQL", DefinitionBody: d.body}
	for _, a := range d.arguments {
		r.Arguments = append(r.Arguments, bigquery.RoutineArgument{Name: a.ref, ArgumentKind: "FIXED_TYPE", DataType: a.kind.standard()})
	}
	if d.word == "TABLE FUNCTION" {
		r.RoutineType = "TABLE_VALUED_FUNCTION"
		return r, nil
	}
	r.ReturnType = d.returns.standard()
	return r, nil
}

func (k *kind) standard() *bigquery.StandardSQLDataType {
	switch {
	case k.element != nil:
		return &bigquery.StandardSQLDataType{TypeKind: "ARRAY", ArrayElementType: k.element.standard()}
	case k.name == "STRUCT":
		t := &bigquery.StandardSQLDataType{TypeKind: "STRUCT", StructType: &bigquery.StandardSQLStructType{}}
		for i, f := range k.fields {
			t.StructType.Fields = append(t.StructType.Fields, bigquery.StandardSQLField{Name: k.names[i], Type: f.standard()})
		}
		return t
	}
	return &bigquery.StandardSQLDataType{TypeKind: k.name}
}
