package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
)

// approvalJournal writes what approvals do into the audit journal.
type approvalJournal struct{ journal *audit.Journal }

// ApprovalEvent returns when the event is durable.
func (a approvalJournal) ApprovalEvent(ctx context.Context, e approvals.Event) error {
	if e.Kind == approvals.EventSeen {
		r := audit.Seen{Time: e.At, Epoch: e.Epoch, Link: e.Link}
		for _, m := range e.Marks {
			r.Marks = append(r.Marks, audit.Mark{ID: m.ID, Version: m.Version, Until: m.Until})
		}
		_, err := a.journal.Append(ctx, r)
		return err
	}
	_, err := a.journal.Append(ctx, audit.Approval{
		Time: e.At, RequestID: e.Request, Kind: string(e.Kind), Phase: string(e.Phase), By: e.By, Reason: e.Reason, Nonce: e.Nonce,
		Previous: e.Previous,
		State:    string(e.State), Version: e.Version, Owner: e.Owner, Digest: e.Digest, Decision: e.Decision, Epoch: e.Epoch, Link: e.Link,
		Grant: e.Grant, Until: e.Until,
		Job: audit.Job{ProjectID: e.Job.ProjectID, JobID: e.Job.JobID, Location: e.Job.Location},
	})
	return err
}

// eventOf reverses what ApprovalEvent wrote, but for who acted.
func eventOf(r audit.Approval) approvals.Event {
	return approvals.Event{
		At: r.Time, Request: r.RequestID, Kind: approvals.Kind(r.Kind), Phase: approvals.Phase(r.Phase), By: r.By, Reason: r.Reason,
		Nonce: r.Nonce, Previous: r.Previous,
		State: approvals.State(r.State), Version: r.Version, Owner: r.Owner, Digest: r.Digest, Decision: r.Decision, Epoch: r.Epoch,
		Link: r.Link, Grant: r.Grant, Until: r.Until,
		Job: bigquery.JobReference{ProjectID: r.Job.ProjectID, JobID: r.Job.JobID, Location: r.Job.Location},
	}
}

// seenOf reverses what ApprovalEvent wrote of an EventSeen.
func seenOf(r audit.Seen) approvals.Event {
	e := approvals.Event{At: r.Time, Kind: approvals.EventSeen, Phase: approvals.PhaseCommitted, Epoch: r.Epoch, Link: r.Link}
	for _, m := range r.Marks {
		e.Marks = append(e.Marks, approvals.Reached{ID: m.ID, Version: m.Version, Until: m.Until})
	}
	return e
}

// sessionPrefix marks a session, or the token that opened it, among what replicas tell each other
// is over.
const sessionPrefix = "session/"

// subjectPrefix marks a subject that was revoked (identity.SubjectKey). The version of its mark is
// as of when, in ms.
const subjectPrefix = "subject/"

// told takes what another replica tells of sessions.
func told(sessions *identity.Sessions) func(approvals.Reached) {
	return func(m approvals.Reached) {
		if id, ok := strings.CutPrefix(m.ID, sessionPrefix); ok {
			sessions.LearnRevoked(id, m.Until)
		}
		if key, ok := strings.CutPrefix(m.ID, subjectPrefix); ok {
			if issuer, sub, err := identity.ParseSubjectKey(key); err == nil {
				sessions.LearnSubject(
					identity.Revocation{Issuer: issuer, Subject: sub, At: time.UnixMilli(m.Version).UTC(), Until: m.Until},
				)
			}
		}
	}
}

// sessionJournal writes sessions and revocations into the audit journal, and tells other replicas,
// so that none of them believes a session that is put back into Redis.
type sessionJournal struct {
	journal *audit.Journal
	holds   *approvals.Store
	log     *slog.Logger
	again   durable.Pulse
}

// SessionOpened returns when the session is durable.
func (s *sessionJournal) SessionOpened(ctx context.Context, r identity.Session, of identity.Subject) (durable.Opened, error) {
	return durable.OpenSession(ctx, s.journal, audit.Session{
		ID: r.ID, Subject: audit.Subject{Issuer: r.Issuer, Sub: r.Subject, Owner: r.Owner, People: of.People}, Expires: r.End(),
	})
}

// SessionGivenAgain returns when it is known that the journal takes records.
func (s *sessionJournal) SessionGivenAgain(ctx context.Context) (durable.Answer, error) {
	return s.again.SessionAgain(ctx, s.journal)
}

// SessionRevoked returns when the revocation is durable. Who cannot be told is told by nobody: the
// session is over here, and its entry in Redis goes.
func (s *sessionJournal) SessionRevoked(ctx context.Context, r identity.Session) error {
	if _, err := s.journal.Append(ctx, revocationOf(r)); err != nil {
		return err
	}
	if err := tellRevoked(ctx, s.holds, r); err != nil {
		s.log.Error("other replicas were not told that a session is revoked; it is over here, and its entry in Redis goes", "session", r.ID,
			"error", err)
	}
	return nil
}

// revocationOf is what the journal has of a revocation, but for who revoked and why.
func revocationOf(r identity.Session) audit.Session {
	return audit.Session{
		ID: r.ID, Event: audit.SessionRevoked, Subject: audit.Subject{Issuer: r.Issuer, Sub: r.Subject, Owner: r.Owner},
		Expires: r.End(), Token: r.Token, TokenExpires: r.TokenEnds,
	}
}

func tellRevoked(ctx context.Context, holds *approvals.Store, r identity.Session) error {
	err := holds.Tell(ctx, approvals.Reached{ID: sessionPrefix + r.ID, Version: 1, Until: r.End()})
	if r.Token != "" {
		err = errors.Join(err, holds.Tell(ctx, approvals.Reached{ID: sessionPrefix + r.Token, Version: 1, Until: r.TokenEnds}))
	}
	return err
}
