package masking

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// blank is what a partial rule puts in place of what it hides, as BigQuery does.
const blank = "XXXXX"

// partChars is how many characters LAST_FOUR_CHARACTERS and FIRST_FOUR_CHARACTERS show.
const partChars = 4

// constants holds the value of DEFAULT_MASKING_VALUE for each type, as JSON. It stands for every cell, NULL too, so it says nothing of the value.
// A TIMESTAMP's depends on the shape the client asked for: see Options.
var constants = map[string]string{
	"STRING": `""`, "BYTES": `""`,
	"INT64": `"0"`, "FLOAT64": `"0"`, "NUMERIC": `"0"`, "BIGNUMERIC": `"0"`,
	"BOOL": `"false"`,
	"DATE": `"1970-01-01"`, "DATETIME": `"1970-01-01T00:00:00"`, "TIME": `"00:00:00"`,
	"GEOGRAPHY": `"POINT(0 0)"`, "JSON": `"null"`, "INTERVAL": `"0-0 0 0:0:0"`, "RANGE": `"[UNBOUNDED, UNBOUNDED)"`,
}

// The text of a TIMESTAMP's default. "0" is valid, and the same instant, as float seconds and as int64 microseconds; the ISO shape needs its own.
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

// appendMasked appends the JSON of a cell that n masks by computing. The raw argument is the inside of a valid JSON string. A text that is no value of the
// column's type is hidden whole.
func (c *cells) appendMasked(dst []byte, n *node, raw []byte) []byte {
	if n.expect != "" {
		return c.appendVerified(dst, n, raw)
	}
	text := raw
	if hasEscape(raw) {
		c.text = appendUnescaped(c.text[:0], raw)
		text = c.text
	}
	switch n.rule {
	case SHA256, RandomHash:
		return c.appendHash(dst, n, n.rule, text)
	case LastFourCharacters:
		if head, ok := cutLast(text); ok {
			dst = append(dst, '"')
			dst = append(dst, blank...)
			dst = appendEscaped(dst, text[head:])
			return append(dst, '"')
		}
		return c.appendHash(dst, n, SHA256, text)
	case FirstFourCharacters:
		if end, ok := cutFirst(text); ok {
			dst = append(dst, '"')
			dst = appendEscaped(dst, text[:end])
			dst = append(dst, blank...)
			return append(dst, '"')
		}
		return c.appendHash(dst, n, SHA256, text)
	case EmailMask:
		if at, ok := emailAt(text); ok {
			dst = append(dst, '"')
			dst = append(dst, blank...)
			dst = appendEscaped(dst, text[at:])
			return append(dst, '"')
		}
		return c.appendHash(dst, n, SHA256, text)
	case DateYearMask:
		return c.appendYear(dst, n, text)
	default:
		return append(dst, "null"...)
	}
}

// appendHash appends the base64 of a hash: over the UTF-8 of a STRING, over the bytes of BYTES (whose text is base64 itself, so that the type is kept).
func (c *cells) appendHash(dst []byte, n *node, rule Rule, text []byte) []byte {
	value := text
	if n.typ == "BYTES" {
		var err error
		if c.tmp, err = base64.StdEncoding.AppendDecode(c.tmp[:0], text); err != nil {
			return append(dst, n.constant...)
		}
		value = c.tmp
	}
	if rule == RandomHash {
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

// cutLast is where the last four characters begin, false if there is nothing before them.
func cutLast(text []byte) (int, bool) {
	at := len(text)
	for range partChars {
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
	for range partChars {
		if at == len(text) {
			return 0, false
		}
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at, at < len(text)
}

// emailAt is the index of the @ of a valid address. What is not plainly one (two @, blanks, a domain of one label or of other signs than letters, digits and
// hyphens) is not, since its "domain" may be anything, the secret included.
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

// isDomain says whether the name has two labels or more, of letters, digits and inner hyphens, the last one not of digits alone.
func isDomain(name []byte) bool {
	label, dots, letter, last := 0, 0, false, byte(0)
	for i := 0; i < len(name); {
		c := name[i]
		size := 1
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			letter = true
		case '0' <= c && c <= '9':
		case c == '-':
			if label == 0 {
				return false
			}
		case c == '.':
			if label == 0 || last == '-' {
				return false
			}
			dots++
			label, letter, last = -1, false, c
		case c >= utf8.RuneSelf:
			var r rune
			if r, size = utf8.DecodeRune(name[i:]); !unicode.IsLetter(r) && !unicode.IsMark(r) {
				return false
			}
			letter = true
		default:
			return false
		}
		label++
		last = c
		i += size
	}
	return dots > 0 && label > 0 && letter && last != '-'
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
			// BigQuery writes the ISO shape in UTC; of any other zone the year would be another year.
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
