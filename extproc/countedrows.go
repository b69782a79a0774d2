package extproc

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// bytesOfARow is how long a row may be, as JSON, and still count as one.
const bytesOfARow = 1 << 10

// countedRows is as how many rows an answer counts against a budget of rows: each of its rows as
// one for each member of its arrays, at every depth, or as one for each KiB of it, whichever is
// more, and as one at least. So a thousand rows of a table cost what they are worth in one row too,
// whether they were brought there by ARRAY_AGG, by arrays in arrays, or as one long text.
func countedRows(answer []byte) (total uint64, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(answer))
	if err := toRows(d); err != nil {
		if errors.Is(err, io.EOF) { // there are none
			return 0, nil
		}
		return 0, fmt.Errorf("count the rows of an answer: %w", err)
	}
	for d.PeekKind() != ']' {
		n, err := countedRow(d)
		if err != nil {
			return 0, fmt.Errorf("count the rows of an answer: %w", err)
		}
		total += n
	}
	return total, nil
}

// toRows goes to the first of the rows; io.EOF says that there are none.
func toRows(d *jsontext.Decoder) error {
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return fmt.Errorf("%w: not an object", io.ErrUnexpectedEOF)
	}
	for {
		name, err := d.ReadToken()
		if err != nil {
			return fmt.Errorf("read a member: %w", err)
		}
		if name.Kind() == '}' {
			return io.EOF
		}
		if name.String() == "rows" && d.PeekKind() == '[' {
			_, err = d.ReadToken()
			return err
		}
		if err := d.SkipValue(); err != nil {
			return fmt.Errorf("skip a member: %w", err)
		}
	}
}

// countedRow reads one row: {"f": [{"v": …}, …]}, where v is a text or null, {"f": …} of a STRUCT,
// or [{"v": …}, …] of an ARRAY.
func countedRow(d *jsontext.Decoder) (uint64, error) {
	begin, members := d.InputOffset(), uint64(0)
	columns := []bool{} // for each value that is open: its members are columns of a struct
	named := "f"        // the last name
	for first := true; first || len(columns) > 0; first = false {
		t, err := d.ReadToken()
		if err != nil {
			return 0, fmt.Errorf("read a row: %w", err)
		}
		kind := t.Kind()
		if kind == '}' || kind == ']' {
			columns = columns[:len(columns)-1]
			continue
		}
		depth, index := d.StackIndex(d.StackDepth())
		if open := kind == '{' || kind == '['; open {
			depth, index = d.StackIndex(d.StackDepth() - 1)
		}
		switch isName := depth == '{' && index%2 == 1; {
		case isName && kind == '"':
			named = t.String()
			continue
		case depth == '[' && len(columns) > 0 && !columns[len(columns)-1]:
			members++
		}
		if kind == '{' || kind == '[' {
			columns = append(columns, kind == '[' && named == "f")
		}
	}
	length := uint64(d.InputOffset() - begin) //nolint:gosec // G115: it only goes forward
	return max(1, members, (length+bytesOfARow-1)/bytesOfARow), nil
}
