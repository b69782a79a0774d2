package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/identity"
)

const (
	// remembered is longer than anything that can be approved stands.
	remembered  = 32 * 24 * time.Hour
	followEvery = time.Second
)

// past is what the journals on this host say of approvals and sessions. Redis is believed only as
// far as it does not contradict them (attack A11): an approval that was used or taken back, and a
// session that was revoked, stay so, whatever somebody writes there.
type past struct {
	mu       sync.Mutex
	follower *audit.Follower
	holds    *approvals.Store
	sessions *identity.Sessions
	log      *slog.Logger
}

// learn reads what there is. It must end before anything is served.
func learn(ctx context.Context, c *config.Config, key *audit.Key, holds *approvals.Store, sessions *identity.Sessions, log *slog.Logger) (*past, error) {
	p := &past{follower: audit.Follow(c.Audit.Dir, key, time.Now().Add(-remembered)), holds: holds, sessions: sessions, log: log}
	p.follower.Trouble = func(err error) {
		log.Error("the audit folder is not as it was written, or holds something else; `bqgate audit verify` says more", "error", err)
	}
	if err := p.poll(); err != nil {
		return nil, fmt.Errorf("learn from the audit journal: %w", err)
	}
	if len(p.follower.Skipped) > 0 {
		log.Warn("journal files of another audit key: what was used or revoked there is not known", "files", p.follower.Skipped)
	}
	acknowledged := c.Redis.AcknowledgeEpoch
	if c.Redis.Embedded {
		acknowledged = math.MaxInt64 // the demo's own Redis begins empty each time
	}
	if err := holds.Begin(ctx, acknowledged); err != nil {
		return nil, err
	}
	holds.CatchUpWith(p.poll)
	return p, nil
}

// follow goes on learning, from other processes on this host, and from other replicas. What keeps
// it from reading is logged when it begins and when it ends, and harms nobody but those who change
// a request for approval: they read first.
func (p *past) follow(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			err := p.poll()
			if err == nil && p.holds.Err() == nil { // why approvals are closed was logged when they were
				err = p.catchUp(ctx)
			}
			switch {
			case err != nil && !failing && ctx.Err() == nil:
				p.log.Error("the audit journal, or what other replicas tell, cannot be followed; approvals wait for that", "error", err)
			case err == nil && failing:
				p.log.Info("the audit journal and other replicas are followed again")
			}
			failing = err != nil
		}
	}
}

func (p *past) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return p.holds.CatchUp(ctx)
}

func (p *past) poll() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.follower.Poll(func(r audit.Record) error {
		switch r := r.(type) {
		case audit.Approval:
			p.holds.Learn(eventOf(r))
		case audit.Seen:
			p.holds.Learn(seenOf(r))
		case audit.Session:
			if r.Event == audit.SessionRevoked {
				p.sessions.LearnRevoked(r.ID, r.Expires)
			}
		}
		return nil
	})
}

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
		Time: e.At, RequestID: e.Request, Verdict: string(e.Kind), Phase: string(e.Phase), By: e.By, Reason: e.Reason, Nonce: e.Nonce, Previous: e.Previous,
		State: string(e.State), Version: e.Version, Owner: e.Owner, Digest: e.Digest, Decision: e.Decision, Epoch: e.Epoch, Link: e.Link, Grant: e.Grant, Until: e.Until,
		Job: audit.Job{ProjectID: e.Job.ProjectID, JobID: e.Job.JobID, Location: e.Job.Location},
	})
	return err
}

// eventOf reverses what ApprovalEvent wrote, but for who acted.
func eventOf(r audit.Approval) approvals.Event {
	return approvals.Event{
		At: r.Time, Request: r.RequestID, Kind: approvals.Kind(r.Verdict), Phase: approvals.Phase(r.Phase), By: r.By, Reason: r.Reason, Nonce: r.Nonce, Previous: r.Previous,
		State: approvals.State(r.State), Version: r.Version, Owner: r.Owner, Digest: r.Digest, Decision: r.Decision, Epoch: r.Epoch, Link: r.Link, Grant: r.Grant, Until: r.Until,
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

// sessionPrefix marks a session among what replicas tell each other is over.
const sessionPrefix = "session/"

// told takes what another replica tells of sessions.
func told(sessions *identity.Sessions) func(approvals.Reached) {
	return func(m approvals.Reached) {
		if id, ok := strings.CutPrefix(m.ID, sessionPrefix); ok {
			sessions.LearnRevoked(id, m.Until)
		}
	}
}

// sessionJournal writes revocations into the audit journal, and tells other replicas, so that none
// of them believes a session that is put back into Redis.
type sessionJournal struct {
	journal *audit.Journal
	holds   *approvals.Store
	log     *slog.Logger
}

// SessionRevoked returns when the revocation is durable. Who cannot be told is told by nobody: the
// session is over here, and its entry in Redis goes.
func (s sessionJournal) SessionRevoked(ctx context.Context, r identity.Session) error {
	_, err := s.journal.Append(ctx, audit.Session{
		ID: r.ID, Event: audit.SessionRevoked, Subject: audit.Subject{Issuer: r.Issuer, Sub: r.Subject, Owner: r.Owner}, Expires: r.End(),
	})
	if err != nil {
		return err
	}
	if err := tellRevoked(ctx, s.holds, r); err != nil {
		s.log.Error("other replicas were not told that a session is revoked; it is over here, and its entry in Redis goes", "session", r.ID, "error", err)
	}
	return nil
}

func tellRevoked(ctx context.Context, holds *approvals.Store, r identity.Session) error {
	return holds.Tell(ctx, approvals.Reached{ID: sessionPrefix + r.ID, Version: 1, Until: r.End()})
}
