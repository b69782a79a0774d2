package extauthz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/coarse"
	"github.com/bqgate/bqgate/internal/jobs"
)

// hold turns a query that needs a person into a pending job. Nothing is minted and nothing is sent: a grant is only a right to be decided on again (A10).
func (s *Service) hold(ctx context.Context, w *walk) outcome {
	statement, err := s.statement(w, w.op.Query)
	if err != nil {
		return s.refuse(ctx, w, err)
	}
	job := w.op.Job
	if job.Location == "" {
		job.Location = s.location(w)
	}
	noWait := w.op.Query.NoWait || w.decision.Approval.NoWait
	if job.JobID != "" {
		_, _, err := s.Jobs.Get(ctx, w.subject.Owner, job.ProjectID, job.JobID)
		if err == nil {
			return s.refuse(ctx, w, duplicate(job)) // or reads of the held job would answer with the other one's rows
		}
		if !errors.Is(err, jobs.ErrNotFound) {
			return s.refuse(ctx, w, fmt.Errorf("look for a job of this id: %w", err))
		}
		if err := s.notHeld(ctx, w, job); err != nil {
			return s.refuse(ctx, w, err)
		}
	}
	w.job = job
	ask := approvals.Held{
		Operation: w.op, Subject: w.subject, Statement: statement, Job: job, Decision: w.id, Groups: w.decision.Groups, Tables: tables(w.analysis),
		Sensitive: w.decision.Sensitive, Masked: w.decision.Masked, Approval: *w.decision.Approval, Credential: w.account, Plan: w.decision.Mask,
		MaxBytes: w.bytesCap(w.op.Query).Bytes, MaxRows: w.decision.MaxRows, MaxResultBytes: w.decision.MaxResultBytes,
		Review: review(w, s.Policies().Digest()), NoWait: noWait,
	}
	switch {
	case w.estimate == nil:
	case w.estimate.Unknown:
		ask.SizeUnknown = true
	default:
		// Requesters see their own requests, so that these tell sizes no more exactly than every other answer (A29).
		ask.Estimated, ask.EstimatedBytes = true, coarse.Bytes(w.estimate.Bytes)
		ask.EstimatedCost = s.Prices.of(ask.EstimatedBytes, job.Location)
	}
	r, err := s.Approvals.Hold(ctx, ask)
	if err != nil {
		return s.refuse(ctx, w, fmt.Errorf("hold the query: %w", err))
	}
	w.approval = r.ID
	if r.NoWait && r.Under == "" {
		return s.sendAway(ctx, w, r)
	}
	// A job without an id gets that of its use; a repeated request finds the job it made before.
	ask.Job = bigquery.JobReference{ProjectID: r.Project, Location: r.Location, JobID: r.JobID}
	w.job = ask.Job
	if err := s.Jobs.Note(ctx, w.subject.Owner, ask.Job, r.Created); err != nil {
		return s.refuse(ctx, w, err)
	}
	if r.Repeated && (r.State == approvals.StateDenied || r.State == approvals.StateExpired || r.State == approvals.StateCancelled) {
		return s.ended(ctx, w, r, ask)
	}
	return s.tell(ctx, w, audit.EffectHold, w.decision.Approval.Why, pendingReply(w.op.Method, ask, r))
}

// notHeld is an error if the owner has a held job of this id, which is one of BigQuery's for as long as its request is kept. What is planted in Redis takes no id.
func (s *Service) notHeld(ctx context.Context, w *walk, job bigquery.JobReference) error {
	if s.Approvals == nil {
		return nil // nothing can be held
	}
	_, _, err := s.Approvals.ByJob(ctx, w.subject.Owner, job.ProjectID, job.Location, job.JobID)
	switch {
	case err == nil:
		return duplicate(job)
	case errors.Is(err, approvals.ErrNotFound):
		return nil
	case errors.Is(err, approvals.ErrRolledBack):
		return nil // approvals are closed: what was held under this id does not run
	default:
		return fmt.Errorf("look for a held job of this id: %w", err)
	}
}

// duplicate is BigQuery's own answer to a job id that is taken.
func duplicate(job bigquery.JobReference) *refusal {
	return &refusal{status: 409, reason: "duplicate", bare: true, message: fmt.Sprintf("already exists: job %s:%s.%s", job.ProjectID, job.Location, job.JobID)}
}

// sendAway refuses a query whose client does not wait: it says where the request is, and what to do once it is approved.
func (s *Service) sendAway(ctx context.Context, w *walk, r approvals.Request) outcome {
	if r.State != approvals.StatePending {
		return s.refuse(ctx, w, &refusal{bare: true, message: endedWords(r)})
	}
	return s.refuse(ctx, w, &refusal{
		message: fmt.Sprintf("this query needs approval, and its client does not wait. Request %s is with the reviewers until %s: %s", r.ID, r.Expires.UTC().Format(time.RFC3339), r.URL),
		rule:    w.decision.Approval.Rule, remedy: "the same query again, once the request is approved",
	})
}

// statement is the digest of what is asked and of what would run. A grant is good for exactly this;
// what its reviewers saw beside it is in the request, and bounds the run.
func (s *Service) statement(w *walk, q *bigquery.QueryRequest) (string, error) {
	schemas := make(map[string]string, len(w.analysis.Tables))
	for name, t := range w.analysis.Tables {
		text, err := json.Marshal(struct {
			Type   string
			Schema bigquery.Schema
			View   *bigquery.View
		}{t.Type, t.Schema, t.View})
		if err != nil {
			return "", fmt.Errorf("digest of the schema of %s: %w", name, err)
		}
		schemas[name] = jobs.Digest(string(text))
	}
	lineage, err := json.Marshal(w.analysis.Statements) // what routines and views do shows here
	if err != nil {
		return "", fmt.Errorf("digest of the analysis: %w", err)
	}
	text, err := json.Marshal(struct {
		Project, SQL, ParameterMode string
		Parameters                  json.RawMessage
		DefaultDataset              *bigquery.DatasetReference
		Grant                       string
		Schemas                     map[string]string
		Credential, Principal       string
		Policy, Lineage             string
		Forwarded                   string // without the salt of its masks, which is another one for every run
	}{
		w.op.Job.ProjectID, q.SQL, q.ParameterMode, q.Parameters, q.DefaultDataset, w.subject.Grant, schemas,
		w.account, s.Credentials.Principal(w.account), s.Policies().Digest(), jobs.Digest(string(lineage)), w.forwardedShown,
	})
	if err != nil {
		return "", fmt.Errorf("digest of the statement: %w", err)
	}
	return jobs.Digest(string(text)), nil
}

// location is where a held job will run: where its tables are.
func (s *Service) location(w *walk) string {
	for _, t := range w.analysis.Tables {
		if t.Location != "" {
			return t.Location
		}
	}
	return s.Location
}

// located is where the job runs, as far as is known.
func (s *Service) located(w *walk) string {
	if w.job.Location != "" || w.analysis == nil {
		return w.job.Location
	}
	return s.location(w)
}

func (s *Service) longPoll(timeoutMs *int64) time.Duration {
	limit := s.LongPoll
	if limit == 0 {
		limit = 10 * time.Second
	}
	if timeoutMs != nil {
		if asked := time.Duration(max(0, *timeoutMs)) * time.Millisecond; asked < limit {
			return asked
		}
	}
	return limit
}

// pendingReply answers a poll of a job that still waits.
func pendingReply(method bigquery.Method, held approvals.Held, r approvals.Request) said {
	view := bigquery.HeldJob{Job: held.Job, SQL: held.Operation.Query.SQL, Labels: held.Operation.Query.Labels, Priority: held.Operation.Query.Priority, Created: r.Created}
	if method == bigquery.MethodQuery || method == bigquery.MethodGetQueryResults {
		return said{status: 200, body: bigquery.PendingQuery(view, method)}
	}
	return said{status: 200, body: bigquery.PendingJob(view)}
}

// ended answers reads of a held job that will not run: jobs.get shows a failed job, the reads of results fail.
func (s *Service) ended(ctx context.Context, w *walk, r approvals.Request, held approvals.Held) outcome {
	e := &refusal{bare: true, message: endedWords(r)}
	if w.op.Method != bigquery.MethodGetJob {
		return s.refuse(ctx, w, e)
	}
	view := bigquery.HeldJob{Job: held.Job, SQL: held.Operation.Query.SQL, Labels: held.Operation.Query.Labels, Priority: held.Operation.Query.Priority, Created: r.Created}
	return s.tell(ctx, w, audit.EffectRefuse, e.message, said{status: 200, body: bigquery.FailedJob(view, "accessDenied", e.text(w.id))})
}

// endedWords says what became of a request, with the reviewer's own words.
func endedWords(r approvals.Request) string {
	switch r.State {
	case approvals.StateDenied:
		for i := len(r.Decisions) - 1; i >= 0; i-- {
			if d := r.Decisions[i]; d.Verdict == approvals.Deny {
				return fmt.Sprintf("waiting for approval was refused by %s: %q. Request %s, %s after it was made", d.By, d.Reason, r.ID, roughly(d.At.Sub(r.Created)))
			}
		}
		return fmt.Sprintf("waiting for approval was refused. Request %s", r.ID)
	case approvals.StateExpired:
		return fmt.Sprintf("nobody decided on request %s before it expired at %s; the same query again asks again", r.ID, r.Expires.UTC().Format(time.RFC3339))
	case approvals.StateCancelled:
		if r.Revoked {
			return fmt.Sprintf("the approval of request %s was revoked; the same query again asks again", r.ID)
		}
		return fmt.Sprintf("request %s was cancelled; the same query again asks again", r.ID)
	case approvals.StateUsed:
		return fmt.Sprintf("the approval of request %s was used, and its result is no longer known; the same query again asks again", r.ID)
	default:
		return fmt.Sprintf("request %s is in state %q and cannot run", r.ID, r.State)
	}
}

func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	default:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
}

// cancelHeld withdraws a request on behalf of its own client.
func (s *Service) cancelHeld(ctx context.Context, w *walk, r approvals.Request, held approvals.Held) outcome {
	if r.State == approvals.StatePending || r.State == approvals.StateApproved {
		cancelled, err := s.Approvals.Cancel(ctx, r.ID, w.subject.Owner)
		if err != nil {
			return s.refuse(ctx, w, fmt.Errorf("cancel held job: %w", err))
		}
		r = cancelled
	}
	view := bigquery.HeldJob{Job: held.Job, SQL: held.Operation.Query.SQL, Labels: held.Operation.Query.Labels, Priority: held.Operation.Query.Priority, Created: r.Created}
	return s.tell(ctx, w, effectCancel, "", said{status: 200, body: bigquery.CancelledJob(view)})
}
