package googlesql

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// lookBehind replaces what a statement says of the columns of views and table functions by what is
// behind them, and adds what functions read. The views stay among its tables, and the functions
// among its routines.
func (j *job) lookBehind(result *Statement, called []*routine) *Error {
	behind := map[string]*Statement{} // views and table functions, by the name that lineage has for them
	var functions []*Statement
	for id, v := range j.views {
		if slices.Contains(result.Tables, id.String()) {
			behind[id.String()] = v.Statement
		}
	}
	for _, r := range called {
		if r.function != nil {
			functions = append(functions, r.body)
		} else {
			behind[r.id.String()+"()"] = r.body
		}
	}
	if len(behind)+len(functions) == 0 {
		return nil
	}
	left := leftOut(behind, result)
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
			message := fmt.Sprintf("an output column has more than %d sources; select fewer columns", j.limits.Columns)
			return &Error{Code: ErrorLimit, Message: message}
		}
	}
	uses := left
	for _, u := range result.Uses {
		for _, column := range columnsBehind(behind, u.Column) {
			uses = append(uses, Use{Column: column, In: u.In, Offset: u.Offset, length: u.length})
		}
	}
	lengths := result.lengths
	result.lengths = nil
	for _, column := range lengths {
		result.lengths = append(result.lengths, columnsBehind(behind, column)...)
	}
	for _, u := range left {
		result.lengths = append(result.lengths, u.Column)
	}
	for i, u := range result.unnests {
		result.unnests[i].Arrays = nil
		for _, column := range u.Arrays {
			result.unnests[i].Arrays = append(result.unnests[i].Arrays, columnsBehind(behind, column)...)
		}
	}
	result.unnests = slices.DeleteFunc(result.unnests, func(u wire.Unnest) bool { return len(u.Arrays) == 0 })
	for _, body := range functions {
		uses = append(uses, read(body)...)
	}
	for _, s := range behind {
		uses = append(uses, inside(s)...)
		result.take(s)
	}
	for _, body := range functions {
		uses = append(uses, inside(body)...)
		result.take(body)
	}
	result.Uses = tidyUses(append(uses, unread(behind, result.Columns, uses)...))
	result.Tables, result.Functions, result.Routines = sorted(result.Tables), sorted(result.Functions), sorted(result.Routines)
	result.lengths = sorted(result.lengths)
	return nil
}

// take adds what a body names and counts.
func (s *Statement) take(body *Statement) {
	s.Tables = append(s.Tables, body.Tables...)
	s.Functions = append(s.Functions, body.Functions...)
	s.Routines = append(s.Routines, body.Routines...)
	s.lengths = append(s.lengths, body.lengths...)
	s.Uncertain = append(s.Uncertain, body.Uncertain...)
}

// inside are the uses inside a body. Their places are in the body, not in the statement.
func inside(body *Statement) []Use {
	uses := slices.Clone(body.Uses)
	for i := range uses {
		uses[i].Offset = -1
	}
	return uses
}

// read are the columns that a function's body carries to its value. A function runs wherever its
// call stands, whatever becomes of the value, and may fail by it: what it reads is used. The engine
// says so of each call that it finds (engine/routines.go); this says so of each function that the
// text names.
func read(body *Statement) []Use {
	var uses []Use
	for _, c := range body.Columns {
		for _, s := range c.Sources {
			if s.Column != "" {
				uses = append(uses, Use{Column: s.Column, In: UseExpression, Offset: -1})
			}
		}
	}
	return uses
}

// unread are the columns that expressions of the views and table functions read although nothing of
// it reaches the result: they run all the same.
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

// leftOut are the arrays that views and table functions make rows of, where the statement takes
// none of the columns that carry their elements: then its rows tell how many there are, and nothing
// else of them. The engine says so too, and knows more (engine/unnest.go).
func leftOut(behind map[string]*Statement, result *Statement) []Use {
	var uses []Use
	for name, view := range behind {
		for _, u := range view.unnests {
			taken := !u.Rows
			for _, c := range u.Carriers {
				if c.Column < len(view.Columns) {
					taken = taken || result.Reads(name+"."+view.Columns[c.Column].Name)
				}
			}
			for _, column := range u.Arrays {
				if !taken {
					uses = append(uses, Use{Column: column, In: UseJoin, Offset: -1, length: true})
				}
			}
		}
	}
	return uses
}

// unnestsIn are the UNNESTs behind the views among the tables that a statement reads.
func (j *job) unnestsIn(wanted map[string]bigquery.TableID) []wire.Unnest {
	var all []wire.Unnest
	for name, id := range wanted {
		if view := j.views[id]; view != nil {
			all = append(all, named(view.unnests, name)...)
		}
	}
	return all
}

// unnestsOf are those behind table functions.
func unnestsOf(called []*routine) []wire.Unnest {
	var all []wire.Unnest
	for _, r := range called {
		if r.table != nil {
			all = append(all, named(r.body.unnests, r.id.String()+"()")...)
		}
	}
	return all
}

func named(unnests []wire.Unnest, of string) []wire.Unnest {
	unnests = slices.Clone(unnests)
	for i := range unnests {
		unnests[i].Of = of
	}
	return unnests
}

// columnsBehind are the columns behind one that is a view's or a table function's, or the column
// itself.
func columnsBehind(behind map[string]*Statement, column string) []string {
	found, seen := lookThrough(behind, Source{Column: column, Carry: CarryDerived})
	if !seen {
		return []string{column}
	}
	var columns []string
	for _, s := range found {
		if s.Column != "" {
			columns = append(columns, s.Column)
		}
	}
	return columns
}

// lookThrough is what is behind a source that is a view's column; seen is false for a source that
// is no column of a view. A column behind which there is nothing is a value that the view's author
// chose.
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
		alone := !slices.ContainsFunc(sources, func(o Source) bool {
			return o.Column != "" && (within(o.Path, s.Path) || within(s.Path, o.Path))
		})
		if s.Column != "" || !alone {
			kept = append(kept, s)
		}
	}
	return kept
}

// tidyUses sorts uses and keeps the first place of each. Of one that is more than that of a length,
// only that is kept.
func tidyUses(uses []Use) []Use {
	slices.SortStableFunc(uses, func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Column, b.Column), cmp.Compare(a.In, b.In), cmp.Compare(uint(a.Offset), uint(b.Offset)))
	})
	kept := []Use{}
	for _, u := range uses {
		if last := len(kept) - 1; last >= 0 && kept[last].Column == u.Column && kept[last].In == u.In {
			kept[last].length = kept[last].length && u.length
			continue
		}
		kept = append(kept, u)
	}
	return kept
}
