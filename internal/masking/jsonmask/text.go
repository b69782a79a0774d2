package jsonmask

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// marks has the high bit of a byte set where w, eight bytes of a string, has what does not stand
// for itself in JSON: a quote, a backslash, a control character or a byte outside ASCII. It is
// right up to the lowest such byte; higher bits may be set wrongly by the borrow, so only the
// lowest one counts.
func marks(w uint64) uint64 {
	// x^2 is below 0x21 for the control characters and for the quote, 0x22, and for no other byte
	// of ASCII. A byte outside it keeps its high bit in one of the two.
	return (((w ^ ones*2) - ones*0x21) | ((w ^ ones*'\\') - ones)) & highs
}

// plain is the index of the first byte of p from i on that is a quote, a backslash, a control
// character or outside ASCII, len(p) if none is. Most cells are a few bytes long, so it looks at
// eight at a time without a call into an assembly routine.
func plain(p []byte, i int) int {
	for i >= 0 && i <= len(p)-8 {
		if m := marks(binary.LittleEndian.Uint64(p[i : i+8])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
	for ; i < len(p); i++ {
		if c := p[i]; c == '"' || c == '\\' || c < 0x20 || c >= utf8.RuneSelf {
			return i
		}
	}
	return i
}

// special is the length of the escape or of the character outside ASCII with which p begins: 0 if p
// ends before it does, -1 if it is not valid. A \u escape of one half of a surrogate pair alone is
// not: decoders disagree about what it is.
func special(p []byte) int {
	if p[0] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(p)
		if r != utf8.RuneError || size > 1 {
			return size
		}
		if !utf8.FullRune(p) {
			return 0
		}
		return -1
	}
	if p[0] != '\\' {
		return -1
	}
	if len(p) < 2 {
		return 0
	}
	switch p[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
	default:
		return -1
	}
	first, end, ok := hex4(p, 2)
	switch {
	case !ok:
		return -1
	case end < 6:
		return 0
	case !utf16.IsSurrogate(first):
		return 6
	case first >= 0xDC00: // a low half without its high one
		return -1
	case len(p) > 6 && p[6] != '\\' || len(p) > 7 && p[7] != 'u':
		return -1
	case len(p) < 8:
		return 0
	}
	second, end, ok := hex4(p, 8)
	switch {
	case !ok || end == 12 && (second < 0xDC00 || second > 0xDFFF):
		return -1
	case end < 12:
		return 0
	}
	return 12
}

// hex4 reads the four hexadecimal digits at p[from:]. ok is false if one of them is no such digit;
// end is less than from+4 where p ends before.
func hex4(p []byte, from int) (r rune, end int, ok bool) {
	for end = from; end < len(p) && end < from+4; end++ {
		c := p[end]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, end, false
		}
		r = r<<4 | rune(c)
	}
	return r, end, true
}

// stringEnd is the index behind the closing quote of a string whose inside begins at p[i]: 0 if p
// ends before it, -1 if the string is not valid.
func stringEnd(p []byte, i int) int {
	for {
		if i = plain(p, i); i == len(p) {
			return 0
		}
		if p[i] == '"' {
			return i + 1
		}
		n := special(p[i:])
		if n <= 0 {
			return n
		}
		i += n
	}
}

func hasEscape(raw []byte) bool { return bytes.IndexByte(raw, '\\') >= 0 }

// appendUnescaped appends the text of the inside of a valid JSON string.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		raw = raw[i:]
		switch raw[1] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _, _ := hex4(raw, 2)
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				low, _, _ := hex4(raw, 4)
				r = utf16.DecodeRune(r, low)
				raw = raw[6:]
			}
			dst = utf8.AppendRune(dst, r)
		default: // the sign stands for itself
			dst = append(dst, raw[1])
		}
		raw = raw[2:]
	}
}

// htmlOrJSON marks the signs that do not stand in a JSON string as they are: those that JSON
// escapes, and those that mean something to HTML, which Google's own writer escapes too.
var htmlOrJSON = func() (marks [256]bool) {
	for c := range 0x20 {
		marks[c] = true
	}
	for _, c := range []byte(`"\<>&'`) {
		marks[c] = true
	}
	return marks
}()

// escapes says whether appendEscaped changes the text.
func escapes(text []byte) bool {
	for _, c := range text {
		if htmlOrJSON[c] {
			return true
		}
	}
	return false
}

// appendEscaped appends valid UTF-8 as the inside of a JSON string.
func appendEscaped(dst, text []byte) []byte {
	const digits = "0123456789abcdef"
	from := 0
	for i, c := range text {
		if htmlOrJSON[c] {
			dst = append(append(dst, text[from:i]...), '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			from = i + 1
		}
	}
	return append(dst, text[from:]...)
}
