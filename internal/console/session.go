package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sessionstore"
)

// errNoSession is returned for a session that is over, was revoked, or never was.
var errNoSession = sessionstore.ErrUnknown

// session is one login of one person in one browser.
type session struct {
	ID       string           `json:"id"` // hex SHA-256 of the cookie's value
	Subject  identity.Subject `json:"subject"`
	AuthTime time.Time        `json:"auth_time"` // when the person proved to the issuer who they are
	Created  time.Time        `json:"created"`
	Expires  time.Time        `json:"expires"`
}

// Live implements sessionstore.Record.
func (s session) Live(id string, now time.Time) bool {
	return s.ID == id && now.Before(s.Expires) && s.Subject.Issuer != "" && s.Subject.Sub != ""
}

// sessions are the logins, and the cookies that they are known by.
type sessions struct {
	store  *sessionstore.Store[session]
	life   time.Duration
	secure bool // cookies travel over https only
	bans   Bans
	now    func() time.Time
}

// Bans remember sessions and subjects that were revoked, whatever Redis may show later.
// *identity.Sessions does.
type Bans interface {
	Ban(ctx context.Context, s identity.Session) error
	Banned(id string) bool
	Over(subject identity.Subject) bool
}

const (
	consoleSessionKey = "bqgate:console-session:"
	// sessionPurpose gets another number when the meaning of a Subject changes: an older session
	// would say by older rules who is known.
	sessionPurpose = "redis/console-session/v2/"
)

func storeOf(client redis.UniversalClient, keys *sealed.Keyring, bans Bans, log *slog.Logger,
	now func() time.Time) *sessionstore.Store[session] {
	return sessionstore.New[session](sessionstore.Options{
		Redis: client, Keys: keys, Prefix: consoleSessionKey, Purpose: sessionPurpose, What: "console session",
		Revoked: bans.Banned, Now: now, Log: log,
	})
}

// open begins a session. Its cookie is always new: a value that somebody planted before the login
// is worth nothing after it.
func (s *sessions) open(ctx context.Context, w http.ResponseWriter, subject identity.Subject, authTime time.Time) error {
	value := sessionstore.NewSecret()
	now := s.now()
	r := session{ID: sessionstore.ID(value), Subject: subject, AuthTime: authTime, Created: now, Expires: now.Add(s.life)}
	if err := s.store.Put(ctx, r.ID, r, s.life); err != nil {
		return err
	}
	s.setCookie(w, s.name(sessionCookie), value, s.life)
	return nil
}

// of returns the session of a request.
func (s *sessions) of(r *http.Request) (session, error) {
	value, ok := s.cookie(r, sessionCookie)
	if !ok {
		return session{}, errNoSession
	}
	found, err := s.store.Get(r.Context(), sessionstore.ID(value))
	if err == nil && s.bans.Over(found.Subject) {
		return session{}, errNoSession
	}
	return found, err
}

// end ends the session of a request, if it has one.
func (s *sessions) end(r *http.Request) error {
	found, err := s.of(r)
	if errors.Is(err, errNoSession) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.bans.Ban(r.Context(), found.public()); err != nil {
		return err
	}
	_, err = s.store.Remove(r.Context(), found.ID)
	return err
}

func (s session) public() identity.Session {
	return identity.Session{ID: s.ID, Issuer: s.Subject.Issuer, Subject: s.Subject.Sub, Owner: s.Subject.Owner, Created: s.Created,
		Expiry: s.Expires, Console: true}
}

// ListSessions returns who is logged in to the console, oldest first, and those entries that this
// gateway did not write.
func ListSessions(ctx context.Context, client redis.UniversalClient, keys *sealed.Keyring, bans Bans) ([]identity.Session, error) {
	entries, err := storeOf(client, keys, bans, slog.New(slog.DiscardHandler), time.Now).List(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]identity.Session, 0, len(entries))
	for _, e := range entries {
		switch {
		case e.Forged:
			all = append(all, identity.Session{ID: e.ID, Console: true, Forged: true})
		case !bans.Over(e.Record.Subject):
			all = append(all, e.Record.public())
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

// name binds a cookie to this host and to https by the prefix that browsers enforce (RFC 6265bis
// section 4.1.3.2). Plain http is for loopback only.
func (s *sessions) name(cookie string) string {
	if s.secure {
		return "__Host-" + cookie
	}
	return cookie
}

func (s *sessions) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure but where the console's own URL is http, on loopback
		Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), Secure: s.secure, HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
}

func (s *sessions) dropCookie(w http.ResponseWriter, cookie string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: as above
		Name: s.name(cookie), Path: "/", MaxAge: -1, Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// cookie returns the value of a cookie that came exactly once: of two, nobody can say which is
// ours.
func (s *sessions) cookie(r *http.Request, cookie string) (string, bool) {
	found := r.CookiesNamed(s.name(cookie))
	if len(found) != 1 || found[0].Value == "" || len(found[0].Value) > 4096 {
		return "", false
	}
	return found[0].Value, true
}
