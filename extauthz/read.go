package extauthz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// read decides about jobs.get, jobs.getQueryResults and jobs.cancel. A job is readable by its owner, under its record, or it does not exist.
func (s *Service) read(ctx context.Context, w *walk) outcome {
	record, verified, err := s.Jobs.Get(ctx, w.subject.Owner, w.op.Job.ProjectID, w.op.Job.JobID)
	if errors.Is(err, jobs.ErrNotFound) {
		record, err = s.Jobs.Recover(ctx, w.ask, s.Upstream, w.subject.Owner, w.op.Job)
	}
	if errors.Is(err, jobs.ErrMismatch) {
		s.Log.Warn("a job has an id that was asked for, and is another one", "decision", w.id, "job", w.op.Job, "error", err)
	}
	if errors.Is(err, jobs.ErrNotFound) {
		return s.readHeld(ctx, w)
	}
	if err != nil {
		return s.refuse(ctx, w, fmt.Errorf("read record of the job: %w", err))
	}
	return s.readJob(ctx, w, record, verified)
}

// readJob forwards a read of a job that ran. The record is decided on again under today's policy, and the stricter plan masks the answer (A17).
func (s *Service) readJob(ctx context.Context, w *walk, record jobs.Record, verified *jobs.Verification) outcome {
	w.sql, w.approval, w.account = record.Query.SQL, record.Approval, record.Credential
	w.job = record.Job
	if w.op.Job.Location != "" && w.op.Job.Location != record.Job.Location {
		return s.refuse(ctx, w, unknownJob(w.op.Job))
	}
	if w.op.Method == bigquery.MethodCancel {
		return s.cancel(ctx, w, record, verified)
	}
	if verified != nil && verified.Broken != "" {
		return s.refuse(ctx, w, &refusal{
			message: "the result of this job is not readable: what BigQuery read, or answered, is not what was decided on",
			remedy:  "the same query again, under a new job id, with its columns named in place of *",
		})
	}
	if err := s.openPageToken(w, record); err != nil {
		return s.refuse(ctx, w, err)
	}
	plan, err := s.judgeAgain(ctx, w, record)
	if err != nil {
		return s.refuse(ctx, w, err)
	}
	if plan, err = s.Jobs.Shown(ctx, record, plan); err != nil {
		return s.refuse(ctx, w, reshaped(err))
	}
	w.op.Job.Location = record.Job.Location // the client may not know it; BigQuery needs it outside US and EU
	return s.forward(ctx, w, verdict.Forward{Record: record, Verified: verified != nil, Plan: plan})
}

// judgeAgain asks today's policy about a finished analysis, with today's schemas and under the
// credential that its rows were read with: another account may not have been shown them.
func (s *Service) judgeAgain(ctx context.Context, w *walk, record jobs.Record) (masking.Plan, error) {
	analysis := record.Analysis
	analysis.Statements = slices.Clone(analysis.Statements)
	if len(analysis.Statements) == 1 {
		analysis.Statements[0].Named = record.Named
	}
	ask := policies.Request{
		Subject: w.subject, Now: s.now(), Method: string(w.op.Method), Project: record.Job.ProjectID, SQL: record.Query.SQL, Analysis: &analysis,
		Rewritten: record.Rewritten, RowAccess: record.RowAccess, // its rows are those of when it ran
		Credential: record.Credential,
	}
	set := s.Policies()
	if d, closed := set.Closed(ask); closed { // nothing is asked of BigQuery about what the subject may not know any more
		w.analysis, w.decision = &analysis, d
		return masking.Plan{}, denied(d)
	}
	schemas, err := s.schemas(ctx, w, record.Tables)
	if err != nil {
		return masking.Plan{}, fmt.Errorf("read schemas of job %s: %w", record.Job.JobID, err)
	}
	for name, schema := range record.Reads.Schemas { // of a view: the policy may speak of a column that BigQuery's stored schema lacks
		if t := schemas[name]; t != nil {
			shown := *t
			shown.Schema = schema
			schemas[name] = &shown
		}
	}
	analysis.Tables, ask.Tables = schemas, schemas
	w.analysis = &analysis
	if s.Credentials.Principal(record.Credential) != record.Principal {
		return masking.Plan{}, &refusal{
			message: "the account that this query ran under is not the one that queries like it run under now", remedy: "the same query again",
		}
	}
	if record.Estimate != nil {
		w.estimate = &policies.Estimate{Bytes: *record.Estimate, Unknown: record.SizeUnknown}
		ask.Estimate = w.estimate
	} else if set.NeedsEstimate(ask) {
		if ask.Estimate, err = s.estimate(ctx, w, recordedOperation(record), set.Unmeasured(ask)); err != nil {
			return masking.Plan{}, err
		}
	}
	w.decision = set.Decide(ask)
	switch {
	case w.decision.Effect == policies.Allow:
	case w.decision.Effect == policies.Hold && record.Votes.Meet(*w.decision.Approval, w.subject): // results of approved runs can be read
	case w.decision.Effect == policies.Hold:
		return masking.Plan{}, &refusal{
			message: "the policy has changed since this query ran: its result now needs approval that it does not have", rule: w.decision.Rule,
			remedy: "the same query again, which asks for approval",
		}
	default:
		return masking.Plan{}, denied(w.decision)
	}
	plan, err := masking.StricterPlan(record.Plan, w.decision.Mask)
	if err != nil {
		return masking.Plan{}, reshaped(err)
	}
	w.decision.Mask = plan
	w.decision.MaxRows = policies.Least(record.MaxRows, w.decision.MaxRows)
	w.decision.MaxResultBytes = policies.Least(record.MaxResultBytes, w.decision.MaxResultBytes)
	w.decision.Masked = policies.Union(record.Masked, w.decision.Masked)
	return plan, nil
}

// reshaped is the refusal of a result whose columns are not those of its plan.
func reshaped(err error) error {
	if errors.Is(err, masking.ErrShape) {
		return &refusal{message: "the shape of this result no longer agrees with its tables", remedy: "the same query again"}
	}
	return err
}

// openPageToken puts BigQuery's own page token in the place of the sealed one that its reader got.
// It opens for this owner and this job only.
func (s *Service) openPageToken(w *walk, record jobs.Record) error {
	if w.op.Read.PageToken == "" {
		return nil
	}
	token, err := record.OpenPageToken(s.Keys, w.op.Method, w.op.Read.PageToken)
	if err != nil {
		return &refusal{status: 400, reason: "invalid", message: "the pageToken is not one that this result gave you"}
	}
	w.op.Read.PageToken = token
	return nil
}

// cancel stops a job that runs, whatever today's policy says of it: stopping shows nothing. What
// became of the job is shown to whom its result may be shown, and to nobody else.
func (s *Service) cancel(ctx context.Context, w *walk, record jobs.Record, verified *jobs.Verification) outcome {
	w.op.Job.Location = record.Job.Location
	plan, err := s.judgeAgain(ctx, w, record)
	if err == nil && (verified == nil || verified.Broken == "") {
		return s.forward(ctx, w, verdict.Forward{Record: record, Plan: plan})
	}
	if err != nil {
		w.remark = "the job was stopped; what became of it is not shown: " + err.Error()
	}
	w.decision = policies.Decision{Rule: w.decision.Rule, Groups: w.decision.Groups}
	return s.forward(ctx, w, verdict.Forward{Record: record, Bare: true, Plan: masking.Plan{Sensitive: true}})
}

// schemas reads the tables as they are now.
func (s *Service) schemas(ctx context.Context, w *walk, names []string) (map[string]*bigquery.Table, error) {
	out := make(map[string]*bigquery.Table, len(names))
	for _, name := range names {
		t, err := googlesql.ReadTable(ctx, s.Catalog(w.ask), name)
		if errors.Is(err, googlesql.ErrNotFound) {
			return nil, &refusal{message: "a table of this result does not exist any more", remedy: "a query of tables that exist"}
		}
		if err != nil {
			return nil, err
		}
		out[name] = t
	}
	return out, nil
}

func recordedOperation(r jobs.Record) bigquery.Operation {
	return bigquery.Operation{Method: bigquery.MethodInsert, Job: bigquery.JobReference{ProjectID: r.Job.ProjectID, Location: r.Job.Location}, Query: &r.Query}
}

func unknownJob(ref bigquery.JobReference) *refusal {
	return &refusal{
		message: fmt.Sprintf("job %s:%s is not a job of yours that bqgate knows", ref.ProjectID, ref.JobID),
		remedy:  "reading jobs that the same workload run created through this gateway",
	}
}

// readHeld answers reads of a job that waits for a person, and releases it when a person has said yes.
func (s *Service) readHeld(ctx context.Context, w *walk) outcome {
	var wait time.Duration
	if w.op.Method == bigquery.MethodGetQueryResults {
		wait = s.longPoll(w.op.Read.TimeoutMs)
	}
	r, held, err := s.Approvals.WaitByJob(ctx, w.subject.Owner, w.op.Job.ProjectID, w.op.Job.Location, w.op.Job.JobID, wait)
	if errors.Is(err, approvals.ErrNotFound) {
		return s.refuse(ctx, w, unknownJob(w.op.Job))
	}
	if err != nil {
		return s.refuse(ctx, w, fmt.Errorf("read held job, or wait for a decision on it: %w", err))
	}
	w.approval, w.job, w.sql = r.ID, held.Job, held.Operation.Query.SQL
	if w.op.Method == bigquery.MethodCancel && r.State != approvals.StateUsed {
		return s.cancelHeld(ctx, w, r, held)
	}
	if err := s.aged(w, held.Tables); err != nil {
		return s.refuse(ctx, w, err) // before a grant is claimed: it stays good for a new token of the same run
	}
	switch r.State {
	case approvals.StateApproved:
		return s.release(ctx, w, r, held)
	case approvals.StatePending:
		return s.waits(ctx, w, held, r)
	case approvals.StateUsed:
		return s.readReleased(ctx, w, r, held)
	default:
		return s.ended(ctx, w, r, held)
	}
}

// readReleased answers a poll that has come upon a job which another poll of the same client released meanwhile: its record was written before the grant was marked used.
func (s *Service) readReleased(ctx context.Context, w *walk, r approvals.Request, held approvals.Held) outcome {
	record, verified, err := s.Jobs.Get(ctx, w.subject.Owner, held.Job.ProjectID, held.Job.JobID)
	if errors.Is(err, jobs.ErrNotFound) {
		return s.ended(ctx, w, r, held)
	}
	if err != nil {
		return s.refuse(ctx, w, fmt.Errorf("read record of the job: %w", err))
	}
	return s.readJob(ctx, w, record, verified)
}
