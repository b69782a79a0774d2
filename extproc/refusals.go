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

func clearing(err error) error {
	if errors.Is(err, jobs.ErrMismatch) {
		return &mismatch{err}
	}
	return err
}

// refusalBody is what a client reads in place of an upstream answer that was withheld. It never quotes the answer.
func refusalBody(err error, decision string) (int, []byte) {
	var changed *mismatch
	var ended *over
	switch {
	case errors.As(err, &ended):
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: the right to this answer ended while it was on its way: the identity token became too old, its session was revoked, or the policy changed.\n"+
				"What would pass: the same request again, with a new identity token. Decision %s.", decision))
	case errors.As(err, &changed):
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: BigQuery's job does not agree with what was decided, because a table, a view or the job changed in between, or the job id was used before.\nWhat would pass: the same query again, under a new job id. Decision %s.", decision))
	case errors.Is(err, masking.ErrCap):
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: the result is larger than the policy's cap.\nWhat would pass: a query with fewer rows or columns. Decision %s.", decision))
	case errors.Is(err, masking.ErrSchema): // no 5xx: the same query would get the same answer, each time as a new job
		return 403, bigquery.ErrorBody(403, "accessDenied", fmt.Sprintf(
			"bqgate: refused: BigQuery's answer has other columns than those that were decided on: a table changed in between, or a view of INFORMATION_SCHEMA "+
				"has columns that bqgate does not know.\nWhat would pass: the same query with the columns that you need named in place of *. Decision %s.", decision))
	default:
		return 503, bigquery.ErrorBody(503, "backendError", fmt.Sprintf(
			"bqgate: the answer could not be checked and was withheld. Try again; if it stays, give this id to the operator: decision %s.", decision))
	}
}

// envoyError is what a client reads in place of an answer that Envoy made itself: no upstream byte is in it, and nothing of Envoy's own text is needed.
func envoyError(code int, details string) (int, []byte) {
	switch {
	case code == 413:
		return 413, bigquery.ErrorBody(413, "invalid", "bqgate: the request is too large: send a shorter query.")
	case code == 403:
		return 403, bigquery.ErrorBody(403, "accessDenied", "bqgate: refused: this path is not part of the BigQuery API that bqgate serves.")
	case code >= 400 && code < 500:
		return code, bigquery.ErrorBody(code, "invalid", "bqgate: the request was refused before it was read ("+details+").")
	default:
		return 503, bigquery.ErrorBody(503, "backendError", "bqgate: BigQuery or a part of the gateway could not be reached; try again.")
	}
}
