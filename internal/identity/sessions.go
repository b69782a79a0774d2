package identity

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sessionstore"
)

const (
	// SessionPrefix marks the gateway's own access tokens. No JWT begins with it.
	SessionPrefix = "bqs_"
	// SessionTokenSize is the length of such a token: the prefix and 256 bits in unpadded
	// base64url.
	SessionTokenSize = len(SessionPrefix) + 43

	sessionKey = "bqgate:session:"
	// sessionPurpose has another number when a Subject means something else: a session of before
	// says who is known by the rules of then.
	sessionPurpose = "redis/session/v4/"
)

// ErrUnknownSession is returned for a session that is not there or was not written by this gateway.
var ErrUnknownSession = sessionstore.ErrUnknown

// Sessions are the tokens that the gateway itself issues for OIDC tokens (token_exchange.go). What
// Redis holds of them is the business of internal/sessionstore.
type Sessions struct {
	redis    redis.UniversalClient
	store    *sessionstore.Store[record]
	keys     *sealed.Keyring
	max      time.Duration
	tokenAge time.Duration // the longest that a token may live
	perToken int
	now      func() time.Time
	log      *slog.Logger
	revoked  revoked

	// Access, where it is set, is the policy's word on when access with a subject's token ends at
	// the latest. What clients and people are told of a session never goes beyond it. The session
	// itself stays: at each query the policy says whether there is still access. Set it before the
	// first session is opened or listed.
	Access func(Subject) (until time.Time, limited bool)
	// Revoked, where it is set, is called when a revocation comes into force.
	Revoked func()
	// Told, where it is set, has a value whenever a revocation of a subject came into force
	// (Revocations). It has room for one.
	Told chan struct{}
	// Journal has a session before it is given out, and a revocation before it is in force, so that
	// it outlives this process. Without one no session is opened, and revocations are not recorded.
	Journal Journal
}

// NewSessions makes the session store. All replicas of one gateway share Redis and the keyring. The
// client should have ContextTimeoutEnabled, or a frozen Redis holds a request for the client's own
// time-outs and retries instead of the request's deadline.
func NewSessions(client redis.UniversalClient, keys *sealed.Keyring, config Config, log *slog.Logger) (*Sessions, error) {
	if client == nil || keys == nil || log == nil {
		return nil, errors.New("sessions need a Redis client, a keyring and a logger")
	}
	config = config.WithDefaults()
	s := &Sessions{redis: client, keys: keys, max: config.SessionMax, tokenAge: config.MaxTokenAge,
		perToken: config.SessionsPerToken, now: time.Now, log: log}
	s.store = sessionstore.New[record](sessionstore.Options{
		Redis: client, Keys: keys, Prefix: sessionKey, Purpose: sessionPurpose, What: "session", Log: log,
		Revoked: s.Banned, Now: func() time.Time { return s.now() },
	})
	return s, nil
}

// record is what Redis holds of a session, sealed. It holds no token, neither the session's nor the
// subject's.
type record struct {
	ID      string    `json:"id"`
	Subject Subject   `json:"subject"`
	Created time.Time `json:"created"`
	Expiry  time.Time `json:"expiry"`
}

// Live implements sessionstore.Record.
func (r record) Live(id string, now time.Time) bool {
	return r.ID == id && r.Subject.Session == id && now.Before(r.Expiry) && now.Before(r.Subject.Expiry)
}

// Session describes a live session, for people who list and revoke.
type Session struct {
	ID      string    `json:"id"` // hex SHA-256 of the token
	Issuer  string    `json:"issuer"`
	Subject string    `json:"subject"`
	Owner   string    `json:"owner"`
	Created time.Time `json:"created"`
	// Expiry is when the session is good for nothing any more: when it ends, or access with its
	// token does.
	Expiry time.Time `json:"expiry"`
	// Ends is when the session itself ends, zero where that is Expiry.
	Ends time.Time `json:"-"`
	// Token is the keyed digest of the OIDC token that opened the session (Subject.Token), and
	// TokenEnds when that token expires. Both are zero for a login at the console.
	Token     string    `json:"-"`
	TokenEnds time.Time `json:"-"`
	// Console is true for a login at the reviewers' console.
	Console bool `json:"console,omitempty"`
	// Forged is true for an entry that this gateway did not write. It opens nothing; somebody else
	// writes to Redis.
	Forged bool `json:"forged,omitempty"`
}

// End is when the session itself ends.
func (s Session) End() time.Time {
	if s.Ends.IsZero() {
		return s.Expiry
	}
	return s.Ends
}

// SortSessions puts the oldest first.
func SortSessions(sessions []Session) {
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
}

// session describes a record. Access ends ClockSkew after the policy's word on it, which nobody is
// told but who comes within that minute.
func (s *Sessions) session(r record) Session {
	told := Session{
		ID: r.ID, Issuer: r.Subject.Issuer, Subject: r.Subject.Sub, Owner: r.Subject.Owner, Created: r.Created,
		Expiry: r.Expiry, Ends: r.Expiry, Token: r.Subject.Token, TokenEnds: r.Subject.Expiry,
	}
	if s.Access == nil {
		return told
	}
	until, limited := s.Access(r.Subject)
	if limited && !until.After(r.Created) {
		until = until.Add(ClockSkew)
	}
	if limited && until.Before(told.Expiry) {
		told.Expiry = until
	}
	return told
}

// Authenticate returns the subject of a session token. Every error is an *Error.
func (s *Sessions) Authenticate(ctx context.Context, access string) (Subject, error) {
	r, err := s.read(ctx, sessionstore.ID(access))
	switch {
	case errors.Is(err, ErrUnknownSession):
		return Subject{}, refuse(CodeSession, nil, "the gateway session is over or unknown; exchange your OIDC token again at /v1/token").
			of(r.Subject)
	case err != nil:
		return Subject{}, refuse(CodeUnavailable, err, "sessions cannot be looked up now; try again in a moment")
	}
	return r.Subject, nil
}

// read returns the record of a live session, or ErrUnknownSession, with the record of one that was
// revoked. A revocation ends every session of the OIDC token that opened the revoked one.
func (s *Sessions) read(ctx context.Context, id string) (record, error) {
	r, err := s.store.Get(ctx, id)
	if err != nil {
		return record{}, err
	}
	if s.Banned(r.Subject.Token) || s.Over(r.Subject) {
		return r, ErrUnknownSession
	}
	return r, nil
}

// Revoke ends a session at once, and the use of the OIDC token that opened it. It returns
// ErrUnknownSession if there is no such session.
func (s *Sessions) Revoke(ctx context.Context, id string) error {
	r, err := s.store.Get(ctx, id)
	switch {
	case err == nil:
		session := s.session(r)
		if err := s.Ban(ctx, session); err != nil {
			return err
		}
		// Another replica may not have heard of it yet: Redis tells it at the next exchange.
		if err := s.revokeToken(ctx, session); err != nil {
			return err
		}
	case !errors.Is(err, sealed.ErrForged): // a forged one opens nothing, and goes
		return err
	}
	found, err := s.store.Remove(ctx, id)
	if err == nil && !found {
		err = ErrUnknownSession
	}
	return err
}

// List returns all sessions that are live, oldest first, and those entries that were not written by
// this gateway.
func (s *Sessions) List(ctx context.Context) ([]Session, error) {
	entries, err := s.store.List(ctx)
	if err != nil {
		return nil, err
	}
	sessions := make([]Session, 0, len(entries))
	for _, e := range entries {
		switch {
		case e.Forged:
			sessions = append(sessions, Session{ID: e.ID, Forged: true})
		case !s.Banned(e.Record.Subject.Token) && !s.Over(e.Record.Subject):
			sessions = append(sessions, s.session(e.Record))
		}
	}
	SortSessions(sessions)
	return sessions, nil
}

// Live says whether a session is still good. An error says that it cannot be known now.
func (s *Sessions) Live(ctx context.Context, id string) (bool, error) {
	_, err := s.read(ctx, id)
	if errors.Is(err, ErrUnknownSession) {
		return false, nil
	}
	return err == nil, err
}

// Remove takes a session out of Redis, whose subject was revoked. One that is not there is over
// already.
func (s *Sessions) Remove(ctx context.Context, id string) error {
	_, err := s.store.Remove(ctx, id)
	return err
}
