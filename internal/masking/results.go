package masking

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of an answer. What is longer is refused.
const (
	maxValue  = 1 << 20  // bytes of a member that is no rows
	maxSchema = 8 << 20  // bytes of the schema: 10,000 columns, pretty-printed
	maxCell   = 32 << 20 // bytes of a cell whose mask is computed from its text
	maxHead   = 4 << 10  // bytes of a member's name with the blanks around it
	maxNested = 64       // depth of a member that is no rows
)

// Errors by which a caller tells why an answer was refused. All others say what was wrong with its
// shape.
var (
	// ErrCap is returned when an answer is larger than Options allow (attack A35).
	ErrCap = errors.New("the result is larger than the policy allows")
	// ErrIncomplete is returned by Close when the document had not ended.
	ErrIncomplete = errors.New("the response ended in the middle")
	// ErrNoSalt is returned for a plan with RANDOM_HASH without a salt.
	ErrNoSalt = errors.New("RANDOM_HASH needs a salt")
	// ErrUnplanned is returned for a whole and valid answer that is not what was planned: it has
	// other columns, types or rows, or something longer than any answer of BigQuery's. Asked again,
	// BigQuery would answer the same.
	ErrUnplanned = errors.New("the answer is not the one that was planned")
	// ErrUntold is returned for rows without, or before, the schema that alone says which columns
	// they have (Plan.Metadata).
	ErrUntold = errors.New("which columns there are is not known before an answer's schema")
)

func unplanned(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnplanned, fmt.Errorf(format, args...))
}

// Options say how an answer is masked beside what the plan says.
type Options struct {
	// Keep says which members of the answer the client asked for by `fields=`, by name. It can only
	// drop: members that this package does not know never pass. Nil keeps all that are known.
	Keep func(member string) bool
	// Rewrite, if set, is offered each kept member but rows, as it came, and returns what stands in
	// its place: the projection of `fields=jobReference/jobId`. Nothing in its place drops the
	// member.
	Rewrite func(member string, value []byte) ([]byte, error)
	// TimestampFormat is the TimestampOutputFormat that BigQuery was asked for. It only matters for
	// "ISO8601_STRING".
	TimestampFormat string
	// Salt is the secret of RANDOM_HASH, one for each job, the same for all pages of it.
	Salt []byte
	// MaxRows and MaxBytes end an answer with ErrCap before more rows, or more bytes of output, go
	// out. 0 means no limit.
	MaxRows  uint64
	MaxBytes uint64
}

// Head is what an answer says of its job, as far as it has been read. Nil and "" mean: not seen.
type Head struct {
	JobReference JobReference
	JobComplete  *bool
	TotalRows    *uint64
	PageToken    string
	HasSchema    bool
	Columns      []Column // the plan's, with the names and types that the schema gives them
	Dropped      []string // names of members that did not go out because this package does not know them, the first few
}

// JobReference names a job; it converts to bigquery.JobReference, on which this package does not
// depend.
type JobReference struct {
	ProjectID string `json:"projectId"`
	JobID     string `json:"jobId"`
	Location  string `json:"location,omitempty"`
}

// Counters is what has gone through.
type Counters struct {
	Rows              uint64
	BytesIn, BytesOut uint64
}

// phase is where in the document the next byte belongs.
type phase uint8

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

// Results masks one JSON answer of jobs.query or jobs.getQueryResults as it streams by. It is made
// by NewResults and used by one goroutine.
type Results struct {
	plan    Plan
	options Options
	compile compiler
	masks   bool
	err     error
	out     []byte
	head    Head
	count   Counters

	phase phase
	lead  []byte // blanks and name before the member that is being read, as they go out
	name  []byte
	seen  map[string]bool
	kept  int

	value   []byte // the member being collected
	nested  int
	quoted  bool // in a string of it
	escaped bool
	scalar  bool

	rows rows
}

// NewResults makes a masker. A plan or options that cannot be used make its first Write fail.
func NewResults(plan Plan, o Options) *Results {
	m := &Results{plan: plan, options: o, masks: plan.Sensitive || plan.Masks(), seen: make(map[string]bool)}
	if m.err = plan.Check(); m.err != nil {
		return m
	}
	m.compile = compiler{zero: timestampZero}
	if o.TimestampFormat == "ISO8601_STRING" {
		m.compile.zero = timestampZeroISO
	}
	columns := m.compile.columns(plan.Columns, Clear)
	if needsSalt(columns) && len(o.Salt) == 0 {
		m.err = fmt.Errorf("mask plan: %w", ErrNoSalt)
		return m
	}
	m.rows.init(columns, newCells(o.Salt), o.MaxRows)
	m.rows.untold = plan.untold()
	return m
}

// Write takes the next bytes of the answer, cut anywhere, and returns what may go out for them; it
// is valid until the next Write. An error is final.
func (m *Results) Write(p []byte) ([]byte, error) {
	if m.err != nil {
		return nil, m.err
	}
	m.out = m.out[:0]
	if err := m.write(p); err != nil {
		m.fail(fmt.Errorf("mask response at byte %d: %w", m.count.BytesIn, err))
		return nil, m.err
	}
	m.count.BytesIn += uint64(len(p))
	m.count.BytesOut += uint64(len(m.out))
	m.count.Rows = m.rows.seen
	if limit := m.options.MaxBytes; limit > 0 && m.count.BytesOut > limit {
		m.fail(fmt.Errorf("%d bytes: %w", limit, ErrCap))
		return nil, m.err
	}
	return m.out, nil
}

func (m *Results) fail(err error) {
	m.err = err
	clear(m.out[:cap(m.out)]) // nobody may come to send what was masked in vain
	m.out = nil
}

// Close says whether a complete document was seen. Without that the answer must be broken off.
func (m *Results) Close() error {
	if m.err == nil && m.phase != atEnd {
		m.fail(ErrIncomplete)
	}
	return m.err
}

// Head is what is known of the answer so far.
func (m *Results) Head() Head { return m.head }

// RowsSeen counts the rows read so far, each of them complete.
func (m *Results) RowsSeen() uint64 { return m.count.Rows }

// Counters counts what has gone through so far.
func (m *Results) Counters() Counters { return m.count }

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
			if errors.Is(err, ErrUntold) {
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
	// jsontext refuses what the loose walk of collect let by: bad UTF-8, lone surrogates, duplicate
	// names, numbers and words that are none.
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
