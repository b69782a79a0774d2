package gateway

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/policies"
)

// life is one life of a gateway process, as far as approvals and sessions go.
type life struct {
	holds    *approvals.Store
	sessions *identity.Sessions
	journal  *audit.Journal
	follower *journalFollower
}

type world struct {
	t      *testing.T
	client *redis.Client
	config *config.Config
	key    *audit.Key
	keys   *sealed.Keyring
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	key, err := audit.GenerateKey(filepath.Join(dir, "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	keys := sealedtest.Keyring(t, 3)
	client := redis.NewClient(&redis.Options{Addr: redistest.Start(t)})
	t.Cleanup(func() { client.Close() })
	return &world{t: t, client: client, key: key, keys: keys, config: &config.Config{Audit: config.Audit{Dir: filepath.Join(dir, "audit")}}}
}

// begin starts a process; it dies without ceremony when the test ends.
func (w *world) begin() (*life, error) {
	w.t.Helper()
	journal, err := audit.Open(w.config.Audit.Dir, w.key, audit.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { journal.Close() })
	sessions, err := identity.NewSessions(w.client, w.keys, identity.Config{}, slog.Default())
	if err != nil {
		w.t.Fatal(err)
	}
	holds, err := approvals.New(approvals.Options{Redis: w.client, Keys: w.keys, Journal: approvalJournal{journal}, Told: told(sessions)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(holds.Close)
	sessions.Journal = &sessionJournal{journal: journal, holds: holds, log: slog.Default()}
	counted, err := budgets.New(budgets.Options{Redis: w.client, Keys: w.keys, Journal: journal, Upstream: &bigquery.Client{},
		Log: slog.Default(), Active: func() bool { return false }})
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := followJournals(context.Background(), w.config, w.key, holds, sessions, counted, slog.Default())
	return &life{holds, sessions, journal, p}, err
}

func (w *world) mustBegin() *life {
	w.t.Helper()
	l, err := w.begin()
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

const run = "run 7"

func held() approvals.Held {
	return approvals.Held{
		Operation: bigquery.Operation{Method: bigquery.MethodQuery, Query: &bigquery.QueryRequest{SQL: "SELECT 1"}},
		Job:       bigquery.JobReference{ProjectID: "p", JobID: "j", Location: "US"},
		Decision:  "d-1", Subject: identity.Subject{Issuer: "i", Sub: "s", Owner: run, Grant: "g", People: []string{"carol"}, Mapped: true},
		Statement: "x", Credential: "c",
		Approval: policies.Approval{Reviewers: []string{"owners"}, Quorum: 1, Expires: time.Hour},
	}
}

// A11: across a restart, by the journal on the disk alone.
func TestUsedStaysUsedAcrossRestarts(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first := w.mustBegin()
	r, err := first.holds.Hold(ctx, held())
	must(err)
	_, err = first.holds.Vote(ctx, r.ID,
		approvals.Decider{Subject: identity.Subject{Issuer: "h", Sub: "dana", People: []string{"dana"}, Mapped: true},
			Groups: []string{"owners"}}, approvals.Approve, "")
	must(err)
	var key string
	for _, k := range w.client.Keys(ctx, "*").Val() {
		if strings.HasSuffix(k, "request:"+r.ID) {
			key = k
		}
	}
	kept := w.client.HGetAll(ctx, key).Val()
	if len(kept) < 3 {
		t.Fatalf("nothing under %q", key)
	}
	lease, err := first.holds.BeginRelease(ctx, r.ID, run)
	must(err)
	must(first.holds.FinishRelease(ctx, lease, approvals.Ran()))
	w.client.HSet(ctx, key, kept)

	second := w.mustBegin()
	if _, err := second.holds.BeginRelease(ctx, r.ID, run); !errors.Is(err, approvals.ErrTampered) {
		t.Fatalf("a used approval put back: %v, want ErrTampered", err)
	}
	// Two processes on one host know of each other's steps by the log, whatever Redis shows them.
	other := held()
	other.Job.JobID, other.Digest = "k", "y"
	r, err = first.holds.Hold(ctx, other)
	must(err)
	for _, k := range w.client.Keys(ctx, "*").Val() {
		if strings.HasSuffix(k, "request:"+r.ID) {
			key = k
		}
	}
	kept = w.client.HGetAll(ctx, key).Val()
	_, err = first.holds.Cancel(ctx, r.ID, run)
	must(err)
	w.client.HSet(ctx, key, kept)
	must(second.follower.poll())
	if _, err := second.holds.Get(ctx, r.ID); !errors.Is(err, approvals.ErrTampered) {
		t.Fatalf("a withdrawn request put back for another process: %v, want ErrTampered", err)
	}
}

// A gateway that starts on a Redis that has lost changes serves, but holds and releases nothing
// until an operator has acknowledged the loss.
func TestRedisThatLostChangesClosesApprovals(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	first := w.mustBegin()
	if _, err := first.holds.Hold(ctx, held()); err != nil {
		t.Fatal(err)
	}
	if err := w.mustBegin().holds.Err(); err != nil {
		t.Fatal(err)
	}
	w.client.FlushAll(ctx)
	for range 2 {
		closed := w.mustBegin().holds
		if err := closed.Err(); !errors.Is(err, approvals.ErrRolledBack) ||
			!strings.Contains(err.Error(), "redis.acknowledge_epoch to 1 ") {
			t.Fatalf("started on an emptied Redis: %v", err)
		}
		if _, err := closed.Hold(ctx, held()); !errors.Is(err, approvals.ErrRolledBack) {
			t.Fatalf("held: %v", err)
		}
	}
	open := func(what string) {
		t.Helper()
		if err := w.mustBegin().holds.Err(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	w.config.Redis.AcknowledgeEpoch = 1
	open("acknowledged")
	w.config.Redis.AcknowledgeEpoch = 0
	open("acknowledged once is enough")
	w.client.FlushAll(ctx)
	w.config.Redis.Embedded = true
	open("the demo's own Redis begins empty each time")
}

// host is another host of the same gateway: the same Redis and keys, a journal of its own.
func (w *world) host(t *testing.T) *world {
	other := *w
	other.t, other.config = t, &config.Config{Audit: config.Audit{Dir: filepath.Join(t.TempDir(), "audit")}}
	return &other
}

// A11, across two hosts: an approval that was used on one of them is put back into Redis. The other
// refuses it, running or started again, and, when Redis shows no word of it any more, by its own
// journal.
func TestUsedOnAnotherHost(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	there := w.host(t)
	a, b := w.mustBegin(), there.mustBegin()
	r, err := a.holds.Hold(ctx, held())
	must(err)
	_, err = a.holds.Vote(ctx, r.ID,
		approvals.Decider{Subject: identity.Subject{Issuer: "h", Sub: "dana", People: []string{"dana"}, Mapped: true},
			Groups: []string{"owners"}}, approvals.Approve, "")
	must(err)
	before := map[string]string{} // the whole of Redis
	for _, k := range w.client.Keys(ctx, "*").Val() {
		before[k] = w.client.Dump(ctx, k).Val()
	}
	lease, err := a.holds.BeginRelease(ctx, r.ID, run)
	must(err)
	must(a.holds.FinishRelease(ctx, lease, approvals.Ran()))
	key := "bqgate:{approvals}:request:" + r.ID
	must(w.client.RestoreReplace(ctx, key, 0, before[key]).Err())
	for name, store := range map[string]*approvals.Store{"running": b.holds, "started again": there.mustBegin().holds,
		"new": w.host(t).mustBegin().holds} {
		t.Run(name, func(t *testing.T) {
			if _, err := store.BeginRelease(ctx, r.ID, run); !errors.Is(err, approvals.ErrTampered) {
				t.Errorf("%s: %v, want ErrTampered", name, err)
			}
		})
	}
	// All of Redis as it was, with what replicas told: nobody who has a journal takes it.
	w.client.FlushAll(ctx)
	for k, v := range before {
		must(w.client.RestoreReplace(ctx, k, 0, v).Err())
	}
	for name, store := range map[string]*approvals.Store{
		"running": b.holds, "the first, running": a.holds, "started again": there.mustBegin().holds,
		"the first, started again": w.mustBegin().holds,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := store.BeginRelease(ctx, r.ID, run); !errors.Is(err, approvals.ErrRolledBack) {
				t.Errorf("all put back, %s: %v, want ErrRolledBack", name, err)
			}
		})
	}
	// An operator acknowledges. What was used stays used, there too, and for hosts that are new.
	there.config.Redis.AcknowledgeEpoch = 1000
	for name, store := range map[string]*approvals.Store{"acknowledged": there.mustBegin().holds,
		"the first, after that": w.mustBegin().holds, "new": w.host(t).mustBegin().holds} {
		t.Run(name, func(t *testing.T) {
			must(store.Err())
			if _, err := store.BeginRelease(ctx, r.ID, run); !errors.Is(err, approvals.ErrTampered) {
				t.Errorf("%s: %v, want ErrTampered", name, err)
			}
		})
	}
}

// A session that was revoked on one host is over on all, and the token that opened it with it,
// whatever is put back into Redis.
func TestRevokedOnAnotherHost(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	there := w.host(t)
	a, running := w.mustBegin(), there.mustBegin()
	if err := a.sessions.Ban(ctx,
		identity.Session{ID: "s-1", Issuer: "i", Subject: "s", Owner: "o", Expiry: time.Now().Add(time.Hour),
			Token: "t-1", TokenEnds: time.Now().Add(2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := running.follower.catchUp(ctx); err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]*life{
		"where it was revoked": a, "there, started again": w.mustBegin(),
		"running": running, "started again": there.mustBegin(), "new": w.host(t).mustBegin(),
	} {
		t.Run(name, func(t *testing.T) {
			for id, want := range map[string]bool{"s-1": true, "t-1": true, "s-2": false, "t-2": false, "": false} {
				t.Run(id, func(t *testing.T) {
					if got := l.sessions.Banned(id); got != want {
						t.Errorf("%q is revoked: %t, want %t", id, got, want)
					}
				})
			}
		})
	}
	w.client.FlushAll(ctx)
	if l := there.mustBegin(); !l.sessions.Banned("s-1") {
		t.Error("started again without Redis: its journal does not know")
	}
}

// A foreign file in the journal's folder, and a journal file that was damaged, keep nobody from
// starting, and what cannot be read for a while ends nobody.
func TestFollowingIsNotFatal(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	first := w.mustBegin()
	r, err := first.holds.Hold(ctx, held())
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(w.config.Audit.Dir, "journal")
	for name, text := range map[string]string{"x.tmp": "",
		"0.bqj": "rubbish that is longer than the header of a journal file, so that nobody waits for the rest of it to come"} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	second := w.mustBegin()
	ended := make(chan error)
	go func() { ended <- second.follower.follow(ctx) }()
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := second.holds.Cancel(ctx, r.ID, run); err == nil {
		t.Error("a request was changed by who cannot read what others did to it")
	}
	select {
	case err := <-ended:
		t.Fatalf("following ended: %v", err)
	case <-time.After(2 * followEvery):
	}
	if err := os.Rename(folder+".away", folder); err != nil {
		t.Fatal(err)
	}
	if _, err := second.holds.Cancel(ctx, r.ID, run); err != nil {
		t.Errorf("when it can be read again: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("following ended with %v", err)
	}
}

// What the journal alone has of a revocation, since other replicas could not be told, holds for the
// session and for its token.
func TestRevokedInTheJournal(t *testing.T) {
	w := newWorld(t)
	running := w.mustBegin()
	journal, err := audit.Open(w.config.Audit.Dir, w.key, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	if _, err := journal.Append(t.Context(), revocationOf(identity.Session{
		ID: "s-1", Expiry: time.Now().Add(time.Hour), Token: "t-1", TokenEnds: time.Now().Add(time.Hour),
	})); err != nil {
		t.Fatal(err)
	}
	if err := running.follower.poll(); err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]*life{"running": running, "started again": w.mustBegin()} {
		t.Run(name, func(t *testing.T) {
			if !l.sessions.Banned("s-1") || !l.sessions.Banned("t-1") {
				t.Errorf("session %t, token %t", l.sessions.Banned("s-1"), l.sessions.Banned("t-1"))
			}
		})
	}
}
