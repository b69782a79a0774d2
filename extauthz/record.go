package extauthz

import (
	"context"
	"fmt"
	"strconv"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/policies"
)

// Effects that the journal knows beside the policy's: what became of a request that no policy was asked about.
const (
	effectRelease = "release" // an approved query is about to be submitted
	effectCancel  = "cancel"  // a held query was withdrawn by its client
	effectFault   = "fault"   // no decision could be made
)

// said is an answer of the gateway's own.
type said struct {
	status int
	body   []byte
	remedy string // of a refusal
}

// asking is how a request comes to look something up at Google: that it asks, and for what, is durable before (A43).
func (s *Service) asking(w *walk) durable.Ask {
	r := audit.Asked{
		Time: w.started, Decision: w.id, Subject: auditSubject(w.subject), Method: string(w.op.Method), Job: auditJob(w.op.Job),
	}
	if w.op.Query != nil {
		r.SQL = w.op.Query.SQL
	}
	if m := w.op.Metadata; m != nil && m.Table != "" {
		r.Tables = []string{bigquery.TableID{Project: w.op.Job.ProjectID, Dataset: m.Dataset, Table: m.Table}.String()}
	}
	http := w.request.http
	return durable.Asking(s.Journal, func() audit.Asked {
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

// tell makes the decision durable together with what is answered, and answers.
func (s *Service) tell(ctx context.Context, w *walk, effect, message string, reply said) outcome {
	decided, err := s.record(ctx, w, effect, message, reply)
	if err != nil {
		return s.unrecorded(w, err)
	}
	return outcome{status: reply.status, body: reply.body, witness: decided}
}

// waits answers a poll of a job that still waits for a person, if the journal takes records. Such polls have none of their own: the request was
// recorded when it began to wait, and is when that ends.
func (s *Service) waits(ctx context.Context, w *walk, held approvals.Held, r approvals.Request) outcome {
	witness, err := s.pulse.Waiting(ctx, s.Journal)
	if err != nil {
		return s.unrecorded(w, err)
	}
	reply := pendingReply(w.op.Method, held, r)
	return outcome{status: reply.status, body: reply.body, witness: witness}
}

// record makes the decision durable.
func (s *Service) record(ctx context.Context, w *walk, effect, message string, reply said) (durable.Decided, error) {
	d := audit.Decision{
		Time: w.started, ID: w.id, Effect: effect, Message: message, Rule: w.decision.Rule.ID(), Method: string(w.op.Method),
		Subject: auditSubject(w.subject), Status: reply.status, Reply: string(reply.body), Remedy: reply.remedy,
		Forwarded: w.leaves, SQL: w.sql, Sensitive: w.decision.Sensitive, Credential: w.account, RequestID: w.approval,
		Job: auditJob(w.job),
	}
	d.Subject.Groups = w.decision.Groups
	if w.decision.Rule.File != "" {
		d.Place = fmt.Sprintf("%s:%d", w.decision.Rule.File, w.decision.Rule.Line)
	}
	d.Tables = w.asked
	if w.analysis != nil {
		d.Tables = tables(w.analysis)
	}
	if w.decision.Effect != policies.Refuse {
		d.ForwardedSQL = w.forwardedShown
	}
	if effect == audit.EffectAllow || effect == audit.EffectHold {
		d.Masked = w.decision.Masked
	}
	if w.estimate != nil && !w.estimate.Unknown {
		d.EstimatedBytes = w.estimate.Bytes
		if cost := s.Prices.of(w.estimate.Bytes, s.located(w)); cost > 0 {
			d.EstimatedCost = strconv.FormatFloat(cost, 'f', 4, 64) + " USD"
		}
	}
	w.clock.Done("encode")
	decided, err := durable.Decide(ctx, s.Journal, d)
	w.clock.Done("audit")
	return decided, err
}
