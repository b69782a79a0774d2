package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

// What happens to a query that uses a sensitive column other than by selecting it as it is.
const (
	useRewrite = "rewrite" // it computes on the masked value; the default
	useApprove = "approve" // the same, and a person must say yes first
	useDeny    = "deny"    // it is refused
)

// MaskedTable is the Transform by which a query reads a table, or a view, with columns masked.
type MaskedTable struct {
	Table   string           // project.dataset.table
	Columns []masking.Column // whole columns of it, each leaf with its rule, in the order of the schema
	Leaves  []MaskedLeaf     // what of stored tables these columns hold, sorted
}

// MaskedLeaf is a leaf column of a stored table and the rule that it is masked by.
type MaskedLeaf struct {
	Column string       // project.dataset.table.column[.field…]
	Rule   masking.Rule // masking.Clear for one that passes beside masked ones
}

const kindMaskedTable = "masked_table"

func (MaskedTable) kind() string { return kindMaskedTable }

func (t MaskedTable) masks() []MaskedLeaf { return t.Leaves }

// sql implements Transform. A rule that SQL cannot express is an error that is a *googlesql.Error.
func (t MaskedTable) sql(salt []byte) (googlesql.Transform, error) {
	m := googlesql.TableMask{Table: t.Table}
	for _, leaf := range t.Leaves {
		m.Hides = append(m.Hides, leaf.Column)
	}
	for _, c := range t.Columns {
		expression, err := c.SQL(googlesql.RowAlias+".`"+c.Name+"`", salt)
		if err != nil {
			return nil, notSQL(t.Table, c.Name, err)
		}
		constant, err := c.ConstantSQL()
		if err != nil {
			return nil, notSQL(t.Table, c.Name, err)
		}
		m.Columns = append(m.Columns, googlesql.ColumnMask{Column: c.Name, Expression: expression, Constant: constant})
	}
	return m, nil
}

func notSQL(table, column string, err error) error {
	return &googlesql.Error{Code: googlesql.ErrorUnsupported, Message: fmt.Sprintf("%s.%s: %v", table, column, err)}
}

// demand is a use of a sensitive column that masking the answer does not hide.
type demand struct {
	column string
	leaf   leaf
	err    *objection // what it is refused with, if nothing is done
}

// demand notes a use that can be served by masking the column's table first. One that cannot be is
// an error.
func (e *evaluation) demand(column string, l leaf, remedy, format string, args ...any) error {
	text := fmt.Sprintf(format, args...) + "; " + why(l)
	switch {
	case l.other == useDeny:
		return refuse(l.ref, remedy, "%s and its rule is `deny` outside the select list", text)
	case e.input.Transformed != nil && !e.collecting:
		return refuse(l.ref, remedy, "%s, and this use of it cannot be masked first", text)
	}
	e.demands = append(e.demands, demand{column, l, &objection{message: text, remedy: remedy, rule: l.ref}})
	return nil
}

// maskFirst demands that tables are masked before the query reads them: every one of which it
// touches a masked column, so that it computes on nothing but masked values. The refusal of the
// first use stands if they cannot be.
func (e *evaluation) maskFirst() error {
	first := e.demands[0].err
	const cannot = ", and the query cannot be rewritten to compute on masked values: "
	var tables Transforms
	for _, v := range e.tables {
		var table MaskedTable
		var err error
		if v.stored {
			table, err = e.maskedTable(v)
		} else {
			table = e.maskedView(v)
		}
		if err != nil {
			return refuse(first.rule, first.remedy, "%s%s%v", first.message, cannot, err)
		}
		if len(table.Columns) > 0 {
			tables = append(tables, table)
		}
	}
	e.transform(first, cannot, tables...)
	return nil
}

// maskedTable is a stored table with every column of which the query touches a masked leaf.
func (e *evaluation) maskedTable(v *view) (MaskedTable, error) {
	t := MaskedTable{Table: v.name}
	touched := map[string]bool{} // folded names of top-level columns
	for _, column := range e.decision.Masked {
		if rest, ok := strings.CutPrefix(column, v.name+"."); ok {
			name, _, _ := strings.Cut(rest, ".")
			touched[fold(name)] = true
		}
	}
	for i := range v.schema {
		f := &v.schema[i]
		if !touched[fold(f.Name)] {
			continue
		}
		delete(touched, fold(f.Name))
		t.Columns = append(t.Columns, t.maskedColumn(v, f, []string{f.Name}))
	}
	for name := range touched {
		return t, fmt.Errorf("%s.%s is not a column of the table's schema", e.input.short(v.name), shorten(name))
	}
	slices.SortFunc(t.Leaves, func(a, b MaskedLeaf) int { return strings.Compare(a.Column, b.Column) })
	return t, nil
}

func (t *MaskedTable) maskedColumn(v *view, f *bigquery.Field, path []string) masking.Column {
	c := masking.Column{Name: f.Name, Type: strings.ToUpper(f.Type), Repeated: f.Mode == "REPEATED"}
	if len(f.Fields) > 0 {
		c.Type = structType
		for i := range f.Fields {
			c.Fields = append(c.Fields, t.maskedColumn(v, &f.Fields[i], append(path[:len(path):len(path)], f.Fields[i].Name)))
		}
		return c
	}
	c.Mask = v.leaf(path, f.Type).masked().For(f.Type)
	if f.RangeElementType != nil {
		c.Type = "RANGE<" + strings.ToUpper(f.RangeElementType.Type) + ">"
	}
	t.Leaves = append(t.Leaves, MaskedLeaf{v.name + "." + strings.Join(path, "."), c.Mask})
	return c
}

// maskedView is a view with every column that carries masked leaves unchanged, each leaf under one
// rule. What a view computes on a sensitive column, or decides by one, cannot be masked at its
// reference: the proof shows that it is still there.
func (e *evaluation) maskedView(v *view) MaskedTable {
	t := MaskedTable{Table: v.name}
	s := e.input.Analysis.Views[v.name]
	if s == nil {
		return t
	}
	columns, err := e.sources(s)
	if err != nil {
		return t
	}
	for i, c := range s.Columns {
		masked, whole := false, true
		column, err := placed(c.Name, c.Type, columns[i], func(here []carried) (masking.Rule, error) {
			rule, apart := soleRule(here)
			masked, whole = masked || rule != masking.Clear, whole && apart == nil
			return rule, nil
		})
		if err != nil || !masked || !whole {
			continue
		}
		t.Columns = append(t.Columns, column)
		for _, source := range columns[i] {
			if source.column != "" {
				t.Leaves = append(t.Leaves, MaskedLeaf{source.column, source.leaf.masked()})
			}
		}
	}
	slices.SortFunc(t.Leaves, func(a, b MaskedLeaf) int { return strings.Compare(a.Column, b.Column) })
	t.Leaves = slices.Compact(t.Leaves)
	return t
}

// masked looks at a query whose tables were masked first. Every sensitive column that it touches
// must have been masked by a rule that hides as much as today's, and be gone from the proof, or
// still be there to be masked in flight. From then on the statement is the one of the proof.
func (e *evaluation) masked() error {
	r := e.input.Transformed
	if r.Proof == nil || r.Proof.Error != nil || len(r.Proof.Statements) != 1 ||
		len(r.Proof.Statements[0].Columns) != len(e.statement.Columns) {
		return errors.New("the query was rewritten to compute on masked values, and what came of it is not understood")
	}
	proof := &r.Proof.Statements[0]
	e.collecting = true
	columns, err := e.sources(e.statement)
	if err != nil {
		return err
	}
	if err := e.uses(); err != nil {
		return err
	}
	if err := e.plan(columns); err != nil {
		return err
	}
	e.collecting = false
	e.ask = slices.ContainsFunc(e.demands, func(d demand) bool { return d.leaf.other == useApprove })
	e.asked, e.demands, e.expected, e.decision.Mask.Columns = e.demands, nil, e.decision.Mask.Columns, nil
	for _, column := range e.decision.Masked {
		if err := e.stillMasked(proof, column); err != nil {
			return err
		}
	}
	e.decision.MaskedFirst = r.Transforms.masked()
	e.statement = proof
	return nil
}

// expect notes, at each leaf of the answer that needs no mask any more, the rule whose results
// alone can stand there. The two lists have the same shape.
func expect(columns, masked []masking.Column) []masking.Column {
	if len(columns) != len(masked) {
		return columns
	}
	for i := range columns {
		c := &columns[i]
		c.Fields = expect(c.Fields, masked[i].Fields)
		if len(c.Fields) == 0 && c.Mask == masking.Clear && masked[i].Mask != masking.Clear {
			c.Expect = masked[i].Mask
		}
	}
	return columns
}

// stillMasked says whether a column that the query touches is hidden: masked in the text by a rule
// that hides as much as today's, or left for the answer.
func (e *evaluation) stillMasked(proof *googlesql.Statement, column string) error {
	v, in := e.view(column)
	if v == nil {
		return fmt.Errorf("%s is a column of a table that the query is not known to read", e.input.short(column))
	}
	l := v.at(in)[0]
	applied, ok := e.input.Transformed.Transforms.applied(column)
	switch {
	case ok && applied != masking.Clear && proof.Reads(column):
		return refuse(l.ref, "the column selected as it is, or the tables behind a view in its place",
			"%s is still read as it is after the query was rewritten to compute on masked values; it is sensitive", e.input.short(column))
	case ok && masking.Stricter(applied, l.masked()) == applied:
		return nil
	case !ok && proof.Reads(column):
		return nil // its place is in the answer; anything else that is done with it is refused
	default:
		return refuse(l.ref, "the same query again",
			"the policy has changed since this query was rewritten: %s has to be masked otherwise now", e.input.short(column))
	}
}
