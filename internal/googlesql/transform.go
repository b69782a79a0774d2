package googlesql

import "fmt"

// Transform is one change that is made in the text of a query before it runs. The kinds are those
// of this package, each a type in a file of its own: its methods say where the text changes and
// what must be true of the result. Splice and proof (Rewrite) are the same for all of them, and
// know none by name.
type Transform interface {
	// changes says what becomes of the text.
	changes(text string, s *Statement, f face) (changes, *Error)
	// hides says whether something else stands for a column, so that it need not be carried and
	// used as before. The column is project.dataset.table.column[.field…].
	hides(column string) bool
	// proven says what is wrong with the statement that comes of the proving text, nil for nothing.
	proven(original *Analysis, proof *Statement) *Error
}

// face is one of the two texts that come of a rewriting. They differ in the expressions of
// transforms alone.
type face int

const (
	runs   face = iota // what BigQuery gets
	proves             // what the proof is of: constants, which read no column
	faces
)

// changes are what a transform makes of a text.
type changes struct {
	// reads are queries that stand in the place of references to tables, by the place of these in
	// Statement.References.
	reads map[int]wrapping
	// edits are changes anywhere else. They may not overlap with those of others.
	edits []replacement
}

// wrapping writes a query that reads source, what stands behind FROM. Where several transforms
// change one reference, the first reads the table, and each later one what came of those before.
type wrapping func(source string) (string, *Error)

// replacement puts a text in the place of a byte range.
type replacement struct {
	at   Span
	text string
}

func unsupported(format string, args ...any) *Error {
	return &Error{Code: ErrorUnsupported, Message: fmt.Sprintf(format, args...)}
}
