package policies

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
)

// Input is what Decide is asked: one subject, one analysed text of SQL. The zero Input is refused.
type Input struct {
	Subject  identity.Subject
	Now      time.Time // of the decision; without it every rule that has an end is over
	Method   string    // "jobs.query" …: a bigquery.Method
	Project  string    // the request's project, where its job runs: names in messages leave it out
	SQL      string    // for the places in messages; may be empty
	Analysis *googlesql.Analysis
	// Tables holds the schema of each table the analysis names, by "project.dataset.table".
	Tables map[string]*bigquery.Table
	// RowAccess says which of them have row access policies of BigQuery, as far as that is known.
	RowAccess map[string]bigquery.RowAccess
	// Transformed is set when the transforms that an earlier Decision demanded were made. Analysis
	// stays that of the query as it was asked.
	Transformed *Transformed
	// Estimate is what a dry run said; nil if none was made.
	Estimate *Estimate
	// Left is what is left of the budgets that the request counts against, in the order of
	// Decision.Budgets; nil where that is not known: then all of each is.
	Left []Left
	// Sized wants an estimate of whatever is not refused: the answer shows it.
	Sized bool
	// Credential is the one that a finished job ran under. Its rows are shown under a rule with
	// this credential only. "" for a query that has not run.
	Credential string
}

// Estimate is what BigQuery says a query would read.
type Estimate struct {
	Bytes int64 // totalBytesProcessed
	// Unknown says that no dry run could tell, or none is believed: the query counts as above every
	// bound, and Bytes means nothing.
	Unknown bool
}

// size is what a bound is compared with.
func (e Estimate) size() int64 {
	if e.Unknown {
		return math.MaxInt64
	}
	return e.Bytes
}

// TableFloor is what BigQuery bills at least for each table, and for a query.
// https://cloud.google.com/bigquery/pricing#on_demand_pricing
const TableFloor = 10 << 20

// Most is the largest bill of a query of which a dry run said e, with room for BigQuery's rounding.
// 0 where nobody can say.
func (e Estimate) Most(tables int) int64 {
	if e.Unknown {
		return 0
	}
	return e.Bytes + e.Bytes/10 + int64(tables+1)*TableFloor
}

// Exceeds says whether a query is larger than one of which a dry run said seen and so many tables:
// by more than the room for BigQuery's rounding. What is unknown is larger than all that is known.
func (e Estimate) Exceeds(seen Estimate, tables int) bool {
	return !seen.Unknown && e.size() > seen.Most(tables)
}

// short is a name without the request's own project.
func (in *Input) short(name string) string {
	if in.Project != "" {
		if rest, ok := strings.CutPrefix(name, in.Project+"."); ok && rest != "" {
			return shorten(rest)
		}
	}
	return shorten(name)
}

// place is " (line 3, column 9)", "" where the offset is not known.
func (in *Input) place(offset int) string {
	if offset <= 0 || in.SQL == "" {
		return "" // no use stands at the very start of a statement: 0 is an offset that was not kept
	}
	line, column := (googlesql.Span{Start: offset, End: offset}).LineColumn(in.SQL)
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(" (line %d, column %d)", line, column)
}

// governed says whether the method is one that a query's policy speaks of.
func (in *Input) governed() bool {
	switch bigquery.Method(in.Method) {
	case bigquery.MethodQuery, bigquery.MethodInsert, bigquery.MethodGetQueryResults, bigquery.MethodGetJob, bigquery.MethodCancel,
		bigquery.MethodListTableData, bigquery.MethodGetTable:
		return true
	default:
		return false
	}
}

// objection is a step's answer that ends the evaluation.
type objection struct {
	message string
	remedy  string
	rule    RuleRef
	cause   string // what is wrong with the policy, for its operators
	invalid bool   // BigQuery itself would not run the SQL
	// exceeded: it does not fit what is left of a budget of this unit
	exceeded Unit
}

func (e *objection) Error() string { return e.message }

func refuse(rule RuleRef, remedy, format string, args ...any) error {
	return &objection{message: fmt.Sprintf(format, args...), remedy: remedy, rule: rule}
}

// errEstimate ends an evaluation that cannot go on without an estimate.
var errEstimate = errors.New("the policy needs an estimate of the query's size, and there is none")
