package googlesql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// RowAlias is the name by which the expressions of a ColumnMask see the row that they stand in.
const RowAlias = "bqgate_row"

// TableMask says what stands for columns of a table or a view wherever a query reads it.
type TableMask struct {
	Table   string // project.dataset.table
	Columns []ColumnMask
	Hides   []string // leaf columns of stored tables that these columns hold: the constants hide them in the proof
}

// ColumnMask is what stands for one top-level column. Both texts are expressions of the column's
// own type.
type ColumnMask struct {
	Column     string
	Expression string // over RowAlias; what BigQuery computes
	Constant   string // what stands there in the proof
}

// Rewritten is a query that reads masked columns in the place of the tables' own.
type Rewritten struct {
	SQL string // the text for BigQuery
	// Proof is the analysis of the same text with each mask's constant in the place of its
	// expression. The two texts differ in nothing else, so whatever the proof shows of a column is
	// read by the query itself, not by a mask.
	Proof *Analysis
}

// Rewrite replaces each reference to a table of masks by a subquery that masks the columns, (SELECT
// * REPLACE (expression AS column) FROM table) AS alias, by byte range: the rest of the text stays
// as it was written. Nothing is believed of the result: both texts are analysed anew, and must read
// the same tables, give the same columns of the same types, and carry and use the same other
// columns as the original. An error that is an *Error names what cannot be rewritten.
func (a *Analyzer) Rewrite(ctx context.Context, query Query, original *Analysis, masks []TableMask) (*Rewritten, error) {
	return Rewrite(ctx, a.Analyze, query, original, masks)
}

// Rewrite is Analyzer.Rewrite with another way to analyse.
func Rewrite(ctx context.Context, analyze func(context.Context, Query) (*Analysis, error), query Query, original *Analysis,
	masks []TableMask) (*Rewritten, error) {
	if original == nil || original.Error != nil || len(original.Statements) != 1 || original.Statements[0].Kind != "SELECT" ||
		len(masks) == 0 || len(masks[0].Columns) == 0 {
		return nil, &Error{Code: ErrorUnsupported, Message: "only a single SELECT can be rewritten"}
	}
	s := &original.Statements[0]
	if !slices.ContainsFunc(s.References, func(r Reference) bool { return masked(masks, r) != nil }) {
		return nil, stillRead(original, masks[0].Table, masks[0].Table+"."+masks[0].Columns[0].Column)
	}
	text, refused := splice(query.SQL, s, masks, func(c ColumnMask) string { return c.Expression })
	if refused != nil {
		return nil, refused
	}
	forwarded, err := rewritten(ctx, analyze, query, text, s)
	if err != nil {
		return nil, err
	}
	constant, refused := splice(query.SQL, s, masks, func(c ColumnMask) string { return c.Constant })
	if refused != nil {
		return nil, refused
	}
	proof, err := rewritten(ctx, analyze, query, constant, s)
	if err != nil {
		return nil, err
	}
	proof = withLengthsOf(proof, s)
	for _, made := range []*Analysis{forwarded, proof} {
		if !sameOtherwise(s, &made.Statements[0], masks) {
			return nil, &Error{Code: ErrorUnsupported,
				Message: "over the masked table it means something else: its other columns do not stay as they are"}
		}
	}
	for _, m := range masks {
		for _, c := range m.Columns {
			if column := m.Table + "." + c.Column; proof.Statements[0].Reads(column) {
				return nil, stillRead(original, m.Table, column)
			}
		}
	}
	return &Rewritten{SQL: text, Proof: proof}, nil
}

// masked finds what a reference is masked by, nil for nothing.
func masked(masks []TableMask, r Reference) *TableMask {
	i := slices.IndexFunc(masks, func(m TableMask) bool { return m.Table == r.Table && len(m.Columns) > 0 })
	if i < 0 {
		return nil
	}
	return &masks[i]
}

// splice writes the text with each reference to a masked table replaced.
func splice(text string, s *Statement, masks []TableMask, of func(ColumnMask) string) (string, *Error) {
	var edits []replacement
	for _, r := range s.References {
		mask := masked(masks, r)
		if mask == nil {
			continue
		}
		made, refused := reference(text, r, mask, of)
		if refused != nil {
			return "", refused
		}
		edits = append(edits, made...)
	}
	if len(edits) == 0 {
		return "", &Error{Code: ErrorUnsupported, Message: "none of its tables is named where a masked one can stand"}
	}
	slices.SortFunc(edits, func(a, b replacement) int { return a.at.Start - b.at.Start })
	var b strings.Builder
	from := 0
	for _, e := range edits {
		if e.at.Start < from || e.at.End < e.at.Start || e.at.End > len(text) {
			return "", &Error{Code: ErrorUnsupported, Message: "the places of its tables in the text are not understood"}
		}
		b.WriteString(text[from:e.at.Start])
		b.WriteString(e.text)
		from = e.at.End
	}
	b.WriteString(text[from:])
	return b.String(), nil
}

// outside are the signs with which an expression could end before its text does.
var outside = []string{"--", "#", "/*", ";"}

// replacement puts a text in the place of a byte range.
type replacement struct {
	at   Span
	text string
}

// reference replaces one reference. What qualifies the table (a hint, FOR SYSTEM_TIME, TABLESAMPLE)
// moves into the subquery; an alias stays where it is.
func reference(text string, r Reference, mask *TableMask, of func(ColumnMask) string) ([]replacement, *Error) {
	unsupported := func(format string, args ...any) ([]replacement, *Error) {
		e := &Error{Code: ErrorUnsupported, Message: fmt.Sprintf(format, args...)}
		e.Line, e.Column = r.Span.LineColumn(text)
		return nil, e
	}
	place := r.Place
	if place == nil || !place.Subquery || place.Other || place.Offset != nil {
		return unsupported("%s is read in a place where no subquery can stand", r.Table)
	}
	name, ok := quotePath(r.Table)
	if !ok || strings.ContainsAny(place.Alias, "`\\\n\r") || place.Alias == "" {
		return unsupported("the name of %s is not written plainly", r.Table)
	}
	var columns []string
	for _, c := range mask.Columns {
		if c.Column == "" || strings.ContainsAny(c.Column, "`\\\n\r") {
			return unsupported("the name of a column of %s is not written plainly", r.Table)
		}
		expression := of(c)
		if slices.ContainsFunc(outside, func(sign string) bool { return strings.Contains(expression, sign) }) {
			return unsupported("the mask of %s.%s is not a plain expression", r.Table, c.Column)
		}
		columns = append(columns, expression+" AS `"+c.Column+"`")
	}
	if len(columns) == 0 {
		return unsupported("nothing is said of the columns of %s", r.Table)
	}
	piece := func(s *wire.Span) string { return " " + text[s.Start:s.End] }
	var b strings.Builder
	fmt.Fprintf(&b, "(SELECT * REPLACE (%s) FROM %s", strings.Join(columns, ", "), name)
	var gone []replacement
	take := func(s *wire.Span) {
		if s != nil {
			b.WriteString(piece(s))
			gone = append(gone, replacement{Span{s.Start, s.End}, " "})
		}
	}
	switch place.Form {
	case wire.FormTable, wire.FormArgument:
		b.WriteString(" AS " + RowAlias + ")")
		return []replacement{{Span{place.Whole.Start, place.Whole.End}, b.String()}}, nil
	case wire.FormFrom:
	default:
		return unsupported("%s is read in a place where no subquery can stand", r.Table)
	}
	take(place.Hint)
	b.WriteString(" AS " + RowAlias)
	take(place.SystemTime)
	take(place.Sample)
	b.WriteByte(')')
	if place.AliasSpan == nil {
		b.WriteString(" AS `" + place.Alias + "`")
	}
	return append(gone, replacement{r.Span, b.String()}), nil
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

// rewritten analyses a rewritten text, and compares its shape with the original's.
func rewritten(ctx context.Context, analyze func(context.Context, Query) (*Analysis, error), query Query, text string,
	original *Statement) (*Analysis, error) {
	query.SQL = text
	analysis, err := analyze(ctx, query)
	if err != nil {
		return nil, err
	}
	if e := analysis.Error; e != nil {
		code := ErrorUnsupported
		if e.Code == ErrorUnavailable {
			code = e.Code
		}
		if name := pseudoColumn.FindString(e.Message); name != "" {
			return nil, &Error{Code: code, Message: "over the masked table there is no " + name +
				"; leave it out, or name one table where it chooses among those of a wildcard"}
		}
		// Its place is one of the rewritten text, which the author does not see.
		return nil, &Error{Code: code, Message: "over the masked table it is not understood: " + e.Message}
	}
	if err := sameShape(original, analysis.Statements); err != nil {
		return nil, &Error{Code: ErrorUnsupported, Message: "over the masked table it means something else: " + err.Error()}
	}
	return analysis, nil
}

// pseudoColumn finds in an error one of BigQuery's pseudo columns, which a subquery does not pass
// on.
var pseudoColumn = regexp.MustCompile(`(?i)\b_(?:TABLE_SUFFIX|PARTITIONTIME|PARTITIONDATE|FILE_NAME|CHANGE_\w+)\b`)

func sameShape(original *Statement, statements []Statement) error {
	if len(statements) != 1 || statements[0].Kind != original.Kind {
		return errors.New("it is another kind of statement")
	}
	s := &statements[0]
	switch {
	case !slices.Equal(s.Tables, original.Tables):
		return errors.New("it reads other tables")
	case !slices.EqualFunc(s.References, original.References, func(a, b Reference) bool { return a.Table == b.Table }):
		return errors.New("it reads its tables in other places")
	case !slices.Equal(s.Routines, original.Routines) || !slices.Equal(s.Targets, original.Targets):
		return errors.New("it uses other routines")
	case len(s.Columns) != len(original.Columns):
		return errors.New("it has another number of columns")
	}
	for i := range s.Columns {
		if s.Columns[i].Name != original.Columns[i].Name || s.Columns[i].Type != original.Columns[i].Type {
			return fmt.Errorf("its column %d is another one", i+1)
		}
	}
	return nil
}

// sameOtherwise compares what two statements carry and use of the columns that no mask stands for:
// all of it must still be there, and in the same output columns.
func sameOtherwise(original, made *Statement, masks []TableMask) bool {
	hidden := func(column string) bool {
		for _, m := range masks {
			for _, c := range m.Columns {
				if within(column, m.Table+"."+c.Column) {
					return true
				}
			}
			if slices.ContainsFunc(m.Hides, func(leaf string) bool { return within(column, leaf) }) {
				return true
			}
		}
		return column == ""
	}
	carried := func(c Column) []string {
		var all []string
		for _, s := range c.Sources {
			if !hidden(s.Column) {
				all = append(all, s.Path+" "+s.Column)
			}
		}
		return sorted(all)
	}
	for i := range made.Columns {
		if !slices.Equal(carried(original.Columns[i]), carried(made.Columns[i])) {
			return false
		}
	}
	return !slices.ContainsFunc(original.Uses, func(u Use) bool {
		return !hidden(u.Column) && !slices.ContainsFunc(made.Uses, func(p Use) bool { return p.Column == u.Column && p.In == u.In })
	})
}

// withLengthsOf is the proof without uses of lengths that the original has not. Where the elements
// of an array stand in a column of a view, they say themselves how many there are, masked or not; a
// constant in the column's place says nothing, and the array's length would seem to be used.
func withLengthsOf(proof *Analysis, original *Statement) *Analysis {
	s := proof.Statements[0]
	s.Uses = slices.DeleteFunc(slices.Clone(s.Uses), func(u Use) bool { return u.length && !slices.Contains(original.lengths, u.Column) })
	made := *proof
	made.Statements = []Statement{s}
	return &made
}

// stillRead says where a column is read that could not be masked.
func stillRead(whole *Analysis, table, column string) *Error {
	for _, name := range whole.Statements[0].Tables {
		if view := whole.Views[name]; view != nil && view.Reads(column) {
			return &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is a view that computes on %s, or decides by it; read %s itself",
				name, column, table)}
		}
	}
	for _, name := range whole.Statements[0].Routines {
		if body := whole.Bodies[name]; body != nil && body.Reads(column) {
			return &Error{Code: ErrorUnsupported,
				Message: fmt.Sprintf("%s is a function that reads %s; read %s itself", name, column, table)}
		}
	}
	return &Error{Code: ErrorUnsupported, Message: column + " is still read as it is"}
}

// Reads says whether the statement carries or uses this column, anything below it, or the whole
// that it is a part of.
func (s *Statement) Reads(column string) bool {
	overlaps := func(other string) bool { return other != "" && (within(other, column) || within(column, other)) }
	for _, c := range s.Columns {
		if slices.ContainsFunc(c.Sources, func(source Source) bool { return overlaps(source.Column) }) {
			return true
		}
	}
	return slices.ContainsFunc(s.Uses, func(u Use) bool { return overlaps(u.Column) })
}
