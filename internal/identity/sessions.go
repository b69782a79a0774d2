package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/sealed"
)

const (
	// SessionPrefix marks the gateway's own access tokens. No JWT begins with it.
	SessionPrefix = "bqs_"
	// SessionTokenSize is the length of such a token: the prefix and 256 random bits in unpadded base64url.
	SessionTokenSize = len(SessionPrefix) + 43

	sessionKey  = "bqgate:session:"
	exchangeKey = "bqgate:session-exchanges:"
)

var (
	// ErrUnknownSession is returned for a session that is not there or was not written by this gateway.
	ErrUnknownSession = errors.New("no such session")
	errTooMany        = errors.New("subject token was exchanged too often")
	errTooOld         = errors.New("subject token is older than the policy lets it be")
)

// Sessions are the tokens that the gateway itself issues for OIDC tokens.
//
// They are allow-listed: a session is what Redis holds a sealed record of, under the digest of the token. So a forgotten one is over, a revoked one cannot be evicted back
// to life, and neither a record that somebody else wrote nor one copied from another key opens anything. The token itself is stored nowhere.
type Sessions struct {
	redis    redis.UniversalClient
	keys     *sealed.Keyring
	max      time.Duration
	perToken int
	now      func() time.Time
	log      *slog.Logger
	revoked  revoked

	// Access, where it is set, is the policy's word on when access with a subject's token ends at the latest. What clients and people are told of a session never goes beyond it. The
	// session itself stays: at each query the policy says whether there is still access. Set it before the first session is opened or listed.
	Access func(Subject) (until time.Time, limited bool)
	// Revoked, where it is set, is called when a revocation comes into force.
	Revoked func()
	// Journal, where it is set, has a revocation before it is in force, so that it outlives this process. Set it before the first Revoke.
	Journal RevocationJournal
}

// NewSessions makes the session store. All replicas of one gateway share Redis and the keyring. The client should have ContextTimeoutEnabled, or a frozen Redis holds
// a request for the client's own time-outs and retries instead of the request's deadline.
func NewSessions(client redis.UniversalClient, keys *sealed.Keyring, config Config, log *slog.Logger) (*Sessions, error) {
	if client == nil || keys == nil || log == nil {
		return nil, errors.New("sessions need a Redis client, a keyring and a logger")
	}
	config = config.WithDefaults()
	return &Sessions{redis: client, keys: keys, max: config.SessionMax, perToken: config.SessionsPerToken, now: time.Now, log: log}, nil
}

// record is what Redis holds of a session, sealed. It holds no token, neither the session's nor the subject's.
type record struct {
	ID      string    `json:"id"`
	Subject Subject   `json:"subject"`
	Created time.Time `json:"created"`
	Expiry  time.Time `json:"expiry"`
}

// Session describes a live session, for people who list and revoke.
type Session struct {
	ID      string    `json:"id"` // hex SHA-256 of the token
	Issuer  string    `json:"issuer"`
	Subject string    `json:"subject"`
	Owner   string    `json:"owner"`
	Created time.Time `json:"created"`
	// Expiry is when the session is good for nothing any more: when it ends, or access with its token does.
	Expiry time.Time `json:"expiry"`
	// Ends is when the session itself ends, zero where that is Expiry.
	Ends time.Time `json:"-"`
	// Console is true for a login at the reviewers' console.
	Console bool `json:"console,omitempty"`
	// Forged is true for an entry that this gateway did not write. It opens nothing; somebody else writes to Redis.
	Forged bool `json:"forged,omitempty"`
}

// countExchange counts the exchanges of one subject token and forgets them when that token is over.
var countExchange = redis.NewScript(`
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return n`)

// create opens a session for a subject whose token was verified. The token's digest bounds the sessions that one token can open (A23).
func (s *Sessions) create(ctx context.Context, subject Subject, subjectToken string) (access string, session Session, err error) {
	now := s.now()
	expiry := now.Add(s.max)
	if subject.Expiry.Before(expiry) {
		expiry = subject.Expiry
	}
	if s.Access != nil {
		if until, limited := s.Access(subject); limited && expiry.Sub(now) >= time.Second && until.Add(ClockSkew).Sub(now) < time.Second {
			return "", Session{}, errTooOld
		}
	}
	life := expiry.Sub(now).Truncate(time.Millisecond)
	if life < time.Second {
		return "", Session{}, errors.New("open session: the subject token is over")
	}
	digest := sha256.Sum256([]byte(subjectToken))
	count, err := countExchange.Run(ctx, s.redis, []string{exchangeKey + hex.EncodeToString(digest[:])}, subject.Expiry.Sub(now).Milliseconds()+1).Int()
	if err != nil {
		return "", Session{}, fmt.Errorf("count exchanges in Redis: %w", err)
	}
	if count > s.perToken {
		return "", Session{}, errTooMany
	}
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return "", Session{}, fmt.Errorf("make session token: %w", err)
	}
	access = SessionPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	id := sessionID(access)
	subject.Session = id
	r := record{ID: id, Subject: subject, Created: now, Expiry: expiry}
	text, err := s.keys.Seal(sessionPurpose(id), r)
	if err != nil {
		return "", Session{}, err
	}
	if err := s.redis.Set(ctx, sessionKey+id, text, life).Err(); err != nil {
		return "", Session{}, fmt.Errorf("write session to Redis: %w", err)
	}
	return access, s.session(r), nil
}

// session describes a record. Access ends ClockSkew after the policy's word on it, which nobody is told but who comes within that minute.
func (s *Sessions) session(r record) Session {
	told := Session{ID: r.ID, Issuer: r.Subject.Issuer, Subject: r.Subject.Sub, Owner: r.Subject.Owner, Created: r.Created, Expiry: r.Expiry, Ends: r.Expiry}
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
	r, err := s.read(ctx, sessionID(access))
	switch {
	case errors.Is(err, ErrUnknownSession):
		return Subject{}, refuse(CodeSession, nil, "the gateway session is over or unknown; exchange your OIDC token again at /v1/token")
	case err != nil:
		return Subject{}, refuse(CodeUnavailable, err, "sessions cannot be looked up now; try again in a moment")
	}
	return r.Subject, nil
}

// read returns the record of a live session, or ErrUnknownSession.
func (s *Sessions) read(ctx context.Context, id string) (record, error) {
	text, err := s.redis.Get(ctx, sessionKey+id).Result()
	if errors.Is(err, redis.Nil) {
		return record{}, ErrUnknownSession
	}
	if err != nil {
		// An entry of another type was not written here either.
		if strings.HasPrefix(err.Error(), "WRONGTYPE") {
			s.log.Error("session entry in Redis was not written by this gateway", "session", id)
			return record{}, fmt.Errorf("%w: %w", ErrUnknownSession, sealed.ErrForged)
		}
		return record{}, fmt.Errorf("read session from Redis: %w", err)
	}
	var r record
	if err := s.keys.Open(sessionPurpose(id), text, &r); err != nil {
		s.log.Error("session entry in Redis was not written by this gateway", "session", id, "error", err)
		return record{}, fmt.Errorf("%w: %w", ErrUnknownSession, err)
	}
	if s.revoked.has(id) {
		s.log.Error("session entry in Redis was put back after it was revoked", "session", id)
		return record{}, ErrUnknownSession
	}
	// Redis's own expiry only collects garbage: a paused or restored Redis must not lengthen a session.
	now := s.now()
	if r.ID != id || r.Subject.Session != id || !now.Before(r.Expiry) || !now.Before(r.Subject.Expiry) {
		return record{}, ErrUnknownSession
	}
	return r, nil
}

// Revoke ends a session at once. It returns ErrUnknownSession if there is none.
func (s *Sessions) Revoke(ctx context.Context, id string) error {
	r, err := s.read(ctx, id)
	if err != nil {
		if errors.Is(err, sealed.ErrForged) { // it opens nothing, and goes
			return s.remove(ctx, id)
		}
		return err
	}
	if err := s.Ban(ctx, s.session(r)); err != nil {
		return err
	}
	return s.remove(ctx, id)
}

func (s *Sessions) remove(ctx context.Context, id string) error {
	n, err := s.redis.Del(ctx, sessionKey+id).Result()
	if err != nil {
		return fmt.Errorf("revoke session %s in Redis: %w", id, err)
	}
	if n == 0 {
		return ErrUnknownSession
	}
	return nil
}

// List returns all sessions that are live, oldest first, and those entries that were not written by this gateway.
func (s *Sessions) List(ctx context.Context) ([]Session, error) {
	ids, err := SessionIDs(ctx, s.redis, sessionKey)
	if err != nil {
		return nil, fmt.Errorf("list sessions in Redis: %w", err)
	}
	sessions := make([]Session, 0, len(ids))
	for _, id := range ids {
		r, err := s.read(ctx, id)
		switch {
		case err == nil:
			sessions = append(sessions, s.session(r))
		case errors.Is(err, sealed.ErrForged):
			sessions = append(sessions, Session{ID: id, Forged: true})
		case !errors.Is(err, ErrUnknownSession):
			return nil, err
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

// End is when the session itself ends.
func (s Session) End() time.Time {
	if s.Ends.IsZero() {
		return s.Expiry
	}
	return s.Ends
}

func sessionID(access string) string {
	digest := sha256.Sum256([]byte(access))
	return hex.EncodeToString(digest[:])
}

// sessionPurpose has another number when a Subject means something else: a session of before says
// who is known by the rules of then.
func sessionPurpose(id string) string { return "redis/session/v2/" + id }
