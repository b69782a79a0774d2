package extauthz

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/policies"
)

// refusal is a request that is not served, in the words the agent reads.
type refusal struct {
	status  int    // 0 means 403
	reason  string // "" means accessDenied
	message string // without the "bqgate: refused: " prefix
	rule    policies.RuleRef
	remedy  string
	bare    bool // the message stands as it is, after "bqgate: "
}

func (r *refusal) Error() string { return r.message }

// passes says that the same request may be served after a while, as things are.
func (r *refusal) passes() bool {
	return r.reason == "rateLimitExceeded" || r.reason == "quotaExceeded"
}

// denied is the refusal that a policy's Decision says.
func denied(d policies.Decision) *refusal {
	r := &refusal{message: d.Message, rule: d.Rule, remedy: d.Remedy}
	if d.Invalid {
		// As BigQuery says it: tools show a 400 to the model that wrote the SQL, and a 403 to
		// nobody.
		r.status, r.reason, r.bare = 400, "invalidQuery", true
	}
	return r
}

// text is what the client reads: what was refused, by which rule, what would pass, and the
// decision's id.
func (r *refusal) text(decision string) string {
	var b strings.Builder
	b.WriteString("bqgate: ")
	if !r.bare {
		b.WriteString("refused: ")
	}
	b.WriteString(strings.TrimSuffix(r.message, "."))
	b.WriteString(".")
	if id := r.rule.ID(); id != "" {
		fmt.Fprintf(&b, "\nRule %s (%s:%d).", id, r.rule.File, r.rule.Line)
	}
	if r.remedy != "" {
		fmt.Fprintf(&b, "\nWhat would pass: %s.", strings.TrimSuffix(r.remedy, "."))
	}
	fmt.Fprintf(&b, "\nDecision %s.", decision)
	return b.String()
}

// asRefusal maps every error that a step can end with to what the client reads. An error that is
// not known is a fault, never an allowance.
func asRefusal(err error) (*refusal, bool) {
	var (
		r   *refusal
		req *bigquery.RequestError
		id  *identity.Error
		sql *googlesql.Error
		cap *limits.Exceeded
	)
	switch {
	case errors.As(err, &r):
		return r, true
	case errors.As(err, &id):
		return &refusal{status: id.Status, reason: id.Reason, message: id.Message}, true
	case errors.As(err, &req):
		return &refusal{status: req.Status, reason: req.Reason, message: req.Message}, true
	case errors.As(err, &cap):
		return &refusal{reason: cap.Reason(), message: cap.Error(), remedy: "the same request a little later"}, true
	case errors.As(err, &sql):
		return &refusal{message: sql.Message}, sql.Code != googlesql.ErrorUnavailable
	case errors.Is(err, bigquery.ErrNotUnderstood): // asked again, BigQuery would answer the same
		return &refusal{
			message: "what BigQuery answers about a table of this request has a form that bqgate does not understand",
			remedy:  "a request that needs no such table, or this one once the gateway's operator has a newer bqgate",
		}, true
	case errors.Is(err, bigquery.ErrTooMany):
		return &refusal{message: "a table or dataset of this request has more entries than bqgate lists", remedy: "naming what you need"},
			true
	case errors.Is(err, approvals.ErrRolledBack): // the operator's log says why, and what to do
		return &refusal{
			message: "approvals are closed: what was approved, used or revoked cannot be told for sure now",
			remedy:  "queries that need no approval; this one once the gateway's operator has opened approvals again",
		}, true
	case errors.Is(err, jobs.ErrOtherwise):
		_, differs, _ := strings.Cut(err.Error(), jobs.ErrOtherwise.Error())
		return &refusal{message: jobs.ErrOtherwise.Error() + differs, remedy: "the same query again, under a new job id or requestId"}, true
	case errors.Is(err, approvals.ErrTooMany):
		return &refusal{message: approvals.ErrTooMany.Error(), remedy: "fewer queries waiting at once"}, true
	case errors.Is(err, approvals.ErrTooLarge):
		return &refusal{message: approvals.ErrTooLarge.Error(), remedy: "a shorter query"}, true
	case errors.Is(err, approvals.ErrExists):
		return &refusal{status: 409, reason: "duplicate", message: approvals.ErrExists.Error()}, true
	case errors.Is(err, approvals.ErrNotFound):
		return &refusal{message: "this job is not one of yours that bqgate knows"}, true
	case errors.Is(err, approvals.ErrReleasing):
		return &refusal{status: 409, reason: "resourceInUse", message: approvals.ErrReleasing.Error()}, true
	case errors.Is(err, approvals.ErrUsed), errors.Is(err, approvals.ErrExpired), errors.Is(err, approvals.ErrNotApproved),
		errors.Is(err, approvals.ErrRevoked):
		return &refusal{message: "the approval is not good any more", remedy: "the same query again, which asks again"}, true
	default:
		return nil, false
	}
}
