package engine

import (
	"slices"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// maxRounds bounds how often a recursive query is walked until its lineage no longer grows.
const maxRounds = 64

// setOperation carries each column from the inputs by position. Anything but UNION ALL compares
// whole rows.
func (w *walk) setOperation(n *gsql.ResolvedSetOperationScan) {
	var inputs [][]*value
	for _, item := range must(n.InputItemList()) {
		w.scan(must(item.Scan()))
		inputs = append(inputs, w.columnsOf(must(item.OutputColumnList())))
	}
	merged := w.stack(listed(n), inputs)
	switch must(n.OpType()) {
	case gsql.ResolvedSetOperationScanEnums_SetOperationTypeUnionAll:
	default:
		for _, v := range merged {
			w.use(googlesql.UseGroup, v, location(n))
		}
	}
	must(n.ColumnMatchMode())
	must(n.ColumnPropagationMode())
}

// stack defines columns as one of each input's, by position.
func (w *walk) stack(columns []*gsql.ResolvedColumn, inputs [][]*value) []*value {
	merged := make([]*value, len(columns))
	for i, c := range columns {
		var parts []*value
		for _, input := range inputs {
			if i >= len(input) {
				refuse(-1, "a set operation whose inputs have different numbers of columns is not analysed")
			}
			parts = append(parts, input[i])
		}
		merged[i] = merge(parts...)
		w.define(c, merged[i])
	}
	return merged
}

func (w *walk) with(n *gsql.ResolvedWithScan) {
	must(n.Recursive())
	for _, entry := range must(n.WithEntryList()) {
		query := must(entry.WithSubquery())
		open, rows := len(w.open), len(w.rows)
		w.scan(query)
		w.within[must(entry.WithQueryName())] = met{open: distinct(w.open[open:]), rows: distinct(w.rows[rows:])}
		w.rows = w.rows[:rows] // where the query is read it makes rows
		w.withs[must(entry.WithQueryName())] = w.columnsOf(listed(query))
	}
	w.scan(must(n.Query()))
}

// alias defines the columns of a reference to a WITH query.
func (w *walk) alias(n gsql.ResolvedScanNode, values []*value, name string) {
	columns := listed(n)
	if len(columns) != len(values) {
		refuse(-1, "the columns of %s are not known to bqgate", name)
	}
	for i, c := range columns {
		w.define(c, values[i])
	}
}

// recursion walks the recursive term until what its columns carry no longer grows.
func (w *walk) recursion(n *gsql.ResolvedRecursiveScan) {
	first, term := must(n.NonRecursiveTerm()), must(n.RecursiveTerm())
	w.scan(must(first.Scan()))
	columns, start := listed(n), w.columnsOf(must(first.OutputColumnList()))
	if depth := must(n.RecursionDepthModifier()); depth != nil {
		w.optional(googlesql.UseOther, must(depth.LowerBound()))
		w.optional(googlesql.UseOther, must(depth.UpperBound()))
		columns = w.counter(columns, must(must(depth.RecursionDepthColumn()).Column()))
	}
	current := start
	outer, repeat := w.recursive, w.repeat
	for round := 0; ; round++ {
		if round == maxRounds {
			refuse(location(n), "this recursive query is not analysed")
		}
		w.recursive, w.repeat = current, repeat || round > 0
		w.scan(must(term.Scan()))
		next := w.stack(columns, [][]*value{start, w.columnsOf(must(term.OutputColumnList()))})
		stable := true
		for i := range next {
			stable = stable && equal(next[i], current[i])
		}
		if current = next; stable {
			break
		}
	}
	w.recursive, w.repeat = outer, repeat
	if must(n.OpType()) != gsql.ResolvedRecursiveScanEnums_RecursiveSetOperationTypeUnionAll {
		for _, v := range current {
			w.use(googlesql.UseGroup, v, location(n))
		}
	}
}

// counter defines the column that WITH DEPTH counts in, and gives the others.
func (w *walk) counter(columns []*gsql.ResolvedColumn, depth *gsql.ResolvedColumn) []*gsql.ResolvedColumn {
	w.define(depth, constant)
	return slices.DeleteFunc(slices.Clone(columns), func(c *gsql.ResolvedColumn) bool {
		return must(c.ColumnId()) == must(depth.ColumnId())
	})
}
