package extauthz

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cause"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/refusal/table"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// conclude ends a request: what becomes of it is recorded, and only then is a token minted, a query
// sent or the agent answered (I1). Nothing else in this package does any of these.
func (s *Service) conclude(ctx context.Context, a asked, r ruling, err error) outcome {
	if err != nil {
		return s.refuse(ctx, a, r, err)
	}
	switch then := r.then.(type) {
	case forwards:
		return s.forward(ctx, a, r, then)
	case answers:
		return s.answer(ctx, a, r, then)
	case holds:
		return s.hold(ctx, a, r, then.held)
	case waits:
		return s.wait(ctx, a, heldJob(then))
	case releases:
		return s.release(ctx, a, r, heldJob(then))
	case withdraws:
		return s.withdraw(ctx, a, r, heldJob(then))
	case ends:
		return s.end(ctx, a, r, heldJob(then))
	default:
		return s.refuse(ctx, a, r, errors.New("the questions came to no conclusion"))
	}
}

// Effects that the journal knows beside the policy's: what became of a request that no policy was
// asked about.
const (
	effectRelease = "release" // an approved query is about to be submitted
	effectCancel  = "cancel"  // a held query was withdrawn by its client
	effectFault   = "fault"   // no decision could be made
)

// entry is what the record of a decision has beside what was asked and what was judged.
type entry struct {
	effect, message string
	remedy          string // of a refusal
	cause           string // why, for operators, where the client is not told
	status          int    // of the gateway's own answer, 0 without one
	reason          string // of a refusal, BigQuery's word
	body            []byte // of that answer, where no frame of the journal holds it
	forwarded       bool   // Envoy sends the request on
}

// record makes the decision durable.
func (s *Service) record(ctx context.Context, a asked, r ruling, e entry) (durable.Decided, error) {
	d := audit.Decision{
		Time: a.started, ID: a.id, Effect: e.effect, Message: e.message, Rule: r.decision.Rule.ID(), Method: string(a.op.Method),
		Subject: auditSubject(a.subject), Status: e.status, Reply: string(e.body), Remedy: e.remedy, Cause: e.cause,
		Forwarded: e.forwarded, SQL: r.sql, Sensitive: r.decision.Sensitive, Credential: r.account, RequestID: r.approval,
		Job: auditJob(r.job), Tables: r.tables, Labels: r.labels,
	}
	d.Subject.Groups = r.decision.Groups
	if r.account != "" {
		d.Principal = s.principal(a, r.account)
	}
	if r.decision.Rule.File != "" {
		d.Place = fmt.Sprintf("%s:%d", r.decision.Rule.File, r.decision.Rule.Line)
	}
	if r.analysis != nil {
		d.Tables = tables(r.analysis)
	}
	if r.decision.Effect != policies.Refuse {
		d.ForwardedSQL = r.forwardedShown
	}
	if e.effect == audit.EffectAllow || e.effect == audit.EffectHold {
		d.Masked = r.decision.Masked
	}
	if r.estimate != nil && !r.estimate.Unknown {
		d.EstimatedBytes = r.estimate.Bytes
		if cost := s.Prices().of(r.estimate.Bytes, s.located(&r.judged)); cost > 0 {
			d.EstimatedCost = strconv.FormatFloat(cost, 'f', 4, 64) + " USD"
		}
	}
	if !keptWhole(a, r, e.effect) {
		d = d.Brief()
	}
	a.done(stepEncode)
	decided, err := durable.Decide(ctx, s.journalOf(a), d)
	a.done(stepAudit)
	return decided, err
}

// keptWhole says that this record is where the text of a statement is kept whole, however long: the
// statement may run by it, or waits for a person (A54). Of others, refused ones and those that read
// a job which was recorded when it was made, what is long is cut.
func keptWhole(a asked, r ruling, effect string) bool {
	switch effect {
	case audit.EffectAllow, audit.EffectHold:
		return a.op.Query != nil
	case effectRelease:
		return true
	default:
		return a.op.Query != nil && r.approval != "" // it is held, whatever its client was told
	}
}

// say makes the decision durable together with what is answered, and answers.
func (s *Service) say(ctx context.Context, a asked, r ruling, e entry) outcome {
	decided, err := s.record(ctx, a, r, e)
	if err != nil {
		return s.unrecorded(a, err)
	}
	return outcome{
		status: e.status, reason: e.reason, held: e.effect == audit.EffectHold, body: e.body, witness: decided, decision: a.id,
		rule: r.decision.Rule.ID(),
	}
}

// forward makes the verdict by which the request leaves, and mints its token.
func (s *Service) forward(ctx context.Context, a asked, r ruling, then forwards) (o outcome) {
	f, begun := then.forward, then.begun
	defer func() {
		if o.forward == nil {
			s.giveBack(&f, a.id)
		}
	}()
	if err := s.pass(a); err != nil {
		return s.refuse(ctx, a, r, err)
	}
	defer func() { // a released query's read has an id of its own, which only this knows
		if o.forward == nil {
			s.Limits.GiveBack(a.subject.Budget, a.id)
		}
	}()
	decided, err := s.record(ctx, a, r, entry{effect: audit.EffectAllow, message: r.remark, forwarded: true})
	if err != nil {
		return s.unrecorded(a, err)
	}
	if f.Creates {
		if err := s.Jobs.Stand(ctx, begun); err != nil {
			return s.unsent(ctx, a, fmt.Errorf("provisional record of the job: %w", err))
		}
	}
	credential, err := s.mint(ctx, decided, a, r.account, until(a, r.decision))
	a.done(stepCredentials)
	if err != nil {
		return s.unsent(ctx, a, err)
	}
	path, _, _ := strings.Cut(a.request.http.Path, "?")
	f.Subject = a.subject
	f.Decision, f.Expires = a.id, time.Now().Add(verdict.Lifetime)
	f.Method, f.Verb, f.Path = a.op.Method, a.request.http.Verb, path
	f.RequestDigest, f.RequestCoding = verdict.Digest(a.request.http.Body), a.request.http.Coding()
	if a.op.Fields != nil {
		f.Fields = a.op.Fields.String()
	}
	f.MaxRows, f.MaxResultBytes = r.decision.MaxRows, r.decision.MaxResultBytes
	f.Budgets, f.Beyond = budgetsOf(policies.UnitRows, r.decision.Budgets), f.Record.Approval != ""
	if f.Creates && f.Record.Reserved != "" {
		f.Reserves = reserves(&r.judged)
		s.counted().Lend(f.Record.Reserved, a.id)
	}
	if a.op.Query != nil {
		f.Query = bigquery.ForwardQuery(a.op).Encode()
		f.TimestampFormat = a.op.Query.Format.TimestampOutputFormat
	} else {
		f.TimestampFormat = a.op.Read.Format.TimestampOutputFormat
	}
	return outcome{forward: &f, token: credential.Token, decided: decided, decision: a.id, rule: r.decision.Rule.ID()}
}

// answer gives an answer of the gateway's own. The decision and the whole answer are durable
// before.
func (s *Service) answer(ctx context.Context, a asked, r ruling, then answers) outcome {
	body := then.body
	if !then.same {
		var err error
		if body, err = a.op.Fields.Apply(body); err != nil {
			return s.refuse(ctx, a, r, err)
		}
	}
	o := s.say(ctx, a, r, entry{effect: audit.EffectAllow, status: 200})
	if o.fault {
		return o
	}
	o.body = body
	if then.same {
		return o
	}
	for _, record := range []audit.Record{
		audit.Frame{Decision: a.id, Bytes: body},
		audit.Outcome{Decision: a.id, State: audit.StateComplete, Status: 200, Bytes: uint64(len(body))},
	} {
		if _, err := s.journalOf(a).Append(ctx, record); err != nil {
			return s.unrecorded(a, err)
		}
	}
	return o
}

// hold asks the reviewers, and answers with a pending job.
func (s *Service) hold(ctx context.Context, a asked, r ruling, held approvals.Held) outcome {
	request, err := s.Approvals.Hold(ctx, held)
	if err != nil {
		return s.refuse(ctx, a, r, fmt.Errorf("hold the query: %w", err))
	}
	r.approval = request.ID
	s.Meter.heldByBudget(r.decision)
	if request.NoWait && request.Under == "" {
		return s.refuse(ctx, a, r, sentAway(request, held))
	}
	// A job without an id gets that of its use; a repeated request finds the job it made before.
	held.Job = bigquery.JobReference{ProjectID: request.Project, Location: request.Location, JobID: request.JobID}
	r.job = held.Job
	if err := s.Jobs.Note(ctx, a.subject.Owner, held.Job, request.Created); err != nil {
		return s.refuse(ctx, a, r, err)
	}
	job := heldJob{request, held}
	if request.Repeated && (request.State == approvals.StateDenied || request.State == approvals.StateExpired ||
		request.State == approvals.StateCancelled) {
		return s.end(ctx, a, r, job)
	}
	return s.say(ctx, a, r, entry{effect: audit.EffectHold, message: held.Approval.Why, status: 200, body: job.pending(a.op.Method)})
}

// wait answers a poll of a job that still waits for a person, if the journal takes records. Such
// polls have none of their own: the request was recorded when it began to wait, and is when that
// ends.
func (s *Service) wait(ctx context.Context, a asked, job heldJob) outcome {
	witness, err := s.pulse.Waiting(ctx, s.Journal)
	if err != nil {
		return s.unrecorded(a, err)
	}
	return outcome{status: 200, body: job.pending(a.op.Method), witness: witness, decision: a.id}
}

// withdraw ends a held job on behalf of its own client.
func (s *Service) withdraw(ctx context.Context, a asked, r ruling, job heldJob) outcome {
	if job.request.State == approvals.StatePending || job.request.State == approvals.StateApproved {
		cancelled, err := s.Approvals.Cancel(ctx, job.request.ID, a.subject.Owner)
		if err != nil {
			return s.refuse(ctx, a, r, fmt.Errorf("cancel held job: %w", err))
		}
		job.request = cancelled
	}
	return s.say(ctx, a, r, entry{effect: effectCancel, status: 200, body: bigquery.CancelledJob(job.view())})
}

// end answers reads of a held job that will not run: jobs.get shows a failed job, the reads of
// results fail.
func (s *Service) end(ctx context.Context, a asked, r ruling, job heldJob) outcome {
	e := &refusal.Refusal{Bare: true, What: endedWords(job.request)}
	if a.op.Method != bigquery.MethodGetJob {
		return s.refuse(ctx, a, r, e)
	}
	return s.say(ctx, a, r, entry{
		effect: audit.EffectRefuse, message: e.What, status: 200, body: bigquery.FailedJob(job.view(), "accessDenied", e.Text(a.id)),
	})
}

// refuse says why a request is not served. What is no decision is a fault.
func (s *Service) refuse(ctx context.Context, a asked, r ruling, err error) outcome {
	if over := a.looks.beyond(err); over != nil {
		if err = over; !a.looks.any() {
			return s.limited(ctx, a, over)
		}
	}
	e := table.ForRequest(err)
	if e == nil {
		return s.fault(ctx, a, r, err)
	}
	if code, stranger := s.stranger(err); stranger {
		return s.turnAway(ctx, a, e, code)
	}
	s.Meter.refusedByBudget(r.decision, err)
	if r.decision.Rule.ID() == "" {
		r.decision.Rule = policies.RuleRef(e.Rule)
	}
	why := r.decision.Cause
	if why != "" && s.told.first(a.policy.Digest()+why) {
		// The agent is only told that something in the policy has to be mended.
		s.Log.Error("the policy does not fit the tables: queries are refused until it is mended", "cause", why, "decision", a.id)
	}
	if words := cause.Words(e.Err); words != "" {
		why = cause.Text(e.Err)
		s.Log.Warn("a request is refused for something that an operator can mend", "cause", words, "decision", a.id, "error", e.Err)
	}
	if a.op.Query != nil && !e.Passes() {
		s.Limits.Charge(a.subject.Budget, limits.RefusedStatements, costOf(r.analysis))
	}
	status, body := e.BigQuery(a.id)
	return s.say(ctx, a, r, entry{
		effect: audit.EffectRefuse, message: e.What, remedy: e.Remedy, cause: why, status: status, reason: e.Word(), body: body,
	})
}

// recordedWithin bounds the records that no answer waits for: it is a 503 in any case.
const recordedWithin = 2 * time.Second

// fault is a request about which nothing could be decided. Its cause is for operators.
func (s *Service) fault(ctx context.Context, a asked, r ruling, err error) outcome {
	s.Log.Error("no decision could be made", "decision", a.id, "cause", cause.Words(err), "error", err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordedWithin)
	defer cancel()
	if _, err := s.record(ctx, a, r, entry{effect: effectFault, message: err.Error(), cause: cause.Text(err), status: 503}); err != nil {
		s.Log.Error("fault not recorded", "decision", a.id, "error", err)
	}
	return outcome{fault: true, decision: a.id}
}

// unsent closes a decision to forward of which nothing left after all.
func (s *Service) unsent(ctx context.Context, a asked, err error) outcome {
	s.Log.Error("an allowed request is not sent", "decision", a.id, "cause", cause.Words(err), "error", err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordedWithin)
	defer cancel()
	closed := audit.Outcome{Decision: a.id, State: audit.StateBroken, Status: 503, Reason: cause.Text(err)}
	if _, err := s.journalOf(a).Append(ctx, closed); err != nil {
		s.Log.Error("fault not recorded", "decision", a.id, "error", err)
	}
	return outcome{fault: true, decision: a.id}
}

func (s *Service) unrecorded(a asked, err error) outcome {
	s.Log.Error("decision not recorded", "decision", a.id, "cause", cause.Words(err), "error", err)
	return outcome{fault: true, decision: a.id}
}

// asking is how a request comes to look something up at Google: that it asks, and for what, is
// durable before (A43).
func (s *Service) asking(a asked) (*looks, durable.Ask) {
	r := audit.Asked{
		Time: a.started, Decision: a.id, Subject: auditSubject(a.subject), Method: string(a.op.Method), Job: auditJob(a.op.Job),
	}
	if a.op.Query != nil {
		r.SQL = a.op.Query.SQL
	}
	if m := a.op.Metadata; m != nil && m.Table != "" {
		r.Tables = []string{bigquery.TableID{Project: a.op.Job.ProjectID, Dataset: m.Dataset, Table: m.Table}.String()}
	}
	http := a.request.http
	l := &looks{limits: s.Limits, owner: a.subject.Budget}
	return l, durable.Asking(s.journalOf(a), l.count, func() audit.Asked {
		r.Digest = jobs.Digest(http.Verb + "\n" + http.Path + "\n" + string(http.Body))
		return r
	})
}

func auditSubject(s identity.Subject) audit.Subject {
	return audit.Subject{Issuer: s.Issuer, Sub: s.Sub, Owner: s.Owner, People: s.People, Session: s.Session}
}

func auditJob(j bigquery.JobReference) audit.Job {
	return audit.Job{ProjectID: j.ProjectID, Location: j.Location, JobID: j.JobID}
}
