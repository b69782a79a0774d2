package bigquery

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// FieldMask is the client's `fields=`: which members of an answer it wants
// (https://cloud.google.com/bigquery/docs/api-performance#partial-response). It is applied to the
// masked answer and never forwarded, since BigQuery's own projection could take away what the
// gateway must check. A nil mask keeps everything, the zero mask nothing.
type FieldMask struct {
	text string
	root *selection
}

// selection is one level of a mask: the members by name, "*" for every one. A nil selection stands
// for a whole value.
type selection struct{ members map[string]*selection }

// Limits of a mask.
const (
	maxMask      = 2 << 10 // bytes
	maxMaskDepth = 16
)

// ParseFieldMask reads `a,b/c,d(e,f),*`. The empty text, which Go's Cancel sends, is no mask. Rows
// are selected whole or not at all: below `rows` only `f` and `v`, which say the same, are taken.
func ParseFieldMask(text string) (*FieldMask, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxMask {
		return nil, fmt.Errorf("longer than %d bytes", maxMask)
	}
	p := maskParser{text: text}
	root := newSelection()
	if err := p.list(root, 1); err != nil {
		return nil, err
	}
	if p.at < len(text) {
		return nil, fmt.Errorf("unexpected %q at %d", text[p.at], p.at)
	}
	if root.members["*"] != nil {
		return nil, errors.New("a selection below a leading * is not served: name the members")
	}
	if rows, has := root.members["rows"]; has {
		if !wholeRows(rows, "f", "v") {
			return nil, errors.New("rows are selected whole: write rows or rows(f(v))")
		}
		root.members["rows"] = nil
	}
	return &FieldMask{text: text, root: root}, nil
}

func newSelection() *selection { return &selection{members: map[string]*selection{}} }

// wholeRows takes a selection that reaches down names, or stops before.
func wholeRows(s *selection, names ...string) bool {
	if s == nil {
		return true
	}
	if len(names) == 0 || len(s.members) != 1 {
		return false
	}
	for name, below := range s.members {
		return (name == names[0] || name == "*") && wholeRows(below, names[1:]...)
	}
	return false
}

type maskParser struct {
	text string
	at   int
}

// list reads `path,path,…` into s.
func (p *maskParser) list(s *selection, depth int) error {
	for {
		if err := p.member(s, depth); err != nil {
			return err
		}
		if !p.eat(',') {
			return nil
		}
	}
}

// member reads `name`, `name/path` or `name(list)` into s. A whole value absorbs selections of its
// parts.
func (p *maskParser) member(s *selection, depth int) error {
	if depth > maxMaskDepth {
		return fmt.Errorf("nested deeper than %d", maxMaskDepth)
	}
	name, err := p.name()
	if err != nil {
		return err
	}
	below, seen := s.members[name]
	if !seen {
		below = newSelection()
	}
	target := below
	if target == nil {
		target = newSelection() // already whole: read the rest for its syntax only
	}
	switch {
	case p.eat('/'):
		err = p.member(target, depth+1)
	case p.eat('('):
		if err = p.list(target, depth+1); err == nil && !p.eat(')') {
			err = errors.New("missing )")
		}
	default:
		below = nil
	}
	s.members[name] = below
	return err
}

func (p *maskParser) name() (string, error) {
	if p.eat('*') {
		return "*", nil
	}
	start := p.at
	for p.at < len(p.text) && nameByte(p.text[p.at]) {
		p.at++
	}
	if p.at == start {
		return "", fmt.Errorf("a name is missing at %d", start)
	}
	return p.text[start:p.at], nil
}

func nameByte(c byte) bool {
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *maskParser) eat(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// String is the mask as the client wrote it, "" for nil.
func (m *FieldMask) String() string {
	if m == nil {
		return ""
	}
	return m.text
}

// MarshalText implements encoding.TextMarshaler.
func (m *FieldMask) MarshalText() ([]byte, error) {
	if m.root == nil {
		return nil, errors.New("zero field mask")
	}
	return []byte(m.text), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. The empty text is an error: there is no mask
// to make of it.
func (m *FieldMask) UnmarshalText(text []byte) error {
	parsed, err := ParseFieldMask(string(text))
	if err != nil {
		return fmt.Errorf("field mask %q: %w", text, err)
	}
	if parsed == nil {
		return errors.New("empty field mask")
	}
	*m = *parsed
	return nil
}

// Keeps says whether all or some of the value at a path is kept.
func (m *FieldMask) Keeps(path ...string) (all, some bool) {
	if m == nil {
		return true, true
	}
	selected := m.level()
	for _, name := range path {
		if selected, all = selected.below(name); all {
			return true, true
		}
	}
	return false, len(selected) > 0
}

// KeepsKey says whether a member of the answer itself is kept, whole or in part.
func (m *FieldMask) KeepsKey(name string) bool {
	_, some := m.Keeps(name)
	return some
}

// level is the set of selections that apply to one value: several when a name and * select it.
type level []*selection

func (m *FieldMask) level() level {
	if m.root == nil {
		return nil
	}
	return level{m.root}
}

// below is the level of a member; whole when any selection takes it whole. Selections form a tree,
// so a level never has more of them than the mask has names.
func (l level) below(name string) (next level, whole bool) {
	for _, s := range l {
		for _, key := range [...]string{name, "*"} {
			below, has := s.members[key]
			if !has {
				continue
			}
			if below == nil {
				return nil, true
			}
			next = append(next, below)
			if key == "*" {
				break
			}
		}
	}
	return next, false
}

// Apply projects an answer: unselected members go, members selected in part are projected in turn,
// each element of an array alike. A scalar that is selected only in part goes too. Without a mask
// the text is returned as it is; otherwise it must be one strict JSON value.
func (m *FieldMask) Apply(text []byte) ([]byte, error) {
	if m == nil {
		return text, nil
	}
	value, err := oneValue(text)
	if err != nil {
		return nil, fmt.Errorf("apply fields: %w", err)
	}
	var out bytes.Buffer
	e := jsontext.NewEncoder(&out)
	if kind := value.Kind(); kind != '{' && kind != '[' {
		return nil, errors.New("apply fields: the answer is no object")
	}
	if err := project(jsontext.NewDecoder(bytes.NewReader(value)), e, m.level()); err != nil {
		return nil, fmt.Errorf("apply fields: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// project copies the next value of d, an object or an array, as far as it is selected.
func project(d *jsontext.Decoder, e *jsontext.Encoder, l level) error {
	open, err := d.ReadToken()
	if err != nil {
		return err
	}
	object := open.Kind() == '{'
	if err := e.WriteToken(open); err != nil {
		return err
	}
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		if object {
			err = projectMember(d, e, l)
		} else {
			err = projectPart(d, e, l, nil)
		}
		if err != nil {
			return err
		}
	}
	end, err := d.ReadToken()
	if err != nil {
		return err
	}
	return e.WriteToken(end)
}

func projectMember(d *jsontext.Decoder, e *jsontext.Encoder, l level) error {
	name, err := d.ReadToken()
	if err != nil {
		return err
	}
	key := name.String()
	below, whole := l.below(key)
	switch {
	case whole:
		if err := e.WriteToken(jsontext.String(key)); err != nil {
			return err
		}
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		return e.WriteValue(value)
	case len(below) > 0:
		return projectPart(d, e, below, &key)
	default:
		return d.SkipValue()
	}
}

// projectPart copies a value that is selected in part, under its name if it has one. Scalars are
// skipped.
func projectPart(d *jsontext.Decoder, e *jsontext.Encoder, l level, name *string) error {
	if kind := d.PeekKind(); kind != '{' && kind != '[' {
		return d.SkipValue()
	}
	if name != nil {
		if err := e.WriteToken(jsontext.String(*name)); err != nil {
			return err
		}
	}
	return project(d, e, l)
}
