package googlesql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Rewritten is a query in whose text transforms were made.
type Rewritten struct {
	SQL string // the text for BigQuery
	// Proof is the analysis of the same text with a constant in the place of each expression of a
	// transform. The two texts differ in nothing else, so whatever the proof shows of a column is
	// read by the query itself, not by a mask.
	Proof *Analysis
}

// Rewrite makes transforms in the text of a query, in their order, by byte range: the rest of the
// text stays as it was written. Nothing is believed of the result: the text that runs and the one
// that proves are both analysed anew, and must read the same tables, give the same columns of the
// same types, and carry and use the same other columns as the original. An error that is an *Error
// names what cannot be rewritten.
func (a *Analyzer) Rewrite(ctx context.Context, query Query, original *Analysis, transforms []Transform) (*Rewritten, error) {
	return Rewrite(ctx, a.Analyze, query, original, transforms)
}

// Rewrite is Analyzer.Rewrite with another way to analyse.
func Rewrite(ctx context.Context, analyze func(context.Context, Query) (*Analysis, error), query Query, original *Analysis,
	transforms []Transform) (*Rewritten, error) {
	if original == nil || original.Error != nil || len(original.Statements) != 1 || original.Statements[0].Kind != "SELECT" ||
		len(transforms) == 0 || slices.ContainsFunc(transforms, func(t Transform) bool { return t == nil }) {
		return nil, unsupported("only a single SELECT can be rewritten")
	}
	s := &original.Statements[0]
	var texts [faces]string
	var made [faces]*Analysis
	for f := range texts {
		var refused *Error
		if texts[f], refused = splice(query.SQL, original, transforms, face(f)); refused != nil {
			return nil, refused
		}
		var err error
		if made[f], err = rewritten(ctx, analyze, query, texts[f], s); err != nil {
			return nil, err
		}
	}
	made[proves] = withLengthsOf(made[proves], s)
	for _, m := range made {
		if !sameOtherwise(s, &m.Statements[0], transforms) {
			return nil, unsupported("over the masked table it means something else: its other columns do not stay as they are")
		}
	}
	for _, t := range transforms {
		if refused := t.proven(original, &made[proves].Statements[0]); refused != nil {
			return nil, refused
		}
	}
	return &Rewritten{SQL: texts[runs], Proof: made[proves]}, nil
}

// splice writes one face of the text that transforms make of a query's.
func splice(text string, original *Analysis, transforms []Transform, f face) (string, *Error) {
	s := &original.Statements[0]
	var edits []replacement
	reads := make([][]wrapping, len(s.References))
	for _, t := range transforms {
		c, refused := t.changes(text, s, f)
		if refused != nil {
			return "", refused
		}
		for i, wrap := range c.reads {
			reads[i] = append(reads[i], wrap)
		}
		edits = append(edits, c.edits...)
	}
	for i, wraps := range reads {
		if len(wraps) == 0 {
			continue
		}
		made, refused := reference(text, s.References[i], wraps)
		if refused != nil {
			return "", refused
		}
		edits = append(edits, made...)
	}
	if len(edits) == 0 {
		for _, t := range transforms {
			if refused := t.proven(original, s); refused != nil {
				return "", refused
			}
		}
		return "", unsupported("none of its tables is named where a masked one can stand")
	}
	slices.SortStableFunc(edits, func(a, b replacement) int { return a.at.Start - b.at.Start })
	var b strings.Builder
	from := 0
	for _, e := range edits {
		if e.at.Start < from || e.at.End < e.at.Start || e.at.End > len(text) {
			return "", unsupported("the places of its tables in the text are not understood")
		}
		b.WriteString(text[from:e.at.Start])
		b.WriteString(e.text)
		from = e.at.End
	}
	b.WriteString(text[from:])
	return b.String(), nil
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

// sameOtherwise compares what two statements carry and use of the columns that no transform stands
// for: all of it must still be there, and in the same output columns.
func sameOtherwise(original, made *Statement, transforms []Transform) bool {
	hidden := func(column string) bool {
		return column == "" || slices.ContainsFunc(transforms, func(t Transform) bool { return t.hides(column) })
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
