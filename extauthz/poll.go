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
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// read decides about jobs.get, jobs.getQueryResults and jobs.cancel. A job is readable by its
// owner, under its record, or it does not exist.
func (s *Service) read(ctx context.Context, a asked) (ruling, error) {
	record, verified, err := s.Jobs.Get(ctx, a.subject.Owner, a.op.Job.ProjectID, a.op.Job.JobID)
	if errors.Is(err, jobs.ErrNotFound) {
		record, err = s.Jobs.Recover(ctx, a.ask, s.Upstream, a.subject.Owner, a.op.Job)
	}
	if errors.Is(err, jobs.ErrMismatch) {
		s.Log.Warn("a job has an id that was asked for, and is another one", "decision", a.id, "job", a.op.Job, "error", err)
	}
	switch {
	case errors.Is(err, jobs.ErrNotYet):
		return s.readHeld(ctx, a, notYet(a.op.Job))
	case errors.Is(err, jobs.ErrNotFound):
		return s.readHeld(ctx, a, unknownJob(a.op.Job))
	case err != nil:
		return ruling{}, fmt.Errorf("read record of the job: %w", err)
	}
	return s.readJob(ctx, a, record, verified)
}

// readTable decides about tabledata.list. The table of an own job's result is read under that job's
// record, as its pages are; the rows of any other table are only read by a query, which says what
// of them is meant.
func (s *Service) readTable(ctx context.Context, a asked) (ruling, error) {
	id := *a.op.Read.Table
	named := ruling{judged: judged{tables: []string{id.String()}}}
	record, verified, err := s.Jobs.ByDestination(ctx, a.subject.Owner, id)
	if err == nil {
		return s.readJob(ctx, a, record, verified)
	}
	if !errors.Is(err, jobs.ErrNotFound) {
		return named, fmt.Errorf("look for a result table: %w", err)
	}
	rule, ok := s.reach(a).Table(id)
	if !ok {
		return named, hidden(id.Dataset + "." + id.Table)
	}
	return named, &refusal.Refusal{
		What: fmt.Sprintf("the rows of %s.%s are not listed without a query", id.Dataset, id.Table), Rule: refusal.Rule(rule),
		Remedy: fmt.Sprintf("SELECT * FROM `%s` with jobs.query or jobs.insert, and its pages by jobs.getQueryResults", id),
	}
}

// readJob forwards a read of a job that ran. The record is decided on again under today's policy,
// and the stricter plan masks the answer (A17).
func (s *Service) readJob(ctx context.Context, a asked, record jobs.Record, verified *jobs.Verification) (ruling, error) {
	r := ruling{judged: ofJob(record)}
	if a.op.Job.Location != "" && a.op.Job.Location != record.Job.Location {
		return r, unknownJob(a.op.Job)
	}
	if a.op.Method == bigquery.MethodCancel {
		return s.cancel(ctx, a, record, verified)
	}
	if verified != nil && verified.Broken != "" {
		return r, &refusal.Refusal{
			What:   "the result of this job is not readable: what BigQuery read, or answered, is not what was decided on",
			Remedy: "the same query again, under a new job id, with its columns named in place of *",
		}
	}
	token, err := s.openPageToken(a, record)
	if err != nil {
		return r, err
	}
	if r.judged, err = s.judgeAgain(ctx, a, record); err != nil {
		return r, err
	}
	plan, err := s.Jobs.Shown(ctx, record, r.decision.Mask)
	if err != nil {
		return r, reshaped(err)
	}
	r.then = forwards{forward: verdict.Forward{
		Query: forwardedRead(a.op, record, token), Record: record, Verified: verified != nil, Plan: plan,
	}}
	return r, nil
}

// ofJob is what a request about a job is about.
func ofJob(record jobs.Record) judged {
	return judged{sql: record.Query.SQL, approval: record.Approval, account: record.Credential, job: record.Job}
}

// forwardedRead is the query of a read as BigQuery gets it: with BigQuery's own page token, and
// with the job's location, which the client may not know and BigQuery needs outside US and EU.
func forwardedRead(op bigquery.Operation, record jobs.Record, token string) string {
	op.Job.Location = record.Job.Location
	if op.Read != nil {
		read := *op.Read
		read.PageToken = token
		op.Read = &read
	}
	return bigquery.ForwardQuery(op).Encode()
}

// judgeAgain asks today's policy about a finished analysis, with today's schemas and under the
// credential that its rows were read with: another account may not have been shown them.
func (s *Service) judgeAgain(ctx context.Context, a asked, record jobs.Record) (j judged, err error) {
	j = ofJob(record)
	analysis := record.Analysis
	analysis.Statements = slices.Clone(analysis.Statements)
	if len(analysis.Statements) == 1 {
		analysis.Statements[0].Named = record.Named
	}
	ask := policies.Input{
		Subject: a.subject, Now: s.now(), Method: string(a.op.Method), Project: record.Job.ProjectID, SQL: record.Query.SQL,
		Analysis:    &analysis,
		Transformed: record.Transformed, RowAccess: record.RowAccess, // its rows are those of when it ran
		Credential: record.Credential,
	}
	if d, closed := a.policy.Closed(ask); closed { // nothing is asked of BigQuery about what the subject may not know any more
		j.analysis, j.decision = &analysis, d
		return j, denied(d)
	}
	if record.Grant != "" && s.Approvals != nil && s.Approvals.TakenBack(record.Grant) {
		return j, &refusal.Refusal{
			What: "the approval that this query ran on was taken back", Remedy: "the same query again, which asks for approval",
		}
	}
	schemas, err := s.schemas(ctx, a, record.Tables)
	if err != nil {
		return j, fmt.Errorf("read schemas of job %s: %w", record.Job.JobID, err)
	}
	for name, schema := range record.Reads.Schemas { // of a view: the policy may speak of a column that BigQuery's stored schema lacks
		if t := schemas[name]; t != nil {
			shown := *t
			shown.Schema = schema
			schemas[name] = &shown
		}
	}
	analysis.Tables, ask.Tables = schemas, schemas
	j.analysis = &analysis
	if s.principal(a, record.Credential) != record.Principal {
		return j, &refusal.Refusal{
			What:   "the account that this query ran under is not the one that queries like it run under now",
			Remedy: "the same query again",
		}
	}
	if record.Estimate != nil {
		j.estimate = &policies.Estimate{Bytes: *record.Estimate, Unknown: record.SizeUnknown}
		ask.Estimate = j.estimate
	}
	j.decision, _, err = a.policy.Decide(ctx, ask, policies.Facts{
		Estimate: func(ctx context.Context, unmeasured []*bigquery.Table) (*policies.Estimate, error) {
			return s.estimate(ctx, a, recordedOperation(record), unmeasured)
		},
	})
	if err != nil {
		return j, err
	}
	switch {
	case j.decision.Effect == policies.Allow:
	case j.decision.Effect == policies.Hold && record.Votes.Meet(*j.decision.Approval, a.subject): // results of approved runs can be read
	case j.decision.Effect == policies.Hold:
		return j, &refusal.Refusal{
			What:   "the policy has changed since this query ran: its result now needs approval that it does not have",
			Rule:   refusal.Rule(j.decision.Rule),
			Remedy: "the same query again, which asks for approval",
		}
	default:
		return j, denied(j.decision)
	}
	plan, err := masking.StricterPlan(record.Plan, j.decision.Mask)
	if err != nil {
		return j, reshaped(err)
	}
	j.decision.Mask = plan
	j.decision.MaxRows = policies.Least(record.MaxRows, j.decision.MaxRows)
	j.decision.MaxResultBytes = policies.Least(record.MaxResultBytes, j.decision.MaxResultBytes)
	j.decision.Masked = policies.Union(record.Masked, j.decision.Masked)
	return j, nil
}

// reshaped is the refusal of a result whose columns are not those of its plan.
func reshaped(err error) error {
	if errors.Is(err, masking.ErrShape) {
		return &refusal.Refusal{What: "the shape of this result no longer agrees with its tables", Remedy: "the same query again"}
	}
	return err
}

// openPageToken gives BigQuery's own page token for the sealed one that its reader got. It opens
// for this owner and this job only.
func (s *Service) openPageToken(a asked, record jobs.Record) (string, error) {
	if a.op.Read.PageToken == "" {
		return "", nil
	}
	token, err := record.OpenPageToken(s.Keys, a.op.Method, a.op.Read.PageToken)
	if err != nil {
		return "", &refusal.Refusal{Status: 400, Reason: "invalid", What: "the pageToken is not one that this result gave you"}
	}
	return token, nil
}

// cancel stops a job that runs, whatever today's policy says of it: stopping shows nothing. What
// became of the job is shown to whom its result may be shown, and to nobody else.
func (s *Service) cancel(ctx context.Context, a asked, record jobs.Record, verified *jobs.Verification) (ruling, error) {
	j, err := s.judgeAgain(ctx, a, record)
	r := ruling{judged: j}
	f := verdict.Forward{Query: forwardedRead(a.op, record, ""), Record: record, Plan: j.decision.Mask}
	if err != nil || verified != nil && verified.Broken != "" {
		f.Bare, f.Plan = true, masking.Plan{Sensitive: true}
		r.decision = policies.Decision{Rule: j.decision.Rule, Groups: j.decision.Groups}
	}
	if err != nil {
		r.remark = "the job was stopped; what became of it is not shown: " + err.Error()
	}
	r.then = forwards{forward: f}
	return r, nil
}

// schemas reads the tables as they are now.
func (s *Service) schemas(ctx context.Context, a asked, names []string) (map[string]*bigquery.Table, error) {
	out := make(map[string]*bigquery.Table, len(names))
	for _, name := range names {
		t, err := googlesql.ReadTable(ctx, s.Catalog(a.ask), name)
		if errors.Is(err, googlesql.ErrNotFound) {
			return nil, &refusal.Refusal{What: "a table of this result does not exist any more", Remedy: "a query of tables that exist"}
		}
		if err != nil {
			return nil, err
		}
		out[name] = t
	}
	return out, nil
}

func recordedOperation(r jobs.Record) bigquery.Operation {
	return bigquery.Operation{Method: bigquery.MethodInsert,
		Job: bigquery.JobReference{ProjectID: r.Job.ProjectID, Location: r.Job.Location}, Query: &r.Query}
}

func unknownJob(ref bigquery.JobReference) *refusal.Refusal {
	return &refusal.Refusal{
		What:   fmt.Sprintf("job %s:%s is not a job of yours that bqgate knows", ref.ProjectID, ref.JobID),
		Remedy: "reading jobs that the same workload run created through this gateway",
	}
}

// notYet is what BigQuery itself says of a job that it does not know, perhaps not yet: where the
// client was told that there is one (409), its libraries ask again for minutes.
// https://github.com/googleapis/python-bigquery/issues/2134
func notYet(ref bigquery.JobReference) *refusal.Refusal {
	return &refusal.Refusal{
		Status: 404, Reason: "notFound", Bare: true,
		What: fmt.Sprintf("Not found: Job %s:%s. BigQuery may know it in a moment: ask again", ref.ProjectID, ref.JobID),
	}
}

// readHeld decides about reads of a job that waits for a person, and about the run of one to which
// a person has said yes. unknown is the answer where nobody waits.
func (s *Service) readHeld(ctx context.Context, a asked, unknown *refusal.Refusal) (ruling, error) {
	var wait time.Duration
	if a.op.Method == bigquery.MethodGetQueryResults {
		wait = s.longPoll(a.op.Read.TimeoutMs)
	}
	wait, leave, err := s.waitingPoll(a, wait)
	if err != nil {
		return ruling{}, err
	}
	defer leave()
	request, held, err := s.Approvals.WaitByJob(ctx, a.subject.Owner, a.op.Job.ProjectID, a.op.Job.Location, a.op.Job.JobID, wait)
	if errors.Is(err, approvals.ErrNotFound) {
		return ruling{}, unknown
	}
	if err != nil {
		return ruling{}, fmt.Errorf("read held job, or wait for a decision on it: %w", err)
	}
	if wait > 0 {
		a.policy = s.Policies() // what has waited is decided by the policy of its end
	}
	job := heldJob{request, held}
	r := ruling{judged: job.about()}
	if a.op.Method == bigquery.MethodCancel && request.State != approvals.StateUsed {
		r.then = withdraws(job)
		return r, nil
	}
	// Before a grant is claimed: it stays good for a new token of the same run.
	if err := s.stillGood(a); err != nil {
		return r, err
	}
	if err := s.aged(a, held.Tables); err != nil {
		return r, err
	}
	switch request.State {
	case approvals.StateApproved:
		r.then = releases(job)
	case approvals.StatePending:
		r.then = waits(job)
	case approvals.StateUsed:
		return s.readReleased(ctx, a, job)
	default:
		r.then = ends(job)
	}
	return r, nil
}

// about is what a request about a held job is about.
func (j heldJob) about() judged {
	return judged{approval: j.request.ID, job: j.held.Job, sql: j.held.Operation.Query.SQL}
}

// readReleased decides about a poll of a job that another poll of the same client released
// meanwhile: its record was written before the grant was marked used.
func (s *Service) readReleased(ctx context.Context, a asked, job heldJob) (ruling, error) {
	record, verified, err := s.Jobs.Get(ctx, a.subject.Owner, job.held.Job.ProjectID, job.held.Job.JobID)
	if errors.Is(err, jobs.ErrNotFound) {
		return ruling{judged: job.about(), then: ends(job)}, nil
	}
	if err != nil {
		return ruling{judged: job.about()}, fmt.Errorf("read record of the job: %w", err)
	}
	return s.readJob(ctx, a, record, verified)
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
