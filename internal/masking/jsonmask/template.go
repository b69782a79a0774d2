package jsonmask

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/bqgate/bqgate/internal/masking"
)

// maxGap is the length of what stands between two cells, pretty-printed, that is still worth
// learning.
const maxGap = 512

// template is what the bytes between two cells of this answer look like. They are learnt from the
// first rows, while readFrame takes them one by one, and from then on compared whole: what differs,
// or is cut by the end of a chunk, goes to readFrame again. A match is therefore proof of the
// shape, as good as readFrame's: between two cells its states depend on nothing but these bytes and
// on whether the row is full.
type template struct {
	cell gap  // between two cells of a row: },{"v":
	row  gap  // between the last cell of a row and the first of the next: }]},{"f":[{"v":
	off  bool // for tests: learn nothing
}

// learn takes what stood between two cells: before cell number n of a row, counted from 0.
func (t *template) learn(gap []byte, n int) {
	if t.off || len(gap) > maxGap {
		return
	}
	if n > 0 && t.cell.text == nil {
		t.cell = newGap(gap)
	} else if n == 0 && t.row.text == nil {
		t.row = newGap(gap)
	}
}

// learnt says whether the next value is a row's own (not of a STRUCT or an array in it) and the
// template is known.
func (r *rows) learnt() bool {
	return r.row.text != nil && len(r.stack) == 1 && r.mute == 0
}

// readLearnt takes cells of rows from p[n], as long as the template holds: n is the first byte of a
// value (cellValue) or behind one (cellShut). It stops in one of these two states. Behind a value
// it may stop where it began; then what follows is not the template's, and readFrame takes it.
//
// What it does not let out is what the plan hides and nothing else: out has what may be shown of
// p[:from], and p[from:n] is let out as it is.
func (r *rows) readLearnt(dst *[]byte, p []byte, n int) (int, error) {
	top := &r.stack[0]
	columns, column, from, out := top.fields, top.n, r.from, *dst
	begin, shut := n, r.state == cellShut
	var err error
	for {
		if shut {
			if column+1 < len(columns) {
				if !r.cell.opens(p, n) {
					break
				}
				column++
				n += len(r.cell.text)
			} else {
				if !r.row.opens(p, n) {
					break
				}
				if r.seen++; r.limit > 0 && r.seen >= r.limit {
					err = r.capped()
					break
				}
				column = 0
				n += len(r.row.text)
			}
			shut = false
		}
		cell := &columns[column]
		if n >= len(p) || !cell.leaf {
			break
		}
		// The inside of a string of plain ASCII, eight bytes at a time, up to its quote. Whatever
		// else the value is, wholeValue says what.
		i, mark := n+1, uint64(0)
		for p[n] == '"' && i >= 0 && i <= len(p)-8 {
			if mark = marks(binary.LittleEndian.Uint64(p[i : i+8])); mark != 0 {
				i += bits.TrailingZeros64(mark) >> 3
				break
			}
			i += 8
		}
		end, ascii := i+1, true
		if mark == 0 || p[i] != '"' {
			if end, ascii = wholeValue(p, n); end <= 0 {
				break
			}
		}
		switch {
		case cell.act == masking.Pass:
		case cell.act == masking.Replace:
			out = append(append(out, p[from:n]...), cell.constant...)
			from = end
		case cell.part != none && ascii && end-n <= maxCell:
			// What is shown of the cell goes out with what is around it.
			if head, tail := cell.part.hides(p, n+1, end-1); head < tail {
				out = append(append(out, p[from:head]...), masking.Blank...)
				from = tail
				break
			}
			fallthrough
		default:
			out = r.cells.appendCell(append(out, p[from:n]...), cell, p[n:end], ascii)
			from = end
		}
		n, shut = end, true
	}
	if n == begin && shut {
		return n, err
	}
	top.n, r.from, *dst = column, from, out
	r.state, r.gap = cellValue, -1
	switch {
	case err != nil:
	case shut:
		r.state, r.gap = cellShut, n
	case n == len(p):
	case blankByte(p[n]):
		n++
	default: // A STRUCT, an array, no value at all, or one that the end of the chunk cuts.
		return r.readValue(dst, p, n)
	}
	return n, err
}

// capped refuses the row that would follow the last one allowed.
func (r *rows) capped() error {
	if r.limit > 0 && r.seen >= r.limit {
		return fmt.Errorf("%d rows: %w", r.limit, masking.ErrCap)
	}
	return nil
}
