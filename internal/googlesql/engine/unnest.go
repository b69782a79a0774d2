package engine

import (
	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// The rows of UNNEST tell how long the array is. Where its elements are carried to the result, or decide about it, they say so themselves;
// everywhere else, and where the rows are counted, the length is a use of the array. So that this can be told, the elements of each UNNEST carry a mark.
type unnests struct {
	marks  map[int32]*origin    // by the id of the element's column
	all    []*unnest            // in the order in which they were met
	open   []*unnest            // those that the scan being walked has read so far, again for each reference to a WITH query
	within map[string][]*unnest // by WITH query
}

type unnest struct {
	array  *value
	mark   *origin
	offset int
	used   bool // its elements are a use
	counts bool // something tells the number of its rows
}

// elements is the value of an array's elements, marked.
func (w *walk) elements(column int32, array *value, offset int) *value {
	if !array.sourced() {
		return array.item()
	}
	mark, again := w.marks[column]
	if !again {
		mark = &origin{name: "\x00" + string(rune(column)), mark: true}
		w.marks[column] = mark
	}
	u := &unnest{array: array, mark: mark, offset: offset}
	w.all, w.open = append(w.all, u), append(w.open, u)
	return array.item().with([]source{{origin: mark}})
}

// spent notes that elements are a use.
func (w *walk) spent(mark *origin) {
	for _, u := range w.all {
		u.used = u.used || u.mark == mark
	}
}

// counted notes that something tells how many rows there are of what was walked since.
func (w *walk) counted(since int) {
	for _, u := range w.open[since:] {
		u.counts = true
	}
}

// computedLengths makes uses of what arrays were computed from: the number of their rows tells those values, whatever becomes of the elements.
func (w *walk) computedLengths() {
	for _, u := range w.all {
		u.array.each(func(s source) {
			if s.derived {
				w.use(googlesql.UseJoin, &value{own: []source{s}}, u.offset)
			}
		})
	}
}

// lengths makes uses of the arrays whose length the result tells otherwise than by their elements.
func (w *walk) lengths(carried map[*origin]bool) {
	for _, u := range w.all {
		if !u.used && (u.counts || !carried[u.mark]) {
			w.use(googlesql.UseJoin, u.array, u.offset)
		}
	}
}

// oneRow reports whether a query has one row whatever it reads.
func oneRow(s gsql.ResolvedScanNode) bool {
	switch n := s.(type) {
	case *gsql.ResolvedSingleRowScan:
		return true
	case *gsql.ResolvedProjectScan:
		return oneRow(must(n.InputScan()))
	case *gsql.ResolvedOrderByScan:
		return oneRow(must(n.InputScan()))
	case *gsql.ResolvedLimitOffsetScan:
		return oneRow(must(n.InputScan()))
	case *gsql.ResolvedAggregateScan:
		return must(n.GroupByListSize()) == 0 && must(n.GroupingSetListSize()) == 0
	default:
		return false
	}
}
