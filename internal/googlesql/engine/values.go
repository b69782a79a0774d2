package engine

import (
	"cmp"
	"slices"
)

// origin is one leaf column of a base table: "project.dataset.table.column.field". There is one
// origin for each leaf in an analysis, so they compare by pointer. generated is the origin of
// literals, parameters and everything else that no column holds. A mark is no column either: it
// follows the elements of one UNNEST (unnest.go).
type origin struct {
	name string
	mark bool
}

var generated = &origin{}

// source is an origin and how it is carried.
type source struct {
	*origin
	derived bool
}

// value is what a column or an expression carries. A value without sources, fields and element is a
// constant. Values are shared and never changed once they are made.
type value struct {
	own     []source // of the value as a whole, and so of each of its parts
	names   []string // of a STRUCT, as the engine spells them; "" for an anonymous field
	fields  []*value
	element *value // of an ARRAY
}

var constant = &value{}

func (v *value) isConstant() bool {
	return v.fields == nil && v.element == nil && !slices.ContainsFunc(v.own, func(s source) bool { return !s.mark })
}

// sourced reports whether a column, or a value that the author chose beside one, is anywhere in v.
func (v *value) sourced() (found bool) {
	v.each(func(s source) { found = found || !s.mark })
	return found
}

// field is the i-th field of a STRUCT.
func (v *value) field(i int) *value {
	if i < len(v.fields) {
		return v.fields[i].with(v.own)
	}
	return &value{own: v.own}
}

// item is an element of an ARRAY.
func (v *value) item() *value {
	if v.element != nil {
		return v.element.with(v.own)
	}
	return &value{own: v.own}
}

func (v *value) with(own []source) *value {
	if len(own) == 0 {
		return v
	}
	return &value{own: union(v.own, own), names: v.names, fields: v.fields, element: v.element}
}

// each visits every source in v once for each part that has it. Shared parts are visited once.
func (v *value) each(visit func(source)) {
	seen := map[*value]bool{}
	var walk func(*value)
	walk = func(v *value) {
		if v == nil || seen[v] {
			return
		}
		if v.fields != nil || v.element != nil {
			seen[v] = true
		}
		for _, s := range v.own {
			visit(s)
		}
		for _, f := range v.fields {
			walk(f)
		}
		walk(v.element)
	}
	walk(v)
}

// derive is a value computed from others.
func derive(values ...*value) *value {
	var all []source
	for _, v := range values {
		v.each(func(s source) { all = append(all, source{s.origin, true}) })
	}
	if len(all) == 0 {
		return constant
	}
	return &value{own: union(all)}
}

// merge is a value that is one of several: a row of a UNION ALL, an element of an array. Where one
// of them has sources at a leaf and another has none, the leaf gets the source generated, since the
// author chose some of what stands there.
func merge(values ...*value) *value {
	if len(values) == 1 {
		return values[0]
	}
	width, names, array, constants := 0, []string(nil), false, 0
	for _, v := range values {
		if len(v.fields) > width {
			width, names = len(v.fields), v.names
		}
		array = array || v.element != nil
		if v.isConstant() {
			constants++
		}
	}
	switch {
	case constants == len(values):
		var marks []source
		for _, v := range values {
			marks = append(marks, v.own...)
		}
		return &value{own: union(marks)}
	case width > 0:
		merged := &value{names: names, fields: make([]*value, width)}
		for i := range width {
			parts := make([]*value, len(values))
			for j, v := range values {
				parts[j] = v.field(i)
			}
			merged.fields[i] = merge(parts...)
		}
		return merged
	case array:
		parts := make([]*value, len(values))
		for j, v := range values {
			parts[j] = v.item()
		}
		return &value{element: merge(parts...)}
	default:
		var all []source
		for _, v := range values {
			all = append(all, v.own...)
		}
		if constants > 0 {
			all = append(all, source{generated, true})
		}
		return &value{own: union(all)}
	}
}

// union merges lists of sources into a sorted one without duplicates. The input is not changed.
func union(lists ...[]source) []source {
	var all []source
	for _, l := range lists {
		all = append(all, l...)
	}
	slices.SortFunc(all, func(a, b source) int {
		if c := cmp.Compare(a.name, b.name); c != 0 {
			return c
		}
		switch {
		case a.derived == b.derived:
			return 0
		case a.derived:
			return 1
		default:
			return -1
		}
	})
	return slices.Compact(all)
}

// equal compares what two values carry; recursive queries are walked until it holds.
func equal(a, b *value) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || len(a.fields) != len(b.fields) || (a.element == nil) != (b.element == nil) || !slices.Equal(a.own, b.own) {
		return false
	}
	for i := range a.fields {
		if !equal(a.fields[i], b.fields[i]) {
			return false
		}
	}
	return a.element == nil || equal(a.element, b.element)
}
