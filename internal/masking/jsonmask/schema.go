package jsonmask

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/bqgate/bqgate/internal/masking"
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

// told are the columns that a schema says there are, all clear.
func told(fields []schemaField) ([]masking.Column, error) {
	columns := make([]masking.Column, len(fields))
	for i := range fields {
		var err error
		if columns[i], err = fields[i].column(); err != nil {
			return nil, fmt.Errorf("field %d %w", i, err)
		}
	}
	return columns, nil
}

// column is the clear column that a field says it is.
func (f *schemaField) column() (masking.Column, error) {
	c := masking.Column{Name: f.Name, Type: masking.KindOf(f.Type), Repeated: f.Mode == "REPEATED", Mask: masking.Clear}
	switch f.Mode {
	case "", "NULLABLE", "REQUIRED", "REPEATED":
	default:
		return c, fmt.Errorf("has the unknown mode %q", f.Mode)
	}
	if r := f.RangeElementType; r != nil && (c.Type != masking.KindOf("RANGE") || !slices.Contains(elementTypes, r.Type)) {
		return c, errors.New("has an element type that is none of a RANGE")
	}
	var err error
	c.Fields, err = told(f.Fields)
	return c, err
}
