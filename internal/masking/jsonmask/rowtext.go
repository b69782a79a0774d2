package jsonmask

import (
	"errors"
	"fmt"
)

// readString takes bytes of a cell's string from p[i] and returns where it stopped: behind the
// closing quote or at the end of p. Every cell is checked, the ones that are passed or hidden too:
// what another reader would take otherwise is refused.
func (r *rows) readString(out *[]byte, p []byte, i int) (int, error) {
	if len(r.part) > 0 {
		var err error
		if i, err = r.readPart(out, p, i); err != nil || len(r.part) > 0 {
			return i, err
		}
	}
	start := i
	for {
		if i = plain(p, i); i == len(p) {
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
