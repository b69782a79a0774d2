package jsonmask

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/bqgate/bqgate/internal/masking"
)

// phase is where in the document the next byte belongs.
type phase uint8

// blankByte says whether c is white space in JSON.
func blankByte(c byte) bool { return c <= ' ' && (1<<' '|1<<'\n'|1<<'\r'|1<<'\t')>>c&1 != 0 }

// write walks the top level. Everything it lets out, it lets out by whole members; only rows go
// through as they come.
func (m *Results) write(p []byte) error {
	for i := 0; i < len(p); {
		switch m.phase {
		case inValue:
			n, done, err := m.collect(p[i:])
			if err != nil {
				return err
			}
			i += n
			if done {
				if err := m.member(); err != nil {
					return err
				}
				m.phase = atAfter
			}
			continue
		case inRows:
			n, done, err := m.rows.write(&m.out, p[i:])
			if errors.Is(err, masking.ErrUntold) {
				return err
			}
			if err != nil {
				return unplanned("%w", err)
			}
			i += n
			if done {
				m.phase = atAfter
			}
			continue
		case inName:
			if err := m.readName(p[i]); err != nil {
				return err
			}
			i++
			continue
		}
		c := p[i]
		if blankByte(c) {
			if m.phase != atStart && m.phase != atEnd {
				m.lead = append(m.lead, c)
			}
			if len(m.lead) > maxHead {
				return fmt.Errorf("more than %d blanks between members", maxHead)
			}
			i++
			continue
		}
		if m.phase == atValue {
			if err := m.begin(c); err != nil {
				return err
			}
			continue
		}
		if err := m.punctuation(c); err != nil {
			return err
		}
		i++
	}
	return nil
}

// punctuation takes a byte between the names and values of the top level.
func (m *Results) punctuation(c byte) error {
	switch {
	case m.phase == atStart && c == '{':
		m.out = append(m.out, '{')
		m.phase = atFirst
	case (m.phase == atFirst || m.phase == atNext) && c == '"':
		m.lead = append(m.lead, '"')
		m.name = m.name[:0]
		m.phase = inName
	case m.phase == atColon && c == ':':
		m.lead = append(m.lead, ':')
		m.phase = atValue
	case m.phase == atAfter && c == ',':
		m.lead = m.lead[:0]
		m.phase = atNext
	case (m.phase == atFirst || m.phase == atAfter) && c == '}':
		m.out = append(append(m.out, m.lead...), '}')
		m.lead = m.lead[:0]
		m.phase = atEnd
	case m.phase == atEnd:
		return errors.New("data behind the end of the document")
	default:
		return fmt.Errorf("unexpected %q at the top level", c)
	}
	return nil
}

// readName takes a byte of a member's name. Names of this API are letters; an escape in one could
// hide what it is from another reader.
func (m *Results) readName(c byte) error {
	m.lead = append(m.lead, c)
	if c == '"' {
		if m.seen[string(m.name)] {
			return unplanned("duplicate member %q", m.name)
		}
		m.seen[string(m.name)] = true
		m.phase = atColon
		return nil
	}
	if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_') || len(m.name) == 64 {
		return errors.New("a member's name is not a plain word")
	}
	m.name = append(m.name, c)
	return nil
}

// begin starts the value whose first byte is c.
func (m *Results) begin(c byte) error {
	if string(m.name) != "rows" {
		m.value, m.nested, m.quoted, m.escaped = m.value[:0], 0, false, false
		m.scalar = c != '{' && c != '[' && c != '"'
		m.phase = inValue
		return nil
	}
	keep := m.keeps("rows")
	if keep {
		m.emitLead()
	}
	m.rows.begin(!keep)
	m.phase = inRows
	return nil
}

// emitLead lets out the name of the member, with the comma before it.
func (m *Results) emitLead() {
	if m.kept > 0 {
		m.out = append(m.out, ',')
	}
	m.kept++
	m.out = append(m.out, m.lead...)
	m.lead = m.lead[:0]
}

// collect takes bytes of a value up to its end and returns how many they were.
func (m *Results) collect(p []byte) (n int, done bool, err error) {
	limit := maxValue
	if string(m.name) == "schema" {
		limit = maxSchema
	}
	for n < len(p) && !done {
		c := p[n]
		switch {
		case m.escaped:
			m.escaped = false
		case m.quoted:
			switch c {
			case '\\':
				m.escaped = true
			case '"':
				m.quoted = false
				done = m.nested == 0
			}
		case m.scalar:
			if c == ',' || c == '}' || blankByte(c) {
				m.value = append(m.value, p[:n]...)
				return n, true, nil
			}
		case c == '"':
			m.quoted = true
		case c == '{' || c == '[':
			if m.nested++; m.nested > maxNested {
				return 0, false, unplanned("member %q is nested more than %d deep", m.name, maxNested)
			}
		case c == '}' || c == ']':
			m.nested--
			done = m.nested == 0
		}
		n++
	}
	if m.value = append(m.value, p[:n]...); len(m.value) > limit {
		return 0, false, unplanned("member %q is longer than %d bytes", m.name, limit)
	}
	return n, done, nil
}

// member takes a whole member that is no rows: checks it, learns from it, lets it out if it is
// kept.
func (m *Results) member() error {
	name := string(m.name)
	// jsontext refuses what collect, which is less strict, lets pass: bad UTF-8, lone surrogates,
	// duplicate names, numbers and words that are none.
	if !jsontext.Value(m.value).IsValid() {
		return unplanned("member %q is not valid JSON", name)
	}
	if err := m.learn(name); err != nil {
		return unplanned("%w", err)
	}
	if _, known := members[name]; !known && !slices.Contains(withheld, name) {
		m.drop(name)
	}
	if !m.keeps(name) {
		m.lead = m.lead[:0]
		return nil
	}
	value := m.value
	if m.options.Rewrite != nil {
		var err error
		if value, err = m.options.Rewrite(name, value); err != nil {
			return fmt.Errorf("project member %q: %w", name, err)
		}
		if len(value) == 0 {
			m.lead = m.lead[:0]
			return nil
		}
	}
	m.emitLead()
	m.out = append(m.out, value...)
	return nil
}

const (
	atStart phase = iota // before {
	atFirst              // behind {
	atNext               // behind a comma
	inName               // in a member's name
	atColon              // behind the name
	atValue              // behind the colon
	inValue              // in a value that is collected
	inRows               // in the rows
	atAfter              // behind a value
	atEnd                // behind }
)
