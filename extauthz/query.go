package extauthz

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// query says what is to become of a query.
func (s *Service) query(ctx context.Context, a asked) (ruling, error) {
	j, err := s.judge(ctx, a, "")
	r := ruling{judged: j}
	if err != nil {
		return r, err
	}
	switch j.decision.Effect {
	case policies.Allow:
		return s.allow(ctx, a, r)
	case policies.Hold:
		return s.needsPerson(ctx, a, r)
	default:
		return r, denied(j.decision)
	}
}

// judge analyses the SQL and asks the policy, with an estimate where the policy wants one. It is
// used for a new query and again, whole, when a held one is released: then salted is the decision
// that held it.
func (s *Service) judge(ctx context.Context, a asked, salted string) (j judged, err error) {
	j.job = a.op.Job
	j.analysis, err = s.Analyzer.Analyze(ctx, s.sqlQuery(a))
	a.done(stepAnalysis)
	if err != nil {
		return j, fmt.Errorf("analyse SQL: %w", err)
	}
	if failed := j.analysis.Error; failed != nil && failed.Passes() {
		return j, failed // nobody can say what the SQL means: no decision
	}
	salt := s.salt(a, salted)
	d, r, err := a.policy.Decide(ctx, policies.Input{
		Subject: a.subject, Now: s.now(), Method: string(a.op.Method), Project: a.op.Job.ProjectID, SQL: a.op.Query.SQL,
		Analysis: j.analysis, Tables: j.analysis.Tables, Sized: a.op.Query.DryRun, // which asks for nothing else
	}, policies.Facts{
		RowAccess: func(ctx context.Context, tables []*bigquery.Table) (map[string]bigquery.RowAccess, error) {
			return s.rowAccess(ctx, a, j.analysis, tables)
		},
		Rewrite: func(ctx context.Context, transforms []googlesql.Transform) (*googlesql.Rewritten, error) {
			made, err := s.Analyzer.Rewrite(ctx, s.sqlQuery(a), j.analysis, transforms)
			if err == nil {
				j.forwarded, j.forwardedShown = made.SQL, masking.HideSaltSQL(made.SQL, salt)
			}
			return made, err
		},
		Salt: salt,
		Estimate: func(ctx context.Context, unmeasured []*bigquery.Table) (*policies.Estimate, error) {
			return s.estimate(ctx, a, j.runs(a.op), unmeasured)
		},
		Left: func(ctx context.Context, all []policies.Budget) ([]policies.Left, error) { return s.left(ctx, a, all) },
	})
	a.done(stepPolicy)
	j.decision, j.rowAccess, j.transformed, j.estimate = d, r.RowAccess, r.Transformed, r.Estimate
	if err != nil {
		return j, err
	}
	j.account = j.decision.Credential
	return j, nil
}

// sqlQuery is the operation's SQL with everything that its meaning depends on. Nothing is asked
// of BigQuery about what the policy does not let the subject know.
func (s *Service) sqlQuery(a asked) googlesql.Query {
	q := a.op.Query
	return googlesql.Query{
		SQL: q.SQL, Project: a.op.Job.ProjectID, DefaultDataset: q.DefaultDataset,
		ParameterMode: q.ParameterMode, Parameters: q.Parameters, Catalog: s.Catalog(a.ask), Caller: a.subject.Owner,
		Owner: a.subject.Budget,
		Reach: a.policy.Reach(a.subject, s.now()).Reads,
	}
}

// salt keys RANDOM_HASH in a rewritten text. It is another one for every query, and the same one
// when the same request is made again or a held query is released: the text that runs must be the
// text that was decided on.
func (s *Service) salt(a asked, salted string) []byte {
	id := cmp.Or(salted, a.id)
	switch { // a request that is sent again gets the same text
	case a.op.Method == bigquery.MethodQuery && a.op.Query.RequestID != "":
		id = a.op.Query.RequestID
	case a.op.Method == bigquery.MethodInsert && a.op.Job.JobID != "" && salted == "":
		id = a.op.Job.JobID
	}
	sum := s.Keys.Name("random_hash/sql", a.subject.Owner, a.op.Job.ProjectID, id, jobs.Digest(a.op.Query.SQL),
		string(a.op.Query.Parameters))
	return sum[:]
}

// runs is the query as BigQuery gets it.
func (j *judged) runs(op bigquery.Operation) bigquery.Operation {
	if j.forwarded == "" {
		return op
	}
	q := *op.Query
	q.SQL = j.forwarded
	op.Query = &q
	return op
}

// rowAccess asks whether tables have row access policies: the catalog where it knows, BigQuery
// where it does not. What cannot be found out refuses the query (A34).
func (s *Service) rowAccess(
	ctx context.Context, a asked, analysis *googlesql.Analysis, tables []*bigquery.Table,
) (map[string]bigquery.RowAccess, error) {
	known, err := googlesql.RowAccess(ctx, s.Catalog(a.ask), tables)
	a.done(stepRowAccess)
	switch {
	case err == nil:
		return known, nil
	case errors.Is(err, bigquery.ErrRowAccessDenied):
		s.Log.Error("queries are refused: give the inspection account the permission bigquery.rowAccessPolicies.list", "decision", a.id,
			"error", err)
		var names []string
		for _, t := range tables {
			// Behind a snapshot or clone stands another table, which the subject need not know of.
			if name := t.TableReference.String(); analysis.Tables[name] != nil {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			names = []string{"a table of this query"}
		}
		return nil, &refusal.Refusal{
			What: fmt.Sprintf("it is not known whether %s has row access policies of BigQuery: the gateway's inspection account lacks "+
				"the permission bigquery.rowAccessPolicies.list",
				strings.Join(names, " or ")),
			Remedy: "the same query, after an operator has given the inspection account that permission", Err: err,
		}
	case errors.Is(err, bigquery.ErrNotFound):
		return nil, &refusal.Refusal{What: "a table of this query does not exist any more", Remedy: "a query of tables that exist"}
	default:
		return nil, fmt.Errorf("ask for row access policies: %w", err)
	}
}

// allow says what leaves for BigQuery when a new query is allowed. Where its client sent it before,
// that is what was sent then, if it may still be sent: the answer to it may have been lost.
func (s *Service) allow(ctx context.Context, a asked, r ruling) (ruling, error) {
	if a.op.Method == bigquery.MethodInsert && a.op.Job.JobID != "" {
		if err := s.notHeld(ctx, a, a.op.Job); err != nil {
			return r, err
		}
	}
	draft := s.draft(a, &r.judged)
	draft.Mutation = bigquery.Mutation{MaximumBytesBilled: draft.Cap.Bytes, SQL: r.forwarded}
	draft.Mutation.Labels, r.labels = s.jobLabels(a, &r.judged)
	begun, err := s.begin(ctx, a, &r.judged, draft)
	if err != nil {
		return r, fmt.Errorf("begin job: %w", err)
	}
	if begun.Again {
		r.remark = "the request was sent before, under decision " + begun.Record.Decision + ", and is sent again as it was then"
		r.decision.MaxRows, r.decision.MaxResultBytes = begun.MaxRows, begun.MaxResultBytes
	}
	body, err := bigquery.Encode(a.op, begun.Record.Mutation)
	if err != nil {
		s.counted().NeverRan(begun.Record.Reserved, a.id)
		return r, fmt.Errorf("encode request: %w", err)
	}
	r.then = forwards{verdict.Forward{BodyDigest: verdict.Digest(body), Record: begun.Record, Creates: true, Plan: begun.Plan}, begun}
	return r, nil
}

// begin is what is to be sent, with what it may bill taken from its budgets. Of what is sent again
// it was taken the first time, and is taken again where it was given back.
func (s *Service) begin(ctx context.Context, a asked, j *judged, draft jobs.Record) (jobs.Begun, error) {
	begun, err := s.Jobs.Begin(ctx, a.op, draft)
	switch {
	case err != nil:
		return begun, err
	case begun.Again:
		begun.Record.Reserved, err = s.reserveAgain(ctx, a, j, begun.Record)
		return begun, err
	}
	draft.Cap, draft.Reserved, err = s.reserve(ctx, a, j, draft.Cap)
	if err != nil || draft.Reserved == "" {
		return begun, err
	}
	draft.Mutation.MaximumBytesBilled = draft.Cap.Bytes
	begun, err = s.Jobs.Capped(a.op, begun, draft)
	if err != nil {
		s.counted().NeverRan(a.id, a.id)
	}
	return begun, err
}

// draft is the record of a job about to be created.
func (s *Service) draft(a asked, j *judged) jobs.Record {
	q := a.op.Query
	requester, principal := s.runsAs(a, j.account)
	r := jobs.Record{
		Job: j.job, Owner: a.subject.Owner, Issued: a.subject.Issued, Decision: a.id, Query: *q,
		SQLDigest:   jobs.Digest(cmp.Or(j.forwarded, q.SQL)),
		Transformed: j.transformed, Analysis: *j.analysis, Named: named(j.analysis), Tables: tables(j.analysis),
		Reads: jobs.ReadsOf(j.analysis), RowAccess: j.rowAccess,
		Plan: j.decision.Mask, Masked: j.decision.Masked, MaxRows: j.decision.MaxRows, MaxResultBytes: j.decision.MaxResultBytes,
		Cap: j.bytesCap(q), Credential: j.account, Principal: principal, Requester: requester, Approval: j.approval, Created: a.started,
		Located: s.located(j), Salt: make([]byte, sha256.Size),
	}
	_, _ = rand.Read(r.Salt) // never fails: crypto/rand
	if j.estimate != nil {
		r.Estimate, r.SizeUnknown = &j.estimate.Bytes, j.estimate.Unknown
	}
	return r
}

// dryRun answers a client's dry run. It is decided as the run would be, so that it tells nothing
// that the run would not (A29), and answered from the gateway's own dry run with what a client
// needs: the kind of statement, the masked result's schema, the tables, and the bytes, rounded up.
// Nothing is forwarded, and no job is made.
func (s *Service) dryRun(ctx context.Context, a asked) (ruling, error) {
	if err := s.mayAsk(a, s.reach(a)); err != nil {
		return ruling{}, err
	}
	j, err := s.judge(ctx, a, "")
	r := ruling{judged: j}
	switch {
	case err != nil:
		return r, err
	case j.decision.Effect == policies.Refuse:
		return r, denied(j.decision)
	}
	r.job = bigquery.JobReference{ProjectID: a.op.Job.ProjectID, Location: a.op.Job.Location}
	if r.job.Location == "" {
		r.job.Location = s.location(&j)
	}
	d := bigquery.DryRunAnswer{
		Job: r.job, SQL: a.op.Query.SQL, Labels: a.op.Query.Labels, Bytes: j.estimate.Bytes, Unknown: j.estimate.Unknown,
		Schema: planSchema(j.decision.Mask), Waits: j.decision.Effect == policies.Hold,
	}
	for _, name := range tables(j.analysis) {
		if parts := strings.SplitN(name, ".", 3); len(parts) == 3 {
			d.Tables = append(d.Tables, bigquery.TableID{Project: parts[0], Dataset: parts[1], Table: parts[2]})
		}
	}
	if a.op.Method == bigquery.MethodInsert {
		r.then = answers{body: bigquery.DryRunJob(d, a.started.UnixMilli())}
	} else {
		r.then = answers{body: bigquery.DryRunQuery(d)}
	}
	return r, nil
}

// named lists what a text itself names, in its order.
func named(a *googlesql.Analysis) []string {
	var all []string
	for _, st := range a.Statements {
		all = append(all, st.Named...)
	}
	return all
}

// tables lists the base tables that a script reads, sorted.
func tables(a *googlesql.Analysis) []string {
	var all []string
	for _, st := range a.Statements {
		all = append(all, st.Tables...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
