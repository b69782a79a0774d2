package jsonmask

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bqgate/bqgate/internal/masking"
)

// errUnmasked breaks an answer off that shows what the query was rewritten not to see.
var errUnmasked = errors.New("a cell that BigQuery was made to mask is not masked")

// appendVerified appends a cell that must already be a result of the rule that n expects. What
// cannot be one is remembered as an error.
func (c *cells) appendVerified(dst []byte, n *node, raw, text []byte) []byte {
	if !resultOf(n.expect, n.typ, text) {
		c.wrong = errUnmasked
	}
	dst = append(append(dst, '"'), raw...)
	return append(dst, '"')
}

// resultOf says whether a text can be what the rule makes of a value of the type. NULL always can,
// and is no text.
func resultOf(rule masking.Rule, typ string, text []byte) bool {
	switch rule {
	case masking.DefaultMaskingValue:
		return isDefault(typ, string(text))
	case masking.SHA256, masking.RandomHash:
		return isHash(text)
	case masking.LastFourCharacters:
		rest, ok := bytes.CutPrefix(text, []byte(masking.Blank))
		return ok && utf8.RuneCount(rest) == masking.PartChars || isHash(text)
	case masking.FirstFourCharacters:
		rest, ok := bytes.CutSuffix(text, []byte(masking.Blank))
		return ok && utf8.RuneCount(rest) == masking.PartChars || isHash(text)
	case masking.EmailMask:
		rest, ok := bytes.CutPrefix(text, []byte(masking.Blank+"@"))
		return ok && isDomain(rest) || isHash(text)
	case masking.DateYearMask:
		return isYear(typ, string(text))
	default:
		return false
	}
}

// isHash says whether the text is the base64 of 32 bytes.
func isHash(text []byte) bool {
	const length = 44
	if len(text) != length || text[length-1] != '=' {
		return false
	}
	var sum [33]byte
	n, err := base64.StdEncoding.Decode(sum[:], text)
	return err == nil && n == 32
}

// isDefault knows the defaults as BigQuery may write them.
func isDefault(typ, text string) bool {
	switch typ {
	case "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC":
		n, err := strconv.ParseFloat(text, 64)
		return err == nil && n == 0
	case "TIMESTAMP":
		at, ok := instant(text)
		return ok && at.Equal(time.Unix(0, 0))
	case "GEOGRAPHY":
		text = strings.Replace(text, "POINT (", "POINT(", 1)
	case "TIME", "DATETIME":
		whole, fraction, _ := strings.Cut(text, ".")
		return whole == masking.Default(typ) && strings.Trim(fraction, "0") == ""
	}
	return text == masking.Default(typ)
}

// isYear says whether the text is the first moment of a year.
func isYear(typ, text string) bool {
	if typ == "TIMESTAMP" {
		at, ok := instant(text)
		if !ok {
			return false
		}
		first, ok := startOfYear(at)
		return ok && first.Equal(at)
	}
	whole, fraction, _ := strings.Cut(text, ".")
	suffix := "-01-01"
	if typ == "DATETIME" {
		suffix += "T00:00:00"
	}
	return yearPrefix([]byte(whole)) && whole[4:] == suffix && strings.Trim(fraction, "0") == ""
}

// instant reads a TIMESTAMP in any of the three shapes that a client can ask for.
func instant(text string) (time.Time, bool) {
	if micros, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMicro(micros), true
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > -1e12 && seconds < 1e12 && seconds == float64(int64(seconds)) {
		return time.Unix(int64(seconds), 0), true
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}
