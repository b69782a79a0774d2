package googlesql

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql/functions"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// accountFunctions are the functions in the text that give the account which the query runs under.
// They are also read from the syntax: what the engine leaves out of what it has resolved runs at
// BigQuery all the same.
func accountFunctions(s *wire.Statement) []string {
	names := []string{}
	for i := range s.Paths {
		if p := &s.Paths[i]; p.Role == wire.RoleBuiltin {
			name := strings.TrimPrefix(strings.ToUpper(strings.Join(p.Parts, ".")), "SAFE.")
			if f, known := functions.Lookup(name); known && f.Account {
				names = append(names, f.Name)
			}
		}
	}
	return names
}

// accept checks the engine's answer against the outline, and copies it into the statement.
func (j *job) accept(s *wire.Statement, found *wire.Analysis, result *Statement) *Error {
	tables := []string{}
	for _, scan := range found.Scans {
		start := s.Start + scan.Start
		i := slices.IndexFunc(s.Paths, func(p wire.Path) bool {
			return (p.Role == wire.RoleTable || p.Role == wire.RoleTarget) && p.Start == start
		})
		if i < 0 {
			return j.at(start, ErrorUnsupported, "the table %s is read in a way that is not analysed", scan.Table)
		}
		id, refused := j.tableID(s.Paths[i].Parts)
		if refused != nil || id.String() != scan.Table {
			return j.at(start, ErrorUnsupported, "the table %s is read in a way that is not analysed", scan.Table)
		}
		tables = append(tables, scan.Table)
		if u, found := uncertain(j.tables[id], s.Paths[i].Place); found {
			result.Uncertain = append(result.Uncertain, u)
		}
		result.References = append(result.References,
			Reference{Table: scan.Table, Span: Span{s.Paths[i].Start, s.Paths[i].End}, Place: s.Paths[i].Place})
	}
	if existing(s.Kind) {
		tables = append(tables, result.Targets...)
	}
	result.Tables, result.Functions = sorted(tables), sorted(append(accountFunctions(s), found.Functions...))
	for _, c := range found.Columns {
		column := Column{Name: c.Name, Type: c.Type, Sources: []Source{}, shape: c.Shape}
		for _, source := range c.Sources {
			carry := CarryDirect
			if source.Derived {
				carry = CarryDerived
			}
			column.Sources = append(column.Sources, Source{Path: source.Path, Column: source.Column, Carry: carry})
		}
		result.Columns = append(result.Columns, column)
	}
	for _, u := range found.Uses {
		offset := -1
		if u.Offset >= 0 {
			offset = s.Start + u.Offset
		}
		result.Uses = append(result.Uses, Use{Column: u.Column, In: UseIn(u.In), Offset: offset, length: u.Length})
	}
	result.lengths, result.unnests = found.Lengths, found.Unnests
	return nil
}
