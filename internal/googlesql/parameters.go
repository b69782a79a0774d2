package googlesql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// queryParameter is QueryParameter of the BigQuery API. Values do not matter here.
type queryParameter struct {
	Name  string          `json:"name"`
	Type  parameterType   `json:"parameterType"`
	Value json.RawMessage `json:"parameterValue"`
}

type parameterType struct {
	Type               string         `json:"type"`
	TimestampPrecision string         `json:"timestampPrecision"`
	ArrayType          *parameterType `json:"arrayType"`
	StructTypes        []struct {
		Name        string        `json:"name"`
		Type        parameterType `json:"type"`
		Description string        `json:"description"`
	} `json:"structTypes"`
	RangeElementType *parameterType `json:"rangeElementType"`
}

// parameters reads the declared types of the query's parameters. The engine refuses a parameter
// that is not declared.
func (j *job) parameters() *Error {
	if len(j.query.Parameters) == 0 {
		return nil
	}
	invalid := func(format string, args ...any) *Error {
		return &Error{Code: ErrorSyntax, Message: "queryParameters: " + fmt.Sprintf(format, args...)}
	}
	var list []queryParameter
	d := json.NewDecoder(bytes.NewReader(j.query.Parameters))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return invalid("%v", err)
	}
	mode := strings.ToUpper(j.query.ParameterMode)
	for i, p := range list {
		kind, err := p.Type.wire()
		if err != nil {
			return invalid("parameter %d: %v", i+1, err)
		}
		if mode == "" {
			if mode = "POSITIONAL"; p.Name != "" {
				mode = "NAMED"
			}
		}
		switch {
		case mode == "NAMED" && p.Name != "":
			j.named = append(j.named, wire.Parameter{Name: p.Name, Type: kind})
		case mode == "POSITIONAL" && p.Name == "":
			j.positional = append(j.positional, kind)
		default:
			return invalid("parameter %d does not fit the mode %q: named ones have names, positional ones have none", i+1,
				j.query.ParameterMode)
		}
	}
	return nil
}

func (t *parameterType) wire() (wire.Type, error) {
	switch strings.ToUpper(t.Type) {
	case "ARRAY":
		if t.ArrayType == nil {
			return wire.Type{}, fmt.Errorf("an ARRAY without arrayType")
		}
		element, err := t.ArrayType.wire()
		if err != nil {
			return wire.Type{}, err
		}
		if element.Element != nil {
			return wire.Type{}, fmt.Errorf("an ARRAY of ARRAYs")
		}
		return wire.Type{Element: &element}, nil
	case "STRUCT":
		if len(t.StructTypes) == 0 {
			return wire.Type{}, fmt.Errorf("a STRUCT without structTypes")
		}
		var structure wire.Type
		for i := range t.StructTypes {
			f := &t.StructTypes[i]
			kind, err := f.Type.wire()
			if err != nil {
				return wire.Type{}, fmt.Errorf("%s: %w", f.Name, err)
			}
			if strings.ContainsAny(f.Name, ".`") {
				return wire.Type{}, fmt.Errorf("%q is not a field's name", f.Name)
			}
			structure.Fields = append(structure.Fields, wire.Field{Name: f.Name, Type: kind})
		}
		return structure, nil
	case "RANGE":
		if t.RangeElementType == nil {
			return wire.Type{}, fmt.Errorf("a RANGE without rangeElementType")
		}
		return rangeOf(t.RangeElementType.Type)
	}
	return scalar(t.Type)
}

var twoTypes = regexp.MustCompile(`^Undeclared parameter '(\w+)' is used assuming different types \((\S+) vs (\S+)\)$`)

// guessed declares a parameter for which the engine has guessed two types. Where nothing tells the
// type it says INT64, so the other one counts. Nil for another error, and for a parameter that is
// declared.
func guessed(e *wire.Error, declared []wire.Parameter) *wire.Parameter {
	m := twoTypes.FindStringSubmatch(e.Message)
	if m == nil || slices.ContainsFunc(declared, func(p wire.Parameter) bool { return strings.EqualFold(p.Name, m[1]) }) {
		return nil
	}
	name := m[2]
	if name == "INT64" {
		name = m[3]
	}
	kind, err := scalar(name)
	if err != nil {
		return nil
	}
	return &wire.Parameter{Name: m[1], Type: kind}
}
