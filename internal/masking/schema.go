package masking

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// schemaField is TableFieldSchema in an answer, as far as it goes out: what names and types say.
// Everything else may hold values, or tell of others: descriptions, default expressions, policy
// tags, and what BigQuery comes to add.
type schemaField struct {
	Name             string        `json:"name"`
	Type             string        `json:"type"`
	Mode             string        `json:"mode,omitzero"`
	Fields           []schemaField `json:"fields,omitempty"`
	Precision        *count        `json:"precision,omitempty"`
	RangeElementType *elementType  `json:"rangeElementType,omitempty"`

	Unknown jsontext.Value `json:",embed"`
}

// schema is TableSchema in an answer.
type schema struct {
	Fields  []schemaField  `json:"fields,omitempty"`
	Unknown jsontext.Value `json:",embed"`
}

type elementType struct {
	Type    string         `json:"type"`
	Unknown jsontext.Value `json:",embed"`
}

// count is an int64 as Google writes them: a string, or a number.
type count int64

// UnmarshalJSON implements json.Unmarshaler.
func (c *count) UnmarshalJSON(text []byte) error {
	n, err := readNumber(jsontext.Value(text))
	if err != nil || n > math.MaxInt64 {
		return errors.New("not an int64")
	}
	*c = count(n)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (c count) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, strconv.FormatInt(int64(c), 10)), nil
}

// elementTypes are the types that a RANGE may have.
var elementTypes = []string{"DATE", "DATETIME", "TIMESTAMP"}

// shown is the schema as it goes out: what is not known is taken off, and its names are given to
// drop.
func (s *schema) shown(drop func(unknown jsontext.Value, of string)) {
	drop(s.Unknown, "schema")
	s.Unknown = nil
	for i := range s.Fields {
		s.Fields[i].shown(drop)
	}
}

func (f *schemaField) shown(drop func(unknown jsontext.Value, of string)) {
	drop(f.Unknown, "schema.fields[]")
	f.Unknown = nil
	if r := f.RangeElementType; r != nil {
		drop(r.Unknown, "schema.fields[].rangeElementType")
		r.Unknown = nil
	}
	for i := range f.Fields {
		f.Fields[i].shown(drop)
	}
}

// How BigQuery names what the query does not name.
var (
	anonymousColumn = regexp.MustCompile(`^f[0-9]+_$`)
	anonymousField  = regexp.MustCompile(`^_field_[0-9]+$`)
	// madeUnique is what BigQuery puts behind a name that is taken: of two columns a the second is
	// a_1.
	madeUnique = regexp.MustCompile(`^(_[0-9]+)*$`)
)

// match says where the schema of an answer is not that of the plan.
func (p Plan) match(fields []schemaField) error {
	if !p.untold() {
		return matchSchema(fields, p.Columns, false)
	}
	told := make([]Column, len(fields))
	for i, field := range fields {
		named := func(c Column) bool { return strings.EqualFold(c.Name, field.Name) }
		if !slices.ContainsFunc(p.Columns, named) || slices.ContainsFunc(told[:i], named) {
			return fmt.Errorf("field %d is a column that the plan does not have", i)
		}
		told[i] = field.column()
	}
	if err := (Plan{Columns: told}).Check(); err != nil {
		return err
	}
	return matchSchema(fields, told, false)
}

// matchSchema says where the schema of an answer is not that of the plan. The plan is right; an
// answer that differs is not the answer that was decided on. Columns are matched by their places;
// names and types must agree.
func matchSchema(fields []schemaField, columns []Column, nested bool) error {
	if len(fields) != len(columns) {
		return fmt.Errorf("the answer has %d fields where the plan has %d", len(fields), len(columns))
	}
	for i, field := range fields {
		column := columns[i]
		if !column.named(field.Name, nested) {
			return fmt.Errorf("field %d is not named as in the plan", i)
		}
		switch field.Mode {
		case "", "NULLABLE", "REQUIRED", "REPEATED":
		default:
			return fmt.Errorf("field %d has the unknown mode %q", i, field.Mode)
		}
		if r := field.RangeElementType; r != nil && (kindOf(field.Type) != kindOf("RANGE") || !slices.Contains(elementTypes, r.Type)) {
			return fmt.Errorf("field %d has an element type that is none of a RANGE", i)
		}
		kind := kindOf(field.Type)
		if kind == "" || kind != kindOf(column.Type) {
			return fmt.Errorf("field %d is a %q where the plan has %q", i, field.Type, column.Type)
		}
		if (field.Mode == "REPEATED") != column.Repeated {
			return fmt.Errorf("field %d has mode %q, which is not that of the plan", i, field.Mode)
		}
		if err := matchSchema(field.Fields, column.Fields, true); err != nil {
			return fmt.Errorf("field %d: %w", i, err)
		}
	}
	return nil
}

// named says whether BigQuery may call the column so.
func (c Column) named(name string, nested bool) bool {
	switch {
	case c.Ambiguous && !nested:
		rest, ok := cutPrefixFold(name, c.Name)
		if !ok && anonymousColumn.MatchString(c.Name) { // BigQuery may count on past the names that are taken
			_, rest, ok = strings.Cut(name, "_")
			ok = ok && anonymousColumn.MatchString(name[:len(name)-len(rest)])
		}
		if ok && rest != "" && strings.HasSuffix(c.Name, "_") && rest[0] != '_' {
			rest = "_" + rest // f0_1
		}
		return ok && madeUnique.MatchString(rest)
	case c.Name != "":
		return strings.EqualFold(name, c.Name)
	case nested:
		return anonymousField.MatchString(name)
	default:
		return anonymousColumn.MatchString(name)
	}
}

func cutPrefixFold(text, prefix string) (rest string, found bool) {
	if len(text) < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
		return "", false
	}
	return text[len(prefix):], true
}

// column is the clear column that a field says it is.
func (f *schemaField) column() Column {
	c := Column{Name: f.Name, Type: kindOf(f.Type), Repeated: f.Mode == "REPEATED", Mask: Clear}
	for i := range f.Fields {
		c.Fields = append(c.Fields, f.Fields[i].column())
	}
	return c
}
