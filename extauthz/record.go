package extauthz

import (
	"context"
	"fmt"
	"strconv"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/policies"
)

// Effects that the journal knows beside the policy's: what became of a request that no policy was asked about.
const (
	effectRelease = "release" // an approved query is about to be submitted
	effectCancel  = "cancel"  // a held query was withdrawn by its client
	effectFault   = "fault"   // no decision could be made
)

// record makes the decision durable.
func (s *Service) record(ctx context.Context, w *walk, effect, message string) error {
	d := audit.Decision{
		Time: w.started, ID: w.id, Effect: effect, Message: message, Rule: w.decision.Rule.ID(), Method: string(w.op.Method),
		Subject: audit.Subject{
			Issuer: w.subject.Issuer, Sub: w.subject.Sub, Owner: w.subject.Owner, People: w.subject.People, Groups: w.decision.Groups, Session: w.subject.Session,
		},
		Forwarded: w.leaves, SQL: w.sql, Sensitive: w.decision.Sensitive, Credential: w.account, RequestID: w.approval,
		Job: audit.Job{ProjectID: w.job.ProjectID, Location: w.job.Location, JobID: w.job.JobID},
	}
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
	_, err := s.Journal.Append(ctx, d)
	w.clock.Done("audit")
	return err
}
