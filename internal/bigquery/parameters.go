package bigquery

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strings"
)

// maxParameters is BigQuery's own limit: "A GoogleSQL query can have up to 10,000 parameters".
// https://cloud.google.com/bigquery/quotas#query_jobs
const maxParameters = 10_000

// maxNestedValues is how deep the values of a parameter may be nested. BigQuery takes 15 levels of
// STRUCT: https://cloud.google.com/bigquery/docs/nested-repeated#limitations
const maxNestedValues = 16

// queryParameter is QueryParameter, and with its parts the canonical form of queryParameters:
// members in this order, no nulls but the value of a SQL NULL, scalars always strings.
type queryParameter struct {
	Name  string          `json:"name,omitempty"`
	Type  *parameterType  `json:"parameterType,omitempty"`
	Value *parameterValue `json:"parameterValue,omitempty"`
}

type parameterType struct {
	Type               string         `json:"type,omitempty"`
	ArrayType          *parameterType `json:"arrayType,omitempty"`
	StructTypes        []structType   `json:"structTypes,omitempty"`
	RangeElementType   *parameterType `json:"rangeElementType,omitempty"`
	TimestampPrecision int64          `json:"timestampPrecision,omitempty,string"`
}

type structType struct {
	Name string         `json:"name,omitempty"`
	Type *parameterType `json:"type,omitempty"`
}

type parameterValue struct {
	Value        *string                    `json:"value,omitempty"`
	ArrayValues  *[]*parameterValue         `json:"arrayValues,omitempty"`
	StructValues map[string]*parameterValue `json:"structValues,omitempty"`
	RangeValue   *rangeValue                `json:"rangeValue,omitempty"`
}

type rangeValue struct {
	Start *parameterValue `json:"start,omitempty"`
	End   *parameterValue `json:"end,omitempty"`
}

var (
	parameterName = pattern{regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), 128}
	typeName      = pattern{regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(\([0-9, ]+\))?$`), 64}
)

// decodeParameters reads queryParameters into q, in canonical form. Where the client names no mode
// (Go does not), the parameters' names say it, and it is forwarded, so that the analysis and
// BigQuery cannot disagree.
func decodeParameters(o *object, q *QueryRequest) {
	q.ParameterMode = strings.ToUpper(o.word("parameterMode", "NAMED", "POSITIONAL", "named", "positional")) // Node writes it small
	items, found := o.list("queryParameters", maxParameters)
	if !found || len(items) == 0 {
		return
	}
	var all []queryParameter
	names := map[string]bool{}
	for i, item := range items {
		if *o.err != nil {
			return
		}
		p := o.child("queryParameters", i, item)
		name := p.pattern("name", parameterName, "a name of letters, digits and '_'")
		if q.ParameterMode == "" {
			q.ParameterMode = "POSITIONAL"
			if name != "" {
				q.ParameterMode = "NAMED"
			}
		}
		switch {
		case q.ParameterMode == "NAMED" && name == "":
			p.fail("%s needs a name: parameterMode is NAMED", p.path())
		case q.ParameterMode == "POSITIONAL" && name != "":
			p.fail("%s must have no name: parameterMode is POSITIONAL", p.path())
		case name != "" && names[strings.ToLower(name)]: // GoogleSQL does not tell @a from @A
			p.fail("%s: parameter %q appears twice", p.path(), name)
		}
		names[strings.ToLower(name)] = true
		parameter := queryParameter{Name: name}
		if t, ok := p.object("parameterType"); ok {
			parameter.Type = decodeType(t)
		} else {
			p.fail("%s needs a parameterType, such as {\"type\": \"STRING\"}", p.path())
		}
		if v, ok := p.object("parameterValue"); ok {
			parameter.Value = decodeValue(v, 1)
		}
		p.done()
		all = append(all, parameter)
	}
	if *o.err != nil {
		return
	}
	text, err := compactJSON(all)
	if err != nil {
		o.fail("queryParameters cannot be written: %s", err)
	}
	q.Parameters = text
}

func decodeType(o *object) *parameterType {
	t := &parameterType{Type: o.pattern("type", typeName, "the name of a GoogleSQL type")}
	if t.Type == "" {
		o.fail("%s needs a type", o.path())
	}
	if a, ok := o.object("arrayType"); ok {
		t.ArrayType = decodeType(a)
	}
	if r, ok := o.object("rangeElementType"); ok {
		t.RangeElementType = decodeType(r)
	}
	if n := o.integer("timestampPrecision", 12); n != nil {
		t.TimestampPrecision = *n
	}
	fields, _ := o.list("structTypes", maxMembers)
	for i, f := range fields {
		s := o.child("structTypes", i, f)
		field := structType{Name: s.pattern("name", parameterName, "a name of letters, digits and '_'")}
		if sub, ok := s.object("type"); ok {
			field.Type = decodeType(sub)
		} else {
			s.fail("%s needs a type", s.path())
		}
		s.text("description") // says nothing to BigQuery
		s.done()
		t.StructTypes = append(t.StructTypes, field)
	}
	o.done()
	return t
}

func decodeValue(o *object, depth int) *parameterValue {
	v := &parameterValue{}
	if depth > maxNestedValues+1 { // the outermost is nested in none
		o.fail("a parameter's values are nested deeper than %d levels", maxNestedValues)
		return v
	}
	if raw, found := o.take("value"); found { // absent and null are both SQL NULL
		s := string(raw)
		switch raw.Kind() {
		case '"':
			s = unquote(raw)
		case '0', 't', 'f': // Google reads a number or a boolean as its text
		default:
			o.fail("%s must be a string", o.at("value"))
		}
		v.Value = &s
	}
	if items, found := o.list("arrayValues", math.MaxInt); found {
		values := make([]*parameterValue, 0, len(items))
		for i, item := range items {
			if *o.err != nil {
				break
			}
			values = append(values, decodeValue(o.child("arrayValues", i, item), depth+1))
		}
		v.ArrayValues = &values
	}
	if s, ok := o.object("structValues"); ok {
		v.StructValues = map[string]*parameterValue{}
		for _, name := range s.names {
			v.StructValues[name] = &parameterValue{}
			if f, ok := s.object(name); ok {
				v.StructValues[name] = decodeValue(f, depth+1)
			}
		}
		s.done()
	}
	if r, ok := o.object("rangeValue"); ok {
		v.RangeValue = &rangeValue{}
		if start, ok := r.object("start"); ok {
			v.RangeValue.Start = decodeValue(start, depth+1)
		}
		if end, ok := r.object("end"); ok {
			v.RangeValue.End = decodeValue(end, depth+1)
		}
		r.done()
	}
	o.done()
	return v
}

// compactJSON writes a value without spaces and without HTML escapes. Maps are written in the order
// of their keys, so equal values give equal bytes.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
