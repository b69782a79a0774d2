package googlesql

import (
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// Analysis is what a script means: its statements in text order. Marshalled, it is the JSON of
// `bqgate sql explain`. The zero Analysis has no statement and is refused by every policy.
type Analysis struct {
	Statements []Statement `json:"statements"`
	Error      *Error      `json:"error,omitempty"` // set when the script was not understood; nothing in it may then be allowed

	// Tables are the resources that the analysis rests on, by "project.dataset.table": what was
	// read when the SQL was understood. The Schema of a view is that of its query, where BigQuery
	// stores an older one.
	Tables map[string]*bigquery.Table `json:"-"`
	// Digests stand for what the analysis rests on, by name; those of routines are named
	// "project.dataset.routine()", that of a table that did not exist is "". Changed compares them
	// with what is there now.
	Digests map[string]string `json:"-"`
	// Views says what the views among them mean, by the same names: their columns, with the columns
	// of stored tables behind them.
	Views map[string]*Statement `json:"-"`
	// Bodies are what the functions and table functions among the routines of Statements do, by
	// name.
	Bodies map[string]*Statement `json:"-"`

	// Behind are names outside of the query's reach that views and functions read, those of
	// functions with "()" behind them. It is only set where every name in the text is within reach,
	// and they end the analysis with ErrorClosed.
	Behind []string `json:"-"`

	shown map[string]*bigquery.Table // the views among Tables of which BigQuery stores another schema
}

// Schemas are the schemas of the views among Tables of which BigQuery stores another one.
func (a *Analysis) Schemas() map[string]bigquery.Schema {
	var all map[string]bigquery.Schema
	for name, t := range a.shown {
		if all == nil {
			all = map[string]bigquery.Schema{}
		}
		all[name] = t.Schema
	}
	return all
}

// Statement is one statement. Lists are sorted and unique.
type Statement struct {
	Kind string `json:"kind"` // BigQuery's statementType: SELECT, INSERT, DROP_TABLE, ALTER_DATABASE, SCRIPT, …
	// "project.dataset.table": base tables and the views named; "project.dataset.events_*" for a
	// wildcard table
	Tables    []string `json:"tables"`
	Targets   []string `json:"targets"`   // tables (or datasets, "project.dataset") that DDL or DML would change
	Routines  []string `json:"routines"`  // functions and procedures of datasets, "project.dataset.routine"
	Functions []string `json:"functions"` // built-in functions, upper case
	Columns   []Column `json:"columns"`   // output columns, in order; empty where the statement returns no rows
	Uses      []Use    `json:"uses"`      // columns that steer the result other than by being carried

	// Named are the full names that the text itself has, in its order, each once: tables, and
	// functions with "()" behind them. What stands behind a view or a function is not among them.
	Named []string `json:"-"`
	// Uncertain are the tables that are read, also by views and functions, of which BigQuery may
	// know other columns than this analysis did; one entry for each place.
	Uncertain []Uncertain `json:"uncertain,omitempty"`

	References []Reference `json:"-"` // every table reference in the text, for messages and for rewriting
	Span       Span        `json:"-"` // the statement in the text

	lengths []string      // columns among Uses that are arrays whose lengths are used, sorted
	unnests []wire.Unnest // what becomes of the output columns decides whether their lengths are used
}

// Column is one output column. No sources means: proven to be made of constants only.
type Column struct {
	Name    string   `json:"name"` // "" for an anonymous column
	Type    string   `json:"type"` // GoogleSQL type: STRING, ARRAY<STRUCT<kind STRING, number STRING>>, …
	Sources []Source `json:"sources"`

	shape *wire.Type // of a column of a view, or of a routine's body
}

// Carry says how a source column reaches an output column.
type Carry string

// Carries. An unknown Carry counts as CarryDerived.
const (
	CarryDirect  Carry = "direct"  // the value unchanged: reference, rename, field access, UNNEST, struct and array construction, UNION ALL
	CarryDerived Carry = "derived" // through a function, operator, aggregate, analytic function or CASE
)

// Source is one source of (a leaf of) an output column.
type Source struct {
	Path   string `json:"path"`   // dotted path inside the output column, "" for the whole
	Column string `json:"column"` // "project.dataset.table.column[.field…]"; "" for a literal, parameter or generated value
	Carry  Carry  `json:"carry"`
}

// Use is a column that decides about the result without being carried.
type Use struct {
	Column string `json:"column"`
	In     UseIn  `json:"in"`
	Offset int    `json:"-"` // byte offset of the use in the text, -1 where unknown

	length bool // of an array only the length is used
}

// UseIn says where a column is used.
type UseIn string

// Uses, as the contract names them.
const (
	UseFilter     UseIn = "filter"     // WHERE, HAVING, ON of semi-joins, QUALIFY, IN, EXISTS
	UseJoin       UseIn = "join"       // ON, USING
	UseGroup      UseIn = "group"      // GROUP BY, DISTINCT, distinct set operations, PIVOT FOR
	UseOrder      UseIn = "order"      // ORDER BY
	UseWindow     UseIn = "window"     // PARTITION BY, window ORDER BY, frame
	UseAggregate  UseIn = "aggregate"  // inner ORDER BY, HAVING MAX, FILTER
	UseExpression UseIn = "expression" // read by an operator or condition without flowing into the output
	UseOther      UseIn = "other"
)

// Uncertain is a table that may have other columns than those that names were resolved with.
type Uncertain struct {
	Table string `json:"table"`
	Why   Why    `json:"why"`
	// Row says that the table may be read as a whole, columns included that the text does not name.
	Row bool `json:"row,omitempty"`
	// Names are what the text calls a column without saying whose, where it could be this table's
	// or that of a query around it; lower case.
	Names []string `json:"names,omitempty"`
}

// Why says why the columns of a table are uncertain.
type Why string

// Reasons.
const (
	WhyWildcard          Why = "wildcard"           // its members differ, and BigQuery goes by the newest
	WhySystemTime        Why = "system time"        // FOR SYSTEM_TIME AS OF reads it with the columns of then
	WhyInformationSchema Why = "information schema" // BigQuery adds columns; the list is bqgate's own
	WhyPseudoColumns     Why = "pseudo columns"     // whether a table has _PARTITIONTIME and the like is bqgate's own reading
)

// Reference is one table reference in the text.
type Reference struct {
	Table string // "project.dataset.table"
	Span  Span   // of the name as it is written
	// what stands around the name, in byte ranges of the same text; nil for the target of DML.
	// SystemTime is set where an older state is read
	Place *wire.Place
}

// Span is a half-open byte range of the original text.
type Span struct{ Start, End int }

// Error says why a script was not understood. It is written for the author of the SQL.
type Error struct {
	Code    ErrorCode `json:"code"`
	Message string    `json:"message"`          // one sentence; names what was not understood and what would be
	Line    int       `json:"line,omitempty"`   // 1-based; 0 where unknown
	Column  int       `json:"column,omitempty"` // 1-based, in characters
	Err     error     `json:"-"`                // why, for operators; nil where Message says it
}

func (e *Error) Error() string { return e.Message }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Passes says that the same question may have an answer in a while, and has none now.
func (e *Error) Passes() bool { return e.Code == ErrorUnavailable || e.Code == ErrorCrowded }

// ErrorCode sorts analysis errors by what the caller can do about them.
type ErrorCode string

// Codes.
const (
	ErrorSyntax      ErrorCode = "syntax"      // the text is not GoogleSQL, or names do not resolve
	ErrorNotFound    ErrorCode = "notFound"    // a table, column or function does not exist
	ErrorUnsupported ErrorCode = "unsupported" // valid, but not understood well enough to be allowed
	ErrorClosed      ErrorCode = "closed"      // a name is outside of the query's reach; nothing was asked about it
	ErrorLimit       ErrorCode = "limit"       // too long, deep or wide
	ErrorDeadline    ErrorCode = "deadline"    // analysis took too long or ran out of memory
	ErrorCrowded     ErrorCode = "crowded"     // the caller's own texts, or texts that take long, are too many; retry
	ErrorUnavailable ErrorCode = "unavailable" // the catalog or the workers could not answer; retry
)
