package jsonmask

import (
	"errors"

	"github.com/bqgate/bqgate/internal/masking"
)

// rowState is which byte of the rows comes next. The shape is fixed: [{"f":[{"v":VALUE},…]},…]
// where a value is a string or null, for a STRUCT {"f":[…]} or null, for an array [{"v":VALUE},…].
// Anything else is refused.
type rowState uint8

const (
	rowsOpen   rowState = iota // [
	rowFirst                   // { or ]
	rowNext                    // {
	rowSep                     // , or ]
	nameOpen                   // " before f or v
	nameWord                   // f or v
	nameShut                   // "
	nameColon                  // :
	listOpen                   // [ of f
	cellOpen                   // {
	cellValue                  // the first byte of a value
	cellShut                   // }
	cellSep                    // , or ] of f
	listShut                   // ] of f
	objectShut                 // } behind it
	elemFirst                  // { or ] of an array
	elemSep                    // , or ] of an array
	inString                   // inside a cell's string
	inNull                     // inside null
)

// frame is an open STRUCT (or row) or array.
type frame struct {
	fields []node // of a STRUCT
	elem   *node  // of an array
	n      int    // fields done
}

// nextCell is what stands between two cells of a compact answer, of whatever depth.
var nextCell = newGap([]byte(`},{"v":`))

// never is a depth of the stack that is never reached: rows that nobody asked for are muted from
// end to end.
const never = 1 << 30

// rows masks the rows of an answer, by its states where template.go cannot.
type rows struct {
	columns []node
	untold  bool // it is not known yet which columns there are
	cells   *cells
	limit   uint64
	seen    uint64

	state rowState
	name  byte // the name that nameWord wants
	stack []frame
	null  int // bytes of null read

	// mute is 0 while bytes are copied through, else one more than the depth of the stack at the
	// value that is being replaced.
	mute    int
	collect *node  // computes the string that is being read; nil for none
	text    []byte // that string so far
	part    []byte // an escape or character that the end of a chunk cut

	template
	from int // of the chunk: what is behind has been let out or hidden
	gap  int // of the chunk: where the last cell of a row ended, -1 if in none of its bytes
}

func (r *rows) init(columns []node, cells *cells, limit uint64) {
	r.columns, r.cells, r.limit = columns, cells, limit
	r.stack = make([]frame, 0, 2*masking.MaxDepth+2)
	r.part = make([]byte, 0, 16)
}

// begin starts the rows; silent ones are checked and counted and not let out.
func (r *rows) begin(silent bool) {
	if silent {
		r.mute = never
	}
}

// write takes bytes up to the end of the rows and returns how many they were.
func (r *rows) write(out *[]byte, p []byte) (n int, done bool, err error) {
	r.from, r.gap = 0, -1
	for n < len(p) && !done {
		switch {
		case r.state == inString:
			n, err = r.readString(out, p, n)
		case r.state == cellValue && r.learnt():
			n, err = r.readLearnt(out, p, n)
		default:
			n, done, err = r.readFrame(out, p, n)
		}
		if err == nil {
			err = r.cells.wrong
		}
		if err != nil {
			return 0, false, err
		}
	}
	if r.mute == 0 {
		*out = append(*out, p[r.from:n]...)
	}
	return n, done, nil
}

// readFrame takes the frame around the cells from p[n], and the scalar cells that p has whole, up
// to where a string is cut, to where the template applies, or to the end.
func (r *rows) readFrame(out *[]byte, p []byte, n int) (next int, done bool, err error) {
	for n < len(p) {
		c := p[n]
		switch r.state {
		case cellShut:
			if r.learnt() {
				if next, err := r.readLearnt(out, p, n); err != nil || next > n {
					return next, false, err
				}
			}
			if c == '}' {
				r.shutCell()
				if r.state != listShut && nextCell.opens(p, n) {
					r.state, r.name = cellValue, 'v'
					n += len(nextCell.text)
				} else {
					n++
				}
				continue
			}
		case cellSep:
			if c == ',' {
				r.state = cellOpen
				n++
				continue
			}
		case cellOpen:
			if c == '{' {
				r.state, r.name = nameOpen, 'v'
				n++
				continue
			}
		case nameOpen:
			if c == '"' {
				if len(p)-n >= 4 && p[n+1] == r.name && p[n+2] == '"' && p[n+3] == ':' {
					r.openNamed()
					n += 4
				} else {
					r.state = nameWord
					n++
				}
				continue
			}
		case cellValue:
			if !blankByte(c) {
				if len(r.stack) == 1 && r.gap >= 0 {
					r.learn(p[r.gap:n], r.stack[0].n)
					r.gap = -1
				}
				if r.learnt() {
					return n, false, nil
				}
				if n, err = r.readValue(out, p, n); err != nil || r.state == inString {
					return n, false, err
				}
				continue
			}
		default:
			n++
			if done, err = r.step(out, n, c); done || err != nil {
				return n, done, err
			}
			continue
		}
		if !blankByte(c) {
			return n, false, r.unexpected(c)
		}
		for n++; n < len(p) && blankByte(p[n]); n++ {
		}
	}
	return n, false, nil
}

// step takes the byte c = p[next-1] where it is one of the rarer ones of the frame.
func (r *rows) step(out *[]byte, next int, c byte) (done bool, err error) {
	state := r.state
	switch {
	case state == nameWord && c == r.name:
		r.state = nameShut
	case state == nameShut && c == '"':
		r.state = nameColon
	case state == inNull && c == "null"[r.null]:
		if r.null++; r.null == 4 {
			r.shutValue(out, next)
		}
	case state == nameWord || state == nameShut || state == inNull:
		return false, r.unexpected(c)
	case blankByte(c):
	case state == nameColon && c == ':':
		r.openNamed()
	case state == listOpen && c == '[':
		r.state = cellOpen
	case state == elemFirst && c == '{':
		r.state, r.name = nameOpen, 'v'
	case state == elemSep && c == ',':
		r.state = cellOpen
	case (state == elemFirst || state == elemSep) && c == ']', state == objectShut && c == '}':
		r.pop(out, next)
	case state == listShut && c == ']':
		r.state = objectShut
	case (state == rowFirst || state == rowNext) && c == '{':
		return false, r.openRow()
	case state == rowsOpen && c == '[':
		r.state = rowFirst
	case state == rowSep && c == ',':
		r.state = rowNext
	case (state == rowFirst || state == rowSep) && c == ']':
		return true, nil
	default:
		return false, r.unexpected(c)
	}
	return false, nil
}

// openNamed follows the colon behind f or v.
func (r *rows) openNamed() {
	r.state = cellValue
	if r.name == 'f' {
		r.state = listOpen
	}
}

// pop ends a row, a STRUCT or an array with its last byte, p[next-1].
func (r *rows) pop(out *[]byte, next int) {
	r.stack = r.stack[:len(r.stack)-1]
	if len(r.stack) > 0 {
		r.shutValue(out, next)
		return
	}
	r.seen++
	r.state = rowSep
}

// unexpected names the byte only where it cannot be one of a value.
func (r *rows) unexpected(c byte) error {
	switch {
	case r.state == cellSep && c == ']':
		return errors.New("a row has fewer cells than the plan has columns")
	case r.state == listShut && c == ',':
		return errors.New("a row has more cells than the plan has columns")
	case r.state == objectShut || r.state == cellShut:
		return errors.New("unknown member in a row")
	default:
		return errors.New("the rows do not have the shape of the plan")
	}
}

func (r *rows) openRow() error {
	if len(r.columns) == 0 {
		return errors.New("the plan allows no rows")
	}
	if r.untold {
		return masking.ErrUntold
	}
	if err := r.capped(); err != nil {
		return err
	}
	r.stack = append(r.stack, frame{fields: r.columns})
	r.state, r.name = nameOpen, 'f'
	return nil
}

// readValue takes a value from its first byte, at p[at]: the whole of a scalar if p has it, else as
// much as leads into the value. It hides the value if its node replaces it.
func (r *rows) readValue(out *[]byte, p []byte, at int) (next int, err error) {
	top := &r.stack[len(r.stack)-1]
	n := top.elem
	if n == nil {
		n = &top.fields[top.n]
	}
	if n.leaf {
		end, ascii := wholeValue(p, at)
		if end < 0 {
			return at, errBadString
		}
		if end > 0 {
			if n.act != masking.Pass && r.mute == 0 {
				*out = r.cells.appendCell(append(*out, p[r.from:at]...), n, p[at:end], ascii)
				r.from = end
			}
			r.state = cellShut
			if len(r.stack) == 1 {
				r.gap = end
			}
			return end, nil
		}
	}
	if n.act == masking.Replace {
		r.hide(out, p, at)
		if r.mute == 1+len(r.stack) {
			*out = append(*out, n.constant...)
		}
	}
	switch c := p[at]; {
	case c == 'n':
		r.state, r.null = inNull, 1
	case n.repeated && c == '[':
		r.stack = append(r.stack, frame{elem: n.elem})
		r.state = elemFirst
	case n.fields != nil && c == '{':
		r.stack = append(r.stack, frame{fields: n.fields})
		r.state, r.name = nameOpen, 'f'
	case n.leaf && c == '"':
		r.state = inString
		if n.act == masking.Compute && r.mute == 0 {
			r.hide(out, p, at)
			r.collect, r.text = n, r.text[:0]
		}
	default:
		return at, errors.New("a cell does not have the type of the plan")
	}
	return at + 1, nil
}

// hide lets out what is before p[at] and nothing more until the value that begins there has ended.
func (r *rows) hide(out *[]byte, p []byte, at int) {
	if r.mute == 0 {
		*out = append(*out, p[r.from:at]...)
		r.mute = 1 + len(r.stack)
	}
}

// shutValue follows the last byte of a value, p[next-1].
func (r *rows) shutValue(out *[]byte, next int) {
	if r.collect != nil {
		*out = r.cells.appendMasked(*out, r.collect, r.text)
		r.collect = nil
	}
	if r.mute == 1+len(r.stack) {
		r.mute, r.from = 0, next
	}
	r.state = cellShut
	if len(r.stack) == 1 {
		r.gap = next
	}
}

// shutCell follows the } of a cell.
func (r *rows) shutCell() {
	top := &r.stack[len(r.stack)-1]
	if top.elem != nil {
		r.state = elemSep
		return
	}
	r.state = cellSep
	if top.n++; top.n == len(top.fields) {
		r.state = listShut
	}
}
