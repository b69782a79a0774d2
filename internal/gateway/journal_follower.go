package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/health"
	"github.com/bqgate/bqgate/internal/identity"
)

const (
	// remembered is longer than anything that can be approved stands.
	remembered  = 32 * 24 * time.Hour
	followEvery = time.Second
)

// journalFollower reads what the journals on this host say of approvals, sessions and budgets.
// Redis is believed only as far as it does not contradict them (attack A11): an approval that was
// used or taken back, and a session that was revoked, stay so, whatever somebody writes there.
type journalFollower struct {
	mu       sync.Mutex
	journals *audit.Follower
	holds    *approvals.Store
	sessions *identity.Sessions
	counted  *budgets.Store
	folder   *health.Part // what else is in the folder
	log      *slog.Logger
	saw      func(audit.Decision) // nil where nobody wants to see decisions
}

// followJournals reads what there is. It must end before anything is served.
func followJournals(
	ctx context.Context, c *config.Config, key *audit.Key, holds *approvals.Store, sessions *identity.Sessions, counted *budgets.Store,
	log *slog.Logger,
) (*journalFollower, error) {
	f := &journalFollower{journals: audit.Follow(c.Audit.Dir, key, time.Now().Add(-remembered)), holds: holds, sessions: sessions,
		counted: counted, log: log}
	f.journals.Trouble = func(err error) {
		log.Error("the audit folder is not as it was written, or holds something else; `bqgate audit verify` says more", "error", err)
	}
	if err := f.poll(); err != nil {
		return nil, fmt.Errorf("learn from the audit journal: %w", err)
	}
	if len(f.journals.Skipped) > 0 {
		log.Warn("journal files of another audit key: what was used or revoked there is not known", "files", f.journals.Skipped)
	}
	acknowledged := c.Redis.AcknowledgeEpoch
	if c.Redis.Embedded {
		acknowledged = math.MaxInt64 // the demo's own Redis begins empty each time
	}
	if err := holds.Begin(ctx, acknowledged); err != nil {
		return nil, err
	}
	holds.CatchUpWith(f.poll)
	return f, nil
}

// report has the part told, from now on, of what does not belong into the folder.
func (f *journalFollower) report(folder *health.Part) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.folder = folder
	f.folder.Report(f.journals.Foreign)
}

// follow goes on learning, from other processes on this host, and from other replicas. What keeps
// it from reading is logged when it begins and when it ends, and harms nobody but those who change
// a request for approval: they read first.
func (f *journalFollower) follow(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			err := f.poll()
			if err == nil {
				err = f.catchUp(ctx)
			}
			switch {
			case err != nil && !failing && ctx.Err() == nil:
				f.log.Error("the audit journal, or what other replicas tell, cannot be followed; approvals wait for that", "error", err)
			case err == nil && failing:
				f.log.Info("the audit journal and other replicas are followed again")
			}
			failing = err != nil
		}
	}
}

func (f *journalFollower) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if open, err := f.holds.Heal(ctx); err != nil || !open { // why approvals are closed was logged when they were
		return err
	}
	return f.holds.Settle(ctx) // reads what other replicas tell, too
}

// sees has saw told of every decision that is found from now on.
func (f *journalFollower) sees(saw func(audit.Decision)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saw, f.journals.Decisions = saw, true
}

func (f *journalFollower) poll() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.folder.Report(f.journals.Foreign) }()
	return f.journals.Poll(func(r audit.Record) error {
		switch r := r.(type) {
		case audit.Approval:
			f.holds.Learn(eventOf(r))
		case audit.Seen:
			f.holds.Learn(seenOf(r))
		case audit.Budget:
			if f.counted != nil {
				f.counted.Learn(r)
			}
		case audit.Decision:
			f.saw(r)
		case audit.Session:
			switch r.Event {
			case audit.SessionRevoked:
				f.sessions.LearnRevoked(r.ID, r.Expires)
				f.sessions.LearnRevoked(r.Token, r.TokenExpires)
			case audit.SubjectRevoked:
				f.sessions.LearnSubject(identity.Revocation{Issuer: r.Subject.Issuer, Subject: r.Subject.Sub, At: r.UpTo, Until: r.Expires,
					By: r.By, Reason: r.Reason})
			}
		}
		return nil
	})
}
