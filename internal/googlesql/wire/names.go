package wire

import (
	"slices"
	"strings"
)

// Within reports whether an outline can be that of a text of so many bytes: the gateway cuts the
// text by what a worker says of it.
func (s *Script) Within(size int) bool {
	fits := func(start, end int) bool { return 0 <= start && start <= end && end <= size }
	for i := range s.Statements {
		statement := &s.Statements[i]
		if !fits(statement.Start, statement.End) {
			return false
		}
		for j := range statement.Paths {
			p := &statement.Paths[j]
			if len(p.Parts) == 0 || !fits(p.Start, p.End) || p.Place != nil && !p.Place.within(fits) {
				return false
			}
		}
	}
	return true
}

func (p *Place) within(fits func(start, end int) bool) bool {
	for _, s := range []*Span{&p.Whole, p.AliasSpan, p.Hint, p.SystemTime, p.Sample, p.Offset, p.Pivot, p.Unpivot} {
		if s != nil && !fits(s.Start, s.End) {
			return false
		}
	}
	return true
}

// BigQuery reads `p.d.t` as one identifier, and takes it apart only to look for it in the catalog.
// So a WITH query may be named `p.d.t`; a table that is named so has the alias `p.d.t`, not t ("For
// path expressions, the alias is the last identifier in the path", Query syntax, Implicit aliases);
// and `x.y` is a table, never the array y of x. What people saw at BigQuery:
//
//   - https://github.com/tobymao/sqlglot/issues/6711 and
//     https://github.com/GoogleCloudPlatform/zetasql-toolkit/issues/97: t is an unrecognized name
//   - https://github.com/tobymao/sqlglot/issues/3318: `d.t`.c is the column
//   - https://github.com/tobymao/sqlglot/issues/3014: `x.y` is looked for in a dataset x

// Spelled are the identifiers of the name.
func (p *Path) Spelled() []string {
	if len(p.Identifiers) > 0 {
		return p.Identifiers
	}
	return p.Parts
}

// Hides reports whether a table's name may be that of a WITH query, or an array of a row. The
// engine tells: where it is neither, it asks for the table.
func (s *Statement) Hides(p *Path) bool {
	first := strings.ToLower(p.Spelled()[0])
	if len(p.Spelled()) == 1 {
		return slices.Contains(s.Queries, first)
	}
	return slices.Contains(s.Rows, first)
}

// Plain reports whether the name can be taken apart: an identifier with dots in it is written
// without escapes.
func (p *Path) Plain(text string) bool {
	return len(p.Identifiers) == 0 || !strings.Contains(text[p.Start:p.End], `\`)
}
