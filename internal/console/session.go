package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealed"
)

// errNoSession is returned for a session that is over, was revoked, or never was.
var errNoSession = errors.New("no such session")

// session is one login of one person in one browser. Redis holds it sealed, under the digest of the cookie's value, which is stored nowhere.
type session struct {
	ID       string           `json:"id"` // hex SHA-256 of the cookie's value
	Subject  identity.Subject `json:"subject"`
	AuthTime time.Time        `json:"auth_time"` // when the person proved to the issuer who they are
	Created  time.Time        `json:"created"`
	Expires  time.Time        `json:"expires"`
}

// sessions are allow-listed: what Redis has forgotten is over, and what the gateway did not write opens nothing.
type sessions struct {
	redis  redis.UniversalClient
	keys   *sealed.Keyring
	life   time.Duration
	secure bool // cookies travel over https only
	bans   Bans
	log    *slog.Logger
	now    func() time.Time
}

// Bans remember sessions that were revoked, whatever Redis may show later. *identity.Sessions does.
type Bans interface {
	Ban(ctx context.Context, s identity.Session) error
	Banned(id string) bool
}

const consoleSessionKey = "bqgate:console-session:"

// sessionPurpose has another number when a Subject means something else: a session of before says
// who is known by the rules of then.
func sessionPurpose(id string) string { return "redis/console-session/v2/" + id }

func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// secret is 256 random bits as text.
func secret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// open begins a session. Its cookie is always new: a value that somebody planted before the login is worth nothing after it.
func (s *sessions) open(ctx context.Context, w http.ResponseWriter, subject identity.Subject, authTime time.Time) error {
	value := secret()
	now := s.now()
	r := session{ID: digestOf(value), Subject: subject, AuthTime: authTime, Created: now, Expires: now.Add(s.life)}
	text, err := s.keys.Seal(sessionPurpose(r.ID), r)
	if err != nil {
		return err
	}
	if err := s.redis.Set(ctx, consoleSessionKey+r.ID, text, s.life).Err(); err != nil {
		return fmt.Errorf("write console session to Redis: %w", err)
	}
	s.setCookie(w, s.name(sessionCookie), value, s.life)
	return nil
}

// of returns the session of a request. Redis's expiry only collects garbage: the time in the sealed record counts.
func (s *sessions) of(r *http.Request) (session, error) {
	value, ok := s.cookie(r, sessionCookie)
	if !ok {
		return session{}, errNoSession
	}
	return s.read(r.Context(), digestOf(value))
}

func (s *sessions) read(ctx context.Context, id string) (session, error) {
	text, err := s.redis.Get(ctx, consoleSessionKey+id).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return session{}, errNoSession
	case err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE"):
		s.log.Error("console session in Redis was not written by this gateway", "session", id)
		return session{}, fmt.Errorf("%w: %w", errNoSession, sealed.ErrForged)
	case err != nil:
		return session{}, fmt.Errorf("read console session from Redis: %w", err)
	}
	var out session
	if err := s.keys.Open(sessionPurpose(id), text, &out); err != nil {
		s.log.Error("console session in Redis was not written by this gateway", "session", id, "error", err)
		return session{}, fmt.Errorf("%w: %w", errNoSession, err)
	}
	if s.bans.Banned(id) {
		s.log.Error("console session in Redis was put back after it was revoked", "session", id)
		return session{}, errNoSession
	}
	if out.ID != id || !s.now().Before(out.Expires) || out.Subject.Issuer == "" || out.Subject.Sub == "" {
		return session{}, errNoSession
	}
	return out, nil
}

// end ends the session of a request, if it has one.
func (s *sessions) end(r *http.Request) error {
	value, ok := s.cookie(r, sessionCookie)
	if !ok {
		return nil
	}
	found, err := s.read(r.Context(), digestOf(value))
	if errors.Is(err, errNoSession) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.bans.Ban(r.Context(), found.public()); err != nil {
		return err
	}
	return RevokeSession(r.Context(), s.redis, found.ID)
}

func (s session) public() identity.Session {
	return identity.Session{ID: s.ID, Issuer: s.Subject.Issuer, Subject: s.Subject.Sub, Owner: s.Subject.Owner, Created: s.Created, Expiry: s.Expires, Console: true}
}

// ListSessions returns who is logged in to the console, oldest first, and those entries that this gateway did not write.
func ListSessions(ctx context.Context, client redis.UniversalClient, keys *sealed.Keyring, bans Bans) ([]identity.Session, error) {
	ids, err := identity.SessionIDs(ctx, client, consoleSessionKey)
	if err != nil {
		return nil, fmt.Errorf("list console sessions in Redis: %w", err)
	}
	s := sessions{redis: client, keys: keys, bans: bans, log: slog.New(slog.DiscardHandler), now: time.Now}
	var all []identity.Session
	for _, id := range ids {
		found, err := s.read(ctx, id)
		switch {
		case errors.Is(err, sealed.ErrForged):
			all = append(all, identity.Session{ID: id, Console: true, Forged: true})
		case err == nil:
			all = append(all, found.public())
		case !errors.Is(err, errNoSession):
			return nil, err
		}
	}
	identity.SortSessions(all)
	return all, nil
}

// RevokeSession takes a session out of Redis. One that is not there is over already.
func RevokeSession(ctx context.Context, client redis.UniversalClient, id string) error {
	if err := client.Del(ctx, consoleSessionKey+id).Err(); err != nil {
		return fmt.Errorf("end console session in Redis: %w", err)
	}
	return nil
}

// Cookies, by what they hold.
const (
	sessionCookie = "bqgate"
	loginCookie   = "bqgate-login"
)

// name binds a cookie to this host and to https by the prefix that browsers enforce (RFC 6265bis section 4.1.3.2). Plain http is for loopback only.
func (s *sessions) name(cookie string) string {
	if s.secure {
		return "__Host-" + cookie
	}
	return cookie
}

func (s *sessions) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (s *sessions) dropCookie(w http.ResponseWriter, cookie string) {
	http.SetCookie(w, &http.Cookie{Name: s.name(cookie), Path: "/", MaxAge: -1, Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// cookie returns the value of a cookie that came exactly once: of two, nobody can say which is ours.
func (s *sessions) cookie(r *http.Request, cookie string) (string, bool) {
	found := r.CookiesNamed(s.name(cookie))
	if len(found) != 1 || found[0].Value == "" || len(found[0].Value) > 4096 {
		return "", false
	}
	return found[0].Value, true
}
