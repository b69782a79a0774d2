package googlesql

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// maxViews is how deep views may be nested; BigQuery's own limit.
const maxViews = 16

// view analyses the query of a view, in the view's own project. Its columns must be those of the view's schema: the query and the schema
// are read at different moments, and what the engine is told must be what BigQuery will run.
func (j *job) view(table *bigquery.Table, described wire.Table) (*Statement, *Error, error) {
	id := table.TableReference
	if known, ok := j.views[id]; ok {
		return known, nil, nil
	}
	unsupported := func(format string, args ...any) (*Statement, *Error, error) {
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is a view: ", id) + fmt.Sprintf(format, args...)}, nil
	}
	switch {
	case table.View == nil || table.View.Query == "":
		return unsupported("its query is not known")
	case table.View.UseLegacySQL == nil || *table.View.UseLegacySQL: // absent means true, in this resource
		return unsupported("it is written in legacy SQL, which is not supported")
	case len(j.within) >= maxViews || slices.Contains(j.within, id):
		return unsupported("views are nested too deep")
	}
	if refused := j.checkText(table.View.Query); refused != nil {
		return unsupported("%s", refused.Message)
	}
	inner := &job{
		Analyzer: j.Analyzer, ctx: j.ctx, tables: j.tables, views: j.views, within: append(slices.Clone(j.within), id),
		request: Request{SQL: table.View.Query, Project: id.Project, Catalog: j.request.Catalog, Caller: j.request.Caller},
	}
	analysis, err := inner.run()
	if err != nil {
		return nil, nil, err
	}
	if e := analysis.Error; e != nil {
		return nil, &Error{Code: e.Code, Message: fmt.Sprintf("%s is a view: %s", id, e.Message)}, nil
	}
	if len(analysis.Statements) != 1 || analysis.Statements[0].Kind != "SELECT" {
		return unsupported("its query is not one SELECT")
	}
	s := &analysis.Statements[0]
	if len(s.Columns) != len(described.Columns) {
		return unsupported("its columns have changed since it was made")
	}
	for i, c := range described.Columns {
		if made := s.Columns[i]; made.Name != "" && made.Name != c.Name || made.Type != typeName(c.Type) {
			return unsupported("its column %s has changed since it was made", c.Name)
		}
		s.Columns[i].Name = c.Name
	}
	j.views[id] = s
	return s, nil, nil
}

// throughViews replaces what a statement says of views' columns by what is behind them. The views stay among its tables.
func (j *job) throughViews(result *Statement) *Error {
	behind := map[string]*Statement{} // by the view's name
	for id, s := range j.views {
		if slices.Contains(result.Tables, id.String()) {
			behind[id.String()] = s
		}
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
			return &Error{Code: ErrorLimit, Message: "the result has too many columns and fields"}
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
	}
	result.Uses = tidyUses(append(uses, unread(behind, result.Columns, uses)...))
	result.Tables, result.Functions = sorted(result.Tables), sorted(result.Functions)
	return nil
}

// unread are the columns that expressions of the views read although nothing of it reaches the result: they run all the same.
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
