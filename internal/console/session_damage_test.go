package console

import (
	"context"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/sessionstore"
)

// Every kind of damage under the key of a login, by whoever can write Redis (A11): it is over, and
// nobody else's is; it becomes nobody else's; and the person logs in anew, at once.
func TestDamageUnderTheKeyOfALogin(t *testing.T) {
	b := newWeb(t)
	ctx := context.Background()
	keyOf := func(v *visit) string { return consoleSessionKey + sessionstore.ID(v.cookie(sessionCookie).Value) }
	for name, harm := range map[string]func(key, other, older string) error{
		"missing": func(key, _, _ string) error { return b.redis.Del(ctx, key).Err() },
		"a list": func(key, _, _ string) error {
			b.redis.Del(ctx, key)
			return b.redis.LPush(ctx, key, "x").Err()
		},
		"a hash": func(key, _, _ string) error {
			b.redis.Del(ctx, key)
			return b.redis.HSet(ctx, key, "x", "y").Err()
		},
		"empty":   func(key, _, _ string) error { return b.redis.Set(ctx, key, "", 0).Err() },
		"garbage": func(key, _, _ string) error { return b.redis.Set(ctx, key, "\x00{", 0).Err() },
		"cut": func(key, _, _ string) error {
			return b.redis.Set(ctx, key, b.redis.Get(ctx, key).Val()[:40], 0).Err()
		},
		"of somebody else":         func(key, other, _ string) error { return b.redis.Set(ctx, key, other, 0).Err() },
		"of an older login":        func(key, _, older string) error { return b.redis.Set(ctx, key, older, 0).Err() },
		"huge":                     func(key, _, _ string) error { return b.redis.Set(ctx, key, strings.Repeat("x", 48<<20), 0).Err() },
		"huge, and begins as ours": func(key, _, _ string) error { return b.redis.Append(ctx, key, strings.Repeat("x", 48<<20)).Err() },
	} {
		t.Run(name, func(t *testing.T) {
			older := b.as("dana")
			kept := b.redis.Get(ctx, keyOf(older)).Val()
			older.post("/logout", nil)
			dana, erin := b.as("dana"), b.as("erin")
			if err := harm(keyOf(dana), b.redis.Get(ctx, keyOf(erin)).Val(), kept); err != nil {
				t.Fatal(err)
			}
			if dana.loggedIn() {
				t.Error("the session goes on")
			}
			if !erin.loggedIn() {
				t.Error("somebody else's session is over")
			}
			if _, err := ListSessions(ctx, b.redis, b.keys, b.bans); err != nil {
				t.Errorf("listing sessions: %v", err)
			}
			if !b.as("dana").loggedIn() {
				t.Error("no new login")
			}
		})
	}
}
