package engine

import (
	"fmt"
	"slices"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// The rows of UNNEST tell how long the array is. Where its elements are carried to the result, or
// decide about it, they say so themselves; everywhere else, and where the rows are counted, the
// length is a use of the array. So that this can be told, the elements of each UNNEST carry a mark.
//
// An UNNEST inside a view or a table function is one of each statement that reads it (behind.go):
// there the elements are in columns that the statement may leave out. It is handed on by those of
// its elements that are carried to the view's columns.
type unnests struct {
	marks     map[int32]*origin     // by the id of the element's column
	viewMarks map[string]*origin    // of an UNNEST behind a view, by the columns of the view's scan
	inner     map[*origin][]*unnest // those behind views that are in a value, by their marks
	all       []*unnest             // in the order in which they were met
	open      []*unnest             // those that the scan being walked has read so far, again for each reference to a WITH query
	rows      []*unnest             // those whose elements make rows of the query being walked
	within    map[string]met        // by WITH query
}

// met are the UNNESTs of a WITH query.
type met struct{ open, rows []*unnest }

type unnest struct {
	array  *value
	mark   *origin
	offset int
	used   bool // its elements are a use
	counts bool // something tells the number of its rows
	held   bool // it is in a value of a view: only who takes that value learns anything
	taken  bool // the value was taken by an expression
}

// maxUnnests bounds how many are handed on from a view to what reads it; the lengths of all others
// are uses.
const maxUnnests = 50

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
	w.meet(&unnest{array: array, mark: mark, offset: offset})
	return array.item().with([]source{{origin: mark}})
}

// meet notes an UNNEST that makes rows.
func (w *walk) meet(u *unnest) {
	w.all, w.open, w.rows = append(w.all, u), append(w.open, u), append(w.rows, u)
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

// touch notes that an expression takes a column's value.
func (w *walk) touch(v *value) {
	if len(w.inner) == 0 {
		return
	}
	v.each(func(s source) {
		for _, u := range w.inner[s.origin] {
			u.taken = true
		}
	})
}

// behind meets the UNNESTs behind a view or a table function where that is read. What it returns
// marks the elements in the values of its columns, by their positions in its schema.
func (w *walk) behind(of string, columns []*gsql.ResolvedColumn, offset int) func(column int, v *value) *value {
	type placed struct {
		wire.Carrier
		mark source
	}
	var all []placed
	made := w.lookup.unnests[of]
	if len(made) == 0 {
		return func(_ int, v *value) *value { return v }
	}
	ids := make([]int32, len(columns))
	for i, c := range columns {
		ids[i] = must(c.ColumnId())
	}
	for i, made := range made {
		key := fmt.Sprint(of, i, ids) // a scan that is walked again has the same columns
		mark, again := w.viewMarks[key]
		if !again {
			mark = &origin{name: "\x00" + key, mark: true}
			w.viewMarks[key] = mark
		}
		u := &unnest{array: w.origin(made.Arrays), mark: mark, offset: offset, held: !made.Rows}
		if made.Rows {
			w.meet(u)
		} else {
			w.all, w.inner[mark] = append(w.all, u), append(w.inner[mark], u)
		}
		for _, c := range made.Carriers {
			all = append(all, placed{c, source{origin: mark}})
		}
	}
	return func(column int, v *value) *value {
		for _, p := range all {
			if p.Column == column {
				v = v.markedAt(p.Path, p.mark)
			}
		}
		return v
	}
}

// markedAt is a value with a mark in one of its parts. Where there is no such part it has none:
// then the length is a use.
func (v *value) markedAt(path []int, mark source) *value {
	switch {
	case v.element != nil:
		return &value{own: v.own, element: v.element.markedAt(path, mark)}
	case len(path) == 0:
		return v.with([]source{mark})
	case path[0] < 0 || path[0] >= len(v.fields):
		return v
	}
	made := *v
	made.fields = slices.Clone(v.fields)
	made.fields[path[0]] = v.fields[path[0]].markedAt(path[1:], mark)
	return &made
}

// computedLengths makes uses of what arrays were computed from: the number of their rows tells
// those values, whatever becomes of the elements.
func (w *walk) computedLengths() {
	for _, u := range w.all {
		u.array.each(func(s source) {
			if s.derived {
				w.use(googlesql.UseJoin, &value{own: []source{s}}, u.offset)
			}
		})
	}
}

// lengths makes uses of the arrays whose length the result tells otherwise than by their elements,
// and returns the UNNESTs whose elements it carries.
func (w *walk) lengths(carried map[*origin]bool) []wire.Unnest {
	var places map[*origin][]wire.Carrier
	var handed []wire.Unnest
	for _, u := range w.all {
		switch {
		case u.used:
		case !u.counts && carried[u.mark]:
			if places == nil {
				places = w.carriers()
			}
			made := wire.Unnest{Arrays: u.columns(), Carriers: places[u.mark], Rows: slices.Contains(w.rows, u)}
			known := slices.ContainsFunc(handed, func(h wire.Unnest) bool { return sameUnnest(&h, &made) })
			switch {
			case known || len(made.Arrays) == 0:
			case len(handed) < maxUnnests:
				handed = append(handed, made)
			default:
				w.length(u)
			}
		case !u.held || u.taken:
			w.length(u)
		}
	}
	return handed
}

func (w *walk) length(u *unnest) {
	before := len(w.uses)
	w.use(googlesql.UseJoin, u.array, u.offset)
	for i := range w.uses[before:] {
		w.uses[before+i].length = true
	}
}

// columns are the leaf columns in the array.
func (u *unnest) columns() []string {
	var names []string
	u.array.each(func(s source) {
		if !s.mark && s.origin != generated {
			names = append(names, s.name)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// carriers are the places in the output columns that marks are at. The output's parts are few: emit
// has counted them.
func (w *walk) carriers() map[*origin][]wire.Carrier {
	found := map[*origin][]wire.Carrier{}
	for i, v := range w.out {
		var look func(v *value, path []int)
		look = func(v *value, path []int) {
			for _, s := range v.own {
				if s.mark {
					found[s.origin] = append(found[s.origin], wire.Carrier{Column: i, Path: slices.Clone(path)})
				}
			}
			for j, f := range v.fields {
				look(f, append(path, j))
			}
			if v.element != nil {
				look(v.element, path)
			}
		}
		look(v, nil)
	}
	return found
}

func sameUnnest(a, b *wire.Unnest) bool {
	return a.Rows == b.Rows && slices.Equal(a.Arrays, b.Arrays) &&
		slices.EqualFunc(a.Carriers, b.Carriers, func(x, y wire.Carrier) bool {
			return x.Column == y.Column && slices.Equal(x.Path, y.Path)
		})
}

// distinct are the UNNESTs of a list, each once: a WITH query may read another many times.
func distinct(all []*unnest) []*unnest {
	seen := map[*unnest]bool{}
	var once []*unnest
	for _, u := range all {
		if !seen[u] {
			seen[u] = true
			once = append(once, u)
		}
	}
	return once
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
