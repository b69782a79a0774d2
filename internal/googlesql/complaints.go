package googlesql

import (
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// unknownFunction is the engine's error about an unknown function with the place of its call, which
// the engine does not tell.
func (j *job) unknownFunction(s *wire.Statement, e *wire.Error) *Error {
	name, ok := strings.CutPrefix(e.Message, "Function not found: ")
	if !ok {
		return nil
	}
	for i := range s.Paths {
		if p := &s.Paths[i]; p.Role == wire.RoleBuiltin && strings.EqualFold(strings.Join(p.Parts, "."), name) {
			return j.at(p.Start, ErrorNotFound, "the function %s is not known to bqgate", strings.ToUpper(name))
		}
	}
	return nil
}

// ownAlias explains why a name is not recognised that is the last part of a table's name: the name
// was quoted as a whole, and the whole is its alias.
func ownAlias(s *wire.Statement, e *Error) *Error {
	name, ok := strings.CutPrefix(e.Message, "Unrecognized name: ")
	if !ok {
		return e
	}
	name, _, _ = strings.Cut(name, "; ") // Did you mean …?
	for i := range s.Paths {
		p := &s.Paths[i]
		if last := p.Parts[len(p.Parts)-1]; p.Place != nil && p.Place.AliasSpan == nil && p.Place.Alias != last &&
			strings.EqualFold(last, name) {
			e.Message = fmt.Sprintf("Unrecognized name: %s; `%s` is quoted as a whole and called by the whole: write AS %s behind it", name,
				p.Place.Alias, last)
			return e
		}
	}
	return e
}

// writtenAs is where the statement has a table's name in just these words.
func writtenAs(s *wire.Statement, name string) int {
	for i := range s.Paths {
		if p := &s.Paths[i]; p.Role == wire.RoleTable && strings.Join(p.Parts, ".") == name {
			return p.Start
		}
	}
	return s.Start
}

// pathStart is where the statement names a table.
func (j *job) pathStart(s *wire.Statement, id bigquery.TableID) int {
	for i := range s.Paths {
		if p := &s.Paths[i]; p.Role == wire.RoleTable {
			if named, refused := j.tableID(p.Parts); refused == nil && named == id {
				return p.Start
			}
		}
	}
	return s.Start
}

// located is a worker's error with its line and column in the author's text. The worker was given
// the text from byte from on.
func located(e *wire.Error, text string, from int) *Error {
	result := &Error{Code: ErrorCode(e.Code), Message: e.Message}
	if e.Offset >= 0 {
		at := from + e.Offset
		result.Line, result.Column = Span{at, at}.LineColumn(text)
	}
	switch result.Code {
	case ErrorSyntax, ErrorNotFound, ErrorUnsupported, ErrorLimit, ErrorDeadline:
	default:
		result.Code = ErrorUnavailable
	}
	return result
}
