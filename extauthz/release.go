package extauthz

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/refusal/table"
	"github.com/bqgate/bqgate/policies"
)

// release runs an approved query at its owner's poll, and answers the poll.
//
// The order is what makes a grant single-use (A9): claim the grant → decide again, whole → decision
// durable → insert under the job id of this use → record the job → mark the grant used. Whoever
// dies in between leaves a claim whose lease runs out; the next poll walks the same steps, and
// BigQuery's 409 on the job id says whether the query already ran (use.go).
func (s *Service) release(ctx context.Context, a asked, r ruling, job heldJob) outcome {
	lease, err := s.Approvals.BeginRelease(ctx, job.request.ID, a.subject.Owner)
	if errors.Is(err, approvals.ErrReleasing) {
		return s.wait(ctx, a, job) // another poll of the same client is releasing it
	}
	if errors.Is(err, approvals.ErrUsed) { // another poll of the same client has released it
		job.request.State = approvals.StateUsed
		r, err = s.readReleased(ctx, a, job)
		return s.conclude(ctx, a, r, err)
	}
	if err != nil {
		return s.refuse(ctx, a, r, fmt.Errorf("begin release of request %s: %w", job.request.ID, err))
	}
	run := a // the query, as it was asked when it was held
	// The poll may have waited long for its reviewers. What they approved runs by the policy that
	// is in force when it runs.
	run.policy = s.Policies()
	run.op = job.held.Operation
	run.op.Job = job.held.Job
	var record jobs.Record
	approved, err := s.approved(ctx, run, job, lease)
	r.judged = approved.judged
	if err == nil {
		record, err = s.submit(ctx, run, approved, job.held, lease)
		a = s.next(a) // the run is a decision of its own
	}
	if err != nil {
		result := approvals.Failed(err.Error())
		if e := table.ForRequest(err); e != nil && !e.Passes() {
			result = approvals.Lapsed(err.Error()) // what was approved can no longer be run; asking again is the way
		}
		if ferr := s.Approvals.FinishRelease(ctx, lease, result); ferr != nil {
			s.Log.Error("release not closed", "request", job.request.ID, "error", ferr)
		}
		return s.refuse(ctx, a, r, err)
	}
	if err := s.Approvals.FinishRelease(ctx, lease, approvals.Ran()); err != nil {
		return s.refuse(ctx, a, r, fmt.Errorf("close release of request %s: %w", job.request.ID, err))
	}
	r, err = s.readJob(ctx, a, record, nil)
	return s.conclude(ctx, a, r, err)
}

// approvedRun is an approved query that may run now.
type approvedRun struct {
	judged
	begun jobs.Begun // the job about to be created
	body  []byte     // of jobs.insert
}

// approved decides again, whole, about a query that was approved.
func (s *Service) approved(ctx context.Context, run asked, job heldJob, lease approvals.Lease) (approvedRun, error) {
	held := job.held
	j, err := s.judge(ctx, run, held.Decision)
	about := job.about()
	j.approval, j.job, j.sql = about.approval, about.job, about.sql
	ready := approvedRun{judged: j}
	if err != nil {
		return ready, err
	}
	if ready.decision, err = s.asApproved(run, &j, held, lease); err != nil {
		return ready, err
	}
	limit := ready.bytesCap(run.op.Query)
	if held.MaxBytes > 0 && (limit.Bytes == 0 || held.MaxBytes < limit.Bytes) {
		limit = bigquery.BytesCap{Bytes: held.MaxBytes, Of: bigquery.CapApproval}
	}
	draft := s.draft(run, &ready.judged)
	draft.Job, draft.Decision, draft.Votes, draft.Cap = held.Job, held.Decision, lease.Votes, limit
	draft.Grant = cmp.Or(job.request.Under, job.request.ID)
	draft.Mutation = bigquery.Mutation{
		JobID: held.Job.JobID, Location: held.Job.Location, SQL: j.forwarded, MaximumBytesBilled: limit.Bytes,
	}
	draft.Mutation.Labels, ready.labels = s.jobLabels(run, &ready.judged)
	begun, err := s.begin(ctx, run, &ready.judged, draft)
	if err != nil {
		return ready, fmt.Errorf("begin the approved job: %w", err)
	}
	ready.begun = begun
	if ready.body, err = bigquery.EncodeInsert(run.op, begun.Record.Mutation); err != nil {
		s.counted().NeverRan(begun.Record.Reserved, run.id)
		return ready, fmt.Errorf("encode the approved query: %w", err)
	}
	return ready, nil
}

// submit records the release and runs the query by the gateway's own hand. It returns the record
// under which the job may be read.
func (s *Service) submit(ctx context.Context, run asked, ready approvedRun, held approvals.Held, lease approvals.Lease) (_ jobs.Record,
	err error) {
	sent := false
	defer func() {
		if err != nil && !sent {
			s.counted().NeverRan(ready.begun.Record.Reserved, run.id)
		}
	}()
	decided, err := s.record(ctx, run, ruling{judged: ready.judged}, entry{effect: effectRelease})
	if err != nil {
		return jobs.Record{}, fmt.Errorf("record the release: %w", err)
	}
	if err := s.Jobs.Stand(ctx, ready.begun); err != nil {
		return jobs.Record{}, fmt.Errorf("provisional record of the approved job: %w", err)
	}
	token, err := s.mint(ctx, decided, run, ready.account, until(run, ready.decision))
	if err != nil {
		return jobs.Record{}, err
	}
	if err := s.takeUse(ctx, decided, token.Bearer(), held, lease, ready.begun.Record.Mutation.Labels); err != nil {
		return jobs.Record{}, err
	}
	if reserved := ready.begun.Record.Reserved; reserved != "" {
		w := budgets.Wanted{
			Decision: reserved, By: run.id, Budgets: reserves(&ready.judged), Most: ready.begun.Record.Mutation.MaximumBytesBilled,
			Job: auditJob(ready.begun.Record.Job),
		}
		if err := s.counted().Begin(ctx, w); err != nil {
			return jobs.Record{}, fmt.Errorf("begin with what is reserved: %w", err)
		}
	}
	began := s.now()
	sent = true
	api, err := s.insert(ctx, decided, token.Bearer(), run.op.Job.ProjectID, ready.body)
	if _, refused := errors.AsType[*refusal.Refusal](err); refused {
		sent = false // BigQuery has made no job of it
	}
	if err != nil {
		return jobs.Record{}, err
	}
	job, err := jobs.Created(ctx, decided, s.Upstream, held.Job)
	if err != nil {
		return jobs.Record{}, fmt.Errorf("check the approved job: %w", err)
	}
	if api != nil {
		// By nobody, as far as Redis and this call know, or by another try under an id that only
		// the gateway can know: Redis has forgotten. A proxy on the way may have sent this insert
		// twice.
		mine, byThis := job.Labels[jobs.Label] == ready.begun.Record.Mutation.Decision, api.Again || job.Created >= began.UnixMilli()
		if mine && lease.Attempt == 1 && !byThis || !mine && held.Operation.Job.JobID == "" {
			return jobs.Record{}, usedBefore()
		}
	}
	record, err := s.Jobs.Adopt(ctx, ready.begun.Record, job)
	if errors.Is(err, jobs.ErrMismatch) {
		return jobs.Record{}, &refusal.Refusal{
			Status: 409, Reason: "duplicate", What: "a job of this id existed before the query was approved",
			Remedy: "the same query again, under a new job id",
		}
	}
	if err != nil {
		return jobs.Record{}, fmt.Errorf("record the approved job: %w", err)
	}
	s.counted().Saw(ctx, record.Reserved, job)
	return record, nil
}

// insert sends the approved query. The job id may be taken: then BigQuery's answer is returned, and
// jobs.get says by whom.
func (s *Service) insert(ctx context.Context, w durable.Decided, bearer, project string, body []byte) (taken *bigquery.APIError,
	err error) {
	_, err = s.Upstream.InsertJob(ctx, w, bearer, project, body)
	var api *bigquery.APIError
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &api) && api.Status == 409:
		return api, nil
	case errors.As(err, &api) && !api.Passes():
		return nil, &refusal.Refusal{
			Status: api.Status, Reason: api.Reason,
			What: strings.Trim("BigQuery did not accept the approved query: "+api.Words(), ": "), Err: err,
		}
	default:
		return nil, fmt.Errorf("submit the approved query: %w", err)
	}
}

// asApproved compares today's decision, which is about whoever polls, with what was approved, and
// takes from it what its reviewers did not see (A58): the poller's token may be in other groups
// than the one that asked.
func (s *Service) asApproved(run asked, j *judged, held approvals.Held, lease approvals.Lease) (policies.Decision, error) {
	d := j.decision
	if d.Effect == policies.Refuse {
		return d, denied(d)
	}
	statement, err := s.statement(run, j)
	if err != nil {
		return d, err
	}
	plan, shape := masking.StricterPlan(held.Plan, d.Mask)
	switch {
	case statement != held.Statement, shape != nil:
		return d, askAgain(d, "the tables, the policy or the request changed after the query was approved")
	case j.estimate != nil && held.Grew(*j.estimate):
		return d, askAgain(d, "the query would now read more than was approved")
	case d.Effect == policies.Hold && !lease.Meets(*d.Approval, run.subject):
		return d, askAgain(d, "those who approved the query are not all who must approve it as you ask for it now")
	}
	d.Mask = plan
	d.MaxRows = policies.Least(held.MaxRows, d.MaxRows)
	d.MaxResultBytes = policies.Least(held.MaxResultBytes, d.MaxResultBytes)
	d.Sensitive = policies.Union(held.Sensitive, d.Sensitive)
	d.Masked = policies.Union(held.Masked, d.Masked)
	return d, nil
}

func askAgain(d policies.Decision, message string) *refusal.Refusal {
	return &refusal.Refusal{What: message, Rule: refusal.Rule(d.Rule), Remedy: "the same query again, which asks for approval again"}
}
