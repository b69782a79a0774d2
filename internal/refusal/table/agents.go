package table

import (
	"fmt"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/policies"
)

var beyondLimit = with(func(whole error, e *limits.Exceeded) *refusal.Refusal {
	return &refusal.Refusal{Reason: e.Reason(), What: e.Error(), Remedy: "the same request a little later", Err: whole}
})

// agentRows are about requests to BigQuery and their answers.
var agentRows = []row{
	{name: "an identity", find: as[*identity.Error], request: with(func(_ error, e *identity.Error) *refusal.Refusal {
		return &refusal.Refusal{Status: e.Status, Reason: e.Reason, What: e.Message, Err: e}
	})},
	{name: "a malformed request", find: as[*bigquery.RequestError],
		request: with(func(whole error, e *bigquery.RequestError) *refusal.Refusal {
			return &refusal.Refusal{Status: e.Status, Reason: e.Reason, What: e.Message, Err: whole}
		})},
	{name: "a limit", find: as[*limits.Exceeded], request: beyondLimit, answer: beyondLimit},
	{name: "a budget", find: as[*budgets.Exceeded], request: beyondBudget("what the query would bill does not fit"),
		answer: beyondBudget("the rows of this answer do not fit")},
	{name: "budgets that are closed", find: is(budgets.ErrClosed), request: budgetsClosed, answer: budgetsClosed},
	{name: "SQL", find: as[*googlesql.Error], request: with(func(whole error, e *googlesql.Error) *refusal.Refusal {
		switch e.Code {
		case googlesql.ErrorUnavailable:
			return nil
		case googlesql.ErrorCrowded: // its caller's own doing, which passes within seconds
			return &refusal.Refusal{
				Reason: "rateLimitExceeded",
				What:   e.Message,
				Remedy: "the same query in a few seconds, or a simpler one",
				Err:    whole,
			}
		}
		return &refusal.Refusal{What: e.Message, Err: whole}
	})},
	// Asked again, BigQuery would answer the same.
	{name: "an answer of another form", find: is(bigquery.ErrNotUnderstood), request: fixed(refusal.Refusal{
		What:   "what BigQuery answers about a table of this request has a form that bqgate does not understand",
		Remedy: "a request that needs no such table, or this one once the gateway's operator has a newer bqgate",
	})},
	{name: "more than is listed", find: is(bigquery.ErrTooMany), request: fixed(refusal.Refusal{
		What: "a table or dataset of this request has more entries than bqgate lists", Remedy: "naming what you need",
	})},
	// The operator's log says why, and what to do.
	{name: "approvals that are closed", find: is(approvals.ErrRolledBack), request: fixed(refusal.Refusal{
		What:   "approvals are closed: what was approved, used or revoked cannot be told for sure now",
		Remedy: "queries that need no approval; this one once the gateway's operator has opened approvals again",
	})},
	{name: "another query under a job id", find: is(jobs.ErrOtherwise), request: func(whole, _ error) *refusal.Refusal {
		_, differs, _ := strings.Cut(whole.Error(), jobs.ErrOtherwise.Error())
		return &refusal.Refusal{
			What: jobs.ErrOtherwise.Error() + differs, Remedy: "the same query again, under a new job id or requestId", Err: whole,
		}
	}},
	{name: "too many that wait", find: as[*approvals.Full], request: with(func(whole error, e *approvals.Full) *refusal.Refusal {
		return tooMuchWaits(e, whole)
	})},
	{name: "a query too large to wait", find: as[*approvals.TooLarge],
		request: with(func(whole error, e *approvals.TooLarge) *refusal.Refusal {
			return &refusal.Refusal{
				What: fmt.Sprintf(
					"the query is too large to wait for approval: with its parameters and what reviewers are shown of it, it "+
						"takes %d bytes of at most %d",
					e.Bytes,
					e.Limit,
				),
				Remedy: "a shorter query, or shorter parameters", Err: whole,
			}
		})},
	{name: "a job id that is taken", find: is(approvals.ErrExists), request: its(refusal.Refusal{Status: 409, Reason: "duplicate"})},
	{name: "a held job that is not there", find: is(approvals.ErrNotFound), request: fixed(refusal.Refusal{
		What: "this job is not one of yours that bqgate knows",
	})},
	{name: "a release under way", find: is(approvals.ErrReleasing), request: its(refusal.Refusal{Status: 409, Reason: "resourceInUse"})},
	{name: "an approval that was used", find: is(approvals.ErrUsed), request: approvalGone},
	{name: "an approval that has expired", find: is(approvals.ErrExpired), request: approvalGone},
	{name: "no approval", find: is(approvals.ErrNotApproved), request: approvalGone},
	{name: "an approval that was revoked", find: is(approvals.ErrRevoked), request: approvalGone},

	{name: "a job that does not agree", find: is(jobs.ErrMismatch), answer: fixed(refusal.Refusal{
		What: "BigQuery's job does not agree with what was decided, because a table, a view or the job changed in between, or the " +
			"job id was used before",
		Remedy: "the same query again, under a new job id",
	})},
	{name: "a job of another version", find: is(jobs.ErrVersion), request: ofAnotherVersion, answer: ofAnotherVersion},
	{name: "a job whose record is lost", find: is(jobs.ErrLost), answer: fixed(refusal.Refusal{
		What:   "BigQuery has run the query, and bqgate could not keep what it needs to read the result",
		Remedy: "the same query again, which runs again; one with a requestId or a job id of its own is found again instead",
	})},
	{name: "a result beyond the cap", find: is(masking.ErrCap), answer: fixed(refusal.Refusal{
		What: "the result is larger than the policy's cap", Remedy: "a query with fewer rows or columns",
	})},
	{name: "a result whose columns nobody knows", find: is(masking.ErrUntold), answer: fixed(refusal.Refusal{
		What:   "which columns this result has, only an answer with a schema says, and none was read yet",
		Remedy: "the result by jobs.getQueryResults first, or the query with its columns named in place of *",
	})},
}

var ofAnotherVersion = fixed(refusal.Refusal{
	What:   "the query was sent by another version of bqgate, and what may be shown of its result is not known any more",
	Remedy: "the same query again, under a new job id",
})

// It passes within seconds, so that clients wait it out.
var budgetsClosed = fixed(refusal.Refusal{
	Reason: "rateLimitExceeded",
	What:   "what is left of a budget of this request cannot be told for sure now: it is being counted again",
	Remedy: "the same request in a few seconds",
})

func beyondBudget(what string) words {
	return with(func(whole error, e *budgets.Exceeded) *refusal.Refusal {
		beyond := policies.Exceeded(e.Budget, e.Left, what)
		return &refusal.Refusal{Reason: "quotaExceeded", What: beyond.Message, Remedy: beyond.Remedy, Rule: refusal.Rule(e.Budget.Rule),
			Err: whole}
	})
}

var approvalGone = fixed(refusal.Refusal{What: "the approval is not good any more", Remedy: "the same query again, which asks again"})

// tooMuchWaits is the refusal of a query that would wait beside too many others.
func tooMuchWaits(full *approvals.Full, whole error) *refusal.Refusal {
	r := &refusal.Refusal{Reason: "quotaExceeded", What: full.Error(), Err: whole}
	switch {
	case full.Mine && !full.Free.IsZero():
		r.Remedy = "the same query after " + full.Free.UTC().Format(time.RFC3339) + ", or once one of yours is decided or cancelled"
	case full.Mine:
		r.Remedy = "the same query once one of yours is decided or cancelled"
	default:
		r.Remedy = "the same query in a while"
	}
	return r
}
