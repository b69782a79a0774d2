package difftest

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// The database: the tables of the corpus that most statements read, with the same columns, and one
// with the scalar types that those lack. A column is written "name TYPE"; nested ones in braces.
// What follows the type says what its cells are:
//
//	key      1, 2, 3 …: what joins find
//	few      one of a few words: what groups find
//	secret   a canary: letters and digits that occur in no other cell
//	(none)   a value of the type, mostly another one in every row
const (
	project    = "my-proj"
	rowsATable = 5
)

var tableTexts = map[string]string{
	"my-proj.ds.customers": `id INT64 key, name STRING secret, ssn STRING secret, email STRING secret, dob DATE, address {street STRING secret,
		city STRING few, geo {lat FLOAT64, lng FLOAT64}}, phones [kind STRING few, number STRING secret], tags [] STRING secret,
		profile JSON, created TIMESTAMP, region STRING few`,
	"my-proj.ds.orders": `order_id INT64 key, customer_id INT64 key, amount NUMERIC, status STRING few, items [sku STRING secret, qty INT64,
		price NUMERIC, attrs [k STRING few, v STRING secret]], ts TIMESTAMP, card STRING secret`,
	"my-proj.ds.employees": `emp_id INT64 key, mgr_id INT64 key, ename STRING secret, salary NUMERIC, dept STRING few`,
	"my-proj.ds.sales":     `q STRING few, prod STRING few, amt NUMERIC, seller STRING secret`,
	"my-proj.ds.wide":      `k INT64 key, q1 INT64, q2 INT64, q3 INT64`,
	"my-proj.ds.vault": `pin INT64, rate FLOAT64, raw BYTES secret, flag BOOL, day DATE, at DATETIME, clock TIME, big BIGNUMERIC, ` +
		`seal STRING secret`,
	"demo.crm.customers": `id INT64 key, name STRING secret, email STRING secret, ssn STRING secret, card_number STRING secret, address {street STRING secret,
		city STRING few, zip STRING secret}, phones [kind STRING few, number STRING secret], created TIMESTAMP`,
	"demo.crm.orders":      `id INT64 key, customer_id INT64 key, amount NUMERIC, status STRING few, ordered TIMESTAMP`,
	"demo.crm.events":      `id INT64 key, at TIMESTAMP, payload STRING secret`,
	"demo.finance.payroll": `employee STRING secret, ssn STRING secret, salary NUMERIC`,
}

// tables are parsed once; the cells come from a fixed seed.
var tables = makeTables()

type table struct {
	name    string // project.dataset.table
	columns []*column
	rows    [][]*cell
}

// column is a column or a field of one.
type column struct {
	name   string
	kind   *kind
	cells  string // key, few, secret or ""
	path   string // project.dataset.table.column.field
	fields []*column
	array  bool // an ARRAY of kind.element, or of STRUCTs of the fields
}

// cell is one value: a scalar's literal, the fields of a STRUCT, or the elements of an ARRAY.
type cell struct {
	column *column
	text   string // of a scalar: a GoogleSQL literal
	plain  string // of a secret: the characters themselves
	parts  []*cell
}

func makeTables() []*table {
	taken = map[string]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	var all []*table
	for _, name := range sortedKeys(tableTexts) {
		p := &columnParser{words: strings.Fields(strings.NewReplacer("{", " { ", "}", " } ", "[]", " [] ", "[", " [ ", "]", " ] ", "[  ]",
			"[]", ",", " , ").Replace(tableTexts[name]))}
		t := &table{name: name, columns: p.list(name, "")}
		for row := range rowsATable {
			var cells []*cell
			for _, c := range t.columns {
				v := c.cell(r, row)
				for _, leaf := range v.leaves() {
					for w := range canaryWindows(leaf.plain) {
						taken[w] = true
					}
				}
				cells = append(cells, v)
			}
			t.rows = append(t.rows, cells)
		}
		all = append(all, t)
	}
	return all
}

// columnParser reads the column lists above.
type columnParser struct{ words []string }

func (p *columnParser) take() string {
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *columnParser) peek() string {
	if len(p.words) == 0 {
		return ""
	}
	return p.words[0]
}

func (p *columnParser) list(path, end string) []*column {
	var columns []*column
	for {
		c := &column{name: p.take()}
		c.path = path + "." + c.name
		switch p.peek() {
		case "{", "[":
			c.array = p.take() == "["
			closing := map[bool]string{true: "]", false: "}"}[c.array]
			c.fields = p.list(c.path, closing)
			structure := &kind{name: "STRUCT"}
			for _, f := range c.fields {
				structure.names, structure.fields = append(structure.names, f.name), append(structure.fields, f.kind)
			}
			c.kind = structure
		case "[]":
			p.take()
			c.array = true
			fallthrough
		default:
			c.kind = scalar(p.take())
			if w := p.peek(); w != "," && w != end {
				c.cells = p.take()
			}
		}
		if c.array {
			c.kind = arrayOf(c.kind)
		}
		columns = append(columns, c)
		if p.peek() != "," {
			if end != "" {
				p.take()
			}
			return columns
		}
		p.take()
	}
}

var fewWords = []string{"open", "shut", "lent"}

func (c *column) cell(r *rand.Rand, row int) *cell {
	v := &cell{column: c}
	switch {
	case c.array:
		element := *c
		element.array, element.kind = false, c.kind.element
		for range 1 + r.IntN(2) {
			v.parts = append(v.parts, element.cell(r, row))
		}
	case len(c.fields) > 0:
		for _, f := range c.fields {
			v.parts = append(v.parts, f.cell(r, row))
		}
	case c.cells == "key":
		v.text = fmt.Sprint(1 + (row+len(c.name))%rowsATable)
	case c.cells == "few":
		v.text = quote(fewWords[r.IntN(len(fewWords))])
	default:
		v.set(r)
	}
	return v
}

// set gives a scalar cell a value that no other cell has.
func (v *cell) set(r *rand.Rand) {
	n := r.IntN(1e9)
	switch v.column.scalarName() {
	case "STRING":
		v.plain = canary(r)
		v.text = quote(v.plain)
	case "BYTES":
		v.plain = canary(r)
		v.text = "b" + quote(v.plain)
	case "INT64":
		v.text = fmt.Sprint(n%800 + 100)
	case "NUMERIC", "BIGNUMERIC":
		v.text = fmt.Sprintf("%s '%d.%02d'", v.column.scalarName(), n%9000+1000, n%97+1)
	case "FLOAT64":
		v.text = fmt.Sprintf("%d.5", n%9000+1000)
	case "BOOL":
		v.text = []string{"TRUE", "FALSE"}[n%2]
	case "DATE":
		v.text = fmt.Sprintf("DATE '%04d-%02d-%02d'", 1950+n%60, 1+n%12, 1+n%28)
	case "DATETIME":
		v.text = fmt.Sprintf("DATETIME '%04d-%02d-%02d %02d:00:05'", 1950+n%60, 1+n%12, 1+n%28, n%24)
	case "TIME":
		v.text = fmt.Sprintf("TIME '%02d:%02d:%02d'", n%24, n%60, n%59)
	case "TIMESTAMP":
		v.text = fmt.Sprintf("TIMESTAMP '%04d-%02d-%02d %02d:%02d:00+00'", 1990+n%30, 1+n%12, 1+n%28, n%24, n%60)
	case "JSON":
		v.plain = canary(r)
		v.text = fmt.Sprintf(`JSON '{"k": "%s", "n": %d, "a": [%d, 2]}'`, v.plain, n%1000, n%7)
	}
}

func (c *column) scalarName() string {
	if c.kind.element != nil {
		return c.kind.element.name
	}
	return c.kind.name
}

// canary is a word like Kqf-4821-93750-wZ: letters of both cases, and nine digits in a row when all
// else is left out.
func canary(r *rand.Rand) string {
	const letters = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
	pick := func(n int, from string) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = from[r.IntN(len(from))]
		}
		return string(b)
	}
	for {
		word := pick(3, letters) + "-" + pick(4, "0123456789") + "-" + pick(5, "0123456789") + "-" + pick(2, letters)
		unique := true
		for w := range canaryWindows(word) {
			unique = unique && !taken[w]
		}
		if unique {
			return word
		}
	}
}

// taken are the runs of characters of the database's canaries: no other word has one of them.
// Written only while the tables are made.
var taken map[string]bool

func quote(s string) string { return "'" + s + "'" }

// literal is the whole cell as a GoogleSQL expression.
func (v *cell) literal() string { return v.with(nil, "") }

// with is the cell with another text in place of one of its parts.
func (v *cell) with(part *cell, text string) string {
	if v == part {
		return text
	}
	if v.column.array || len(v.column.fields) > 0 && v.parts != nil {
		parts := make([]string, len(v.parts))
		for i, p := range v.parts {
			parts[i] = p.with(part, text)
		}
		if v.column.array {
			return v.column.kind.String() + "[" + strings.Join(parts, ", ") + "]"
		}
		return v.column.kind.String() + "(" + strings.Join(parts, ", ") + ")"
	}
	return v.text
}

// cells are the cell and all in it.
func (v *cell) cells() []*cell {
	all := []*cell{v}
	for _, p := range v.parts {
		all = append(all, p.cells()...)
	}
	return all
}

// leaves are the scalar cells in a cell.
func (v *cell) leaves() []*cell {
	if v.parts == nil {
		return []*cell{v}
	}
	var all []*cell
	for _, p := range v.parts {
		all = append(all, p.leaves()...)
	}
	return all
}

func (c *column) ddl() string {
	return "`" + c.name + "` " + c.kind.String()
}

// seedStatements make the database.
func seedStatements() []string {
	var statements []string
	made := map[string]bool{}
	for _, t := range tables {
		parts := strings.Split(t.name, ".")
		quoted := fmt.Sprintf("`%s`.%s", parts[0], parts[1])
		if !made[quoted] {
			made[quoted] = true
			statements = append(statements, "CREATE SCHEMA "+quoted)
		}
		var columns, rows []string
		for _, c := range t.columns {
			columns = append(columns, c.ddl())
		}
		for _, row := range t.rows {
			var cells []string
			for _, v := range row {
				cells = append(cells, v.literal())
			}
			rows = append(rows, "("+strings.Join(cells, ", ")+")")
		}
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s (%s)", t.sqlName(), strings.Join(columns, ", ")),
			fmt.Sprintf("INSERT INTO %s VALUES %s", t.sqlName(), strings.Join(rows, ", ")))
	}
	return append(statements, definedStatements()...)
}

func (t *table) sqlName() string { return "`" + strings.ReplaceAll(t.name, ".", "`.`") + "`" }

// change is one cell with another value: a leaf, an ARRAY or a STRUCT.
type change struct {
	table *table
	row   int
	top   int // the column
	cell  *cell
	how   string
	to    string // the new literal
}

// columns are the leaf columns that the change is about: of an ARRAY or STRUCT all below it.
func (c *change) columns() []string { return leafColumns(c.cell.column) }

func (c change) String() string {
	return fmt.Sprintf("%s of row %d: %s instead of %s (%s)", c.cell.column.path, c.row+1, c.to, c.cell.literal(), c.how)
}

// update is the statement that makes the change, or takes it back. The row is found by its other
// columns, and keeps its place.
func (c change) update(back bool) string {
	row := c.table.rows[c.row]
	value := row[c.top].literal()
	if !back {
		value = row[c.top].with(c.cell, c.to)
	}
	var others []string
	for i, v := range row {
		switch column := c.table.columns[i]; {
		case i == c.top, column.array, len(column.fields) > 0, column.kind == float, column.kind == document:
		default:
			others = append(others, fmt.Sprintf("`%s` = %s", column.name, v.text))
		}
	}
	return fmt.Sprintf("UPDATE %s SET `%s` = %s WHERE %s", c.table.sqlName(), c.table.columns[c.top].name, value,
		strings.Join(others, " AND "))
}

// ways to change a leaf, and an ARRAY or a STRUCT.
var (
	ways      = []string{"other", "null", "short", "same as another"}
	wholeWays = []string{"one element less", "one element more", "NULL in place of a STRUCT"}
)

// changes are one change of each leaf column, ARRAY and STRUCT in each way, in a row that r
// chooses.
func changes(r *rand.Rand) []change {
	var all []change
	for _, t := range tables {
		for top := range t.columns {
			made := map[string]bool{} // so that the order is that of the columns
			for _, v := range t.rows[0][top].cells() {
				path, ways := v.column.path+v.column.kind.String(), ways
				if v.column.array || len(v.column.fields) > 0 {
					ways = wholeWays
				}
				if made[path] {
					continue
				}
				made[path] = true
				for _, how := range ways {
					row := r.IntN(len(t.rows))
					cells := slices.DeleteFunc(t.rows[row][top].cells(), func(o *cell) bool {
						return o.column.path+o.column.kind.String() != path
					})
					if len(cells) == 0 {
						continue
					}
					c := change{table: t, row: row, top: top, cell: cells[r.IntN(len(cells))], how: how}
					if c.choose(r) {
						all = append(all, c)
					}
				}
			}
		}
	}
	return all
}

func leafColumns(c *column) []string {
	if len(c.fields) == 0 {
		return []string{c.path}
	}
	var all []string
	for _, f := range c.fields {
		all = append(all, leafColumns(f)...)
	}
	return all
}

// choose finds the new value; false where there is none of this sort.
func (c *change) choose(r *rand.Rand) bool {
	v := c.cell
	switch c.how {
	case "one element less", "one element more":
		if !v.column.array {
			return false
		}
		other := &cell{column: v.column, parts: v.parts[:len(v.parts)-1]}
		if c.how == "one element more" {
			element := *v.column
			element.array, element.kind = false, v.column.kind.element
			other.parts = append(slices.Clone(v.parts), element.cell(r, c.row))
		}
		c.to = other.literal()
	case "NULL in place of a STRUCT":
		c.to = "CAST(NULL AS " + v.column.kind.String() + ")"
		return !v.column.array && c.table.rows[c.row][c.top].nullable(v)
	case "null":
		c.to = "CAST(NULL AS " + v.column.scalarName() + ")"
		return !(v.column.kind.element != nil || v.column.name == "tags") // BigQuery stores no NULL elements
	case "short":
		switch v.column.scalarName() {
		case "STRING":
			c.to = quote("q")
		case "BYTES":
			c.to = "b'q'"
		case "INT64":
			c.to = "0"
		case "NUMERIC", "BIGNUMERIC", "FLOAT64":
			c.to = v.column.scalarName() + " '0'"
			if v.column.scalarName() == "FLOAT64" {
				c.to = "0.0"
			}
		case "JSON":
			c.to = `JSON '{}'`
		default:
			return false
		}
	case "same as another":
		var others []string
		for i, row := range c.table.rows {
			if i == c.row {
				continue
			}
			for _, o := range row[c.top].leaves() {
				if o.column.path == v.column.path && o.text != v.text {
					others = append(others, o.text)
				}
			}
		}
		if len(others) == 0 {
			return false
		}
		c.to = others[r.IntN(len(others))]
	default:
		other := &cell{column: v.column}
		switch v.column.cells {
		case "key":
			other.text = fmt.Sprint(100 + r.IntN(100))
		case "few":
			other.text = quote("zzzz")
		default:
			for other.set(r); other.text == v.text; {
				other.set(r)
			}
		}
		c.to = other.text
	}
	return c.to != v.text
}

// nullable reports whether a part may be NULL: BigQuery stores no NULL elements.
func (v *cell) nullable(part *cell) bool {
	if v == part {
		return true
	}
	return slices.ContainsFunc(v.parts, func(p *cell) bool { return !(v.column.array && p == part) && p.nullable(part) })
}

// catalog is the database as the analysis sees it.
type catalog struct{}

func (catalog) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	for _, t := range tables {
		if t.name == id.String() {
			table := &bigquery.Table{TableReference: id, Type: "TABLE"}
			for _, c := range t.columns {
				table.Schema.Fields = append(table.Schema.Fields, c.field())
			}
			return table, nil
		}
	}
	if table := view(id); table != nil {
		return table, nil
	}
	return nil, googlesql.ErrNotFound
}

func (c *column) field() bigquery.Field {
	f := bigquery.Field{Name: c.name, Type: c.scalarName()}
	if c.array {
		f.Mode = "REPEATED"
	}
	for _, inner := range c.fields {
		f.Fields = append(f.Fields, inner.field())
	}
	return f
}

// rawValues are, for each leaf column, its cells as the engine prints them.
type rawValues map[string]map[string]bool

// windows maps the runs of characters of every form of every canary, in lower case, to the canary's
// cells.
func windows() map[string][]*cell {
	found := map[string][]*cell{}
	for _, t := range tables {
		for _, row := range t.rows {
			for _, v := range row {
				for _, leaf := range v.leaves() {
					if leaf.plain == "" {
						continue
					}
					for w := range canaryWindows(leaf.plain) {
						found[w] = append(found[w], leaf)
					}
				}
			}
		}
	}
	return found
}

// windowSizes are the lengths of runs: six characters, and what six characters are in base64 and in
// hex.
var windowSizes = []int{6, 8, 12}

// canaryWindows are the runs of six characters of a word, its reverse, its digits, its base64 and
// its hex, in lower case.
func canaryWindows(word string) map[string]bool {
	var digits strings.Builder
	reversed := make([]byte, len(word))
	for i := range word {
		reversed[len(word)-1-i] = word[i]
		if word[i] >= '0' && word[i] <= '9' {
			digits.WriteByte(word[i])
		}
	}
	found := map[string]bool{}
	cut := func(form string, size int) {
		form = strings.ToLower(form)
		for i := 0; i+size <= len(form); i++ {
			found[form[i:i+size]] = true
		}
	}
	cut(word, windowSizes[0])
	cut(string(reversed), windowSizes[0])
	cut(digits.String(), windowSizes[0])
	for shift := range 3 { // the three alignments of base64; what is not the word's alone is left out at both ends
		if len(word) == 0 {
			break
		}
		form := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + word))[shift+min(shift, 1):]
		cut(form[:len(form)-1], windowSizes[1])
	}
	cut(fmt.Sprintf("%x", word), windowSizes[2])
	return found
}
