package jsonmask

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// emailAt is the index of the @ of a valid address. What is not plainly one (two @, blanks, a
// domain of one label or of other signs than letters, digits and hyphens) is not, since its
// "domain" may be anything, the secret included.
func emailAt(text []byte) (int, bool) {
	at := bytes.IndexByte(text, '@')
	if at <= 0 {
		return 0, false
	}
	for i := 0; i < at; {
		c := text[i]
		if c > ' ' && c < 0x7F {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:at])
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return 0, false
		}
		i += size
	}
	return at, isDomain(text[at+1:])
}

// The signs of a domain's label.
const (
	domainLetter = 1 << iota
	domainDigit
	domainHyphen
)

var domainSigns = func() (signs [256]uint8) {
	for c := byte('a'); c <= 'z'; c++ {
		signs[c], signs[c-'a'+'A'] = domainLetter, domainLetter
	}
	for c := byte('0'); c <= '9'; c++ {
		signs[c] = domainDigit
	}
	signs['-'] = domainHyphen
	return signs
}()

// isDomain says whether the name has two labels or more, of letters, digits and inner hyphens, the
// last one not of digits alone.
func isDomain(name []byte) bool {
	begin, kinds, dots := 0, uint8(0), 0 // of the label
	for i := 0; ; {
		for i < len(name) && domainSigns[name[i]] != 0 {
			kinds |= domainSigns[name[i]]
			i++
		}
		if i < len(name) && name[i] >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(name[i:])
			if !unicode.IsLetter(r) && !unicode.IsMark(r) {
				return false
			}
			kinds |= domainLetter
			i += size
			continue
		}
		if i == begin || name[begin] == '-' || name[i-1] == '-' {
			return false
		}
		if i == len(name) {
			return dots > 0 && kinds&domainLetter != 0
		}
		if name[i] != '.' {
			return false
		}
		dots++
		i++
		begin, kinds = i, 0
	}
}
