package masking

import (
	"errors"
	"fmt"
)

// rowState is which byte of the rows comes next. The shape is fixed: [{"f":[{"v":VALUE},…]},…] where a value is a string or null, for a STRUCT {"f":[…]} or
// null, for an array [{"v":VALUE},…]. Anything else is refused.
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

// never is a depth of the stack that is never reached: rows that nobody asked for are muted from end to end.
const never = 1 << 30

// rows masks the rows of an answer, byte by byte where template.go cannot.
type rows struct {
	columns []node
	cells   *cells
	limit   uint64
	seen    uint64

	state rowState
	name  byte // the name that nameWord wants
	stack []frame
	null  int // bytes of null read

	// mute is 0 while bytes are copied through, else one more than the depth of the stack at the value that is being replaced.
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
	r.stack = make([]frame, 0, 2*maxDepth+2)
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

// readFrame takes bytes of the frame around the strings from p[n], up to a string, to where the template applies, or to the end.
func (r *rows) readFrame(out *[]byte, p []byte, n int) (next int, done bool, err error) {
	for n < len(p) {
		c := p[n]
		switch r.state {
		case cellShut:
			if r.learnt() {
				if next, err := r.jump(p, n); err != nil || next > n {
					return next, false, err
				}
			}
			if c == '}' {
				r.shutCell()
				n++
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
				if err := r.openValue(out, p, n, c); err != nil {
					return n, false, err
				}
				n++
				if r.state == inString {
					return n, false, nil
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
	if err := r.capped(); err != nil {
		return err
	}
	r.stack = append(r.stack, frame{fields: r.columns})
	r.state, r.name = nameOpen, 'f'
	return nil
}

// openValue takes the first byte of a value, at p[at]: hides the value if its node replaces it, and goes into it.
func (r *rows) openValue(out *[]byte, p []byte, at int, c byte) error {
	top := &r.stack[len(r.stack)-1]
	n := top.elem
	if n == nil {
		n = &top.fields[top.n]
	}
	if n.act == replace {
		r.hide(out, p, at)
		if r.mute == 1+len(r.stack) {
			*out = append(*out, n.constant...)
		}
	}
	switch {
	case c == 'n':
		r.state, r.null = inNull, 1
	case n.repeated && c == '[':
		r.stack = append(r.stack, frame{elem: n.elem})
		r.state = elemFirst
	case !n.repeated && n.fields != nil && c == '{':
		r.stack = append(r.stack, frame{fields: n.fields})
		r.state, r.name = nameOpen, 'f'
	case !n.repeated && n.fields == nil && c == '"':
		r.state = inString
		if n.act == compute && r.mute == 0 {
			r.hide(out, p, at)
			r.collect, r.text = n, r.text[:0]
		}
	default:
		return errors.New("a cell does not have the type of the plan")
	}
	return nil
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

// readString takes bytes of a cell's string from p[i] and returns where it stopped: behind the closing quote or at the end of p. Every cell is checked,
// the ones that are passed or hidden too: what another reader would take otherwise is refused.
func (r *rows) readString(out *[]byte, p []byte, i int) (int, error) {
	if len(r.part) > 0 {
		var err error
		if i, err = r.readPart(out, p, i); err != nil || len(r.part) > 0 {
			return i, err
		}
	}
	start := i
	for {
		i += plain(p[i:])
		if i == len(p) {
			return i, r.gather(p[start:i])
		}
		if p[i] == '"' {
			if err := r.gather(p[start:i]); err != nil {
				return i, err
			}
			r.shutValue(out, i+1)
			return i + 1, nil
		}
		n := special(p[i:])
		if n < 0 {
			return i, errBadString
		}
		if n == 0 {
			if r.mute == 0 {
				*out = append(*out, p[r.from:i]...)
				r.from = len(p)
			}
			r.part = append(r.part, p[i:]...)
			return len(p), r.gather(p[start:i])
		}
		i += n
	}
}

var (
	errBadString = errors.New("a cell is not a valid JSON string")
	errLongCell  = fmt.Errorf("a masked cell is longer than %d bytes", maxCell)
)

// readPart completes what the end of the last chunk cut. At most 12 bytes belong to it.
func (r *rows) readPart(out *[]byte, p []byte, i int) (int, error) {
	for ; i < len(p); i++ {
		r.part = append(r.part, p[i])
		n := special(r.part)
		if n < 0 {
			return i, errBadString
		}
		if n == 0 {
			continue
		}
		if err := r.gather(r.part); err != nil {
			return i, err
		}
		if r.mute == 0 {
			*out = append(*out, r.part...)
		}
		r.part = r.part[:0]
		r.from = i + 1
		return i + 1, nil
	}
	r.from = i // nothing of it goes out before it is whole
	return i, nil
}

// gather adds to the string that a mask is computed from.
func (r *rows) gather(b []byte) error {
	if r.collect == nil {
		return nil
	}
	if len(r.text)+len(b) > maxCell {
		return errLongCell
	}
	r.text = append(r.text, b...)
	return nil
}
