package masking

import (
	"fmt"
)

// maxGap is the length of what stands between two cells, pretty-printed, that is still worth learning.
const maxGap = 512

// template is what the bytes between two cells of this answer look like. They are learnt from the first rows, while readFrame takes them one by one, and
// from then on compared whole: what differs, or is cut by the end of a chunk, goes to readFrame again. A match is therefore proof of the shape, as good as
// readFrame's: between two cells its states depend on nothing but these bytes and on whether the row is full.
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

// learnt says whether the next value is a row's own (not of a STRUCT or an array in it) and the template is known.
func (r *rows) learnt() bool {
	return r.row.text != nil && len(r.stack) == 1 && r.mute == 0
}

// readLearnt takes values of rows, from the first byte of one at p[n], as long as the template holds. What it keeps in variables of its own while it runs is
// given back at the end: where it stopped, behind a value (cellShut) or before one that it does not take.
func (r *rows) readLearnt(dst *[]byte, p []byte, n int) (int, error) {
	top := &r.stack[0]
	columns, column, from, out := top.fields, top.n, r.from, *dst
	shut := false
	var err error
	for n < len(p) {
		if run := columns[column].run; run > 0 {
			var taken int
			n, taken = r.cell.passCells(p, n, run)
			if column += taken; taken == run || n >= len(p) {
				continue
			}
		}
		cell := &columns[column]
		if !cell.leaf {
			break
		}
		end, ascii := wholeValue(p, n)
		if end <= 0 {
			break
		}
		switch {
		case cell.act == pass:
		case cell.act == replace:
			out = append(append(out, p[from:n]...), cell.constant...)
			from = end
		case cell.part && ascii && end-n <= maxCell:
			// What is shown of the cell goes out with what is around it.
			text := p[n+1 : end-1]
			if head, tail, ok := shown(cell.rule, text); ok && !escapes(text[:head]) && !escapes(text[tail:]) {
				out = append(append(out, p[from:n+1+head]...), blank...)
				from = n + 1 + tail
				break
			}
			fallthrough
		default:
			out = r.cells.appendCell(append(out, p[from:n]...), cell, p[n:end], ascii)
			from = end
		}
		n = end
		if column+1 < len(columns) {
			if shut = !r.cell.opens(p, n); shut {
				break
			}
			column++
			n += len(r.cell.text)
			continue
		}
		if shut = !r.row.opens(p, n); shut {
			break
		}
		r.seen++
		if r.limit > 0 && r.seen >= r.limit {
			err = r.capped()
			break
		}
		column = 0
		n += len(r.row.text)
	}
	top.n, r.from, *dst = column, from, out
	r.gap = -1
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

// jump goes from behind a row's cell, at p[n], to the next cell if the template's bytes are between them, and stays where it is if not.
func (r *rows) jump(p []byte, n int) (next int, err error) {
	top := &r.stack[0]
	if top.n+1 < len(top.fields) {
		if !r.cell.opens(p, n) {
			return n, nil
		}
		top.n++
		r.state, r.gap = cellValue, -1
		return n + len(r.cell.text), nil
	}
	if !r.row.opens(p, n) {
		return n, nil
	}
	r.seen++
	if err := r.capped(); err != nil {
		return n, err
	}
	top.n = 0
	r.state, r.gap = cellValue, -1
	return n + len(r.row.text), nil
}

// capped refuses the row that would follow the last one allowed.
func (r *rows) capped() error {
	if r.limit > 0 && r.seen >= r.limit {
		return fmt.Errorf("%d rows: %w", r.limit, ErrCap)
	}
	return nil
}
