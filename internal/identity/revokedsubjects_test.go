package identity

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// revoke revokes a subject of the gate's issuer as the gateway does, without a journal.
func (g *gate) revoke(t testing.TB, sub string) Revocation {
	t.Helper()
	r := g.sessions.Revocation(g.issuer.URL, sub, g.clock.now())
	if err := g.sessions.Mark(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	g.sessions.LearnSubject(r)
	return r
}

// exchanged exchanges a raw token.
func (g *gate) exchanged(raw string) error {
	subject, err := g.verifier.Verify(context.Background(), raw, "bqgate")
	if err != nil {
		return err
	}
	_, err = g.sessions.exchange(context.Background(), subject, raw)
	return err
}

// A51: every token of a revoked subject that was issued up to then is over, raw or exchanged, seen
// before or not. One that is issued afterwards is good, and so is everybody else.
func TestRevokedSubject(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		now := g.clock.now()
		before := claims{"iat": now.Unix() - 60}
		seen, unseen := g.issuer.mint(now, before), g.issuer.mint(now, claims{"iat": now.Unix() - 30})
		atOnce := g.issuer.mint(now, claims{"iat": now.Unix()})
		session, _ := g.open(t, before)
		other := g.issuer.mint(now, claims{"sub": "bob", "iat": now.Unix() - 60})
		for name, raw := range map[string]string{"raw": seen, "a session": session, "of another": other} {
			if _, err := g.ask(raw); err != nil {
				t.Fatalf("%s, before: %v", name, err)
			}
		}
		r := g.revoke(t, "alice")
		if want := r.At.Add(leeway + g.sessions.tokenAge); !r.Until.Equal(want) {
			t.Errorf("remembered until %s, want %s", r.Until, want)
		}
		for name, c := range map[string]struct {
			raw    string
			code   Code
			status int
		}{
			"seen before": {seen, CodeRevoked, 403}, "never seen": {unseen, CodeRevoked, 403},
			"of the same second": {atOnce, CodeRevoked, 403}, "the session": {session, CodeSession, 401},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := g.ask(c.raw)
				wantCode(t, err, c.code, c.status, c.raw)
			})
		}
		for name, raw := range map[string]string{"seen before": seen, "never seen": unseen} {
			t.Run("exchanged, "+name, func(t *testing.T) {
				if err := g.exchanged(raw); !errors.Is(err, errSubjectOver) {
					t.Errorf("exchanged: %v", err)
				}
			})
		}
		if list, err := g.sessions.List(context.Background()); err != nil || len(list) != 0 {
			t.Errorf("listed %+v, %v", list, err)
		}
		if _, err := g.ask(other); err != nil {
			t.Errorf("another subject: %v", err)
		}
		g.clock.add(time.Second)
		later := g.issuer.mint(g.clock.now(), claims{"iat": g.clock.now().Unix()})
		if _, err := g.ask(later); err != nil {
			t.Errorf("a token of afterwards: %v", err)
		}
		if err := g.exchanged(later); err != nil {
			t.Errorf("a token of afterwards, exchanged: %v", err)
		}
		// A second revocation reaches further, and an earlier one takes nothing back.
		g.clock.add(time.Second)
		g.revoke(t, "alice")
		g.sessions.LearnSubject(r)
		_, err := g.ask(later)
		wantCode(t, err, CodeRevoked, 403, later)
	})
}

// The same sub of another issuer is another subject.
func TestRevokedSubjectOfAnotherIssuer(t *testing.T) {
	g := newGate(t, miniredis.RunT(t).Addr(), nil)
	raw := g.issuer.mint(g.clock.now(), nil)
	g.sessions.LearnSubject(g.sessions.Revocation("https://other.example", "alice", g.clock.now()))
	if _, err := g.ask(raw); err != nil {
		t.Error(err)
	}
}

// An issuer whose clock is ahead: a token that was issued before the revocation does not pass for
// one of afterwards, neither where one of that clock was seen before, nor where the process has
// begun since and knows nothing of that clock.
func TestRevokedSubjectOfAClockThatIsAhead(t *testing.T) {
	for name, began := range map[string]bool{"seen before": false, "begun since": true} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, miniredis.RunT(t).Addr(), nil)
			now := g.clock.now()
			ahead := claims{"iat": now.Unix() + int64(leeway/time.Second)}
			raw := g.issuer.mint(now, ahead)
			if began {
				g.sessions.LearnSubject(g.sessions.Revocation(g.issuer.URL, "alice", now.Add(-time.Second)))
			} else {
				if _, err := g.ask(g.issuer.mint(now, claims{"iat": ahead["iat"], "jti": "another"})); err != nil {
					t.Fatal(err)
				}
				g.revoke(t, "alice")
			}
			g.clock.add(leeway - 2*time.Second)
			before := g.issuer.mint(now, claims{"iat": now.Unix() + int64(leeway/time.Second) - 2})
			for what, raw := range map[string]string{"its own": raw, "another": before} {
				if what == "its own" && began {
					continue // a second later than the revocation's bound, which a second before now had
				}
				_, err := g.ask(raw)
				wantCode(t, err, CodeRevoked, 403, raw)
			}
		})
	}
}

// A replica that has not heard of a revocation finds it in Redis at the next exchange; what
// somebody else wrote there, or copied from another subject, revokes nobody.
func TestRevocationInRedis(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		ctx := context.Background()
		raw := g.issuer.mint(g.clock.now(), nil)
		key := func(sub string) string {
			return revokedSubjectKey + g.sessions.revokedID(SubjectKey(g.issuer.URL, sub))
		}
		g.revoke(t, "bob")
		for name, planted := range map[string]string{"junk": "x", "of another": g.redis.Get(ctx, key("bob")).Val()} {
			t.Run(name, func(t *testing.T) {
				g.redis.Set(ctx, key("alice"), planted, 0)
				if err := g.exchanged(raw); err != nil {
					t.Errorf("refused: %v", err)
				}
			})
		}
		g.redis.Del(ctx, key("alice"))
		g.revoke(t, "alice")
		g.sessions.revoked = revoked{} // another replica
		if err := g.exchanged(raw); !errors.Is(err, errSubjectOver) {
			t.Errorf("exchanged: %v", err)
		}
		if _, err := g.ask(raw); err == nil {
			t.Error("it has heard, and the raw token still is good")
		}
		listed, err := g.sessions.ListRevoked(ctx)
		if err != nil || len(listed) != 2 || listed[0].Subject == "" {
			t.Errorf("listed %+v, %v", listed, err)
		}
	})
}

// A name of a subject is of that subject alone, and leads back to it.
func TestSubjectKey(t *testing.T) {
	for name, c := range map[string]struct{ issuer, sub string }{
		"plain":                {"https://a.example", "alice"},
		"with what separates":  {"https://a.example", "x&run_id=7#sub=y"},
		"a query in the URL":   {"https://a.example/?a=1&b=2", "alice"},
		"a sub that is a URL":  {"https://a.example", "https://b.example#sub=c"},
		"escapes in the sub":   {"https://a.example", "%26 +"},
		"of a repository":      {"https://a.example", "repo:o/r:ref:refs/heads/main"},
		"an empty issuer path": {"https://a.example/", "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			key := SubjectKey(c.issuer, c.sub)
			issuer, sub, err := ParseSubjectKey(key)
			if err != nil || issuer != c.issuer || sub != c.sub {
				t.Errorf("%q leads to %q, %q, %v", key, issuer, sub, err)
			}
			if of := SubjectOf(key + "&run_id=" + url.QueryEscape(c.sub)); of != key {
				t.Errorf("an owner is of %q, want %q", of, key)
			}
		})
	}
}
