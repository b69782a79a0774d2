package googlesql

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// Query is a SQL text with everything that its meaning depends on.
type Query struct {
	SQL            string
	Project        string                     // the job's project: where names of two parts live
	DefaultDataset *bigquery.DatasetReference // where names of one part live; nil for none
	ParameterMode  string                     // "", "NAMED" or "POSITIONAL"
	Parameters     json.RawMessage            // queryParameters, as in the BigQuery API; nil for none
	// accept parameters that are not declared and guess their types: to explain SQL, never to
	// decide about a query that runs
	Undeclared bool
	Catalog    Catalog
	Caller     string // who asks: what others have asked shows in the time of no answer
	Owner      string // whose turn this takes in the workers' queue; the caller's own if empty
	// Reach says which tables and functions the caller may know to exist, by full name
	// ("project.dataset.table", "project.dataset.function()"). The catalog is asked about no other,
	// so that neither an answer nor the time it takes tells what there is. Nil is everything: for
	// those who explain SQL over a catalog of their own.
	Reach func(name string) bool
}

// Limits bound what is analysed. Zero fields take the defaults that are named beside them.
type Limits struct {
	Text       int // bytes of SQL; 256 KiB
	Depth      int // nested syntax elements; 500
	Nodes      int // syntax elements; 50,000
	Statements int // 200
	Tables     int // table names in a statement; 200
	Columns    int // output columns and their leaves; 10,000
	Cache      int // analyses kept; 10,000. Negative for none
}

func (l Limits) withDefaults() Limits {
	set(&l.Text, 256<<10)
	set(&l.Depth, 500)
	set(&l.Nodes, 50_000)
	set(&l.Statements, 200)
	set(&l.Tables, 200)
	set(&l.Columns, 10_000)
	set(&l.Cache, 10_000)
	return l
}

// turn is whose turn a question takes: no new run of a workload has one of its own (A52).
func (q *Query) turn() string { return cmp.Or(q.Owner, q.Caller) }

// maxShelved is how many columns of tables an Analyzer remembers; some 20 MB.
const maxShelved = 100_000

// Analyzer says what SQL texts mean. It is safe for concurrent use.
type Analyzer struct {
	pool   *Pool
	limits Limits
	cache  *cache
	shelf  *shelf
}

// New returns an Analyzer that asks the pool's workers. The pool stays the caller's to close.
func New(pool *Pool, limits Limits) *Analyzer {
	limits = limits.withDefaults()
	return &Analyzer{pool: pool, limits: limits, cache: newCache(limits.Cache), shelf: newShelf(maxShelved)}
}

// Analyze says what the query's SQL means. An Analysis without Error is understood completely;
// one with Error still lists the statements with the kinds and names that are known. It is shared
// and must not be changed. The Go error is of the context (or of a query without a catalog): what
// else goes wrong is in Analysis.Error, so that nothing is mistaken for an answer.
func (a *Analyzer) Analyze(ctx context.Context, query Query) (*Analysis, error) {
	if query.Catalog == nil {
		return nil, errors.New("analysing SQL: the query has no catalog")
	}
	if refused := a.checkText(query.SQL); refused != nil {
		return refusal(refused), nil
	}
	job := &job{Analyzer: a, ctx: ctx, query: query, known: newKnown(), home: query.Project}
	key := queryKey(query, a.pool.Engine())
	if known, ok := a.cache.get(key); ok && known.within(query) {
		fresh, err := job.unchanged(known)
		if err != nil {
			return nil, err
		}
		if fresh {
			analysis := *known.analysis
			analysis.Tables = job.resources(analysis.shown)
			return &analysis, nil
		}
	}
	closed := query.closedKey(key)
	if known, ok := a.cache.get(closed); ok && query.closes(known.analysis) {
		return known.analysis, nil
	}
	analysis, err := job.run()
	switch {
	case err != nil:
		return nil, err
	case query.closes(analysis):
		a.cache.put(closed, &entry{analysis: analysis})
	case analysis.Error == nil || lasting(analysis.Error.Code) && !job.fleeting:
		a.cache.put(key, &entry{analysis: analysis, tables: job.tables, routines: job.routines})
	}
	return analysis, nil
}

// lasting reports whether the same question would end in the same error.
func lasting(code ErrorCode) bool {
	switch code {
	case ErrorSyntax, ErrorNotFound, ErrorUnsupported, ErrorLimit:
		return true
	default:
		return false
	}
}

func refusal(e *Error) *Analysis { return &Analysis{Statements: []Statement{}, Error: e} }

// checkText refuses what the engine should not see.
func (a *Analyzer) checkText(text string) *Error {
	switch {
	case len(text) > a.limits.Text:
		return &Error{Code: ErrorLimit, Message: fmt.Sprintf("the SQL is %d bytes long; the limit is %d", len(text), a.limits.Text)}
	case !utf8.ValidString(text):
		return &Error{Code: ErrorSyntax, Message: "the SQL is not valid UTF-8"}
	case strings.ContainsRune(text, 0):
		return &Error{Code: ErrorSyntax, Message: "the SQL contains a NUL character"}
	}
	// BigQuery obeys this comment at the head of a text. Nothing honest says it elsewhere.
	if i := strings.Index(strings.ToLower(text), "#legacysql"); i >= 0 {
		e := &Error{Code: ErrorUnsupported, Message: "legacy SQL is not supported; write GoogleSQL"}
		e.Line, e.Column = Span{i, i}.LineColumn(text)
		return e
	}
	return nil
}

// failure turns the error of Pool.ask into an Analysis error; a context's error stays what it is.
func failure(err error) (*Error, error) {
	var e *Error
	if errors.As(err, &e) {
		return e, nil
	}
	return nil, err
}
