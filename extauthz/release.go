package extauthz

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// release runs an approved query at its owner's poll, and answers the poll.
//
// The order is what makes a grant single-use (A9): claim the grant → decide again, whole → decision
// durable → insert under the job id of this use → record the job → mark the grant used. Whoever dies in
// between leaves a claim whose lease runs out; the next poll walks the same steps, and BigQuery's 409 on
// the job id says whether the query already ran (use.go).
func (s *Service) release(ctx context.Context, w *walk, r approvals.Request, held approvals.Held) outcome {
	lease, err := s.Approvals.BeginRelease(ctx, r.ID, w.subject.Owner)
	if errors.Is(err, approvals.ErrReleasing) {
		return s.waits(ctx, w, held, r) // another poll of the same client is at it
	}
	if errors.Is(err, approvals.ErrUsed) { // another poll of the same client was at it, and has ended
		r.State = approvals.StateUsed
		return s.readReleased(ctx, w, r, held)
	}
	if err != nil {
		return s.refuse(ctx, w, fmt.Errorf("begin release of request %s: %w", r.ID, err))
	}
	record, err := s.submit(ctx, w, held, lease)
	if err != nil {
		result := approvals.Failed(err.Error())
		if r, final := asRefusal(err); final && !r.passes() {
			result = approvals.Lapsed(err.Error()) // what was approved can no longer be run; asking again is the way
		}
		if ferr := s.Approvals.FinishRelease(ctx, lease, result); ferr != nil {
			s.Log.Error("release not closed", "request", r.ID, "error", ferr)
		}
		return s.refuse(ctx, w, err)
	}
	if err := s.Approvals.FinishRelease(ctx, lease, approvals.Ran()); err != nil {
		return s.refuse(ctx, w, fmt.Errorf("close release of request %s: %w", r.ID, err))
	}
	return s.readJob(ctx, s.next(w), record, nil)
}

// next is a new walk for the read that follows a release in the same request: it is a decision of its own.
func (s *Service) next(w *walk) *walk {
	n := newWalk()
	n.request, n.op, n.subject = w.request, w.op, w.subject
	n.ask = s.asking(n)
	return n
}

// submit decides again and runs the query by the gateway's own hand. It returns the record under which the job may be read.
func (s *Service) submit(ctx context.Context, w *walk, held approvals.Held, lease approvals.Lease) (jobs.Record, error) {
	op := held.Operation
	op.Job = held.Job
	poll := w.op
	defer func() { w.op = poll }()
	w.op, w.saltID = op, held.Decision
	if err := s.judge(ctx, w, op); err != nil {
		return jobs.Record{}, err
	}
	if err := s.asApproved(w, held, lease); err != nil {
		return jobs.Record{}, err
	}
	limit := w.bytesCap(op.Query)
	if held.MaxBytes > 0 && (limit.Bytes == 0 || held.MaxBytes < limit.Bytes) {
		limit = bigquery.BytesCap{Bytes: held.MaxBytes, Of: bigquery.CapApproval}
	}
	draft := s.draft(w, op.Query)
	draft.Job, draft.Decision, draft.Votes, draft.Cap = held.Job, held.Decision, lease.Votes, limit
	draft.Mutation = bigquery.Mutation{
		JobID: held.Job.JobID, Location: held.Job.Location, SQL: w.forwarded, MaximumBytesBilled: limit.Bytes,
	}
	begun, err := s.Jobs.Begin(ctx, op, draft)
	if err != nil {
		return jobs.Record{}, fmt.Errorf("begin the approved job: %w", err)
	}
	record := begun.Record
	body, err := bigquery.EncodeInsert(op, record.Mutation)
	if err != nil {
		return jobs.Record{}, fmt.Errorf("encode the approved query: %w", err)
	}
	decided, err := s.record(ctx, w, effectRelease, "", said{})
	if err != nil {
		return jobs.Record{}, fmt.Errorf("record the release: %w", err)
	}
	if err := s.Jobs.Stand(ctx, op, record); err != nil {
		return jobs.Record{}, fmt.Errorf("provisional record of the approved job: %w", err)
	}
	token, err := s.Credentials.Mint(ctx, decided, w.account, w.subject.Owner)
	if err != nil {
		return jobs.Record{}, fmt.Errorf("mint token: %w", err)
	}
	if err := s.takeUse(ctx, decided, token.Bearer(), held, lease); err != nil {
		return jobs.Record{}, err
	}
	_, err = s.Upstream.InsertJob(ctx, decided, token.Bearer(), op.Job.ProjectID, body)
	var api *bigquery.APIError
	taken := errors.As(err, &api) && api.Status == 409
	switch {
	case err == nil:
	case taken: // it ran before, or the id is somebody else's: jobs.get says which
	case errors.As(err, &api) && !api.Passes():
		return jobs.Record{}, &refusal{
			status: api.Status, reason: api.Reason,
			message: strings.Trim("BigQuery did not accept the approved query: "+api.Words(), ": "),
		}
	default:
		return jobs.Record{}, fmt.Errorf("submit the approved query: %w", err)
	}
	job, err := jobs.Created(ctx, decided, s.Upstream, held.Job)
	if err != nil {
		return jobs.Record{}, fmt.Errorf("check the approved job: %w", err)
	}
	if taken {
		// By nobody, as far as Redis and this call know, or by another try under an id that only the
		// gateway can know: Redis has forgotten.
		mine := job.Labels[jobs.Label] == record.Mutation.Decision
		if mine && lease.Attempt == 1 && !api.Again || !mine && held.Operation.Job.JobID == "" {
			return jobs.Record{}, usedBefore()
		}
	}
	record, err = s.Jobs.Adopt(ctx, record, job)
	if errors.Is(err, jobs.ErrMismatch) {
		return jobs.Record{}, &refusal{status: 409, reason: "duplicate", message: "a job of this id existed before the query was approved", remedy: "the same query again, under a new job id"}
	}
	if err != nil {
		return jobs.Record{}, fmt.Errorf("record the approved job: %w", err)
	}
	return record, nil
}

// asApproved compares today's decision, which is about whoever polls, with what was approved, and
// takes from it what its reviewers did not see (A58): the poller's token may be in other groups than
// the one that asked.
func (s *Service) asApproved(w *walk, held approvals.Held, lease approvals.Lease) error {
	d := &w.decision
	if d.Effect == policies.Refuse {
		return denied(*d)
	}
	statement, err := s.statement(w, held.Operation.Query)
	if err != nil {
		return err
	}
	plan, shape := masking.StricterPlan(held.Plan, d.Mask)
	switch {
	case statement != held.Statement, shape != nil:
		return askAgain(w, "the tables, the policy or the request changed after the query was approved")
	case w.estimate != nil && held.Grew(*w.estimate):
		return askAgain(w, "the query would now read more than was approved")
	case d.Effect == policies.Hold && !lease.Meets(*d.Approval, w.subject):
		return askAgain(w, "those who approved the query are not all who must approve it as you ask for it now")
	}
	d.Mask = plan
	d.MaxRows = policies.Least(held.MaxRows, d.MaxRows)
	d.MaxResultBytes = policies.Least(held.MaxResultBytes, d.MaxResultBytes)
	d.Sensitive = policies.Union(held.Sensitive, d.Sensitive)
	d.Masked = policies.Union(held.Masked, d.Masked)
	return nil
}

func askAgain(w *walk, message string) *refusal {
	return &refusal{message: message, rule: w.decision.Rule, remedy: "the same query again, which asks for approval again"}
}
