package jsonmask

import (
	"bytes"
	"encoding/binary"
)

// gap is a text to compare with, of which the first eight bytes are compared as one number: between
// two compact cells there are no more.
type gap struct {
	text       []byte // nil: not known
	head, mask uint64
}

func newGap(text []byte) gap {
	g := gap{text: bytes.Clone(text), mask: ^uint64(0)}
	if len(text) < 8 {
		g.mask >>= 8 * (8 - len(text))
	}
	var head [8]byte
	copy(head[:], text)
	g.head = binary.LittleEndian.Uint64(head[:])
	return g
}

// opens says whether the gap is at p[i]. It says no where p has less than eight bytes from there
// on, and where the gap is not known.
func (g *gap) opens(p []byte, i int) bool {
	return i <= len(p)-8 && binary.LittleEndian.Uint64(p[i:i+8])&g.mask == g.head && g.text != nil &&
		(len(g.text) <= 8 || bytes.HasPrefix(p[i+8:], g.text[8:]))
}

// wholeValue is the index behind the string or null at p[n]: 0 if there is none or it is cut off,
// -1 if it is a string that is not valid. Of a string it says whether it stands for itself, without
// escapes, and in ASCII.
func wholeValue(p []byte, n int) (end int, ascii bool) {
	if p[n] == '"' {
		i := plain(p, n+1)
		if i < len(p) && p[i] == '"' {
			return i + 1, true
		}
		return stringEnd(p, i), false
	}
	if p[n] == 'n' && len(p)-n >= 4 && string(p[n:n+4]) == "null" {
		return n + 4, false
	}
	return 0, false
}
