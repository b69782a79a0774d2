package masking

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// ErrNotSQL is returned for a column whose rule GoogleSQL cannot express: it can only be masked in
// flight.
var ErrNotSQL = errors.New("this mask cannot be written in SQL")

// SQL is the GoogleSQL expression that stands for a column of a table before anything computes on
// it. The expression has the column's own type, gives for every value what the masker makes of the
// same cell in flight, and cannot fail: no value of the column makes the query that holds it end in
// an error.
//
// The argument ref is an expression that names the column. The salt is the job's, as in Options;
// without one, RANDOM_HASH is an ErrNotSQL. Fields of a STRUCT are masked one by one, with the
// others passed on; elements of an array keep their order and number, unless the rule hides the
// array as a whole.
func (c Column) SQL(ref string, salt []byte) (string, error) {
	w := sqlWriter{salt: salt}
	return w.column(c, ref, Clear, 0)
}

// ConstantSQL is a constant of the column's type that says nothing of its values: NULL, or the
// empty array.
func (c Column) ConstantSQL() (string, error) {
	typ, err := c.TypeSQL()
	if err != nil {
		return "", err
	}
	if c.Repeated {
		return "CAST([] AS " + typ + ")", nil
	}
	return "CAST(NULL AS " + typ + ")", nil
}

// TypeSQL is the column's type in GoogleSQL's spelling.
func (c Column) TypeSQL() (string, error) {
	typ, err := c.elementType()
	if err == nil && c.Repeated {
		typ = "ARRAY<" + typ + ">"
	}
	return typ, err
}

func (c Column) elementType() (string, error) {
	if !isStruct(c.Type) {
		switch name := scalarType(c.Type); {
		case name == "RANGE" && !rangeTypes[c.Type], name == "":
			return "", fmt.Errorf("%w: the type %s of %s", ErrNotSQL, c.Type, c.Name)
		case name == "RANGE":
			return c.Type, nil
		default:
			return name, nil
		}
	}
	fields := make([]string, len(c.Fields))
	for i, field := range c.Fields {
		typ, err := field.TypeSQL()
		if err != nil {
			return "", err
		}
		name, err := quoteName(field.Name)
		if err != nil {
			return "", err
		}
		fields[i] = name + " " + typ
	}
	return "STRUCT<" + strings.Join(fields, ", ") + ">", nil
}

var rangeTypes = map[string]bool{"RANGE<DATE>": true, "RANGE<DATETIME>": true, "RANGE<TIMESTAMP>": true}

// quoteName writes an identifier in back quotes. A name that would need an escape in them is
// refused.
func quoteName(name string) (string, error) {
	if name == "" || strings.ContainsAny(name, "`\\\n\r") {
		return "", fmt.Errorf("%w: the name %q", ErrNotSQL, name)
	}
	return "`" + name + "`", nil
}

// sqlConstants holds the value of DEFAULT_MASKING_VALUE for each type: the SQL of `defaults`.
var sqlConstants = map[string]string{
	"STRING": `''`, "BYTES": `b''`, "INT64": `0`, "FLOAT64": `CAST(0 AS FLOAT64)`, "NUMERIC": `NUMERIC '0'`, "BIGNUMERIC": `BIGNUMERIC '0'`,
	"BOOL": `FALSE`,
	"DATE": `DATE '1970-01-01'`, "DATETIME": `DATETIME '1970-01-01 00:00:00'`, "TIME": `TIME '00:00:00'`,
	"TIMESTAMP": `TIMESTAMP '1970-01-01 00:00:00+00'`,
	"GEOGRAPHY": `ST_GEOGPOINT(0, 0)`, "JSON": `JSON 'null'`, "INTERVAL": `INTERVAL 0 DAY`,
	"RANGE<DATE>": `RANGE<DATE> '[UNBOUNDED, UNBOUNDED)'`, "RANGE<DATETIME>": `RANGE<DATETIME> '[UNBOUNDED, UNBOUNDED)'`,
	"RANGE<TIMESTAMP>": `RANGE<TIMESTAMP> '[UNBOUNDED, UNBOUNDED)'`,
}

type sqlWriter struct{ salt []byte }

// column writes a column under a rule that lies over all of it; see compiler.column, which does the
// same for cells.
func (w *sqlWriter) column(c Column, ref string, over Rule, depth int) (string, error) {
	if depth > MaxDepth {
		return "", fmt.Errorf("%w: more than %d nested STRUCTs", ErrNotSQL, MaxDepth)
	}
	rule := Stricter(over, cover(c))
	if !isStruct(c.Type) {
		rule = Stricter(over, c.Mask).For(c.Type)
	}
	masked := rule != Clear || c.masks()
	switch {
	case !masked:
		return ref, nil
	case rule == AlwaysNull, rule == DefaultMaskingValue && c.Repeated:
		return c.ConstantSQL()
	case !c.Repeated:
		return w.value(c, ref, rule, depth)
	}
	element := fmt.Sprintf("bqgate_e%d", depth)
	expression, err := w.value(c, element, rule, depth)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("ARRAY(SELECT %s FROM UNNEST(%s) AS %s WITH OFFSET AS bqgate_o%d ORDER BY bqgate_o%d)", expression, ref, element,
		depth, depth), nil
}

// value writes a column's value or, of an array, one element.
func (w *sqlWriter) value(c Column, ref string, rule Rule, depth int) (string, error) {
	if !isStruct(c.Type) {
		return w.scalar(c, ref, rule)
	}
	fields := make([]string, len(c.Fields))
	for i, field := range c.Fields {
		name, err := quoteName(field.Name)
		if err != nil {
			return "", err
		}
		inner, err := w.column(field, ref+"."+name, rule, depth+1)
		if err != nil {
			return "", err
		}
		fields[i] = inner + " AS " + name
	}
	made := "STRUCT(" + strings.Join(fields, ", ") + ")"
	if rule == DefaultMaskingValue {
		return made, nil // constant, NULL or not
	}
	return fmt.Sprintf("IF(%s IS NULL, NULL, %s)", ref, made), nil
}

// scalar writes the rules. Lengths and positions count characters of a STRING, as the masker does.
func (w *sqlWriter) scalar(c Column, ref string, rule Rule) (string, error) {
	typ, err := c.elementType()
	if err != nil {
		return "", err
	}
	switch rule {
	case DefaultMaskingValue:
		if constant, ok := sqlConstants[typ]; ok {
			return constant, nil
		}
	case SHA256:
		return sha256SQL(typ, ref), nil
	case RandomHash:
		return w.randomHash(typ, ref)
	case LastFourCharacters:
		return fmt.Sprintf("IF(CHAR_LENGTH(%s) > %d, CONCAT('%s', RIGHT(%s, %d)), %s)", ref, PartChars, Blank, ref, PartChars,
			sha256SQL(typ, ref)), nil
	case FirstFourCharacters:
		return fmt.Sprintf("IF(CHAR_LENGTH(%s) > %d, CONCAT(LEFT(%s, %d), '%s'), %s)", ref, PartChars, ref, PartChars, Blank,
			sha256SQL(typ, ref)), nil
	case EmailMask:
		return fmt.Sprintf("IF(REGEXP_CONTAINS(%s, r'%s') AND NOT REGEXP_CONTAINS(%s, r'@[^@]*@'), CONCAT('%s', REGEXP_EXTRACT(%s, "+
			"r'@[^@]*\\z')), %s)",
			ref, emailPattern, ref, Blank, ref, sha256SQL(typ, ref)), nil
	case DateYearMask:
		switch typ {
		case "DATE", "DATETIME":
			return fmt.Sprintf("%s_TRUNC(%s, YEAR)", typ, ref), nil
		case "TIMESTAMP":
			return fmt.Sprintf("TIMESTAMP_TRUNC(%s, YEAR, 'UTC')", ref), nil // without a zone it would be the session's
		}
	}
	return "", fmt.Errorf("%w: %s of a %s", ErrNotSQL, rule, typ)
}

// sha256SQL keeps the type: a STRING becomes the base64 of the hash of its UTF-8, BYTES the hash
// itself.
func sha256SQL(typ, ref string) string {
	if typ == "BYTES" {
		return "SHA256(" + ref + ")"
	}
	return "TO_BASE64(SHA256(" + ref + "))"
}

// randomHash is HMAC-SHA-256 (RFC 2104) keyed with the salt, as cells computes it. The key itself
// does not stand in the SQL, only what it becomes with the two pads.
func (w *sqlWriter) randomHash(typ, ref string) (string, error) {
	if len(w.salt) == 0 || len(w.salt) > sha256.BlockSize {
		return "", fmt.Errorf("%w: RANDOM_HASH without a salt", ErrNotSQL)
	}
	inner, outer := padSQL(w.salt, 0x36), padSQL(w.salt, 0x5c)
	if typ == "BYTES" {
		return fmt.Sprintf("SHA256(CONCAT(%s, SHA256(CONCAT(%s, %s))))", outer, inner, ref), nil
	}
	return fmt.Sprintf("TO_BASE64(SHA256(CONCAT(%s, SHA256(CONCAT(%s, CAST(%s AS BYTES))))))", outer, inner, ref), nil
}

// padSQL is the literal of a key, padded to a block and joined with a pad.
func padSQL(key []byte, pad byte) string {
	var b strings.Builder
	b.WriteString("b'")
	for i := range sha256.BlockSize {
		c := pad
		if i < len(key) {
			c ^= key[i]
		}
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	b.WriteByte('\'')
	return b.String()
}

// HideSaltSQL takes the salt out of a text that holds expressions made with it, for people who read
// the text: with the salt they could try values.
func HideSaltSQL(text string, salt []byte) string {
	if len(salt) == 0 || len(salt) > sha256.BlockSize {
		return text
	}
	for _, pad := range []byte{0x36, 0x5c} {
		text = strings.ReplaceAll(text, padSQL(salt, pad), "b'(salt)'")
	}
	return text
}

// emailPattern accepts the addresses that emailAt does, as a regular expression of RE2: before an
// @, printable characters without blanks (RE2 cannot say: and no other @); behind it, two labels or
// more of letters, marks, digits and inner hyphens, of which the last has a letter.
const emailPattern = `^[!-~\pL\pM\pN\pP\pS]+@` + `(?:` + emailSign + `(?:` + `[0-9A-Za-z\pL\pM-]*` + emailSign + `)?\.)+` +
	`(?:` + emailLetter + `|[0-9][0-9-]*` + emailLetter + `)(?:[0-9A-Za-z\pL\pM-]*` + emailSign + `)?\z`

const (
	emailSign   = `[0-9A-Za-z\pL\pM]`
	emailLetter = `[A-Za-z\pL\pM]`
)
