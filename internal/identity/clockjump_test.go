package identity

import (
	"context"
	"testing"
	"time"
)

// A clock that jumps: forward, and what was valid is over; back, and a token that is new to the
// gateway is of the future, while one that it has verified goes on. Once the clock is right all are
// good again: nothing of the jump is remembered.
func TestClockJumps(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	known, right := issuer.mint(c.now(), nil), c.now()
	valid := func(token string) bool {
		_, err := v.Verify(context.Background(), token, "bqgate")
		return err == nil
	}
	for _, step := range []struct {
		name         string
		jump         time.Duration
		known, fresh bool
	}{
		{"right", 0, true, true},
		{"a little back, as drift is", -20 * time.Second, true, true},
		{"right again", 20 * time.Second, true, true},
		{"back by an hour", -time.Hour, true, false},
		{"right after that", time.Hour, true, true},
		{"forward by a day", 24 * time.Hour, false, false},
		{"right after that too", -24 * time.Hour, true, true},
	} {
		t.Run(step.name, func(t *testing.T) {
			c.add(step.jump)
			if got := valid(known); got != step.known {
				t.Errorf("the token that was verified is valid: %v, want %v", got, step.known)
			}
			if got := valid(issuer.mint(right, claims{"jti": step.name})); got != step.fresh {
				t.Errorf("a token that is new is valid: %v, want %v", got, step.fresh)
			}
		})
	}
}
