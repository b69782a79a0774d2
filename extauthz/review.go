package extauthz

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

// review gathers what a reviewer will want to see of a query that is held.
func review(j *judged, policy string) approvals.Review {
	r := approvals.Review{Policy: policy, Rules: j.decision.Cites, Forwarded: j.forwardedShown}
	if len(j.analysis.Statements) != 1 {
		return r
	}
	st := &j.analysis.Statements[0]
	for i, c := range j.decision.Mask.Columns {
		var sources []googlesql.Source
		if i < len(st.Columns) {
			sources = st.Columns[i].Sources
		}
		r.Columns = append(r.Columns, leaves(c, c.Name, "", sources, c.Repeated)...)
	}
	r.Marks = marks(st, j.decision.Sensitive)
	return r
}

// leaves lists the leaves of an output column. Path is the one inside the column, as lineage spells
// it.
func leaves(c masking.Column, name, path string, sources []googlesql.Source, repeated bool) []approvals.ReviewColumn {
	if len(c.Fields) > 0 {
		var all []approvals.ReviewColumn
		for _, f := range c.Fields {
			if f.Mask == "" && c.Mask != "" {
				f.Mask = c.Mask
			}
			all = append(all, leaves(f, name+"."+f.Name, strings.TrimPrefix(path+"."+f.Name, "."), sources, repeated || f.Repeated)...)
		}
		return all
	}
	leaf := approvals.ReviewColumn{Name: name, Type: c.Type, Mask: c.Mask}
	if c.Expect != "" {
		leaf.Mask = c.Expect // masked by BigQuery, not on the way back
	}
	if repeated {
		leaf.Type = "ARRAY<" + c.Type + ">"
	}
	for _, s := range sources {
		if s.Path == "" || strings.EqualFold(s.Path, path) {
			leaf.Sources = append(leaf.Sources, approvals.ReviewSource{Column: s.Column, Derived: s.Carry != googlesql.CarryDirect})
		}
	}
	return []approvals.ReviewColumn{leaf}
}

// marks finds where the text reads sensitive columns: the table references that bring them in, and
// the places where they steer the result.
func marks(st *googlesql.Statement, sensitive []string) []approvals.Mark {
	var all []approvals.Mark
	for _, column := range sensitive {
		for _, ref := range st.References {
			if strings.HasPrefix(column, ref.Table+".") {
				all = append(all, approvals.Mark{Start: ref.Span.Start, End: ref.Span.End, Column: column})
			}
		}
		for _, u := range st.Uses {
			if u.Column == column && u.Offset >= 0 {
				all = append(all, approvals.Mark{Start: u.Offset, End: u.Offset, Column: column, Use: string(u.In)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b approvals.Mark) int { return cmp.Compare(a.Start, b.Start) })
	return slices.Compact(all)
}
