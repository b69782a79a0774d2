package sessionstore_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/internal/sessionstore"
)

type note struct {
	ID   string
	Who  string
	Ends time.Time
}

func (n note) Live(id string, now time.Time) bool { return n.ID == id && now.Before(n.Ends) }

const prefix, purpose = "t:", "test/v1/"

type world struct {
	*sessionstore.Store[note]
	redis   *redis.Client
	keys    *sealed.Keyring
	now     time.Time
	revoked map[string]bool
	log     bytes.Buffer
}

func newWorld(t *testing.T, addr string) *world {
	w := &world{
		redis: redis.NewClient(&redis.Options{Addr: addr}), keys: sealedtest.Keyring(t, 1), now: time.Now(), revoked: map[string]bool{},
	}
	t.Cleanup(func() { w.redis.Close() })
	w.Store = sessionstore.New[note](sessionstore.Options{
		Redis: w.redis, Keys: w.keys, Prefix: prefix, Purpose: purpose, What: "note",
		Revoked: func(id string) bool { return w.revoked[id] }, Now: func() time.Time { return w.now },
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	return w
}

func (w *world) open(t *testing.T, who string) (id string) {
	t.Helper()
	id = sessionstore.ID(sessionstore.NewSecret())
	if err := w.Put(t.Context(), id, note{id, who, w.now.Add(time.Hour)}, time.Hour); err != nil {
		t.Fatal(err)
	}
	return id
}

// What Redis shows is a session only if the gateway wrote it, under this id, and it is not over.
func TestGet(t *testing.T) {
	for server, addr := range map[string]func(*testing.T) string{
		"redis-server": func(t *testing.T) string { return redistest.Start(t) },
		"miniredis":    func(t *testing.T) string { return miniredis.RunT(t).Addr() },
	} {
		for name, c := range map[string]struct {
			change func(ctx context.Context, w *world, key, other string)
			live   bool
			forged bool
		}{
			"as it was written": {func(context.Context, *world, string, string) {}, true, false},
			"gone":              {func(ctx context.Context, w *world, key, _ string) { w.redis.Del(ctx, key) }, false, false},
			"junk":              {func(ctx context.Context, w *world, key, _ string) { w.redis.Set(ctx, key, "x", 0) }, false, true},
			"empty":             {func(ctx context.Context, w *world, key, _ string) { w.redis.Set(ctx, key, "", 0) }, false, true},
			"plain JSON": {func(ctx context.Context, w *world, key, _ string) {
				w.redis.Set(ctx, key, `{"ID":"`+strings.TrimPrefix(key, prefix)+`"}`, 0)
			}, false, true},
			"a list": {func(ctx context.Context, w *world, key, _ string) {
				w.redis.Del(ctx, key)
				w.redis.LPush(ctx, key, "x")
			}, false, true},
			"of another": {func(ctx context.Context, w *world, key, other string) {
				w.redis.Set(ctx, key, w.redis.Get(ctx, other).Val(), 0)
			}, false, true},
			"of another secret": {func(ctx context.Context, w *world, key, _ string) {
				id := strings.TrimPrefix(key, prefix)
				text, _ := sealedtest.Keyring(t, 2).Seal(purpose+id, note{id, "alice", w.now.Add(time.Hour)})
				w.redis.Set(ctx, key, text, 0)
			}, false, true},
			"of another purpose": {func(ctx context.Context, w *world, key, _ string) {
				id := strings.TrimPrefix(key, prefix)
				text, _ := w.keys.Seal("test/v0/"+id, note{id, "alice", w.now.Add(time.Hour)})
				w.redis.Set(ctx, key, text, 0)
			}, false, true},
			"over, and kept by Redis": {func(ctx context.Context, w *world, key, _ string) {
				w.redis.Persist(ctx, key)
				w.now = w.now.Add(time.Hour)
			}, false, false},
			"revoked, and put back": {func(_ context.Context, w *world, key, _ string) {
				w.revoked[strings.TrimPrefix(key, prefix)] = true
			}, false, false},
		} {
			t.Run(server+"/"+name, func(t *testing.T) {
				w := newWorld(t, addr(t))
				id, other := w.open(t, "alice"), w.open(t, "bob")
				c.change(t.Context(), w, prefix+id, prefix+other)
				got, err := w.Get(t.Context(), id)
				if live := err == nil; live != c.live || live && got.Who != "alice" || !live && got != (note{}) {
					t.Fatalf("%+v, %v", got, err)
				}
				if err != nil && (!errors.Is(err, sessionstore.ErrUnknown) || errors.Is(err, sealed.ErrForged) != c.forged) {
					t.Errorf("error %v", err)
				}
				log := w.log.String()
				said := strings.Contains(log, "not written by this gateway") || strings.Contains(log, "was sealed with a key")
				if c.forged != said {
					t.Errorf("the log says %q", w.log.String())
				}
				all, err := w.List(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				shown := map[string]sessionstore.Entry[note]{}
				for _, e := range all {
					shown[e.ID] = e
				}
				if e, ok := shown[id]; ok != (c.live || c.forged) || e.Forged != c.forged {
					t.Errorf("listed %v as %+v", ok, e)
				}
			})
		}
	}
}

func TestRemove(t *testing.T) {
	w := newWorld(t, redistest.Start(t))
	id := w.open(t, "alice")
	for _, want := range []bool{true, false} {
		if found, err := w.Remove(t.Context(), id); found != want || err != nil {
			t.Errorf("found %v, %v; want %v", found, err, want)
		}
	}
	if _, err := w.Get(t.Context(), id); !errors.Is(err, sessionstore.ErrUnknown) {
		t.Errorf("removed, and read: %v", err)
	}
}

// A Redis that does not answer is not a session that is over.
func TestNoAnswer(t *testing.T) {
	mini := miniredis.RunT(t)
	w := newWorld(t, mini.Addr())
	id := w.open(t, "alice")
	mini.Close()
	if _, err := w.Get(t.Context(), id); err == nil || errors.Is(err, sessionstore.ErrUnknown) {
		t.Errorf("read: %v", err)
	}
	if _, err := w.List(t.Context()); err == nil {
		t.Error("listed")
	}
	if _, err := w.Remove(t.Context(), id); err == nil {
		t.Error("removed")
	}
}
