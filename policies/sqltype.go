package policies

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bqgate/bqgate/internal/masking"
)

const (
	maxTypeText  = 64 << 10
	maxTypeDepth = 32
	structType   = "STRUCT"
)

// columnOf turns a GoogleSQL type ("ARRAY<STRUCT<kind STRING, number STRING>>") into the shape of
// an output column. Masks are not set. Fields without a name are called as BigQuery calls them in a
// result, by position: _field_1.
func columnOf(name, typ string) (masking.Column, error) {
	if len(typ) > maxTypeText {
		return masking.Column{}, errors.New("the type is too long")
	}
	p := typeParser{rest: typ}
	column, err := p.value(name, 0)
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("%q stands behind the type", shorten(p.rest))
	}
	return column, err
}

type typeParser struct{ rest string }

// value reads one type.
func (p *typeParser) value(name string, depth int) (masking.Column, error) {
	if depth > maxTypeDepth {
		return masking.Column{}, errors.New("the type is nested too deep")
	}
	word := p.word()
	switch strings.ToUpper(word) {
	case "":
		return masking.Column{}, fmt.Errorf("a type is missing before %q", shorten(p.rest))
	case "ARRAY":
		if !p.take("<") {
			return masking.Column{}, errors.New("ARRAY without an element type")
		}
		element, err := p.value(name, depth+1)
		if err != nil {
			return masking.Column{}, err
		}
		if element.Repeated {
			return masking.Column{}, errors.New("ARRAY of ARRAY")
		}
		if !p.take(">") {
			return masking.Column{}, errors.New("ARRAY without an end")
		}
		element.Repeated = true
		return element, nil
	case structType:
		fields, err := p.fields(depth)
		return masking.Column{Name: name, Type: structType, Fields: fields}, err
	case "RANGE":
		if !p.take("<") || p.word() == "" || !p.take(">") {
			return masking.Column{}, errors.New("RANGE without an element type")
		}
	default:
		if err := p.parameters(); err != nil {
			return masking.Column{}, err
		}
	}
	return masking.Column{Name: name, Type: strings.ToUpper(word)}, nil
}

// fields reads "<name TYPE, TYPE, …>".
func (p *typeParser) fields(depth int) ([]masking.Column, error) {
	if !p.take("<") {
		return nil, errors.New("STRUCT without fields")
	}
	var fields []masking.Column
	for {
		name, err := p.fieldName()
		if err != nil {
			return nil, err
		}
		if name == "" {
			name = fmt.Sprintf("_field_%d", len(fields)+1)
		}
		field, err := p.value(name, depth+1)
		if err != nil {
			return nil, err
		}
		fields = append(fields, field)
		switch {
		case p.take(","):
		case p.take(">"):
			return fields, nil
		default:
			return nil, fmt.Errorf("%q is not understood inside STRUCT", shorten(p.rest))
		}
	}
}

// fieldName reads a name that stands before a type; "" if the type comes at once. "date DATE" has
// one, "DATE" has none.
func (p *typeParser) fieldName() (string, error) {
	p.space()
	if p.take("`") {
		name, rest, ok := strings.Cut(p.rest, "`")
		if !ok || name == "" || strings.ContainsRune(name, '\\') {
			return "", errors.New("a quoted field name is not understood")
		}
		p.rest = rest
		return name, nil
	}
	before := p.rest
	name := p.word()
	p.space()
	if next, _ := utf8.DecodeRuneInString(p.rest); name != "" && isWord(next) {
		return name, nil
	}
	p.rest = before
	return "", nil
}

// parameters skips "(10, 2)".
func (p *typeParser) parameters() error {
	if !p.take("(") {
		return nil
	}
	inside, rest, ok := strings.Cut(p.rest, ")")
	if !ok || strings.Trim(inside, "0123456789, ") != "" {
		return errors.New("type parameters are not understood")
	}
	p.rest = rest
	return nil
}

func (p *typeParser) space() { p.rest = strings.TrimLeft(p.rest, " ") }

func (p *typeParser) take(s string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, s)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *typeParser) word() string {
	p.space()
	end := strings.IndexFunc(p.rest, func(r rune) bool { return !isWord(r) })
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

func isWord(r rune) bool {
	return r == '_' || r == '-' || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}
