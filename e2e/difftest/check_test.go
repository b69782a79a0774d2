package difftest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// query is one SQL text with what both sides say of it.
type query struct {
	number  int
	sql     string
	project string // of names of two parts; names of one part are not used: the engine finds them in any dataset

	analysis *googlesql.Statement
	base     *response
	last     *finding // of the query made smaller
}

// finding is something that must not be.
type finding struct {
	what    string // the rule, without the particulars: what minimising keeps
	detail  string
	change  *change
	changed *response
}

// statement is the analysis of a text that must be one understood SELECT; nil for anything else,
// with the reason.
func statement(a *googlesql.Analysis) (*googlesql.Statement, string) {
	switch {
	case a.Error != nil:
		return nil, string(a.Error.Code) + ": " + a.Error.Message
	case len(a.Statements) != 1 || a.Statements[0].Kind != "SELECT":
		return nil, "not one SELECT"
	}
	return &a.Statements[0], ""
}

// spread is the engine's answer with the columns that BigQuery would give: the engine answers
// SELECT AS STRUCT with one column.
func (r *response) spread(s *googlesql.Statement) {
	if r.Error != nil || len(r.Columns) != 1 || r.Columns[0].Type != "RECORD" || r.Columns[0].Mode == "REPEATED" ||
		!strings.HasPrefix(r.Columns[0].Name, "$") {
		return
	}
	if fields := r.Columns[0].Fields; len(fields) == len(s.Columns) && (len(fields) != 1 || s.Columns[0].Name == fields[0].Name) &&
		s.Columns[0].Name != "" {
		r.Columns = fields
		for i, row := range r.Rows {
			parts, _ := row[0].([]any)
			if len(parts) != len(fields) {
				parts = make([]any, len(fields)) // NULL
			}
			r.Rows[i] = parts
		}
	}
}

// sourceOf says whether a table's column is among the sources of an output column.
func sourceOf(c *googlesql.Column, column string) bool {
	return slices.ContainsFunc(c.Sources, func(s googlesql.Source) bool { return s.Column == column })
}

func (q *query) uses(column string) bool {
	return slices.ContainsFunc(q.analysis.Uses, func(u googlesql.Use) bool { return u.Column == column })
}

func (q *query) derives(column string) bool {
	return slices.ContainsFunc(q.analysis.Columns, func(c googlesql.Column) bool {
		return slices.ContainsFunc(c.Sources, func(s googlesql.Source) bool {
			return s.Column == column && s.Carry != googlesql.CarryDirect
		})
	})
}

func (q *query) carries(column string) bool {
	return slices.ContainsFunc(q.analysis.Columns, func(c googlesql.Column) bool { return sourceOf(&c, column) })
}

// shape compares the numbers and names of columns.
func (q *query) shape() *finding {
	if len(q.base.Columns) != len(q.analysis.Columns) {
		return &finding{what: "number of columns",
			detail: fmt.Sprintf("%d columns, and the analysis says %d", len(q.base.Columns), len(q.analysis.Columns))}
	}
	for i, c := range q.analysis.Columns {
		name := q.base.Columns[i].Name
		if strings.HasPrefix(name, "$") {
			name = ""
		}
		if name != c.Name {
			return &finding{what: "name of a column", detail: fmt.Sprintf("column %d is %q, and the analysis says %q", i+1, name, c.Name)}
		}
	}
	return nil
}

// suspect is a canary that shows in a column that does not name its column. Six digits may be there
// by chance; changing the cell tells.
type suspect struct {
	cell   *cell
	output int
	window string
}

// canaries finds them.
func (q *query) canaries(known map[string][]*cell) []suspect {
	var found []suspect
	sql := strings.ToLower(q.sql)
	for i := range q.analysis.Columns {
		c := &q.analysis.Columns[i]
		for _, row := range q.base.Rows {
			text, err := json.Marshal(row[i])
			if err != nil {
				panic(err) // it came as JSON
			}
			lower := strings.ToLower(string(text))
			for _, size := range windowSizes {
				for at := 0; at+size <= len(lower); at++ {
					window := lower[at : at+size]
					for _, cell := range known[window] {
						switch {
						case sourceOf(c, cell.column.path), writesOf(sql, cell):
						// by chance, and changing the cell could not tell
						case q.uses(cell.column.path) && strings.Trim(window, "0123456789") == "":
						case slices.ContainsFunc(found, func(s suspect) bool { return s.cell == cell && s.output == i }):
						default:
							found = append(found, suspect{cell, i, window})
						}
					}
				}
			}
		}
	}
	return found
}

// writesOf reports whether the author of the query wrote the cell's word, or a part of it.
func writesOf(lowerSQL string, v *cell) bool {
	for w := range canaryWindows(v.plain) {
		if strings.Contains(lowerSQL, w) {
			return true
		}
	}
	return false
}

// direct checks that what is carried directly is a value of its sources.
func (q *query) direct(values rawValues) *finding {
	for i := range q.analysis.Columns {
		for _, row := range q.base.Rows {
			if f := q.directColumn(values, row, i); f != nil {
				return f
			}
		}
	}
	return nil
}

func (q *query) directColumn(values rawValues, row []any, i int) *finding {
	return q.directCell(&q.analysis.Columns[i], values, row[i], &q.base.Columns[i], q.base.Columns[i].Mode == "REPEATED", "")
}

func (q *query) directCell(c *googlesql.Column, values rawValues, v any, f *bigquery.Field, repeated bool, path string) *finding {
	if v == nil {
		return nil
	}
	list, isList := v.([]any)
	switch {
	case repeated:
		for _, e := range list {
			if found := q.directCell(c, values, e, f, false, path); found != nil {
				return found
			}
		}
		return nil
	case f.Type == "RECORD":
		if !isList || len(list) != len(f.Fields) {
			return &finding{what: "shape of a STRUCT", detail: fmt.Sprintf("column %q at %q", c.Name, path)}
		}
		for i := range f.Fields {
			inner := f.Fields[i].Name
			if path != "" {
				inner = path + "." + inner
			}
			if found := q.directCell(c, values, list[i], &f.Fields[i], f.Fields[i].Mode == "REPEATED", inner); found != nil {
				return found
			}
		}
		return nil
	}
	var sources []string
	for _, s := range c.Sources {
		switch {
		case s.Path != path && s.Path != "" && !strings.HasPrefix(path, s.Path+"."):
		case s.Carry != googlesql.CarryDirect || s.Column == "":
			return nil // computed, or written by the author
		case strings.Contains(s.Column, ".INFORMATION_SCHEMA."):
			return nil // nothing that the database of canaries holds
		default:
			sources = append(sources, s.Column)
		}
	}
	if len(sources) == 0 {
		return nil // a constant; that nothing hides in it the canaries and the changes show
	}
	for _, s := range sources {
		if values[s][fmt.Sprint(v)] {
			return nil
		}
	}
	return &finding{what: "direct value",
		detail: fmt.Sprintf("%v in column %q at %q is no value of %s", v, c.Name, path, strings.Join(sources, ", "))}
}

// collect adds the leaves of a raw column to the values.
func (values rawValues) collect(path string, v any, f *bigquery.Field, repeated bool) {
	list, _ := v.([]any)
	switch {
	case v == nil:
	case repeated:
		for _, e := range list {
			values.collect(path, e, f, false)
		}
	case f.Type == "RECORD":
		for i := range list {
			values.collect(path+"."+f.Fields[i].Name, list[i], &f.Fields[i], f.Fields[i].Mode == "REPEATED")
		}
	default:
		if values[path] == nil {
			values[path] = map[string]bool{}
		}
		values[path][fmt.Sprint(v)] = true
	}
}

// readValues asks the engine for the whole database.
func readValues(t testing.TB, c *child) rawValues {
	t.Helper()
	values := rawValues{}
	for _, table := range tables {
		r := c.must(t, request{Op: "rows", SQL: "SELECT * FROM " + table.sqlName(), Project: project})
		if r.Error != nil || len(r.Rows) != rowsATable {
			t.Fatalf("%s: %d rows, %+v", table.name, len(r.Rows), r.Error)
		}
		for _, row := range r.Rows {
			for i := range r.Columns {
				values.collect(table.name+"."+r.Columns[i].Name, row[i], &r.Columns[i], r.Columns[i].Mode == "REPEATED")
			}
		}
	}
	return values
}

// matters reports whether a change could show anything: the query reads the table, and says of the
// columns nothing that excuses everything.
func (q *query) matters(c *change) bool {
	return slices.Contains(q.analysis.Tables, c.table.name) &&
		slices.ContainsFunc(c.columns(), func(column string) bool { return !q.uses(column) })
}

// compare looks at what a change has done. How many elements an ARRAY has says something about all
// that is in it: what the change does must be allowed for each of these columns, or the elements
// themselves are in the answer, with their number. Where a STRUCT becomes NULL all its fields do,
// and what one of them allows may happen.
//
// UNNEST is told apart by the engine's own resolved tree: there one element that decides about the
// answer or is in it tells how many there are (internal/googlesql/engine/unnest.go has the rule),
// so that one column is enough.
func (l *lab) compare(q *query, c *change, changed *response) *finding {
	if !c.cell.column.array {
		return q.compareColumns(c, c.columns(), changed)
	}
	for _, column := range c.columns() {
		f := q.compareColumns(c, []string{column}, changed)
		if f == nil || q.carries(column) {
			continue
		}
		if slices.ContainsFunc(c.columns(), func(other string) bool { return q.uses(other) || q.carries(other) }) && l.unnests(q) {
			l.report.excused()
			return nil
		}
		return f
	}
	return nil
}

func (l *lab) unnests(q *query) bool {
	return strings.Contains(strings.TrimPrefix(q.reach(), q.sql), "UNNEST") ||
		slices.Contains(l.child.must(l.t, request{Op: "nodes", SQL: q.sql, Project: q.project}).Nodes, "ArrayScan")
}

func (q *query) compareColumns(c *change, columns []string, changed *response) *finding {
	fail := func(what, format string, args ...any) *finding {
		return &finding{what: what, detail: strings.Join(columns, ", ") + ": " + fmt.Sprintf(format, args...), change: c, changed: changed}
	}
	if slices.ContainsFunc(columns, q.uses) || changed.Error != nil && !runTime(changed.Error) {
		return nil
	}
	before, after := q.base.Error != nil, changed.Error != nil
	switch {
	case before != after:
		if slices.ContainsFunc(columns, q.derives) {
			return nil
		}
		return fail("success", "the query fails with only one of the two values")
	case before:
		return nil
	case len(q.base.Rows) != len(changed.Rows):
		return fail("number of rows", "%d rows become %d", len(q.base.Rows), len(changed.Rows))
	}
	for i := range q.analysis.Columns {
		if slices.ContainsFunc(columns, func(column string) bool { return sourceOf(&q.analysis.Columns[i], column) }) {
			continue
		}
		for r := range q.base.Rows {
			if !same(q.base.Rows[r][i], changed.Rows[r][i]) {
				return fail("another column", "column %q does not name the cell's column, and changes", q.analysis.Columns[i].Name)
			}
		}
	}
	return nil
}

func same(a, b any) bool {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	default:
		if _, list := b.([]any); list {
			return false
		}
		return a == b
	}
}
