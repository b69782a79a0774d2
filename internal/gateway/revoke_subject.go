package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/console"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealed"
)

// revoker revokes subjects, for an operator or for the console.
type revoker struct {
	sessions *identity.Sessions
	holds    *approvals.Store
	redis    redis.UniversalClient
	keys     *sealed.Keyring
	journal  durable.Journal // nil where there is none that can be written
}

// revoke makes a revocation durable, tells it, and ends the sessions. What fails keeps nothing else
// from being done: each of the journal, the ledger and Redis is enough for a gateway to learn of
// it.
func (r revoker) revoke(ctx context.Context, issuer, sub string, by Revocation) (Ended, error) {
	at, err := r.now(ctx)
	errs := []error{err}
	failed := func(format string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf(format, err))
		}
	}
	ended := Ended{Revocation: r.sessions.Revocation(issuer, sub, at)}
	ended.By, ended.Reason = by.By, by.Reason
	v := ended.Revocation
	if r.journal != nil {
		_, err := r.journal.Append(ctx, audit.Session{
			Event: audit.SubjectRevoked, Subject: audit.Subject{Issuer: v.Issuer, Sub: v.Subject}, By: v.By, Reason: v.Reason,
			UpTo: v.At, Expires: v.Until,
		})
		failed("revoked, but not in the audit journal: %w", err)
	}
	failed("revoked, but Redis does not have it for lists: %w", r.sessions.Mark(ctx, v))
	failed("revoked, but replicas on other hosts could not be told, and take tokens of before: %w",
		r.holds.Tell(ctx, approvals.Reached{ID: subjectPrefix + v.Key(), Version: v.At.UnixMilli(), Until: v.Until}))
	ended.Sessions, err = r.endSessions(ctx, v)
	failed("sessions: %w", err)
	r.sessions.LearnSubject(v) // last: what is over is not listed any more
	return ended, errors.Join(errs...)
}

// now is the later of this host's clock and Redis's: of two that differ, the one that ends more.
func (r revoker) now(ctx context.Context) (time.Time, error) {
	now := time.Now()
	there, err := r.redis.Time(ctx).Result()
	if err != nil {
		return now, fmt.Errorf("ask Redis for the time: %w", err)
	}
	if there.After(now) {
		now = there
	}
	return now, nil
}

// endSessions takes the sessions of a subject out of Redis.
func (r revoker) endSessions(ctx context.Context, v identity.Revocation) ([]identity.Session, error) {
	clients, err := r.sessions.List(ctx)
	people, peopleErr := console.ListSessions(ctx, r.redis, r.keys, r.sessions)
	errs := []error{err, peopleErr}
	ended := []identity.Session{}
	for _, one := range append(clients, people...) {
		if one.Forged || one.Issuer != v.Issuer || one.Subject != v.Subject {
			continue
		}
		remove := r.sessions.Remove
		if one.Console {
			remove = func(ctx context.Context, id string) error { return console.RevokeSession(ctx, r.redis, id) }
		}
		if err := remove(ctx, one.ID); err != nil {
			errs = append(errs, err)
			continue
		}
		ended = append(ended, one)
	}
	return ended, errors.Join(errs...)
}
