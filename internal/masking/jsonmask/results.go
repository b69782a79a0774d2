package jsonmask

import (
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/masking"
)

// Limits of an answer. What is longer is refused.
const (
	maxValue  = 1 << 20  // bytes of a member that is no rows
	maxSchema = 8 << 20  // bytes of the schema: 10,000 columns, pretty-printed
	maxCell   = 32 << 20 // bytes of a cell whose mask is computed from its text
	maxHead   = 4 << 10  // bytes of a member's name with the blanks around it
	maxNested = 64       // depth of a member that is no rows
)

// Errors by which a caller tells why an answer was refused, beside those of package masking. All
// others say what was wrong with its shape.
var (
	// ErrIncomplete is returned by Close when the document had not ended.
	ErrIncomplete = errors.New("the response ended in the middle")
	// ErrNoSalt is returned for a plan with RANDOM_HASH without a salt.
	ErrNoSalt = errors.New("RANDOM_HASH needs a salt")
)

func unplanned(format string, args ...any) error {
	return fmt.Errorf("%w: %w", masking.ErrUnplanned, fmt.Errorf(format, args...))
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
	Columns      []masking.Column // the plan's, with the names and types that the schema gives them
	Dropped      []string         // names of members that did not go out because this package does not know them, the first few
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

// Results masks one JSON answer of jobs.query or jobs.getQueryResults as it streams by. It is made
// by NewResults and used by one goroutine.
type Results struct {
	plan    masking.Plan
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
func NewResults(plan masking.Plan, o Options) *Results {
	m := &Results{plan: plan, options: o, masks: plan.Sensitive || plan.Masks(), seen: make(map[string]bool)}
	if m.err = plan.Check(); m.err != nil {
		return m
	}
	m.compile = compiler{zero: timestampZero}
	if o.TimestampFormat == "ISO8601_STRING" {
		m.compile.zero = timestampZeroISO
	}
	cells := plan.Cells()
	if masking.NeedsSalt(cells) && len(o.Salt) == 0 {
		m.err = fmt.Errorf("mask plan: %w", ErrNoSalt)
		return m
	}
	m.rows.init(m.compile.nodes(cells), newCells(o.Salt), o.MaxRows)
	m.rows.untold = plan.Untold()
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
		m.fail(fmt.Errorf("%d bytes: %w", limit, masking.ErrCap))
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
