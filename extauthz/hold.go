package extauthz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/coarse"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/refusal"
)

// needsPerson says how a query is held that needs a person. Nothing is minted and nothing is sent:
// a grant is only a right to be decided on again (A10).
func (s *Service) needsPerson(ctx context.Context, a asked, r ruling) (ruling, error) {
	statement, err := s.statement(a, &r.judged)
	if err != nil {
		return r, err
	}
	job := a.op.Job
	if job.Location == "" {
		job.Location = s.location(&r.judged)
	}
	if job.JobID != "" {
		_, _, err := s.Jobs.Get(ctx, a.subject.Owner, job.ProjectID, job.JobID)
		if err == nil {
			return r, duplicate(job) // or reads of the held job would answer with the other one's rows
		}
		if !errors.Is(err, jobs.ErrNotFound) {
			return r, fmt.Errorf("look for a job of this id: %w", err)
		}
		if err := s.notHeld(ctx, a, job); err != nil {
			return r, err
		}
	}
	r.job = job
	d := r.decision
	held := approvals.Held{
		Operation: a.op, Subject: a.subject, Statement: statement, Job: job, Decision: a.id, Groups: d.Groups, Tables: tables(r.analysis),
		Sensitive: d.Sensitive, Masked: d.Masked, Approval: *d.Approval, Credential: r.account, Plan: d.Mask,
		MaxBytes: r.bytesCap(a.op.Query).Bytes, MaxRows: d.MaxRows, MaxResultBytes: d.MaxResultBytes,
		Review: review(&r.judged, a.policy.Digest()), NoWait: a.op.Query.NoWait || d.Approval.NoWait,
	}
	switch {
	case r.estimate == nil:
	case r.estimate.Unknown:
		held.SizeUnknown = true
	default:
		// Requesters see their own requests, so that these tell sizes no more exactly than every
		// other answer (A29).
		held.Estimated, held.EstimatedBytes = true, coarse.Bytes(r.estimate.Bytes)
		held.EstimatedCost = s.Prices().of(held.EstimatedBytes, job.Location)
	}
	r.then = holds{held}
	return r, nil
}

// notHeld is an error if the owner has a held job of this id, which is one of BigQuery's for as
// long as its request is kept. What is planted in Redis takes no id.
func (s *Service) notHeld(ctx context.Context, a asked, job bigquery.JobReference) error {
	_, _, err := s.Approvals.ByJob(ctx, a.subject.Owner, job.ProjectID, job.Location, job.JobID)
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
func duplicate(job bigquery.JobReference) *refusal.Refusal {
	return &refusal.Refusal{Status: 409, Reason: "duplicate", Bare: true,
		What: fmt.Sprintf("already exists: job %s:%s.%s", job.ProjectID, job.Location, job.JobID)}
}

// sentAway is the refusal of a query whose client does not wait: it says where the request is, and
// what to do once it is approved.
func sentAway(r approvals.Request, held approvals.Held) *refusal.Refusal {
	if r.State != approvals.StatePending {
		return &refusal.Refusal{Bare: true, What: endedWords(r)}
	}
	return &refusal.Refusal{
		What: fmt.Sprintf("this query needs approval, and its client does not wait. Request %s is with the reviewers until %s: %s",
			r.ID, r.Expires.UTC().Format(time.RFC3339), r.URL),
		Rule: refusal.Rule(held.Approval.Rule), Remedy: "the same query again, once the request is approved",
	}
}

// statement is the digest of what is asked and of what would run. A grant is good for exactly this;
// what its reviewers saw beside it is in the request, and bounds the run.
func (s *Service) statement(a asked, j *judged) (string, error) {
	q := a.op.Query
	schemas := make(map[string]string, len(j.analysis.Tables))
	for name, t := range j.analysis.Tables {
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
	lineage, err := json.Marshal(j.analysis.Statements) // what routines and views do shows here
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
		a.op.Job.ProjectID, q.SQL, q.ParameterMode, q.Parameters, q.DefaultDataset, a.subject.Grant, schemas,
		j.account, s.principal(a, j.account), a.policy.Digest(), jobs.Digest(string(lineage)), j.forwardedShown,
	})
	if err != nil {
		return "", fmt.Errorf("digest of the statement: %w", err)
	}
	return jobs.Digest(string(text)), nil
}

// location is where a held job will run: where its tables are.
func (s *Service) location(j *judged) string {
	for _, t := range j.analysis.Tables {
		if t.Location != "" {
			return t.Location
		}
	}
	return s.Location
}

// located is where the job runs, as far as is known.
func (s *Service) located(j *judged) string {
	if j.job.Location != "" || j.analysis == nil {
		return j.job.Location
	}
	return s.location(j)
}

// view is a held job as BigQuery would show it.
func (j heldJob) view() bigquery.HeldJob {
	q := j.held.Operation.Query
	return bigquery.HeldJob{Job: j.held.Job, SQL: q.SQL, Labels: q.Labels, Priority: q.Priority, Created: j.request.Created}
}

// pending is the answer to a client whose job still waits.
func (j heldJob) pending(method bigquery.Method) []byte {
	if method == bigquery.MethodQuery || method == bigquery.MethodGetQueryResults {
		return bigquery.PendingQuery(j.view(), method)
	}
	return bigquery.PendingJob(j.view())
}

// endedWords says what became of a request, with the reviewer's own words.
func endedWords(r approvals.Request) string {
	switch r.State {
	case approvals.StateDenied:
		for i := len(r.Votes) - 1; i >= 0; i-- {
			if d := r.Votes[i]; d.Choice == approvals.Deny {
				return fmt.Sprintf("waiting for approval was refused by %s: %q. Request %s, %s after it was made", d.By, d.Reason, r.ID,
					roughly(d.At.Sub(r.Created)))
			}
		}
		return fmt.Sprintf("waiting for approval was refused. Request %s", r.ID)
	case approvals.StateExpired:
		return fmt.Sprintf("nobody decided on request %s before it expired at %s; the same query again asks again", r.ID,
			r.Expires.UTC().Format(time.RFC3339))
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
