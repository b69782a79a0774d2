package jsonmask

import (
	"encoding/binary"
	"math/bits"

	"github.com/bqgate/bqgate/internal/masking"
)

// part is which part of a text its rule shows, of a rule that shows one.
type part uint8

const (
	none part = iota
	firstFour
	lastFour
	domain
)

func partOf(rule masking.Rule) part {
	switch rule {
	case masking.FirstFourCharacters:
		return firstFour
	case masking.LastFourCharacters:
		return lastFour
	case masking.EmailMask:
		return domain
	default:
		return none
	}
}

// hides is shown for the usual text, without a look at each byte: p[from:to] is the inside of a
// cell, without escapes and all ASCII. What the rule hides of it is p[head:tail], and what it shows
// stands for itself in JSON. No bytes, head = tail, mean that it is for shown to say; never that
// all may be shown.
func (part part) hides(p []byte, from, to int) (head, tail int) {
	switch part {
	case firstFour:
		if head = from + masking.PartChars; head < to && standing(p[from:head]) {
			return head, to
		}
	case lastFour:
		if tail = to - masking.PartChars; from < tail && standing(p[tail:to]) {
			return from, tail
		}
	case domain:
		return from, plainAddress(p, from, to)
	}
	return 0, 0
}

// Bytes of a word of ASCII: each of these has the high bits of those bytes set that are c, or that
// are from a to b. No sum of theirs carries into the next byte.
func equal(w uint64, c byte) uint64 { return ^((w ^ ones*uint64(c)) + ones*0x7F) & highs }

func within(w uint64, a, b byte) uint64 {
	return (w + ones*uint64(0x80-a)) &^ (w + ones*uint64(0x7F-b)) & highs
}

// standing says whether four characters of ASCII, inside a JSON string, are written as they are by
// appendEscaped too: < and >, & and ' are not.
func standing(four []byte) bool {
	w := uint64(binary.LittleEndian.Uint32(four))
	return equal(w|ones*2, '>')|equal(w|ones, '\'') == 0
}

// plainAddress is the index of the @ of the address p[from:to], if it is one by emailAt and of the
// usual kind: of two labels or more, without a hyphen. Else it is from. The text is ASCII and has
// no control characters. It reads p by words, the last of which goes beyond the text; what is there
// does not count.
func plainAddress(p []byte, from, to int) int {
	at := from
	for {
		if at < 0 || at >= to || at > len(p)-8 {
			return from
		}
		w := binary.LittleEndian.Uint64(p[at : at+8])
		sign := equal(w, '@')
		before := (sign & -sign) - 1 // all of the word if there is no @ in it
		if (equal(w, ' ')|equal(w, 0x7F))&before != 0 {
			return from
		}
		if sign != 0 {
			at += bits.TrailingZeros64(sign) >> 3
			break
		}
		at += 8
	}
	if at == from {
		return from
	}
	edge := uint64(0x80)             // set where the byte before a word is a dot, or none
	dotted, lettered := false, false // there was a dot; there was a letter since
	for i := at + 1; i < to; i += 8 {
		if i > len(p)-8 {
			return from
		}
		w := binary.LittleEndian.Uint64(p[i : i+8])
		inside := uint64(highs)
		if to-i < 8 {
			inside >>= 8 * (8 - (to - i))
		}
		dots, letters := equal(w, '.')&inside, within(w|ones*0x20, 'a', 'z')&inside
		if (dots|letters|within(w, '0', '9'))&inside != inside || dots&(dots<<8|edge) != 0 {
			return from
		}
		edge = dots >> 56
		dotted = dotted || dots != 0
		lettered = letters > dots || lettered && dots == 0 // the highest bit is that of the last byte
	}
	if !dotted || !lettered {
		return from
	}
	return at
}
