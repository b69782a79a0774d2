package extproc

import (
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
)

// mismatch is a job that is not, or did not read, what was decided on.
type mismatch struct{ error }

func (m *mismatch) Unwrap() error { return m.error }

// strange is an answer that is whole, and not the one that was planned: asked again, BigQuery would
// answer the same.
type strange struct {
	error
	about string
}

// What a strange answer is about.
const (
	aboutRows     = "rows"
	aboutMetadata = "metadata" // of a view of INFORMATION_SCHEMA, to which BigQuery adds columns
	aboutJob      = "job"
)

func (s *strange) Unwrap() error { return s.error }

func clearing(err error) error {
	if errors.Is(err, jobs.ErrMismatch) {
		return &mismatch{err}
	}
	return err
}

// unproven is a job of which BigQuery does not tell enough to compare what it read.
type unproven struct {
	*jobs.Uncertain
	liftable bool // an operator may accept it
	job      string
}

func (u *unproven) Unwrap() error { return u.Uncertain }

// remedy is what would pass.
func (u *unproven) remedy() string {
	const setting = "checks.referenced_tables."
	switch {
	case u.Construct == jobs.RowAccessLookup:
		return "reading job " + u.job + " again, or the same query, once an operator has named that table (" + setting +
			"row_access_lookups), or a query without tables that have row access policies"
	case u.liftable:
		return "reading job " + u.job + " again, or the same query, once an operator accepts it (" + setting + string(u.Construct) + ")"
	}
	return "a query without tables that have sensitive columns or row access policies: of those nothing is shown that cannot be compared"
}

// refusalBody is what a client reads in place of an upstream answer that was withheld. It never
// quotes the answer.
func refusalBody(err error, decision string) (int, []byte) {
	var changed *mismatch
	var ended *over
	var other *strange
	var uncertain *unproven
	switch {
	case errors.As(err, &ended):
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: the right to this answer ended while it was on its way: the identity token became too old, its session was "+
				"revoked, or the policy changed.\n"+
				"What would pass: the same request again, with a new identity token. Decision %s.", decision))
	case errors.As(err, &uncertain):
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: %s, so that it cannot be compared with what was decided.\nWhat would pass: %s. Decision %s.",
			uncertain.Why(), uncertain.remedy(), decision))
	case errors.As(err, &changed):
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: BigQuery's job does not agree with what was decided, because a table, a view or the job changed in "+
				"between, or the job id was used before.\nWhat would pass: the same query again, under a new job id. Decision %s.",
			decision))
	case errors.Is(err, masking.ErrCap):
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: the result is larger than the policy's cap.\nWhat would pass: a query with fewer rows or columns. Decision "+
				"%s.", decision))
	case errors.As(err, &other) && other.about == aboutMetadata:
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: BigQuery's answer has other columns than bqgate knows of this view of INFORMATION_SCHEMA: BigQuery adds "+
				"columns to them.\n"+
				"What would pass: the same query with the columns that you need named in place of *. Decision %s.", decision))
	case errors.As(err, &other) && other.about == aboutJob:
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: BigQuery's answer about this job has a form that bqgate does not know, so nothing of it is shown.\n"+
				"What would pass: a new job for the same query; if it stays, give this id to the operator. Decision %s.", decision))
	case errors.As(err, &other):
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: BigQuery's answer does not have the columns and types that the query was decided by, so none of its rows "+
				"is shown.\n"+
				"What would pass: the same query with its columns named in place of *; if it stays, give this id to the operator. "+
				"Decision %s.", decision))
	case errors.Is(err, masking.ErrUntold):
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: which columns this result has, only an answer with a schema says, and none was read yet.\n"+
				"What would pass: the result by jobs.getQueryResults first, or the query with its columns named in place of *. Decision "+
				"%s.", decision))
	default:
		return 503, bigquery.ErrorBody(503, "backendError", fmt.Sprintf(
			"bqgate: the answer could not be checked and was withheld. Try again; if it stays, give this id to the operator: decision %s.",
			decision))
	}
}

// envoyError is what a client reads in place of an answer that Envoy made itself: no upstream byte
// is in it, and nothing of Envoy's own text is needed.
func envoyError(code int, details string) (int, []byte) {
	switch {
	case code == 413:
		return 413, bigquery.ErrorBody(413, "invalid", "bqgate: the request is too large: send a shorter query.")
	case code == 403:
		return 403, bigquery.ErrorBody(403, "accessDenied",
			"bqgate: refused: this path is not part of the BigQuery API that bqgate serves.")
	case code >= 400 && code < 500:
		return code, bigquery.ErrorBody(code, "invalid", "bqgate: the request was refused before it was read ("+details+").")
	default:
		return 503, bigquery.ErrorBody(503, "backendError", "bqgate: BigQuery or a part of the gateway could not be reached; try again.")
	}
}
