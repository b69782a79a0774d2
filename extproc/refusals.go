package extproc

import (
	"fmt"

	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/refusal/table"
)

// mismatch is a job that is not, or did not read, what was decided on.
type mismatch struct{ error }

func (m *mismatch) Is(target error) bool { return target == jobs.ErrMismatch }
func (m *mismatch) Unwrap() error        { return m.error }

// What a strange answer is about.
type about int

const (
	aboutRows     about = iota
	aboutMetadata       // of a view of INFORMATION_SCHEMA, to which BigQuery adds columns
	aboutJob
)

// strange is an answer that is whole, and not the one that was planned: asked again, BigQuery would
// answer the same.
func strange(cause error, what about) error {
	r := &refusal.Refusal{Err: cause}
	switch what {
	case aboutMetadata:
		r.What = "BigQuery's answer has other columns than bqgate knows of this view of INFORMATION_SCHEMA: BigQuery adds columns to them"
		r.Remedy = "the same query with the columns that you need named in place of *"
	case aboutJob:
		r.What = "BigQuery's answer about this job has a form that bqgate does not know, so nothing of it is shown"
		r.Remedy = "a new job for the same query; if it stays, give this id to the operator"
	default:
		r.What = "BigQuery's answer does not have the columns and types that the query was decided by, so none of its rows is shown"
		r.Remedy = "the same query with its columns named in place of *; if it stays, give this id to the operator"
	}
	return r
}

// unproven is a job of which BigQuery does not tell enough to compare what it read. Where it is
// liftable, an operator may accept it.
func unproven(u *jobs.Uncertain, liftable bool, job string) error {
	const setting = "checks.referenced_tables."
	r := &refusal.Refusal{What: u.Why() + ", so that it cannot be compared with what was decided", Err: u}
	switch {
	case u.Construct == jobs.RowAccessLookup:
		r.Remedy = "reading job " + job + " again, or the same query, once an operator has named that table (" + setting +
			"row_access_lookups), or a query without tables that have row access policies"
	case liftable:
		r.Remedy = "reading job " + job + " again, or the same query, once an operator accepts it (" + setting + string(u.Construct) + ")"
	default:
		r.Remedy = "a query without tables that have sensitive columns or row access policies: of those nothing is shown that cannot be " +
			"compared"
	}
	return r
}

// over is why an answer that was on its way is not any more.
func over(cause error) error {
	return &refusal.Refusal{
		What: "the right to this answer ended while it was on its way: the identity token became too old, its session was revoked, or " +
			"the policy changed",
		Remedy: "the same request again, with a new identity token", Err: cause,
	}
}

// refusalBody is what a client reads in place of an upstream answer that was withheld. It never
// quotes the answer.
func refusalBody(err error, decision string) (int, []byte) {
	r := table.ForAnswer(err)
	if r == nil {
		r = refusal.Withheld(err)
	}
	return r.BigQuery(decision)
}

// MaxRequest is the default of envoy.limits.max_request_bytes. internal/gateway has a test that it
// is.
const MaxRequest = 1<<20 + 128<<10

// envoyError is what a client reads in place of an answer that Envoy made itself: no upstream byte
// is in it, and nothing of Envoy's own text is needed.
func (s *Service) envoyError(code int, details string) (int, []byte) {
	r := refusal.Fault("BigQuery or a part of the gateway could not be reached; try again", nil)
	switch {
	case code == 413:
		r = &refusal.Refusal{Status: code, Reason: "invalid", Bare: true, What: fmt.Sprintf(
			"the body of the request is larger than %d bytes (envoy.limits.max_request_bytes): send a shorter query, or fewer parameters",
			s.MaxRequest)}
	case code == 403:
		r = &refusal.Refusal{What: "this path is not part of the BigQuery API that bqgate serves"}
	case code >= 400 && code < 500:
		r = &refusal.Refusal{Status: code, Reason: "invalid", Bare: true,
			What: "the request was refused before it was read (" + details + ")"}
	}
	return r.BigQuery("")
}
