package budgets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/policies"
)

const mib = 1 << 20

// daily is acme's budget of so many MiB a day.
func daily(n int64) policies.Budget {
	return policies.Budget{Rule: policies.RuleRef{Policy: "crm", Name: "agents"}, Unit: policies.UnitBytes, Limit: n * mib, Per: "day",
		By: "owner", Who: "acme"}
}

// bigQuery tells what jobs were billed.
type bigQuery struct {
	mu     sync.Mutex
	billed map[string]int64 // by job id; absent: it runs
	asked  int
}

func (b *bigQuery) GetJob(_ context.Context, w durable.Facts, ref bigquery.JobReference) (bigquery.Job, error) {
	durable.Because(w)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	j := bigquery.Job{Reference: ref, State: "RUNNING"}
	if n, ok := b.billed[ref.JobID]; ok {
		j.State, j.TotalBytesBilled = "DONE", &n
	}
	return j, nil
}

func (b *bigQuery) ends(job string, billed int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.billed == nil {
		b.billed = map[string]int64{}
	}
	b.billed[job] = billed
}

// replica is one process that counts: kill ends it as kill -9 does.
type replica struct {
	*Store
	journal *audittest.Journal
	kill    func()
}

type house struct {
	t        testing.TB
	redis    redis.UniversalClient
	upstream *bigQuery
	now      func() time.Time
}

func newHouse(t testing.TB) *house {
	client := redis.NewClient(&redis.Options{Addr: redistest.Start(t)})
	t.Cleanup(func() { client.Close() })
	return &house{t: t, redis: client, upstream: &bigQuery{}}
}

// start begins a process that has learnt the given journals.
func (h *house) start(journals ...*audittest.Journal) *replica {
	h.t.Helper()
	j := &audittest.Journal{}
	s, err := New(Options{
		Redis: h.redis, Keys: sealedtest.Keyring(h.t, 1), Journal: j, Upstream: h.upstream, Log: slog.New(slog.DiscardHandler),
		Active: func() bool { return true }, Every: 10 * time.Millisecond, Silence: 300 * time.Millisecond, Wait: 5 * time.Second,
		Now: h.now,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, old := range journals {
		for _, r := range old.Records() {
			s.Learn(r.(audit.Budget))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.run(ctx) }()
	r := &replica{s, j, func() { cancel(); <-done }}
	h.t.Cleanup(r.kill)
	return r
}

func (r *replica) reserve(t testing.TB, decision string, least, most int64, b ...policies.Budget) (int64, error) {
	t.Helper()
	return r.Reserve(t.Context(), Wanted{Decision: decision, Budgets: b, Least: least * mib, Most: most * mib})
}

func (r *replica) must(t testing.TB, decision string, n int64, b ...policies.Budget) {
	t.Helper()
	if got, err := r.reserve(t, decision, n, n, b...); err != nil || got != n*mib {
		t.Fatalf("reserved %d, %v; want %d MiB", got, err, n)
	}
	r.begin(t, decision, decision, n, b...)
}

// begin is ext_proc beginning with a verdict.
func (r *replica) begin(t testing.TB, reserved, by string, n int64, b ...policies.Budget) {
	t.Helper()
	if err := r.Begin(t.Context(), Wanted{Decision: reserved, By: by, Budgets: b, Most: n * mib}); err != nil {
		t.Fatalf("begin with %s: %v", by, err)
	}
}

// left is what is left for a replica, in MiB.
func (r *replica) left(t testing.TB, b policies.Budget) int64 {
	t.Helper()
	left, err := r.Left(t.Context(), []policies.Budget{b})
	if err != nil {
		t.Fatal(err)
	}
	return left[0].Amount / mib
}

// until waits for something that happens in its own time.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatalf("it did not come to %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func exceeded(err error) bool {
	var e *Exceeded
	return errors.As(err, &e)
}

// Two replicas, 64 callers, at the edge of a budget: what they have reserved together is never more
// than it, and none of it is lost.
func TestTwoReplicasNeverSpendMore(t *testing.T) {
	h := newHouse(t)
	a, b := h.start(), h.start()
	budget := daily(1000)
	var granted atomic.Int64
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			r := []*replica{a, b}[i%2]
			for n := 0; ; n++ {
				got, err := r.reserve(t, fmt.Sprintf("d-%d-%d", i, n), 7, 7, budget)
				if exceeded(err) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				granted.Add(got / mib)
			}
		})
	}
	group.Wait()
	if got := granted.Load(); got != 1000/7*7 {
		t.Errorf("granted %d MiB of 1000, want %d", got, 1000/7*7)
	}
	for _, r := range []*replica{a, b} {
		if left := r.left(t, budget); left != 1000%7 {
			t.Errorf("%d MiB are left, want %d", left, 1000%7)
		}
	}
}

// A query gets no more than what is left, and nothing where that is less than it needs.
func TestReserveLowersToWhatIsLeft(t *testing.T) {
	h := newHouse(t)
	a := h.start()
	hour := daily(30)
	hour.Per = "hour"
	day := daily(100)
	for _, c := range []struct {
		name        string
		least, most int64
		granted     int64
	}{
		{"all of it", 10, 20, 20},
		{"what the smaller budget has left", 10, 20, 10},
		{"nothing is left", 10, 20, 0},
	} {
		got, err := a.reserve(t, "d-"+c.name, c.least, c.most, day, hour)
		if got != c.granted*mib || (err != nil) != (c.granted == 0) || err != nil && !exceeded(err) {
			t.Errorf("%s: %d, %v; want %d MiB", c.name, got, err, c.granted)
		}
	}
	if left := a.left(t, day); left != 70 {
		t.Errorf("%d MiB of the day are left, want 70", left)
	}
	t.Run("an unbounded query takes all that is left", func(t *testing.T) {
		if got, err := a.reserve(t, "d-unbounded", 10, 0, daily(100)); err != nil || got != 70*mib {
			t.Errorf("%d, %v; want 70 MiB", got, err)
		}
	})
	t.Run("somebody let it go beyond", func(t *testing.T) {
		held := daily(100)
		held.Holds = true
		got, err := a.Reserve(t.Context(), Wanted{Decision: "d-beyond", Budgets: []policies.Budget{held}, Least: 50 * mib, Most: 50 * mib,
			Beyond: true})
		if err != nil || got != 50*mib || a.left(t, held) != -50 {
			t.Errorf("%d, %v, and %d are left", got, err, a.left(t, held))
		}
	})
	t.Run("nobody lets a budget go beyond that refuses", func(t *testing.T) {
		_, err := a.Reserve(t.Context(), Wanted{Decision: "d-never", Budgets: []policies.Budget{daily(100)}, Least: 50 * mib,
			Most: 50 * mib, Beyond: true})
		if !exceeded(err) {
			t.Error(err)
		}
	})
}

// What a job did not bill is free again, once, whoever tells of it.
func TestSettle(t *testing.T) {
	billed := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		ends func(h *house, r *replica)
		left int64
	}{
		"billed less": {func(_ *house, r *replica) {
			r.Saw(t.Context(), "d-1", bigquery.Job{State: "DONE", TotalBytesBilled: billed(20 * mib)})
		}, 80},
		"from the cache": {func(_ *house, r *replica) {
			r.Saw(t.Context(), "d-1", bigquery.Job{State: "DONE", CacheHit: true, TotalBytesBilled: billed(0)})
		}, 100},
		"billed more": {func(_ *house, r *replica) {
			r.Saw(t.Context(), "d-1", bigquery.Job{State: "DONE", TotalBytesBilled: billed(60 * mib)})
		}, 40},
		"never sent": {func(_ *house, r *replica) { r.NeverRan("d-1", "d-1") }, 100},
		"seen twice": {func(_ *house, r *replica) {
			for range 2 {
				r.Saw(t.Context(), "d-1", bigquery.Job{State: "DONE", TotalBytesBilled: billed(20 * mib)})
			}
		}, 80},
		"asked of BigQuery": {func(h *house, r *replica) {
			r.Saw(t.Context(), "d-1", bigquery.Job{State: "RUNNING", Reference: bigquery.JobReference{ProjectID: "p", JobID: "j"}})
			h.upstream.ends("j", 30*mib)
		}, 70},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			r := h.start()
			budget := daily(100)
			r.must(t, "d-1", 50, budget)
			if left := r.left(t, budget); left != 50 {
				t.Fatalf("%d MiB are left of 100 beside 50 that are reserved", left)
			}
			c.ends(h, r)
			until(t, "what was billed", func() bool { return r.left(t, budget) == c.left })
		})
	}
	t.Run("a job whose end is not known", func(t *testing.T) {
		h := newHouse(t)
		r := h.start()
		budget := daily(100)
		r.must(t, "d-1", 50, budget)
		r.Saw(t.Context(), "d-1", bigquery.Job{State: "RUNNING", Reference: bigquery.JobReference{ProjectID: "p", JobID: "j"}})
		until(t, "a question to BigQuery", func() bool { h.upstream.mu.Lock(); defer h.upstream.mu.Unlock(); return h.upstream.asked > 0 })
		if left := r.left(t, budget); left != 50 {
			t.Errorf("%d MiB are left, want 50", left)
		}
	})
}

// What was given back is not held for a request that is sent again: it is reserved again, or the
// request runs beside its budget. What two decisions have sent is held until neither can run.
func TestSentAgain(t *testing.T) {
	billed := int64(20 * mib)
	done := bigquery.Job{
		State: "DONE", TotalBytesBilled: &billed, Reference: bigquery.JobReference{ProjectID: "p", JobID: "j"},
	}
	for name, c := range map[string]struct {
		happens func(r *replica)
		held    bool
		left    int64
	}{
		"it is on its way":          {func(*replica) {}, true, 50},
		"refused":                   {func(r *replica) { r.NeverRan("d-1", "d-1") }, false, 100},
		"refused, twice said":       {func(r *replica) { r.NeverRan("d-1", "d-1"); r.NeverRan("d-1", "d-1") }, false, 100},
		"refused beside the second": {func(r *replica) { r.Holds("d-1", "d-2"); r.NeverRan("d-1", "d-1") }, true, 50},
		"both refused": {func(r *replica) {
			r.Holds("d-1", "d-2")
			r.NeverRan("d-1", "d-1")
			r.NeverRan("d-1", "d-2")
		}, false, 100},
		"the first, said twice": {func(r *replica) {
			r.Holds("d-1", "d-2")
			r.NeverRan("d-1", "d-1")
			r.NeverRan("d-1", "d-1")
		}, true, 50},
		"only looked at":                {func(r *replica) { r.Holds("d-1", ""); r.NeverRan("d-1", "d-1") }, false, 100},
		"it was billed":                 {func(r *replica) { r.Saw(t.Context(), "d-1", done) }, true, 80},
		"it was billed, and is refused": {func(r *replica) { r.Saw(t.Context(), "d-1", done); r.NeverRan("d-1", "d-1") }, true, 80},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			r := h.start()
			budget := daily(100)
			r.must(t, "d-1", 50, budget)
			c.happens(r)
			until(t, "what is left", func() bool { return r.left(t, budget) == c.left })
			if held := r.Holds("d-1", "d-3"); held != c.held {
				t.Fatalf("held for what is sent again: %t", held)
			}
			if c.held {
				return
			}
			if _, err := r.Reserve(t.Context(), Wanted{Decision: "d-1", By: "d-3", Budgets: []policies.Budget{budget}, Least: 50 * mib,
				Most: 50 * mib}); err != nil {
				t.Fatal(err)
			}
			r.begin(t, "d-1", "d-3", 50, budget)
			r.Saw(t.Context(), "d-1", done)
			until(t, "what the second try was billed", func() bool { return r.left(t, budget) == 80 })
		})
	}
	t.Run("another replica's", func(t *testing.T) {
		h := newHouse(t)
		a, b := h.start(), h.start()
		a.must(t, "d-1", 50, daily(100))
		if b.Holds("d-1", "d-2") {
			t.Error("a replica holds what it cannot know of")
		}
	})
}
