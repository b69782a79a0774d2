package approvals

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/sealed"
)

// Options of a Store. Redis, Keys and Journal are needed; the rest has good defaults.
type Options struct {
	Redis   redis.UniversalClient
	Keys    *sealed.Keyring
	Journal Journal

	ConsoleURL string       // where reviewers open a request: Request.URL is ConsoleURL + "/requests/" + id
	Log        *slog.Logger // default slog.Default()

	Retention    time.Duration // how long a request is kept after its expiry; default 26 h, as long as its job's record
	ClaimLease   time.Duration // how long one writer may take from claim to commit; default 10 s
	ReleaseLease time.Duration // how long submitting an approved query may take before another attempt may begin; default 60 s

	// Told hears of marks that are not of requests: see Tell. It must not call the Store.
	Told func(Reached)

	// Closed is told why approvals are closed, and nil when they are open again. It must not call
	// the Store.
	Closed func(error)

	// Notify names the notification targets that are told of an event. nil tells nobody.
	Notify func(Request, Kind) []string

	// An owner is whose budget a request counts against: identity.Subject.Budget. Bytes are of what
	// is stored for requests that have not ended.
	MaxPerOwner      int   // pending requests of one owner; default 100
	MaxOwnerBytes    int64 // bytes of one owner; default 4 MiB
	MaxOwnerRequests int   // requests that one owner makes in an hour of the clock; default 600
	MaxPending       int   // pending requests of all; default 20,000: of 200 owners who have all that one may have
	MaxRequestBytes  int   // bytes of one request; default 2 MiB
	MaxTotalBytes    int64 // bytes of all; default 1 GiB: of 256 owners who have all that one may have
	EndedKept        int   // requests of one owner that are shown after their end, the newest; default 100
	MaxWaiting       int   // long polls at once in this process; default 2,000
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	set(&o.Retention, 26*time.Hour)
	set(&o.ClaimLease, 10*time.Second)
	set(&o.ReleaseLease, 60*time.Second)
	set(&o.MaxPerOwner, 100)
	set(&o.MaxOwnerBytes, 4<<20)
	set(&o.MaxOwnerRequests, 600)
	set(&o.EndedKept, 100)
	set(&o.MaxPending, 20_000)
	set(&o.MaxRequestBytes, 2<<20)
	set(&o.MaxTotalBytes, 1<<30)
	set(&o.MaxWaiting, 2_000)
	o.MaxOwnerBytes = min(o.MaxOwnerBytes, o.MaxTotalBytes)
	o.ConsoleURL = strings.TrimSuffix(o.ConsoleURL, "/")
	return o
}

func set[T int | int64 | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// Store keeps requests in Redis. It is safe for concurrent use by any number of processes that
// share the Keyring.
type Store struct {
	redis   redis.UniversalClient
	keys    *sealed.Keyring
	journal Journal
	options Options
	log     *slog.Logger
	seen    marks
	index   index
	ledger  ledger
	catchUp atomic.Pointer[func() error]
	waiters waiters
	looks   chan struct{} // a place for each wait that reads
	lists   chan struct{} // a place for each list that opens requests
}

// New makes a Store. It does not talk to Redis: CheckRedis does. Close it when nobody waits any
// more.
func New(options Options) (*Store, error) {
	o := options.withDefaults()
	if o.Redis == nil || o.Keys == nil || o.Journal == nil {
		return nil, errors.New("approvals need Redis, Keys and a Journal")
	}
	s := &Store{redis: o.Redis, keys: o.Keys, journal: o.Journal, options: o, log: o.Log, looks: make(chan struct{}, looksAtOnce),
		lists: make(chan struct{}, listsAtOnce)}
	s.ledger.store, s.ledger.shortenAt = s, shortenAt
	return s, nil
}

// Close ends the subscription to changes and every Wait, and waits until it has ended.
func (s *Store) Close() { s.waiters.close() }

func (s *Store) closed(why error) {
	if s.options.Closed != nil {
		s.options.Closed(why)
	}
}

func (s *Store) url(id string) string { return s.options.ConsoleURL + "/requests/" + id }

// All keys share one hash tag, so that a script may touch several of them in a Redis cluster.
const (
	keyPrefix = "bqgate:{approvals}:"
	keyHead   = keyPrefix + "head"    // number and digest of the newest message of the ledger
	keyOutbox = keyPrefix + "outbox"  // sorted set of messages by the time they are due
	channel   = keyPrefix + "changed" // Pub/Sub: ids of requests that changed
)

func requestKey(id string) string { return keyPrefix + "request:" + id }

// The other keys say who asks for what only to the gateway.

// grantKey holds who asked under one grant key, for History.
func (s *Store) grantKey(grant string) string { return s.hidden("history", grant) }

// digestKey holds the requests that allow what has this digest at a later try.
func (s *Store) digestKey(digest string) string { return s.hidden("digest", digest) }

func (s *Store) jobKey(owner, project, jobID string) string {
	return s.hidden("job", owner, project, jobID)
}

func (s *Store) requestIDKey(owner, project, requestID string) string {
	return s.hidden("requestid", owner, project, requestID)
}

func (s *Store) hidden(kind string, parts ...string) string {
	sum := s.keys.Name("approvals/"+kind, parts...)
	return keyPrefix + kind + ":" + hex.EncodeToString(sum[:])
}

//go:embed lua/*.lua
var luaFiles embed.FS

var (
	scriptRead     = script("read")
	scriptLookup   = script("lookup")
	scriptHold     = script("hold")
	scriptClaim    = script("claim")
	scriptUnclaim  = script("unclaim")
	scriptCommit   = script("commit")
	scriptTell     = script("tell")
	scriptMessages = script("messages")
	scriptAnew     = script("anew")
	scriptRepair   = script("repair")
)

// script is evaluated at start: a missing file is a fault of the build.
func script(name string) *redis.Script {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	hints, err := luaFiles.ReadFile("lua/hints.lua")
	if err != nil {
		panic(err)
	}
	return redis.NewScript(string(hints) + string(text))
}

// run evaluates a script. Once approvals are closed, nothing runs any more.
func (s *Store) run(ctx context.Context, script *redis.Script, keys []string, args ...any) (any, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	return script.Run(ctx, s.redis, keys, args...).Result()
}

func nonce() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return hex.EncodeToString(b[:])
}

// reply reads what a script returned. A reply of another shape did not come from it.
type reply struct {
	name string
	v    any
}

func (r reply) list(length int) ([]any, error) {
	values, ok := r.v.([]any)
	if !ok || len(values) != length {
		return nil, fmt.Errorf("script %s answered %T, want a list of %d", r.name, r.v, length)
	}
	return values, nil
}

// instant is a time of Redis's clock.
func instant(v any) (time.Time, error) {
	ms, ok := v.(int64)
	if !ok || ms <= 0 {
		return time.Time{}, fmt.Errorf("the time came from Redis as %v", v)
	}
	return time.UnixMilli(ms).UTC(), nil
}
