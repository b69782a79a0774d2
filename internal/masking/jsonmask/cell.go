package jsonmask

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/bqgate/bqgate/internal/masking"
)

// The text of a TIMESTAMP's default. "0" is valid, and the same instant, as float seconds and as
// int64 microseconds; the ISO shape needs its own.
const (
	timestampZero    = `"0"`
	timestampZeroISO = `"1970-01-01T00:00:00.000000Z"`
)

// cells applies rules to single cells. It keeps its buffers, so a cell costs no allocation.
type cells struct {
	random hash.Hash // keyed with the job's salt; nil if no column needs it
	text   []byte    // the cell's text, decoded
	tmp    []byte
	sum    [sha256.Size]byte
	wrong  error // a cell was not what its node expects: the answer must be broken off
}

func newCells(salt []byte) *cells {
	c := &cells{}
	if len(salt) > 0 {
		c.random = hmac.New(sha256.New, salt)
	}
	return c
}

// appendCell appends what n makes of a scalar cell that it replaces or computes: value is the JSON
// of it, a valid string or null. Ascii says of a string that it is known to have no escapes and
// nothing but ASCII.
func (c *cells) appendCell(dst []byte, n *node, value []byte, ascii bool) []byte {
	switch {
	case n.act != masking.Compute:
		return append(dst, n.constant...)
	case value[0] != '"':
		return append(dst, value...)
	case len(value) > maxCell:
		c.wrong = errLongCell
		return dst
	}
	if text := value[1 : len(value)-1]; !ascii || n.expect != "" {
		return c.appendMasked(dst, n, text)
	}
	return c.appendText(dst, n, value[1:len(value)-1])
}

// appendMasked appends the JSON of a cell that n masks by computing. The raw argument is the inside
// of a valid JSON string. A text that is no value of the column's type is hidden whole.
func (c *cells) appendMasked(dst []byte, n *node, raw []byte) []byte {
	text := raw
	if hasEscape(raw) {
		c.text = appendUnescaped(c.text[:0], raw)
		text = c.text
	}
	if n.expect != "" {
		return c.appendVerified(dst, n, raw, text)
	}
	return c.appendText(dst, n, text)
}

// appendText is appendMasked of a text without escapes, of a node that expects nothing.
func (c *cells) appendText(dst []byte, n *node, text []byte) []byte {
	switch n.rule {
	case masking.SHA256, masking.RandomHash:
		return c.appendHash(dst, n, n.rule, text)
	case masking.LastFourCharacters, masking.FirstFourCharacters, masking.EmailMask:
		head, tail, ok := shown(n.rule, text)
		if !ok {
			return c.appendHash(dst, n, masking.SHA256, text)
		}
		dst = append(dst, '"')
		dst = appendEscaped(dst, text[:head])
		dst = append(dst, masking.Blank...)
		dst = appendEscaped(dst, text[tail:])
		return append(dst, '"')
	case masking.DateYearMask:
		return c.appendYear(dst, n, text)
	default:
		return append(dst, "null"...)
	}
}

// appendHash appends the base64 of a hash: over the UTF-8 of a STRING, over the bytes of BYTES
// (whose text is base64 itself, so that the type is kept).
func (c *cells) appendHash(dst []byte, n *node, rule masking.Rule, text []byte) []byte {
	value := text
	if n.typ == "BYTES" {
		var err error
		if c.tmp, err = base64.StdEncoding.AppendDecode(c.tmp[:0], text); err != nil {
			return append(dst, n.constant...)
		}
		value = c.tmp
	}
	if rule == masking.RandomHash {
		c.random.Reset()
		c.random.Write(value)
		c.random.Sum(c.sum[:0])
	} else {
		c.sum = sha256.Sum256(value)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, c.sum[:])
	return append(dst, '"')
}

// shown is what a rule that shows a part of a text shows of it: text[:head] and text[tail:], with
// the blank between them. It is false where the text has no part that may be shown; a hash stands
// for it then.
func shown(rule masking.Rule, text []byte) (head, tail int, ok bool) {
	switch rule {
	case masking.LastFourCharacters:
		tail, ok = cutLast(text)
	case masking.FirstFourCharacters:
		head, ok = cutFirst(text)
		tail = len(text)
	case masking.EmailMask:
		tail, ok = emailAt(text)
	}
	return head, tail, ok
}

// cutLast is where the last four characters begin, false if there is nothing before them.
func cutLast(text []byte) (int, bool) {
	at := len(text)
	if at > masking.PartChars && text[at-1]|text[at-2]|text[at-3]|text[at-4] < utf8.RuneSelf {
		return at - masking.PartChars, true
	}
	for range masking.PartChars {
		if at == 0 {
			return 0, false
		}
		_, size := utf8.DecodeLastRune(text[:at])
		at -= size
	}
	return at, at > 0
}

// cutFirst is where the first four characters end, false if there is nothing behind them.
func cutFirst(text []byte) (int, bool) {
	at := 0
	for range masking.PartChars {
		if at == len(text) {
			return 0, false
		}
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at, at < len(text)
}

// appendYear truncates to 1 January, in the shape in which the cell came.
func (c *cells) appendYear(dst []byte, n *node, text []byte) []byte {
	if yearPrefix(text) {
		suffix := ""
		switch n.typ {
		case "DATE":
			suffix = `-01-01"`
		case "DATETIME":
			suffix = `-01-01T00:00:00"`
		case "TIMESTAMP":
			// BigQuery writes the ISO shape in UTC; of any other zone the year would be another
			// year.
			if last := text[len(text)-1]; last != 'Z' {
				return append(dst, n.constant...)
			}
			suffix = `-01-01T00:00:00.000000Z"`
		default:
			return append(dst, n.constant...)
		}
		dst = append(dst, '"')
		dst = append(dst, text[:4]...)
		return append(dst, suffix...)
	}
	if n.typ != "TIMESTAMP" || len(text) > 32 {
		return append(dst, n.constant...)
	}
	if micros, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		if at, ok := startOfYear(time.UnixMicro(micros)); ok {
			dst = append(dst, '"')
			dst = strconv.AppendInt(dst, at.UnixMicro(), 10)
			return append(dst, '"')
		}
		return append(dst, n.constant...)
	}
	if seconds, err := strconv.ParseFloat(string(text), 64); err == nil && seconds > -1e12 && seconds < 1e12 {
		// The year is that of the instant, so 1969-12-31T23:59:59.5 must not round up into 1970.
		whole := int64(seconds)
		if float64(whole) > seconds {
			whole--
		}
		if at, ok := startOfYear(time.Unix(whole, 0)); ok {
			dst = append(dst, '"')
			dst = strconv.AppendInt(dst, at.Unix(), 10)
			return append(dst, `.0"`...)
		}
	}
	return append(dst, n.constant...)
}

// startOfYear is false outside of what a TIMESTAMP can hold, years 1 to 9999.
func startOfYear(t time.Time) (time.Time, bool) {
	year := t.UTC().Year()
	return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), year >= 1 && year <= 9999
}

// yearPrefix says whether the text begins as an ISO date does.
func yearPrefix(text []byte) bool {
	if len(text) < 10 || text[4] != '-' || text[7] != '-' {
		return false
	}
	for _, i := range [...]int{0, 1, 2, 3, 5, 6, 8, 9} {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}
