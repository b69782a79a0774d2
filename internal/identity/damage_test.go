package identity

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/sessionstore"
)

// Every key of a session × every kind of damage, by whoever can write Redis (A11). No session opens
// but the one that was there, none is longer, and no other session is denied; and the client whose
// session it was exchanges its token again, at once, and so does one with a new token.
func TestDamageUnderEveryKeyOfASession(t *testing.T) {
	damage := map[string]func(ctx context.Context, g *gate, key, other, old string) error{
		"missing": func(ctx context.Context, g *gate, key, _, _ string) error { return g.redis.Del(ctx, key).Err() },
		"a list": func(ctx context.Context, g *gate, key, _, _ string) error {
			return errors.Join(g.redis.Del(ctx, key).Err(), g.redis.LPush(ctx, key, "x").Err())
		},
		"a hash": func(ctx context.Context, g *gate, key, _, _ string) error {
			return errors.Join(g.redis.Del(ctx, key).Err(), g.redis.HSet(ctx, key, "x", "y").Err())
		},
		"empty": func(ctx context.Context, g *gate, key, _, _ string) error { return g.redis.Set(ctx, key, "", 0).Err() },
		"garbage": func(ctx context.Context, g *gate, key, _, _ string) error {
			return g.redis.Set(ctx, key, "\x00{", 0).Err()
		},
		"cut": func(ctx context.Context, g *gate, key, _, _ string) error {
			return g.redis.Set(ctx, key, g.redis.Get(ctx, key).Val()[:40], 0).Err()
		},
		"continued": func(ctx context.Context, g *gate, key, _, _ string) error { return g.redis.Append(ctx, key, "A").Err() },
		"of another key": func(ctx context.Context, g *gate, key, other, _ string) error {
			return g.redis.Set(ctx, key, other, 0).Err()
		},
		"older": func(ctx context.Context, g *gate, key, _, old string) error {
			return g.redis.Set(ctx, key, old, 0).Err()
		},
		"huge": func(ctx context.Context, g *gate, key, _, _ string) error {
			return g.redis.Set(ctx, key, strings.Repeat("x", 48<<20), 0).Err()
		},
		"huge, and begins well": func(ctx context.Context, g *gate, key, _, _ string) error {
			return g.redis.Append(ctx, key, strings.Repeat("x", 48<<20)).Err()
		},
		"kept for ever": func(ctx context.Context, g *gate, key, _, _ string) error { return g.redis.Persist(ctx, key).Err() },
	}
	keys := map[string]func(out exchanged) string{
		"the session": func(out exchanged) string { return sessionKey + out.session.ID },
		"its token":   func(out exchanged) string { return subjectTokenKey + out.session.Token },
	}
	onBoth(t, func(c *Config) { c.SessionsPerToken, c.SessionMax = 3, 10*time.Minute }, func(t *testing.T, g *gate) {
		ctx := t.Context()
		for where, key := range keys {
			for name, harm := range damage {
				t.Run(where+"/"+name, func(t *testing.T) {
					mint := func(sub, jti string) string {
						return g.issuer.mint(
							g.clock.now(),
							claims{"sub": sub, "jti": where + name + jti, "exp": g.clock.now().Add(50 * time.Minute).Unix()},
						)
					}
					raw := mint("alice", "")
					first := g.mustExchange(t, raw)
					old := g.redis.Get(ctx, key(first)).Val()
					g.clock.add(9 * time.Minute) // the first session is about to end, and the token opens another
					mine := g.mustExchange(t, raw)
					lead := g.mustExchange(t, mint("lead", ""))
					if mine.session.ID == first.session.ID {
						t.Fatal("the token has opened no second session")
					}
					if err := harm(ctx, g, key(mine), g.redis.Get(ctx, key(lead)).Val(), old); err != nil {
						t.Fatal(err)
					}

					if s, err := g.ask(mine.access); err == nil && (s.Sub != "alice" || s.Session != mine.session.ID) {
						t.Errorf("it opens the session of %q", s.Sub)
					} else if untouched := where == "its token" || name == "kept for ever"; (err == nil) != untouched {
						t.Errorf("the session: %v", err)
					} else if err != nil {
						wantCode(t, err, CodeSession, 401, mine.access)
					}
					if s, err := g.ask(lead.access); err != nil || s.Sub != "lead" {
						t.Errorf("another's session: %+v, %v", s, err)
					}
					if _, err := g.sessions.List(ctx); err != nil {
						t.Errorf("listing sessions: %v", err)
					}

					for what, token := range map[string]string{"its token again": raw, "a new token": mint("alice", "new")} {
						out, err := g.exchange(t, token)
						if err != nil {
							t.Errorf("%s: %v", what, err)
							continue
						}
						if s, err := g.ask(out.access); err != nil || s.Sub != "alice" {
							t.Errorf("%s opens %+v, %v", what, s, err)
						}
						if out.left > 10*time.Minute {
							t.Errorf("%s opens a session of %s", what, out.left)
						}
					}
					g.clock.add(10 * time.Minute)
					for _, access := range []string{first.access, mine.access} {
						if _, err := g.ask(access); err == nil {
							t.Error("a session is good after its end")
						}
					}
				})
			}
		}
	})
}

// A revoked session and its token stay so, whatever of both is put back.
func TestOlderEntriesAfterARevocation(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		ctx := t.Context()
		raw := g.issuer.mint(g.clock.now(), nil)
		out := g.mustExchange(t, raw)
		entries := map[string]string{}
		for _, key := range g.redis.Keys(ctx, "*").Val() {
			entries[key] = g.redis.Get(ctx, key).Val()
		}
		if err := g.sessions.Revoke(ctx, out.session.ID); err != nil {
			t.Fatal(err)
		}
		for key, text := range entries {
			g.redis.Set(ctx, key, text, 0)
		}
		if _, err := g.ask(out.access); err == nil {
			t.Error("a revoked session opens again")
		}
		if _, err := g.exchange(t, raw); err == nil {
			t.Error("a token of a revoked session opens another")
		}
		if live, err := g.sessions.Live(ctx, sessionstore.ID(out.access)); live || err != nil {
			t.Errorf("live %t, %v", live, err)
		}
	})
}
