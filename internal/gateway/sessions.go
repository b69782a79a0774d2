package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/console"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealed"
)

// Sessions are the sessions of a running gateway, for its operator.
type Sessions struct {
	*identity.Sessions
	config *config.Config
	redis  redis.UniversalClient
	keys   *sealed.Keyring
	// Unlimited is why sessions are listed without the ends that the policy gives them: it does not
	// load. Nil if it does.
	Unlimited error
}

// OpenSessions connects to where the replicas of this configuration keep their sessions.
func OpenSessions(ctx context.Context, c *config.Config, log *slog.Logger) (*Sessions, error) {
	wrappers, err := keyWrappers(ctx, c)
	if err != nil {
		return nil, err
	}
	keys, err := sealed.Load(c.SealingKeyFile, wrappers...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	store, err := connect(ctx, c.Redis)
	if err != nil {
		return nil, err
	}
	sessions, err := identity.NewSessions(store, keys, c.Identity, log)
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("identity: %w", err)
	}
	set, err := loadPolicies(c)
	if err == nil {
		sessions.Access = set.AccessUntil
	}
	return &Sessions{sessions, c, store, keys, err}, nil
}

// Close ends the connection.
func (s *Sessions) Close() error { return s.redis.Close() }

// List returns the live sessions of clients, oldest first, then those of the console, each with the
// entries that were not written by this gateway.
func (s *Sessions) List(ctx context.Context) ([]identity.Session, error) {
	all, err := s.Sessions.List(ctx)
	if err != nil {
		return nil, err
	}
	logins, err := console.ListSessions(ctx, s.redis, s.keys, s.Sessions)
	if err != nil {
		return nil, err
	}
	return append(all, logins...), nil
}

// Revocation is who ends sessions, and why.
type Revocation struct{ By, Reason string }

// Revoke ends sessions at once. Each is in the audit journal before it ends; a journal that cannot
// be written keeps no session alive, but is an error.
func (s *Sessions) Revoke(ctx context.Context, sessions []identity.Session, r Revocation) (revoked int, err error) {
	journal, journalErr := ownJournal(s.config.Audit)
	if journalErr == nil {
		defer journal.Close()
	}
	holds, err := approvals.New(approvals.Options{Redis: s.redis, Keys: s.keys, Journal: unrecorded{}})
	if err != nil {
		return 0, err
	}
	defer holds.Close()
	var tellErr error
	for _, one := range sessions {
		if journalErr == nil {
			entry := revocationOf(one)
			entry.By, entry.Reason = r.By, r.Reason
			_, journalErr = journal.Append(ctx, entry)
		}
		if tellErr == nil {
			tellErr = tellRevoked(ctx, holds, one)
		}
		revoke := s.Sessions.Revoke
		if one.Console {
			revoke = func(ctx context.Context, id string) error { return console.RevokeSession(ctx, s.redis, id) }
		}
		if err := revoke(ctx, one.ID); err != nil {
			return revoked, err
		}
		revoked++
	}
	if journalErr != nil {
		return revoked, fmt.Errorf("revoked, but not in the audit journal: %w", journalErr)
	}
	if tellErr != nil {
		return revoked, fmt.Errorf("revoked, but replicas on other hosts could not be told, and would believe a session that somebody "+
			"puts back into Redis: %w", tellErr)
	}
	return revoked, nil
}

// Ended is the revocation of one subject, and what was ended by it.
type Ended struct {
	identity.Revocation
	// Sessions are those of clients and of the console that were taken out of Redis.
	Sessions []identity.Session `json:"sessions"`
	// Gateways is how many replicas have told what they ended so far; requests for approval and
	// jobs are theirs to end. Where none has, they are ended when one learns of it.
	Gateways int              `json:"gateways"`
	Requests []string         `json:"requests"` // ids
	Jobs     []audit.EndedJob `json:"jobs"`
	Failed   []string         `json:"failed"` // what could not be ended, and why
}

// RevokeSubject ends everything of a subject of an issuer (its URL): every token of it that was
// issued up to now, its sessions, what waits for approval or was approved, its jobs that run, and
// the answers that are on their way to it. It waits a few seconds for the gateways to say what they
// ended. A journal or a Redis that cannot be written keeps nothing else from ending, but is an
// error.
func (s *Sessions) RevokeSubject(ctx context.Context, issuer, sub string, by Revocation) (Ended, error) {
	journal, journalErr := ownJournal(s.config.Audit)
	if journalErr == nil {
		defer journal.Close()
	}
	holds, err := approvals.New(approvals.Options{Redis: s.redis, Keys: s.keys, Journal: unrecorded{}})
	if err != nil {
		return Ended{}, err
	}
	defer holds.Close()
	r := revoker{sessions: s.Sessions, holds: holds, redis: s.redis, keys: s.keys}
	if journalErr == nil {
		r.journal = journal
	}
	ended, err := r.revoke(ctx, issuer, sub, by)
	if journalErr != nil {
		err = errors.Join(fmt.Errorf("revoked, but not in the audit journal, so that it does not outlive Redis: %w", journalErr), err)
	}
	if ctx.Err() != nil {
		return ended, err
	}
	reports, reportErr := endingReports{s.redis, s.keys}.wait(ctx, ended.Revocation, reportedWithin, otherReports)
	ended.Gateways = len(reports)
	ended.Requests, ended.Jobs, ended.Failed = merged(reports)
	return ended, errors.Join(err, reportErr)
}

const (
	reportedWithin = 5 * time.Second
	otherReports   = time.Second
)

// unrecorded is the journal of one who only tells others: they record what they are told.
type unrecorded struct{}

// ApprovalEvent implements approvals.Journal.
func (unrecorded) ApprovalEvent(context.Context, approvals.Event) error { return nil }

// Issuers are the URLs of the issuers of the configuration, or of the one that is named, by its
// name or URL.
func (s *Sessions) Issuers(named string) ([]string, error) {
	var urls, names []string
	for _, i := range s.config.Identity.Issuers {
		names = append(names, i.Name)
		if named == "" || named == i.Name || named == i.URL {
			urls = append(urls, i.URL)
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("no issuer is called %q; there are: %s", named, strings.Join(names, ", "))
	}
	return urls, nil
}
