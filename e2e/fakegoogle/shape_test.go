package fakegoogle

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// shape is what a decoded value looks like: a line for each member, with its path and the kinds of
// its values. The elements of a list share a path, and so do those of an object whose keys are the
// client's own (labels).
type shape map[string]map[string]bool

func shapeOf(v any) shape {
	s := shape{}
	s.add("", v)
	return s
}

func (s shape) add(path string, v any) {
	kind := fmt.Sprintf("%T", v)
	switch v := v.(type) {
	case map[string]any:
		kind = "object"
		for name, e := range v {
			s.add(path+"."+name, e)
		}
	case []any:
		kind = "list"
		for _, e := range v {
			s.add(path+"[]", e)
		}
	case string:
		kind = "text"
	case float64:
		kind = "number"
	case bool:
		kind = "truth"
	case nil:
		kind = "null"
	}
	if s[path] == nil {
		s[path] = map[string]bool{}
	}
	s[path][kind] = true
}

// differences between what the stand-in answers and what Google does: members that Google does not
// have, and kinds of value that Google does not use, are wrong; members that only Google has are
// missing.
func (s shape) differences(google shape) (wrong, missing []string) {
	for _, path := range slices.Sorted(maps.Keys(s)) {
		if google[path] == nil {
			wrong = append(wrong, path+": Google has no such member")
			continue
		}
		for _, kind := range slices.Sorted(maps.Keys(s[path])) {
			if kind != "null" && !google[path][kind] {
				wrong = append(wrong, fmt.Sprintf("%s: a %s, and Google has %v", path, kind, slices.Sorted(maps.Keys(google[path]))))
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(google)) {
		if s[path] == nil {
			missing = append(missing, path)
		}
	}
	return wrong, missing
}

func TestShapes(t *testing.T) {
	ours := shapeOf(map[string]any{"a": "x", "l": []any{map[string]any{"b": 1.0}, map[string]any{"c": nil}}, "t": true})
	for name, test := range map[string]struct {
		google         any
		wrong, missing string
	}{
		"the same": {map[string]any{"a": "y", "l": []any{map[string]any{"b": 2.0, "c": "z"}}, "t": false}, "[]", "[]"},
		"one more there": {map[string]any{"a": "y", "l": []any{map[string]any{"b": 2.0, "c": 1.0}}, "t": false, "n": []any{"x"}}, "[]",
			"[.n .n[]]"},
		"one more here": {map[string]any{"a": "y", "l": []any{map[string]any{"b": 2.0, "c": 1.0}}}, "[.t: Google has no such member]",
			"[]"},
		"of another kind": {map[string]any{"a": 1.0, "l": []any{map[string]any{"b": 2.0, "c": 1.0}}, "t": false},
			"[.a: a text, and Google has [number]]", "[]"},
		"no list": {map[string]any{"a": "y", "l": map[string]any{}, "t": false},
			"[.l: a list, and Google has [object] .l[]: Google has no such member .l[].b: Google has no such member .l[].c: Google has " +
				"no such member]", "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong, missing := ours.differences(shapeOf(test.google))
			if fmt.Sprint(wrong) != test.wrong || fmt.Sprint(missing) != test.missing {
				t.Errorf("%s: wrong %v, missing %v", name, wrong, missing)
			}
		})
	}
}
