package fakegoogle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// fieldMask is a parsed `fields=` parameter: for each key what is kept below it; nil keeps all.
type fieldMask map[string]fieldMask

// parseFields reads Google's partial response syntax: a,b(c,d),e/f,*. An empty text keeps
// everything.
func parseFields(text string) (fieldMask, error) {
	if text == "" {
		return nil, nil
	}
	p := &fieldParser{text: text}
	mask, err := p.list()
	if err != nil {
		return nil, err
	}
	if p.pos != len(text) {
		return nil, fmt.Errorf("Invalid field selection %s", text[p.pos:]) //nolint:staticcheck // Google's words
	}
	return mask, nil
}

type fieldParser struct {
	text string
	pos  int
}

func (p *fieldParser) list() (fieldMask, error) {
	mask := fieldMask{}
	for {
		if err := p.one(mask); err != nil {
			return nil, err
		}
		if p.pos >= len(p.text) || p.text[p.pos] != ',' {
			return mask, nil
		}
		p.pos++
	}
}

func (p *fieldParser) one(into fieldMask) error {
	start := p.pos
	for p.pos < len(p.text) && !strings.ContainsRune(",/()", rune(p.text[p.pos])) {
		p.pos++
	}
	name := strings.TrimSpace(p.text[start:p.pos])
	if name == "" {
		return fmt.Errorf("Invalid field selection %s", p.text) //nolint:staticcheck // Google's words
	}
	var sub fieldMask
	if p.pos < len(p.text) {
		switch p.text[p.pos] {
		case '/':
			p.pos++
			sub = fieldMask{}
			if err := p.one(sub); err != nil {
				return err
			}
		case '(':
			p.pos++
			var err error
			if sub, err = p.list(); err != nil {
				return err
			}
			if p.pos >= len(p.text) || p.text[p.pos] != ')' {
				return fmt.Errorf("Invalid field selection %s", p.text) //nolint:staticcheck // Google's words
			}
			p.pos++
		}
	}
	old, seen := into[name]
	switch {
	case !seen:
		into[name] = sub
	case old == nil || sub == nil:
		into[name] = nil
	default:
		maps.Copy(old, sub)
	}
	return nil
}

// project applies a mask; lists are looked through, rows are kept or dropped whole.
func (m fieldMask) project(v any) any {
	if m == nil {
		return v
	}
	switch x := v.(type) {
	case object:
		out := object{}
		for _, mem := range x {
			sub, ok := m[mem.key]
			if !ok {
				if sub, ok = m["*"]; !ok {
					continue
				}
			}
			out = append(out, member{mem.key, sub.project(mem.value)})
		}
		return out
	case []any:
		out := make([]any, 0, len(x))
		for _, e := range x {
			out = append(out, m.project(e))
		}
		return out
	}
	return v
}
