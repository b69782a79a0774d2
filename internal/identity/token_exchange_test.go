package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealedtest"
)

// replica is another gateway of the same configuration: the same Redis, sealing secret and issuer.
func (g *gate) replica(t testing.TB, change func(*Config)) *gate {
	t.Helper()
	other := *g
	config := Config{Issuers: []Issuer{{Name: "okta", URL: g.issuer.URL}}}
	if change != nil {
		change(&config)
	}
	var err error
	if other.verifier, err = newVerifier(config, g.clock.now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.verifier.Close)
	other.redis = redis.NewClient(&redis.Options{Addr: g.redis.Options().Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { other.redis.Close() })
	if other.sessions, err = NewSessions(other.redis, g.sessions.keys, config, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	other.sessions.Journal = &revocations{}
	other.sessions.now = g.clock.now
	if other.auth, err = NewAuthenticator(other.verifier, other.sessions); err != nil {
		t.Fatal(err)
	}
	return &other
}

// exchange presents a token, as the token endpoint does.
func (g *gate) exchange(t testing.TB, raw string) (exchanged, error) {
	t.Helper()
	subject, err := g.verifier.Verify(context.Background(), raw, "bqgate")
	if err != nil {
		t.Fatal(err)
	}
	return g.sessions.exchange(context.Background(), subject, raw)
}

func (g *gate) mustExchange(t testing.TB, raw string) exchanged {
	t.Helper()
	out, err := g.exchange(t, raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// spend makes a token look as if it had opened all the sessions that one may.
func (g *gate) spend(t testing.TB, raw string) {
	t.Helper()
	_, err := g.sessions.setOpening(t.Context(), g.sessions.TokenDigest(raw), "", opening{Count: g.sessions.perToken}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
}

// kept is everything that Redis holds, as somebody could keep who reads it.
func (g *gate) kept(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range g.redis.Keys(t.Context(), "*").Val() {
		all[key] = g.redis.Get(t.Context(), key).Val()
	}
	return all
}

func (g *gate) putBack(t testing.TB, kept map[string]string) {
	t.Helper()
	for key, value := range kept {
		if err := g.redis.Set(t.Context(), key, value, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestATokenGetsItsSessionAgain(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		raw := g.issuer.mint(g.clock.now(), nil)
		first := g.mustExchange(t, raw)
		if first.again || first.left != 10*time.Minute {
			t.Fatalf("the first exchange: again %v, %s left", first.again, first.left)
		}
		other := g.replica(t, nil)
		g.clock.add(9*time.Minute + 30*time.Second)
		for name, at := range map[string]*gate{"here": g, "at another replica": other} {
			t.Run(name, func(t *testing.T) {
				out := at.mustExchange(t, raw)
				if !out.again || out.access != first.access || out.session.ID != first.session.ID ||
					!out.session.Expiry.Equal(first.session.Expiry) {
					t.Errorf("%s: another session: %+v, the first was %+v", name, out.session, first.session)
				}
				if out.left != 30*time.Second {
					t.Errorf("%s: told %s, the session has 30 s", name, out.left)
				}
				if subject, err := at.ask(out.access); err != nil || subject.Sub != "alice" {
					t.Errorf("%s: %+v, %v", name, subject, err)
				}
			})
		}
		// Redis has lost the session: it is opened as it was.
		g.redis.Del(t.Context(), sessionKey+first.session.ID)
		out := g.mustExchange(t, raw)
		if out.again || out.access != first.access || !out.session.Expiry.Equal(first.session.Expiry) {
			t.Errorf("a session that Redis lost comes back as %+v", out.session)
		}
		g.clock.add(29*time.Second + 500*time.Millisecond)
		subject := Subject{Issuer: g.issuer.URL, Sub: "alice", Expiry: first.session.Expiry}
		if _, err := g.sessions.exchange(t.Context(), subject, raw); !errors.Is(err, errEnding) {
			t.Errorf("half a second before its end the token opens a session: %v", err)
		}
	})
}

// However many exchange one token at the same time, wherever, it is one session.
func TestParallelExchangesAreOneSession(t *testing.T) {
	onBoth(t, func(c *Config) { c.SessionsPerToken = 1 }, func(t *testing.T, g *gate) {
		change := func(c *Config) { c.SessionsPerToken = 1 }
		replicas := []*gate{g, g.replica(t, change), g.replica(t, change)}
		var ticks atomic.Int64 // no two ask at the same moment
		for _, at := range replicas {
			at.sessions.now = func() time.Time { return g.clock.now().Add(time.Duration(ticks.Add(1)) * time.Millisecond) }
		}
		raw := g.issuer.mint(g.clock.now(), nil)
		got := make([]exchanged, 64)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				out, err := replicas[i%len(replicas)].exchange(t, raw)
				if err != nil {
					t.Error(err)
				}
				got[i] = out
			})
		}
		wg.Wait()
		for i, out := range got {
			if out.access != got[0].access || !out.session.Expiry.Equal(got[0].session.Expiry) {
				t.Fatalf("exchange %d got session %s until %s, the first %s until %s",
					i, out.session.ID, out.session.Expiry, got[0].session.ID, got[0].session.Expiry)
			}
		}
		if list, err := g.sessions.List(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("%d sessions, %v", len(list), err)
		}
	})
}

// Each token has its own session, also those of one person, and those that say the same but for one
// claim.
func TestEachTokenHasItsOwnSession(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		seen := map[string]string{}
		for name, changes := range map[string]claims{
			"alice": nil, "alice again": {"jti": "2"}, "bob": {"sub": "bob"}, "more groups": {"groups": []string{"data-owners"}},
			"longer": {"exp": g.clock.now().Add(11 * time.Minute).Unix()},
		} {
			t.Run(name, func(t *testing.T) {
				out := g.mustExchange(t, g.issuer.mint(g.clock.now(), changes))
				if other, ok := seen[out.access]; ok {
					t.Errorf("%s got the session of %s", name, other)
				}
				seen[out.access] = name
			})
		}
	})
}

// A token that is read otherwise than before, by a configuration that has changed, does not get the
// session of the reading of before.
func TestAnotherReadingIsAnotherSession(t *testing.T) {
	g := newGate(t, redistest.Start(t), nil)
	raw := g.issuer.mint(g.clock.now(), claims{"run": "7"})
	before := g.mustExchange(t, raw)
	changed := g.replica(t, func(c *Config) {
		c.Issuers[0].Workload, c.Issuers[0].Owner, c.Issuers[0].Grant = true, []string{"run"}, []string{"run"}
	})
	after := changed.mustExchange(t, raw)
	if after.access == before.access || after.session.Owner == before.session.Owner {
		t.Errorf("the session of before is given: %+v", after.session)
	}
	if subject, err := changed.ask(after.access); err != nil || !subject.Workload {
		t.Errorf("%+v, %v", subject, err)
	}
}

func TestASessionIsRenewedOnlyForALongerOne(t *testing.T) {
	onBoth(t, func(c *Config) { c.SessionMax, c.SessionsPerToken = 20*time.Minute, 3 }, func(t *testing.T, g *gate) {
		raw := g.issuer.mint(g.clock.now(), claims{"exp": g.clock.now().Add(55 * time.Minute).Unix()})
		first := g.mustExchange(t, raw)
		steps := []struct {
			after time.Duration
			again bool
			left  time.Duration
		}{
			{14 * time.Minute, true, 6 * time.Minute},  // 0:14
			{2 * time.Minute, false, 20 * time.Minute}, // 0:16, the second session, until 0:36
			{14 * time.Minute, true, 6 * time.Minute},  // 0:30
			{2 * time.Minute, false, 20 * time.Minute}, // 0:32, the third, until 0:52
			{18 * time.Minute, true, 2 * time.Minute},  // 0:50: there is no fourth, and this one lives
			{2 * time.Minute, false, 0},                // 0:52
		}
		for i, step := range steps {
			g.clock.add(step.after)
			out, err := g.exchange(t, raw)
			if step.left == 0 {
				if !errors.Is(err, errTooMany) {
					t.Errorf("step %d: a session too many: %v", i, err)
				}
				break
			}
			if err != nil || out.again != step.again || out.left != step.left {
				t.Fatalf("step %d: again %v with %s left (%v), want %v with %s", i, out.again, out.left, err, step.again, step.left)
			}
			if !step.again && out.access == first.access {
				t.Errorf("step %d: a new session has the old token", i)
			}
		}
		for _, key := range g.redis.Keys(t.Context(), subjectTokenKey+"*").Val() {
			if ttl := g.redis.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > 56*time.Minute {
				t.Errorf("what is known of a token is kept for %s", ttl)
			}
		}
	})
}

// A51: a token whose session was revoked opens none, gets none again and is no credential itself:
// here, at other replicas, after a restart, and whatever somebody puts back into Redis.
func TestARevokedSessionIsNotGivenAgain(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		other := g.replica(t, nil)
		raw := g.issuer.mint(g.clock.now(), nil)
		journal := &revocations{}
		g.sessions.Journal = journal
		first := g.mustExchange(t, raw)
		kept := g.kept(t)
		if err := g.sessions.Revoke(t.Context(), first.session.ID); err != nil {
			t.Fatal(err)
		}
		refuses := func(when string, at *gate) {
			t.Helper()
			if out, err := at.exchange(t, raw); !errors.Is(err, errRevoked) {
				t.Errorf("%s: %+v, %v", when, out.session, err)
			}
			_, err := at.ask(first.access)
			wantCode(t, err, CodeSession, 401, first.access)
		}
		refuses("here", g)
		refuses("at a replica that was not told", other)
		_, err := g.ask(raw)
		wantCode(t, err, CodeRevoked, 403, raw)

		g.putBack(t, kept)
		refuses("put back", g)
		_, err = g.ask(raw)
		wantCode(t, err, CodeRevoked, 403, raw)
		if list, err := g.sessions.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("listed: %+v, %v", list, err)
		}
		restarted := g.replica(t, nil)
		for _, s := range journal.done {
			restarted.sessions.LearnRevoked(s.ID, s.End())
			restarted.sessions.LearnRevoked(s.Token, s.TokenEnds)
		}
		refuses("put back, after a restart", restarted)
		g.clock.add(9 * time.Minute)
		refuses("later", restarted)

		if _, err := g.exchange(t, g.issuer.mint(g.clock.now(), claims{"jti": "new"})); err != nil {
			t.Errorf("another token of the same person: %v", err)
		}
	})
}

// Every session of the token ends, not only the newest.
func TestARevocationEndsEverySessionOfTheToken(t *testing.T) {
	onBoth(t, func(c *Config) { c.SessionMax = 10 * time.Minute }, func(t *testing.T, g *gate) {
		raw := g.issuer.mint(g.clock.now(), claims{"exp": g.clock.now().Add(30 * time.Minute).Unix()})
		first := g.mustExchange(t, raw)
		g.clock.add(6 * time.Minute)
		second := g.mustExchange(t, raw)
		if second.access == first.access {
			t.Fatal("the token has one session only")
		}
		if err := g.sessions.Revoke(t.Context(), second.session.ID); err != nil {
			t.Fatal(err)
		}
		for _, access := range []string{first.access, second.access} {
			_, err := g.ask(access)
			wantCode(t, err, CodeSession, 401, access)
		}
		if live, err := g.sessions.Live(t.Context(), first.session.ID); live || err != nil {
			t.Errorf("the older session is live: %v, %v", live, err)
		}
		if list, err := g.sessions.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("listed: %+v, %v", list, err)
		}
	})
}

// Who holds an ECDSA signature (r, s) can write it as (r, n-s), which is as valid. It is the same
// token.
func TestASecondWritingOfTheSignatureIsTheSameToken(t *testing.T) {
	g := newGate(t, redistest.Start(t), nil)
	key := newEC(t)
	g.issuer.rotate("ec", "ES256", key)
	raw := g.issuer.mint(g.clock.now(), nil)
	parts := strings.Split(raw, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	high := new(big.Int).Sub(key.Params().N, new(big.Int).SetBytes(signature[32:]))
	high.FillBytes(signature[32:])
	parts[2] = base64.RawURLEncoding.EncodeToString(signature)
	twin := strings.Join(parts, ".")

	first, second := g.mustExchange(t, raw), g.mustExchange(t, twin)
	if twin == raw || first.access != second.access {
		t.Fatalf("the second writing opens another session")
	}
	if err := g.sessions.Revoke(t.Context(), first.session.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := g.exchange(t, twin); !errors.Is(err, errRevoked) {
		t.Errorf("revoked, and opened again by the second writing: %v", err)
	}
	_, err = g.ask(twin)
	wantCode(t, err, CodeRevoked, 403, twin)
}

// A revocation that comes between reading the token's entry and writing the session's record.
func TestARevocationDuringAnExchange(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		raw := g.issuer.mint(g.clock.now(), nil)
		slow, quick, operator := g.replica(t, nil), g.replica(t, nil), g.replica(t, nil)
		var opened exchanged
		slow.redis.AddHook(beforeFirst{new(sync.Once), sessionKey, func() {
			opened = quick.mustExchange(t, raw)
			if err := operator.sessions.Revoke(t.Context(), opened.session.ID); err != nil {
				t.Error(err)
			}
		}})
		if out, err := slow.exchange(t, raw); !errors.Is(err, errRevoked) {
			t.Errorf("%+v, %v", out.session, err)
		}
		_, err := slow.ask(opened.access)
		wantCode(t, err, CodeSession, 401, opened.access)
	})
}

// beforeFirst does something before the first SET of a key with the prefix.
type beforeFirst struct {
	once   *sync.Once
	prefix string
	do     func()
}

func (beforeFirst) DialHook(next redis.DialHook) redis.DialHook { return next }

func (beforeFirst) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (b beforeFirst) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, c redis.Cmder) error {
		if key, _ := c.Args()[min(1, len(c.Args())-1)].(string); c.Name() == "set" && strings.HasPrefix(key, b.prefix) {
			b.once.Do(b.do)
		}
		return next(ctx, c)
	}
}

// A11: what somebody else writes about a token gives nobody a session of somebody else's, no longer
// one, and keeps nobody from theirs.
func TestPlantedEntriesOfATokenSayNothing(t *testing.T) {
	onBoth(t, func(c *Config) { c.SessionsPerToken = 2 }, func(t *testing.T, g *gate) {
		ctx := t.Context()
		victim := g.mustExchange(t, g.issuer.mint(g.clock.now(), claims{"sub": "lead"}))
		theirs := g.redis.Get(ctx, subjectTokenKey+victim.session.Token).Val()
		record := g.redis.Get(ctx, sessionKey+victim.session.ID).Val()
		attackers := sealedtest.Keyring(t, 8)
		forged := opening{Created: g.clock.now().Add(time.Hour), Count: 99, Revoked: true}
		plain, err := json.Marshal(forged)
		if err != nil {
			t.Fatal(err)
		}
		for name, plant := range map[string]func(key string){
			"plain JSON": func(key string) { g.redis.Set(ctx, key, plain, 0) },
			"sealed with another secret": func(key string) {
				text, err := attackers.Seal(subjectTokenPurpose+strings.TrimPrefix(key, subjectTokenKey), forged)
				if err != nil {
					t.Fatal(err)
				}
				g.redis.Set(ctx, key, text, 0)
			},
			"sealed by the gateway for something else": func(key string) { g.redis.Set(ctx, key, record, 0) },
			"the entry of another token":               func(key string) { g.redis.Set(ctx, key, theirs, 0) },
			"cut":                                      func(key string) { g.redis.Set(ctx, key, theirs[:40], 0) },
			"empty":                                    func(key string) { g.redis.Set(ctx, key, "", 0) },
			"a list":                                   func(key string) { g.redis.Del(ctx, key); g.redis.LPush(ctx, key, theirs) },
			"a hash":                                   func(key string) { g.redis.Del(ctx, key); g.redis.HSet(ctx, key, "created", "0") },
		} {
			t.Run(name, func(t *testing.T) {
				raw := g.issuer.mint(g.clock.now(), claims{"jti": name})
				plant(subjectTokenKey + g.sessions.TokenDigest(raw))
				for range 3 {
					out, err := g.exchange(t, raw)
					if err != nil {
						t.Fatal(err)
					}
					subject, err := g.ask(out.access)
					if err != nil || subject.Sub != "alice" || out.access == victim.access || out.left != 10*time.Minute {
						t.Errorf("%+v, %v, %s left", subject, err, out.left)
					}
				}
			})
		}
		if strings.Count(g.log.String(), "entry of a subject token in Redis was ") < 8 {
			t.Error("not every planted entry is in the log")
		}
	})
}

// A planted record under the id of the session that a token is about to get again.
func TestAPlantedRecordIsWrittenOver(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		ctx := t.Context()
		raw := g.issuer.mint(g.clock.now(), nil)
		first := g.mustExchange(t, raw)
		lead := g.mustExchange(t, g.issuer.mint(g.clock.now(), claims{"sub": "lead"}))
		key := sessionKey + first.session.ID
		for name, plant := range map[string]func(){
			"the record of another": func() { g.redis.Set(ctx, key, g.redis.Get(ctx, sessionKey+lead.session.ID).Val(), 0) },
			"junk":                  func() { g.redis.Set(ctx, key, "{}", 0) },
			"a list":                func() { g.redis.Del(ctx, key); g.redis.LPush(ctx, key, "x") },
		} {
			t.Run(name, func(t *testing.T) {
				plant()
				if out := g.mustExchange(t, raw); out.again || out.access != first.access {
					t.Errorf("again %v", out.again)
				}
				if subject, err := g.ask(first.access); err != nil || subject.Sub != "alice" {
					t.Errorf("%+v, %v", subject, err)
				}
			})
		}
	})
}

// What stands in Redis does not tell the session's token, nor whose it is, nor whether a guess at a
// token is right.
func TestRedisTellsNoToken(t *testing.T) {
	g := newGate(t, miniredis.RunT(t).Addr(), nil)
	raw := g.issuer.mint(g.clock.now(), nil)
	first := g.mustExchange(t, raw)
	elsewhere := sealedtest.Keyring(t, 9)
	stranger := &Sessions{keys: elsewhere}
	if stranger.TokenDigest(raw) == g.sessions.TokenDigest(raw) {
		t.Error("the digest of a token is not keyed")
	}
	for key, value := range g.kept(t) {
		assertNoToken(t, key+value, first.access)
		assertNoToken(t, key+value, raw)
	}
}

// A43: with a dead journal no session is opened, none is given again, and none is in Redis that
// would be good.
func TestNoSessionWithoutItsRecord(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		fault := errors.New("disk is full")
		for name, journal := range map[string]Journal{"dead": &revocations{fail: fault}, "missing": nil} {
			t.Run(name, func(t *testing.T) {
				g.sessions.Journal = &revocations{}
				given := g.issuer.mint(g.clock.now(), claims{"jti": "given " + name})
				g.mustExchange(t, given)
				before, err := g.sessions.List(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				g.sessions.Journal = journal
				for what, raw := range map[string]string{"opened": g.issuer.mint(g.clock.now(), claims{"jti": "new " + name}),
					"given again": given} {
					t.Run(what, func(t *testing.T) {
						if out, err := g.exchange(t, raw); err == nil || out.access != "" || journal != nil && !errors.Is(err, fault) {
							t.Errorf("%s journal: a session was %s: %+v, %v", name, what, out.session, err)
						}
					})
				}
				if after, err := g.sessions.List(t.Context()); err != nil || len(after) != len(before) {
					t.Errorf("%s journal: %d sessions, then %d, %v", name, len(before), len(after), err)
				}
			})
		}
	})
}
