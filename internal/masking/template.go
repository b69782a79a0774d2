package masking

import (
	"bytes"
	"fmt"
)

// maxGap is the length of what stands between two cells, pretty-printed, that is still worth learning.
const maxGap = 512

// template is what the bytes between two cells of this answer look like. They are learnt from the first rows, while readFrame takes them one by one, and
// from then on compared whole: what differs, or is cut by the end of a chunk, goes to readFrame again. A match is therefore proof of the shape, as good as
// readFrame's: between two cells its states depend on nothing but these bytes and on whether the row is full.
type template struct {
	cell []byte // between two cells of a row: },{"v":
	row  []byte // between the last cell of a row and the first of the next: }]},{"f":[{"v":
	off  bool   // for tests: learn nothing
}

// learn takes what stood between two cells: before cell number n of a row, counted from 0.
func (t *template) learn(gap []byte, n int) {
	if t.off || len(gap) > maxGap {
		return
	}
	if n > 0 && t.cell == nil {
		t.cell = bytes.Clone(gap)
	} else if n == 0 && t.row == nil {
		t.row = bytes.Clone(gap)
	}
}

// learnt says whether the next value is a row's own (not of a STRUCT or an array in it) and the template is known.
func (r *rows) learnt() bool {
	return r.row != nil && len(r.stack) == 1 && r.mute == 0
}

// readLearnt takes values of rows, from the first byte of one at p[n], as long as the template holds.
func (r *rows) readLearnt(out *[]byte, p []byte, n int) (int, error) {
	top := &r.stack[0]
	for n < len(p) {
		c := p[n]
		if blankByte(c) {
			n++
			continue
		}
		cell := &r.columns[top.n]
		end := 0
		switch {
		case cell.typ == "" || cell.repeated:
		case c == '"':
			if end = stringEnd(p, n+1); end < 0 {
				return n, errBadString
			}
		case c == 'n' && len(p)-n >= 4 && string(p[n:n+4]) == "null":
			end = n + 4
		}
		if end == 0 {
			// A STRUCT, an array, no value at all, or one that the end of the chunk cuts.
			return n + 1, r.openValue(out, p, n, c)
		}
		switch {
		case cell.act == replace:
			*out = append(append(*out, p[r.from:n]...), cell.constant...)
			r.from = end
		case cell.act == compute && c == '"':
			if end-n > maxCell {
				return n, errLongCell
			}
			*out = r.cells.appendMasked(append(*out, p[r.from:n]...), cell, p[n+1:end-1])
			r.from = end
		}
		r.state, r.gap = cellShut, end
		next, err := r.jump(p, end)
		if err != nil || next == end {
			return next, err
		}
		n = next
	}
	return n, nil
}

// jump goes from behind a row's cell, at p[n], to the next cell if the template's bytes are between them, and stays where it is if not.
func (r *rows) jump(p []byte, n int) (next int, err error) {
	top := &r.stack[0]
	if top.n+1 < len(top.fields) {
		if r.cell == nil || !bytes.HasPrefix(p[n:], r.cell) {
			return n, nil
		}
		top.n++
		r.state, r.gap = cellValue, -1
		return n + len(r.cell), nil
	}
	if !bytes.HasPrefix(p[n:], r.row) {
		return n, nil
	}
	r.seen++
	if err := r.capped(); err != nil {
		return n, err
	}
	top.n = 0
	r.state, r.gap = cellValue, -1
	return n + len(r.row), nil
}

// capped refuses the row that would follow the last one allowed.
func (r *rows) capped() error {
	if r.limit > 0 && r.seen >= r.limit {
		return fmt.Errorf("%d rows: %w", r.limit, ErrCap)
	}
	return nil
}
