package googlesql

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// RowAlias is the name by which the expressions of a transform see the row that they stand in.
const RowAlias = "bqgate_row"

// reference replaces one reference to a table. What qualifies the table (a hint, FOR SYSTEM_TIME,
// TABLESAMPLE) moves into the innermost query; an alias stays where it is.
func reference(text string, r Reference, wraps []wrapping) ([]replacement, *Error) {
	at := func(e *Error) *Error {
		e.Line, e.Column = r.Span.LineColumn(text)
		return e
	}
	place := r.Place
	if place == nil || !place.Subquery || place.Other || place.Offset != nil {
		return nil, at(unsupported("%s is read in a place where no subquery can stand", r.Table))
	}
	name, ok := quotePath(r.Table)
	if !ok || strings.ContainsAny(place.Alias, "`\\\n\r") || place.Alias == "" {
		return nil, at(unsupported("the name of %s is not written plainly", r.Table))
	}
	var source strings.Builder
	source.WriteString(name)
	var gone []replacement
	take := func(s *wire.Span) {
		if s != nil {
			source.WriteString(" " + text[s.Start:s.End])
			gone = append(gone, replacement{Span{s.Start, s.End}, " "})
		}
	}
	span, alias := Span{place.Whole.Start, place.Whole.End}, ""
	switch place.Form {
	case wire.FormTable, wire.FormArgument:
		source.WriteString(" AS " + RowAlias)
	case wire.FormFrom:
		take(place.Hint)
		source.WriteString(" AS " + RowAlias)
		take(place.SystemTime)
		take(place.Sample)
		span = r.Span
		if place.AliasSpan == nil {
			alias = " AS `" + place.Alias + "`"
		}
	default:
		return nil, at(unsupported("%s is read in a place where no subquery can stand", r.Table))
	}
	query, refused := wraps[0](source.String())
	for _, wrap := range wraps[1:] {
		if refused == nil {
			query, refused = wrap("(" + query + ") AS " + RowAlias)
		}
	}
	if refused != nil {
		return nil, at(refused)
	}
	return append(gone, replacement{span, "(" + query + ")" + alias}), nil
}

// outside are the signs with which an expression could end before its text does.
var outside = []string{"--", "#", "/*", ";"}

// plain says whether an expression of a transform ends where its text does.
func plain(expression string) bool {
	return expression != "" && !slices.ContainsFunc(outside, func(sign string) bool { return strings.Contains(expression, sign) })
}

// quotePath writes a full table name in back quotes, part by part: whatever else the query names,
// it means this table.
func quotePath(table string) (string, bool) {
	parts := strings.Split(table, ".")
	if len(parts) != 3 || strings.ContainsAny(table, "`\\\n\r") || slices.Contains(parts, "") {
		return "", false
	}
	return "`" + strings.Join(parts, "`.`") + "`", true
}
