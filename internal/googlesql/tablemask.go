package googlesql

import (
	"fmt"
	"slices"
	"strings"
)

// TableMask is the Transform that says what stands for columns of a table or a view wherever a
// query reads it: (SELECT * REPLACE (expression AS column) FROM table) AS alias.
type TableMask struct {
	Table   string // project.dataset.table
	Columns []ColumnMask
	Hides   []string // leaf columns of stored tables that these columns hold: the constants hide them in the proof
}

// ColumnMask is what stands for one top-level column. Both texts are expressions of the column's
// own type.
type ColumnMask struct {
	Column     string
	Expression string // over RowAlias; what BigQuery computes
	Constant   string // what stands there in the proof
}

func (m TableMask) changes(_ string, s *Statement, f face) (changes, *Error) {
	if len(m.Columns) == 0 {
		return changes{}, unsupported("nothing is said of the columns of %s", m.Table)
	}
	c := changes{reads: map[int]wrapping{}}
	for i, r := range s.References {
		if r.Table == m.Table {
			c.reads[i] = func(source string) (string, *Error) { return m.over(source, f) }
		}
	}
	return c, nil
}

// over is the query that masks the columns of what source reads.
func (m TableMask) over(source string, f face) (string, *Error) {
	columns := make([]string, len(m.Columns))
	for i, c := range m.Columns {
		if c.Column == "" || strings.ContainsAny(c.Column, "`\\\n\r") {
			return "", unsupported("the name of a column of %s is not written plainly", m.Table)
		}
		expression := c.Expression
		if f == proves {
			expression = c.Constant
		}
		if !plain(expression) {
			return "", unsupported("the mask of %s.%s is not a plain expression", m.Table, c.Column)
		}
		columns[i] = expression + " AS `" + c.Column + "`"
	}
	return fmt.Sprintf("SELECT * REPLACE (%s) FROM %s", strings.Join(columns, ", "), source), nil
}

func (m TableMask) hides(column string) bool {
	return slices.ContainsFunc(m.Columns, func(c ColumnMask) bool { return within(column, m.Table+"."+c.Column) }) ||
		slices.ContainsFunc(m.Hides, func(leaf string) bool { return within(column, leaf) })
}

// proven: no masked column is read any more.
func (m TableMask) proven(original *Analysis, proof *Statement) *Error {
	for _, c := range m.Columns {
		if column := m.Table + "." + c.Column; proof.Reads(column) {
			return stillRead(original, m.Table, column)
		}
	}
	return nil
}

// stillRead says where a column is read that could not be masked.
func stillRead(whole *Analysis, table, column string) *Error {
	for _, name := range whole.Statements[0].Tables {
		if view := whole.Views[name]; view != nil && view.Reads(column) {
			return &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is a view that computes on %s, or decides by it; read %s itself",
				name, column, table)}
		}
	}
	for _, name := range whole.Statements[0].Routines {
		if body := whole.Bodies[name]; body != nil && body.Reads(column) {
			return &Error{Code: ErrorUnsupported,
				Message: fmt.Sprintf("%s is a function that reads %s; read %s itself", name, column, table)}
		}
	}
	return &Error{Code: ErrorUnsupported, Message: column + " is still read as it is"}
}
