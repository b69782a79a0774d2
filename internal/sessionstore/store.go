// Package sessionstore keeps the records of sessions in Redis, sealed.
//
// Sessions are allow-listed: a session is what Redis holds a sealed record of, under the digest of
// the session's secret. So a session that Redis has forgotten is over, and neither a record that
// somebody else wrote nor one copied from another key opens anything. The secret itself (an access
// token, the value of a cookie) is stored nowhere.
package sessionstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/sealed"
)

// ErrUnknown is returned for a session that is not there, is over, was revoked, or was not written
// by this gateway (then sealed.ErrForged is wrapped too).
var ErrUnknown = errors.New("no such session")

// Record is what is kept of one session.
type Record interface {
	// Live says whether the record is of this session and the session is not over. Redis's own
	// expiry only collects garbage: a paused or restored Redis must not lengthen a session.
	Live(id string, now time.Time) bool
}

// Options are the parts of a Store. All are needed.
type Options struct {
	Redis   redis.UniversalClient
	Keys    *sealed.Keyring
	Prefix  string // of the keys in Redis ("bqgate:session:"); the session's id follows
	Purpose string // of the seal ("redis/session/v2/"); the session's id follows
	What    string // the kind of session, for logs and errors ("session")
	// Revoked says whether a session was revoked, whatever Redis shows of it.
	Revoked func(id string) bool
	Now     func() time.Time
	Log     *slog.Logger
}

// Store holds sessions of one kind.
type Store[R Record] struct{ o Options }

// New makes a Store.
func New[R Record](o Options) *Store[R] { return &Store[R]{o} }

// NewSecret is 256 random bits in unpadded base64url, 43 characters.
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ID is the id of the session with a secret: its hex SHA-256.
func ID(secret string) string {
	digest := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(digest[:])
}

// Put writes the record of a session. After life Redis forgets it.
func (s *Store[R]) Put(ctx context.Context, id string, r R, life time.Duration) error {
	text, err := s.o.Keys.Seal(s.o.Purpose+id, r)
	if err != nil {
		return err
	}
	if err := s.o.Redis.Set(ctx, s.o.Prefix+id, text, life).Err(); err != nil {
		return fmt.Errorf("write %s to Redis: %w", s.o.What, err)
	}
	return nil
}

// Get returns the record of a live session, or an error that is ErrUnknown, or what kept Redis from
// answering.
func (s *Store[R]) Get(ctx context.Context, id string) (R, error) {
	var r, none R
	text, err := ReadText(ctx, s.o.Redis, s.o.Prefix+id)
	switch {
	case errors.Is(err, redis.Nil):
		return none, ErrUnknown
	case err == nil:
		err = s.o.Keys.Open(s.o.Purpose+id, text, &r)
	case !errors.Is(err, sealed.ErrForged):
		return none, fmt.Errorf("read %s from Redis: %w", s.o.What, err)
	}
	if err != nil {
		s.o.Log.Error(s.o.What+" entry in Redis "+sealed.Found(err), "session", id, "error", err)
		return none, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if s.o.Revoked(id) {
		s.o.Log.Error(s.o.What+" entry in Redis was put back after it was revoked", "session", id)
		return none, ErrUnknown
	}
	if !r.Live(id, s.o.Now()) {
		return none, ErrUnknown
	}
	return r, nil
}

// Remove takes a session out of Redis, and says whether it was there.
func (s *Store[R]) Remove(ctx context.Context, id string) (found bool, err error) {
	n, err := s.o.Redis.Del(ctx, s.o.Prefix+id).Result()
	if err != nil {
		return false, fmt.Errorf("end %s %s in Redis: %w", s.o.What, id, err)
	}
	return n > 0, nil
}

// Entry is one entry in Redis.
type Entry[R Record] struct {
	ID     string
	Record R
	Forged bool // this gateway did not write it: Record is zero, and it opens nothing
}

// List returns the live sessions and the forged entries, in no order.
func (s *Store[R]) List(ctx context.Context) ([]Entry[R], error) {
	ids, err := s.ids(ctx)
	if err != nil {
		return nil, fmt.Errorf("list every %s in Redis: %w", s.o.What, err)
	}
	var all []Entry[R]
	for id := range ids {
		r, err := s.Get(ctx, id)
		switch {
		case err == nil:
			all = append(all, Entry[R]{ID: id, Record: r})
		case errors.Is(err, sealed.ErrForged):
			all = append(all, Entry[R]{ID: id, Forged: true})
		case !errors.Is(err, ErrUnknown):
			return nil, err
		}
	}
	return all, nil
}

func (s *Store[R]) ids(ctx context.Context) (map[string]bool, error) {
	return IDs(ctx, s.o.Redis, s.o.Prefix)
}

// IDs are what follows a prefix in the names of keys, on every master of a cluster.
func IDs(ctx context.Context, client redis.UniversalClient, prefix string) (map[string]bool, error) {
	var (
		mu    sync.Mutex
		found = map[string]bool{}
	)
	scan := func(ctx context.Context, node redis.Cmdable) error {
		keys := node.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for keys.Next(ctx) {
			mu.Lock()
			found[strings.TrimPrefix(keys.Val(), prefix)] = true
			mu.Unlock()
		}
		return keys.Err()
	}
	onNode := func(ctx context.Context, node *redis.Client) error { return scan(ctx, node) }
	var err error
	switch c := client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, onNode)
	case *redis.Ring:
		err = c.ForEachShard(ctx, onNode)
	default:
		err = scan(ctx, client)
	}
	return found, err
}
