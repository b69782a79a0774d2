package extauthz

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/timing"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// walk is one request on its way through the steps: what is known of it so far, for the record and
// for the reply.
type walk struct {
	id       string // decision id, "d-" and a ULID
	started  time.Time
	request  request
	op       bigquery.Operation
	subject  identity.Subject
	analysis *googlesql.Analysis
	estimate *policies.Estimate
	decision policies.Decision
	account  string // account the run or the read uses
	job      bigquery.JobReference
	approval string // id of the request for approval, where one plays a part
	sql      string
	clock    timing.Clock
	asked    []string    // tables that a request without SQL names
	remark   string      // for the record of an allowed request
	ask      durable.Ask // with which facts are looked up at Google

	rowAccess map[string]bigquery.RowAccess // of the tables that the policy wanted to know it of

	// Where the query's tables are masked before it reads them:
	rewritten      *policies.Rewritten
	forwarded      string // the text for BigQuery; "" where it is the client's own
	forwardedShown string // the same for people, without the salt of its masks
	leaves         bool   // the request itself goes to BigQuery, through Envoy
	saltID         string // what the salt is bound to, where it is not the decision
}

func newWalk() *walk {
	w := &walk{id: "d-" + ulid.Make().String(), started: time.Now().UTC()}
	w.clock.Begin()
	return w
}

// decide walks the steps. Whatever it returns has been recorded, durably.
func (s *Service) decide(ctx context.Context, w *walk, r request) outcome {
	w.request = r
	op, malformed := bigquery.Decode(r.http) // 1
	w.op, w.job = op, op.Job
	w.clock.Done("decode")
	subject, err := s.Identity.Authenticate(ctx, r.authorization) // 2
	w.clock.Done("identity")
	if err != nil {
		return s.refuse(ctx, w, err)
	}
	w.subject = subject
	w.ask = s.asking(w)
	if malformed != nil {
		return s.refuse(ctx, w, malformed)
	}
	if op.Query != nil {
		w.sql = op.Query.SQL
	}
	if err := s.admit(w); err != nil {
		return s.refuse(ctx, w, err)
	}
	switch {
	case op.Query != nil:
		return s.run(ctx, w)
	case op.Read != nil && op.Read.Table != nil:
		return s.readTable(ctx, w)
	case op.Read != nil:
		return s.read(ctx, w)
	case op.List != nil:
		return s.listJobs(ctx, w)
	case op.Metadata != nil:
		return s.metadata(ctx, w)
	default:
		return s.refuse(ctx, w, errors.New("operation without a request"))
	}
}

// run decides about a query.
func (s *Service) run(ctx context.Context, w *walk) outcome {
	if w.op.Query.DryRun {
		return s.dryRun(ctx, w)
	}
	if err := s.judge(ctx, w, w.op); err != nil { // 3, 4
		return s.refuse(ctx, w, err)
	}
	switch w.decision.Effect {
	case policies.Allow:
		return s.allow(ctx, w) // 6, 7
	case policies.Hold:
		return s.hold(ctx, w) // 5, 6
	default:
		return s.refuse(ctx, w, denied(w.decision))
	}
}

// judge analyses the SQL and asks the policy, with an estimate where the policy wants one. It is
// used for a new query and again, whole, when a held one is released.
func (s *Service) judge(ctx context.Context, w *walk, op bigquery.Operation) error {
	set := s.Policies()
	analysis, err := s.Analyzer.Analyze(ctx, s.sqlRequest(w, set, op))
	w.clock.Done("analysis")
	if err != nil {
		return fmt.Errorf("analyse SQL: %w", err)
	}
	w.analysis = analysis
	if analysis.Error != nil && analysis.Error.Code == googlesql.ErrorUnavailable {
		return analysis.Error // nobody can say what the SQL means: no decision
	}
	ask := policies.Request{
		Subject: w.subject, Now: s.now(), Method: string(op.Method), Project: op.Job.ProjectID, SQL: op.Query.SQL, Analysis: analysis, Tables: analysis.Tables,
	}
	if ask.RowAccess, err = s.rowAccess(ctx, w, set.NeedsRowAccess(ask)); err != nil {
		return err
	}
	w.rowAccess = ask.RowAccess
	if ask, err = s.decideQuery(ctx, w, set, op, ask); err != nil {
		return err
	}
	w.clock.Done("policy")
	// A dry run asks for nothing else.
	if analysis.Error == nil && (set.NeedsEstimate(ask) || op.Query.DryRun && w.decision.Effect != policies.Refuse) {
		w.estimate, err = s.estimate(ctx, w, w.runs(op), set.Unmeasured(ask))
		w.clock.Done("estimate")
		if err != nil {
			return err
		}
		ask.Estimate = w.estimate
		w.decision = set.Decide(ask)
		w.clock.Done("policy")
	}
	w.account = w.decision.Credential
	return nil
}

// allow records the decision, mints the token of the run and makes the verdict.
func (s *Service) allow(ctx context.Context, w *walk) outcome {
	if w.op.Method == bigquery.MethodInsert && w.op.Job.JobID != "" {
		if err := s.notHeld(ctx, w, w.op.Job); err != nil {
			return s.refuse(ctx, w, err)
		}
	}
	f, err := s.forwardQuery(ctx, w)
	if err != nil {
		return s.refuse(ctx, w, err)
	}
	return s.forward(ctx, w, f)
}

// forwardQuery says what leaves for BigQuery when a new query is allowed. Where its client sent it
// before, that is what was sent then, if it may still be sent: the answer to it may have been lost.
func (s *Service) forwardQuery(ctx context.Context, w *walk) (verdict.Forward, error) {
	draft := s.draft(w, w.op.Query)
	draft.Mutation = bigquery.Mutation{MaximumBytesBilled: w.bytesCap(w.op.Query).Bytes, SQL: w.forwarded}
	begun, err := s.Jobs.Begin(ctx, w.op, draft)
	if err != nil {
		return verdict.Forward{}, fmt.Errorf("begin job: %w", err)
	}
	if begun.Again {
		w.remark = "the request was sent before, under decision " + begun.Record.Decision + ", and is sent again as it was then"
		w.decision.MaxRows, w.decision.MaxResultBytes = begun.MaxRows, begun.MaxResultBytes
	}
	body, err := bigquery.Encode(w.op, begun.Record.Mutation)
	if err != nil {
		return verdict.Forward{}, fmt.Errorf("encode request: %w", err)
	}
	return verdict.Forward{BodyDigest: verdict.Digest(body), Record: begun.Record, Creates: true, Plan: begun.Plan}, nil
}

// draft is the record of a job about to be created.
func (s *Service) draft(w *walk, q *bigquery.QueryRequest) jobs.Record {
	r := jobs.Record{
		Job: w.job, Owner: w.subject.Owner, Decision: w.id, Query: *q, SQLDigest: jobs.Digest(cmp.Or(w.forwarded, q.SQL)), Rewritten: w.rewritten, Analysis: *w.analysis,
		Named: named(w.analysis), Tables: tables(w.analysis), Reads: jobs.ReadsOf(w.analysis), RowAccess: w.rowAccess,
		Plan: w.decision.Mask, Masked: w.decision.Masked, MaxRows: w.decision.MaxRows, MaxResultBytes: w.decision.MaxResultBytes,
		Cap: w.bytesCap(q), Credential: w.account, Principal: s.Credentials.Principal(w.account), Approval: w.approval, Created: w.started,
		Located: s.located(w),
	}
	if w.estimate != nil {
		r.Estimate, r.SizeUnknown = &w.estimate.Bytes, w.estimate.Unknown
	}
	return r
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
