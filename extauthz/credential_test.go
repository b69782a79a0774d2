package extauthz

import (
	"errors"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/policies"
)

// A10: the requester's own token must be good when a run begins, however long a poll has waited for
// it; a session's client is told to exchange its token again.
func TestTheTokenMustBeGoodWhenTheRunBegins(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	s := &Service{Parts: Parts{Now: func() time.Time { return now }}}
	for name, c := range map[string]struct {
		subject identity.Subject
		status  int // 0 where it is good
	}{
		"good":              {identity.Subject{Expiry: now.Add(time.Second)}, 0},
		"over now":          {identity.Subject{Expiry: now}, 403},
		"over":              {identity.Subject{Expiry: now.Add(-time.Hour)}, 403},
		"without an end":    {identity.Subject{}, 403},
		"a session's, over": {identity.Subject{Expiry: now.Add(-time.Second), Session: "s"}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.stillGood(asked{subject: c.subject})
			var refused *refusal.Refusal
			if c.status == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &refused) || max(refused.Status, 0) != c.status && !(refused.Status == 0 && c.status == 403) ||
				refused.Remedy == "" {
				t.Errorf("%v", err)
			}
		})
	}
}

// A token is asked for until the first of the ends: the identity token's, or the rule's `for` and a
// minute for clocks.
func TestUntil(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	a := asked{subject: identity.Subject{Issued: now, Expiry: now.Add(time.Hour)}}
	for session, want := range map[time.Duration]time.Duration{
		0: time.Hour, 2 * time.Hour: time.Hour, 5 * time.Minute: 6 * time.Minute,
	} {
		if got := until(a, policies.Decision{MaxSession: session}); !got.Equal(now.Add(want)) {
			t.Errorf("for %s: until %s, want %s", session, got.Sub(now), want)
		}
	}
	if !until(asked{}, policies.Decision{}).IsZero() {
		t.Error("a subject whose token has no end has a right")
	}
}
