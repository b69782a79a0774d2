package approvals

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/policies"
)

// bench is one Store on one server.
type bench struct {
	t       testing.TB
	ctx     context.Context
	addr    string
	keys    *sealed.Keyring
	store   *Store
	client  *redis.Client // the attacker's and the test's own hand in Redis
	journal *memoryJournal
	log     *lockedBuffer
	options Options
}

// onEach runs a test on a real redis-server and on miniredis, which the demo embeds.
func onEach(t *testing.T, options Options, test func(t *testing.T, b *bench)) {
	t.Helper()
	for name, start := range map[string]func(testing.TB) string{
		"redis":     func(t testing.TB) string { return redistest.Start(t) },
		"miniredis": startMini,
	} {
		t.Run(name, func(t *testing.T) { test(t, newBench(t, start(t), options)) })
	}
}

func startMini(t testing.TB) string {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m.Addr()
}

func newBench(t testing.TB, addr string, options Options) *bench {
	t.Helper()
	keys := sealedtest.Keyring(t, 7)
	b := &bench{t: t, ctx: context.Background(), addr: addr, keys: keys, journal: &memoryJournal{}, log: &lockedBuffer{}}
	b.client = redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { b.client.Close() })
	options.Log = slog.New(slog.NewTextHandler(b.log, nil))
	if options.ConsoleURL == "" {
		options.ConsoleURL = "https://bqgate.example/"
	}
	b.options = options
	b.store = b.replica()
	return b
}

// replica is another gateway process on the same Redis, with its own memory.
func (b *bench) replica(hooks ...redis.Hook) *Store {
	client := redis.NewClient(&redis.Options{Addr: b.addr, PoolSize: 100})
	for _, h := range hooks {
		client.AddHook(h)
	}
	options := b.options
	options.Redis, options.Keys, options.Journal = client, b.keys, b.journal
	store, err := New(options)
	b.must(err)
	b.t.Cleanup(func() { store.Close(); client.Close() })
	return store
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// hold makes a pending request of the pipeline behind which carol stands.
func (b *bench) hold(change ...func(*Held)) Request {
	b.t.Helper()
	r, err := b.store.Hold(b.ctx, query(change...))
	b.must(err)
	return r
}

func (b *bench) approve(r Request, by Decider) Request {
	b.t.Helper()
	out, err := b.store.Vote(b.ctx, r.ID, by, Approve, "looks right")
	b.must(err)
	return out
}

func (b *bench) state(id string) State {
	b.t.Helper()
	r, err := b.store.Get(b.ctx, id)
	b.must(err)
	return r.State
}

const (
	owner   = "https://ci.example|repo:acme/app:ref:refs/heads/main|run 77"
	project = "acme"
)

var counter atomic.Int64

func query(change ...func(*Held)) Held {
	h := Held{
		Operation: bigquery.Operation{
			Method: bigquery.MethodQuery, Job: bigquery.JobReference{ProjectID: project}, Pretty: true,
			Query: &bigquery.QueryRequest{
				SQL: "SELECT employee, salary FROM finance.payroll WHERE a < @p -- <b>&", ParameterMode: "NAMED",
				Parameters:     json.RawMessage(`[{"name":"p","parameterType":{"type":"STRING"},"parameterValue":{"value":"<&>"}}]`),
				DefaultDataset: &bigquery.DatasetReference{ProjectID: project, DatasetID: "finance"},
				Labels:         map[string]string{"team": "x"},
			},
		},
		Job:      bigquery.JobReference{ProjectID: project, JobID: fmt.Sprintf("job_%d", counter.Add(1)), Location: "EU"},
		Decision: "d-1",
		Subject: identity.Subject{
			Issuer: "https://ci.example", Name: "github", Sub: "repo:acme/app:ref:refs/heads/main", Owner: owner, Grant: "grant 1",
			People: []string{"carol", "carol@acme.example"}, Mapped: true, Workload: true,
			Claims: map[string]any{"repository": "acme/app", "sha": "abc", "run_id": "77", "secret_claim": "no"},
			Expiry: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		Groups: []string{"ai-agents"}, Statement: "statement 1", Tables: []string{"acme.finance.payroll"},
		Sensitive: []string{"acme.finance.payroll.salary"},
		Estimated: true, EstimatedBytes: 5 << 30, EstimatedCost: 0.03, Credential: "finance-reader",
		Approval: policies.Approval{
			Rule: policies.RuleRef{Policy: "finance", Name: "payroll", File: "policies/finance.yaml", Line: 12},
			Why:  "finance.payroll is a high-value table", Reviewers: []string{"data-owners"}, Quorum: 1, Expires: time.Hour,
		},
	}
	for _, c := range change {
		c(&h)
	}
	return h
}

// reviewer is a member of data-owners.
func reviewer(name string) Decider {
	return Decider{Subject: identity.Subject{
		Issuer: "https://login.example", Sub: "id-of-" + name, Owner: "login|" + name, Grant: "login|" + name,
		People: []string{name, name + "@acme.example"}, Mapped: true,
	}, Groups: []string{"data-owners"}}
}

var (
	dana = reviewer("dana")
	erin = reviewer("erin")
)

// memoryJournal keeps events; fail makes the next ones fail.
type memoryJournal struct {
	mu     sync.Mutex
	events []Event
	at     []time.Time // when each event became durable
	fail   error
	before func(Event) // called ahead of each event
}

func (j *memoryJournal) ApprovalEvent(_ context.Context, e Event) error {
	j.mu.Lock()
	fail, before := j.fail, j.before
	j.mu.Unlock()
	if before != nil {
		before(e)
	}
	if fail != nil {
		return fail
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events, j.at = append(j.events, e), append(j.at, time.Now())
	return nil
}

func (j *memoryJournal) set(fail error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = fail
}

func (j *memoryJournal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events, j.at = nil, nil
}

func (j *memoryJournal) all() []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Event(nil), j.events...)
}

// counts is the reader's rule: the attempts that happened.
func (j *memoryJournal) counts(id string) []Event {
	happened := map[string]bool{}
	events := j.all()
	for _, e := range events {
		if e.Request == id {
			happened[e.Previous] = true
			if e.Phase == PhaseCommitted {
				happened[e.Nonce] = true
			}
		}
	}
	var out []Event
	for _, e := range events {
		if e.Request == id && e.Phase == PhaseAttempt && happened[e.Nonce] {
			out = append(out, e)
		}
	}
	return out
}

// inTime is counts without the steps whose end came into the journal after their claim was over.
// Nobody was told that they are done, and another may have been led to take the same step.
func (j *memoryJournal) inTime(id string, lease time.Duration) []Event {
	j.mu.Lock()
	late := map[string]bool{}
	for i, e := range j.events {
		if e.Request == id && e.Phase == PhaseCommitted && j.at[i].Sub(e.At) > lease {
			late[e.Nonce] = true
		}
	}
	j.mu.Unlock()
	var out []Event
	taken := map[int64]int{}
	for _, e := range j.counts(id) {
		taken[e.Version]++
	}
	for _, e := range j.counts(id) {
		if !late[e.Nonce] || taken[e.Version] == 1 {
			out = append(out, e)
		}
	}
	return out
}

func (j *memoryJournal) kinds(id string) string {
	var kinds []string
	for _, e := range j.counts(id) {
		kinds = append(kinds, string(e.Kind))
	}
	return strings.Join(kinds, " ")
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// killer is the end of a process at its next use of a script: nothing it sends from then on
// arrives.
type killer struct {
	script *redis.Script
	dead   atomic.Bool
}

var errKilled = errors.New("killed")

func (k *killer) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (k *killer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); len(args) > 1 && args[1] == k.script.Hash() {
			k.dead.Store(true)
		}
		if k.dead.Load() {
			cmd.SetErr(errKilled)
			return errKilled
		}
		return next(ctx, cmd)
	}
}

func (k *killer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}
