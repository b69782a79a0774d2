package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/internal/sessionstore"
)

// gate is everything that authenticates, on one Redis.
type gate struct {
	clock    *clock
	issuer   *testIssuer
	verifier *Verifier
	sessions *Sessions
	limits   *limits.Owners // none
	auth     *Authenticator
	redis    *redis.Client
	log      *bytes.Buffer
}

func newGate(t testing.TB, addr string, change func(*Config)) *gate {
	t.Helper()
	g := &gate{clock: newClock(), issuer: newIssuer(t), log: &bytes.Buffer{}}
	config := Config{Issuers: []Issuer{{Name: "okta", URL: g.issuer.URL}}}
	if change != nil {
		change(&config)
	}
	var err error
	if g.verifier, err = newVerifier(config, g.clock.now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.verifier.Close)
	keys := sealedtest.Keyring(t, 7)
	g.redis = redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { g.redis.Close() })
	if g.sessions, err = NewSessions(g.redis, keys, config, slog.New(slog.NewJSONHandler(&syncWriter{w: g.log}, nil))); err != nil {
		t.Fatal(err)
	}
	g.sessions.Journal = &revocations{}
	g.sessions.now = g.clock.now
	if g.auth, err = NewAuthenticator(g.verifier, g.sessions); err != nil {
		t.Fatal(err)
	}
	return g
}

type syncWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// onBoth runs a test on a real redis-server and on miniredis, which the demo embeds.
func onBoth(t *testing.T, change func(*Config), test func(t *testing.T, g *gate)) {
	t.Helper()
	t.Run("redis-server", func(t *testing.T) { test(t, newGate(t, redistest.Start(t), change)) })
	t.Run("miniredis", func(t *testing.T) { test(t, newGate(t, miniredis.RunT(t).Addr(), change)) })
}

// open exchanges a new token of subject for a session.
func (g *gate) open(t testing.TB, changes claims) (access string, session Session) {
	t.Helper()
	raw := g.issuer.mint(g.clock.now(), changes)
	subject, err := g.verifier.Verify(context.Background(), raw, "bqgate")
	if err != nil {
		t.Fatal(err)
	}
	out, err := g.sessions.exchange(context.Background(), subject, raw)
	if err != nil {
		t.Fatal(err)
	}
	return out.access, out.session
}

func (g *gate) ask(access string) (Subject, error) {
	return g.auth.Authenticate(context.Background(), []string{"Bearer " + access})
}

func TestSessionIsTheSubject(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		raw := g.issuer.mint(g.clock.now(), claims{"groups": []string{"ai-agents"}, "n": 3})
		direct, err := g.ask(raw)
		if err != nil {
			t.Fatal(err)
		}
		out, err := g.sessions.exchange(context.Background(), direct, raw)
		if err != nil {
			t.Fatal(err)
		}
		access, session := out.access, out.session
		if len(access) != SessionTokenSize || !strings.HasPrefix(access, SessionPrefix) {
			t.Fatalf("session token has %d characters", len(access))
		}
		subject, err := g.ask(access)
		if err != nil {
			t.Fatal(err)
		}
		if subject.Session != session.ID {
			t.Errorf("session %q, want %q", subject.Session, session.ID)
		}
		subject.Session = ""
		if !reflect.DeepEqual(subject, direct) {
			t.Errorf("session's subject\n%+v\nis not the token's\n%+v", subject, direct)
		}
		// Neither token is anywhere in Redis, nor does a record show whose it is.
		for _, key := range g.redis.Keys(context.Background(), "*").Val() {
			value := g.redis.Get(context.Background(), key).Val()
			assertNoToken(t, key+value, raw)
			assertNoToken(t, key+value, access)
			if strings.Contains(value, "alice") {
				t.Errorf("%s shows the subject", key)
			}
		}
	})
}

func TestSessionEnds(t *testing.T) {
	onBoth(t, func(c *Config) { c.SessionMax = 5 * time.Minute }, func(t *testing.T, g *gate) {
		ctx := context.Background()
		long, session := g.open(t, nil)
		if life := session.Expiry.Sub(session.Created); life != 5*time.Minute {
			t.Errorf("session lives %s, want session_max", life)
		}
		short, session := g.open(t, claims{"exp": g.clock.now().Add(time.Minute).Unix()})
		if life := session.Expiry.Sub(session.Created); life != time.Minute {
			t.Errorf("session lives %s, want what its subject token had left", life)
		}
		if ttl := g.redis.PTTL(ctx, sessionKey+session.ID).Val(); ttl <= 0 || ttl > time.Minute {
			t.Errorf("TTL in Redis is %s", ttl)
		}
		// Redis keeps an entry for longer, be it paused or told so: the session ends all the same.
		for _, key := range g.redis.Keys(ctx, sessionKey+"*").Val() {
			g.redis.Persist(ctx, key)
		}
		g.clock.add(time.Minute)
		_, err := g.ask(short)
		wantCode(t, err, CodeSession, 401, short)
		if _, err := g.ask(long); err != nil {
			t.Error(err)
		}
		g.clock.add(4 * time.Minute)
		_, err = g.ask(long)
		wantCode(t, err, CodeSession, 401, long)
	})
}

func TestRevokedSession(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		ctx := context.Background()
		access, session := g.open(t, nil)
		other, _ := g.open(t, claims{"sub": "bob"})
		list, err := g.sessions.List(ctx)
		if err != nil || len(list) != 2 || list[0].Forged || list[0].Owner == "" {
			t.Fatalf("sessions %+v, %v", list, err)
		}
		if err := g.sessions.Revoke(ctx, session.ID); err != nil {
			t.Fatal(err)
		}
		_, err = g.ask(access)
		wantCode(t, err, CodeSession, 401, access)
		if _, err := g.ask(other); err != nil {
			t.Error(err)
		}
		if err := g.sessions.Revoke(ctx, session.ID); !errors.Is(err, ErrUnknownSession) {
			t.Errorf("revoked twice: %v", err)
		}
		if list, err := g.sessions.List(ctx); err != nil || len(list) != 1 || list[0].Subject != "bob" {
			t.Errorf("sessions %+v, %v", list, err)
		}
	})
}

// TestPlantedSessions is A11: somebody else writes to Redis.
func TestPlantedSessions(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		ctx := context.Background()
		victim, session := g.open(t, claims{"sub": "lead"})
		mine, own := g.open(t, claims{"sub": "agent"})
		sealedByGate := g.redis.Get(ctx, sessionKey+session.ID).Val()

		attackers := sealedtest.Keyring(t, 8)
		planted := SessionPrefix + strings.Repeat("A", 43)
		id := sessionstore.ID(planted)
		forged := record{ID: id, Subject: Subject{Issuer: g.issuer.URL, Name: "okta", Sub: "lead", Owner: "x",
			Expiry: g.clock.now().Add(time.Hour), Session: id}, Expiry: g.clock.now().Add(time.Hour)}
		plain, err := json.Marshal(forged)
		if err != nil {
			t.Fatal(err)
		}
		ownKey, err := attackers.Seal(sessionPurpose+id, forged)
		if err != nil {
			t.Fatal(err)
		}
		otherPurpose, err := g.sessions.keys.Seal("redis/job/"+id, forged)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"plain JSON": string(plain), "sealed with another secret": ownKey, "sealed by the gateway for something else": otherPurpose,
			"the record of another session": sealedByGate, "cut": sealedByGate[:40], "empty": "",
		} {
			t.Run(name, func(t *testing.T) {
				g.redis.Set(ctx, sessionKey+id, value, time.Hour)
				_, err := g.ask(planted)
				if err == nil {
					t.Fatalf("%s opens a session", name)
				}
				wantCode(t, err, CodeSession, 401, planted)
			})
		}
		// The attacker's own session, overwritten with the record of the victim's.
		g.redis.Set(ctx, sessionKey+own.ID, sealedByGate, time.Hour)
		_, err = g.ask(mine)
		wantCode(t, err, CodeSession, 401, mine)
		g.redis.Del(ctx, sessionKey+own.ID)
		g.redis.LPush(ctx, sessionKey+own.ID, sealedByGate)
		_, err = g.ask(mine)
		wantCode(t, err, CodeSession, 401, mine)

		if subject, err := g.ask(victim); err != nil || subject.Sub != "lead" {
			t.Errorf("the real session: %+v, %v", subject, err)
		}
		list, err := g.sessions.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var forgedOnes int
		for _, session := range list {
			if session.Forged {
				forgedOnes++
			}
		}
		if len(list) != 3 || forgedOnes != 2 {
			t.Errorf("list shows %d forged of %d, want 2 of 3", forgedOnes, len(list))
		}
		if !strings.Contains(g.log.String(), "not written by this gateway") {
			t.Error("nothing in the log about planted entries")
		}
		assertNoToken(t, g.log.String(), planted)
	})
}

func TestSessionOfARemovedIssuer(t *testing.T) {
	addr := redistest.Start(t)
	before := newGate(t, addr, nil)
	access, _ := before.open(t, nil)
	after := newGate(t, addr, nil) // the same secret and Redis, another issuer
	_, err := after.ask(access)
	wantCode(t, err, CodeSession, 401, access)
	if _, err := before.ask(access); err != nil {
		t.Error(err)
	}
}

func TestRedisGoneOrFrozen(t *testing.T) {
	server := redistest.StartServer(t)
	g := newGate(t, server.Addr, nil)
	access, _ := g.open(t, nil)
	raw := g.issuer.mint(g.clock.now(), nil)

	if err := syscall.Kill(server.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := g.auth.Authenticate(ctx, []string{"Bearer " + access})
	wantCode(t, err, CodeUnavailable, 403, access)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("a frozen Redis holds the request for %s", took)
	}
	if err := syscall.Kill(server.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, err = g.ask(access)
	wantCode(t, err, CodeUnavailable, 403, access)
	if _, err := g.ask(raw); err != nil {
		t.Errorf("a raw token needs no Redis: %v", err)
	}
	if _, err := g.sessions.List(context.Background()); err == nil {
		t.Error("sessions are listed without Redis")
	}
}

// A11: whoever can write Redis kept the sealed record of a session, and puts it back after it was
// revoked: into the life of this process, and of the next one, which has the journal's word.
func TestRevokedSessionPutBack(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		ctx := context.Background()
		access, session := g.open(t, nil)
		kept := g.redis.Get(ctx, sessionKey+session.ID).Val()
		journal := &revocations{}
		g.sessions.Journal = journal
		journal.fail = errors.New("disk is full")
		if err := g.sessions.Revoke(ctx, session.ID); !errors.Is(err, journal.fail) {
			t.Fatalf("revoked without a journal: %v", err)
		}
		if _, err := g.ask(access); err != nil {
			t.Fatalf("half revoked: %v", err)
		}
		journal.fail = nil
		if err := g.sessions.Revoke(ctx, session.ID); err != nil {
			t.Fatal(err)
		}
		g.redis.Set(ctx, sessionKey+session.ID, kept, time.Hour)
		_, err := g.ask(access)
		wantCode(t, err, CodeSession, 401, access)
		// The next life of the process.
		g.sessions.revoked = revoked{}
		if _, err := g.ask(access); err != nil {
			t.Fatalf("the test does not put back what it should: %v", err)
		}
		for _, s := range journal.done {
			g.sessions.LearnRevoked(s.ID, s.Expiry)
		}
		_, err = g.ask(access)
		wantCode(t, err, CodeSession, 401, access)
	})
}

type revocations struct {
	pulse durable.Pulse
	fail  error
	done  []Session
}

// SessionOpened fails for no test that opens sessions.
func (r *revocations) SessionOpened(ctx context.Context, s Session, _ Subject) (durable.Opened, error) {
	if r.fail != nil {
		return nil, r.fail
	}
	return durable.OpenSession(ctx, &audittest.Journal{}, audit.Session{ID: s.ID})
}

func (r *revocations) SessionGivenAgain(ctx context.Context) (durable.Answer, error) {
	if r.fail != nil {
		return nil, r.fail
	}
	return r.pulse.SessionAgain(ctx, &audittest.Journal{})
}

func (r *revocations) SessionRevoked(_ context.Context, s Session) error {
	if r.fail != nil {
		return r.fail
	}
	r.done = append(r.done, s)
	return nil
}
