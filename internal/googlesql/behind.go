package googlesql

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// lookBehind replaces what a statement says of the columns of views and table functions by what is behind them, and adds what functions read. The views stay among its
// tables, and the functions among its routines.
func (j *job) lookBehind(result *Statement, called []*routine) *Error {
	behind := map[string]*Statement{} // by the name that lineage has for the view or table function
	for id, s := range j.views {
		if slices.Contains(result.Tables, id.String()) {
			behind[id.String()] = s
		}
	}
	for _, r := range called {
		behind[r.id.String()+"()"] = r.body // no column of a scalar function has such a name: its result is derived in place
	}
	if len(behind) == 0 {
		return nil
	}
	for i := range result.Columns {
		c := &result.Columns[i]
		var sources []Source
		for _, s := range c.Sources {
			found, seen := lookThrough(behind, s)
			if !seen {
				found = []Source{s}
			}
			sources = append(sources, found...)
		}
		c.Sources = tidySources(sources)
		if len(c.Sources) > j.limits.Columns {
			return &Error{Code: ErrorLimit, Message: fmt.Sprintf("an output column has more than %d sources; select fewer columns", j.limits.Columns)}
		}
	}
	var uses []Use
	for _, u := range result.Uses {
		found, seen := lookThrough(behind, Source{Column: u.Column, Carry: CarryDerived})
		if !seen {
			uses = append(uses, u)
		}
		for _, s := range found {
			if s.Column != "" {
				uses = append(uses, Use{Column: s.Column, In: u.In, Offset: u.Offset})
			}
		}
	}
	for _, s := range behind {
		for _, u := range s.Uses {
			uses = append(uses, Use{Column: u.Column, In: u.In, Offset: -1}) // its place is in the view
		}
		result.Tables = append(result.Tables, s.Tables...)
		result.Functions = append(result.Functions, s.Functions...)
		result.Routines = append(result.Routines, s.Routines...)
	}
	result.Uses = tidyUses(append(uses, unread(behind, result.Columns, uses)...))
	result.Tables, result.Functions, result.Routines = sorted(result.Tables), sorted(result.Functions), sorted(result.Routines)
	return nil
}

// unread are the columns that expressions of the views and functions read although nothing of it reaches the result: they run all the same.
func unread(behind map[string]*Statement, columns []Column, uses []Use) []Use {
	known := map[string]bool{}
	for _, c := range columns {
		for _, s := range c.Sources {
			known[s.Column] = known[s.Column] || s.Carry != CarryDirect
		}
	}
	for _, u := range uses {
		known[u.Column] = true
	}
	var found []Use
	for _, view := range behind {
		for _, c := range view.Columns {
			for _, s := range c.Sources {
				if s.Column != "" && s.Carry != CarryDirect && !known[s.Column] {
					found = append(found, Use{Column: s.Column, In: UseExpression, Offset: -1})
				}
			}
		}
	}
	return found
}

// lookThrough is what is behind a source that is a view's column; seen is false for a source that is none. A column behind which there is
// nothing is a value that the view's author chose.
func lookThrough(behind map[string]*Statement, outer Source) (found []Source, seen bool) {
	for view, s := range behind {
		rest, ok := strings.CutPrefix(outer.Column, view+".")
		if !ok {
			continue
		}
		name, path, _ := strings.Cut(rest, ".")
		i := slices.IndexFunc(s.Columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			continue
		}
		for _, inner := range s.Columns[i].Sources {
			if !within(path, inner.Path) && !within(inner.Path, path) {
				continue
			}
			carry := CarryDirect
			if outer.Carry != CarryDirect || inner.Carry != CarryDirect {
				carry = CarryDerived
			}
			found = append(found, Source{Path: outer.Path, Column: inner.Column, Carry: carry})
		}
		if len(found) == 0 {
			found = []Source{{Path: outer.Path, Carry: CarryDerived}}
		}
		return found, true
	}
	return nil, false
}

// within reports whether a path is another one or leads into it.
func within(path, outer string) bool {
	return outer == "" || path == outer || strings.HasPrefix(path, outer+".")
}

// tidySources sorts sources, and drops the mark of chosen values where nothing else is.
func tidySources(sources []Source) []Source {
	slices.SortFunc(sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Column, b.Column), -cmp.Compare(a.Carry, b.Carry))
	})
	sources = slices.Compact(sources)
	kept := []Source{}
	for _, s := range sources {
		alone := !slices.ContainsFunc(sources, func(o Source) bool { return o.Column != "" && (within(o.Path, s.Path) || within(s.Path, o.Path)) })
		if s.Column != "" || !alone {
			kept = append(kept, s)
		}
	}
	return kept
}

// tidyUses sorts uses and keeps the first place of each.
func tidyUses(uses []Use) []Use {
	slices.SortStableFunc(uses, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Column, b.Column), cmp.Compare(a.In, b.In), cmp.Compare(uint(a.Offset), uint(b.Offset)))
	})
	return append([]Use{}, slices.CompactFunc(uses, func(a, b Use) bool { return a.Column == b.Column && a.In == b.In })...)
}
