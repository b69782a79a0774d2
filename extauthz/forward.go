package extauthz

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/verdict"
)

// forward records the decision and only then mints the token and makes the verdict: nothing leaves for Google, not even the wish for a token, before the
// decision is durable (I1).
func (s *Service) forward(ctx context.Context, w *walk, f verdict.Forward) outcome {
	w.leaves = true
	decided, err := s.record(ctx, w, audit.EffectAllow, w.remark, said{})
	if err != nil {
		return s.unrecorded(w, err)
	}
	if f.Creates {
		if err := s.Jobs.Stand(ctx, w.op, f.Record); err != nil {
			s.Log.Error("no provisional record of a job", "decision", w.id, "error", err)
			s.recordUnsent(ctx, w, fmt.Errorf("provisional record: %w", err))
			return outcome{fault: true}
		}
	}
	token, err := s.Credentials.Mint(ctx, decided, w.account, w.subject.Owner)
	w.clock.Done("credentials")
	if err != nil {
		s.Log.Error("no token for an allowed request", "decision", w.id, "error", err)
		s.recordUnsent(ctx, w, fmt.Errorf("mint token: %w", err))
		return outcome{fault: true}
	}
	path, _, _ := strings.Cut(w.request.http.Path, "?")
	f.Subject = w.subject
	f.Decision, f.Expires = w.id, time.Now().Add(verdict.Lifetime)
	f.Method, f.Verb, f.Path, f.Query = w.op.Method, w.request.http.Verb, path, bigquery.ForwardQuery(w.op).Encode()
	f.RequestDigest, f.RequestCoding = verdict.Digest(w.request.http.Body), w.request.http.Coding()
	if w.op.Fields != nil {
		f.Fields = w.op.Fields.String()
	}
	f.MaxRows, f.MaxResultBytes = w.decision.MaxRows, w.decision.MaxResultBytes
	if w.op.Query != nil {
		f.TimestampFormat = w.op.Query.Format.TimestampOutputFormat
	} else {
		f.TimestampFormat = w.op.Read.Format.TimestampOutputFormat
	}
	return outcome{forward: &f, token: token, witness: decided, decided: decided}
}

// recordUnsent closes a decision to forward of which nothing left after all. No answer waits for it: that is a 503 in
// any case.
func (s *Service) recordUnsent(ctx context.Context, w *walk, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, err := s.Journal.Append(ctx, audit.Outcome{Decision: w.id, State: audit.StateBroken, Status: 503, Reason: cause.Error()})
	if err != nil {
		s.Log.Error("fault not recorded", "decision", w.id, "error", err)
	}
}
