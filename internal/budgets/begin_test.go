package budgets

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/policies"
)

// clock is a time that the test moves.
type clock struct{ since atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.since.Load())) }
func (c *clock) forward(d time.Duration) { c.since.Add(int64(d)) }

// What nobody begins with in a verdict's life is given back; what may have run is not.
func TestWhatNeverBegan(t *testing.T) {
	budget := daily(100)
	billed := int64(20 * mib)
	wanted := func(by string) Wanted {
		return Wanted{Decision: "d-1", By: by, Budgets: []policies.Budget{budget}, Least: 50 * mib, Most: 50 * mib}
	}
	job := bigquery.Job{State: "DONE", TotalBytesBilled: &billed, Reference: bigquery.JobReference{ProjectID: "p", JobID: "j"}}
	for name, c := range map[string]struct {
		happens func(t *testing.T, r *replica, c *clock)
		left    int64 // after a verdict's life
	}{
		"its client hung up before ext_proc": {func(*testing.T, *replica, *clock) {}, 100},
		"the verdict left late": {func(_ *testing.T, r *replica, c *clock) {
			c.forward(40 * time.Second)
			r.Lend("d-1", "d-1")
			c.forward(-20 * time.Second)
		}, 50},
		"it began": {func(t *testing.T, r *replica, _ *clock) { r.begin(t, "d-1", "d-1", 50, budget) }, 50},
		"it began, and its body never left": {func(t *testing.T, r *replica, _ *clock) {
			r.begin(t, "d-1", "d-1", 50, budget)
			r.NeverRan("d-1", "d-1")
		}, 100},
		"it began, and is sent again by one that does not": {func(t *testing.T, r *replica, _ *clock) {
			r.begin(t, "d-1", "d-1", 50, budget)
			r.Holds("d-1", "d-2")
		}, 50},
		"only the second began": {func(t *testing.T, r *replica, _ *clock) {
			r.Holds("d-1", "d-2")
			r.begin(t, "d-1", "d-2", 50, budget)
		}, 50},
		"neither began": {func(_ *testing.T, r *replica, _ *clock) { r.Holds("d-1", "d-2") }, 100},
		"what began is lent no second time": {func(t *testing.T, r *replica, _ *clock) {
			r.begin(t, "d-1", "d-1", 50, budget)
			r.Lend("d-1", "d-1")
			r.Holds("d-1", "d-1")
		}, 50},
		"it was billed": {func(t *testing.T, r *replica, _ *clock) {
			r.begin(t, "d-1", "d-1", 50, budget)
			r.Saw(t.Context(), "d-1", job)
		}, 80},
		"two tries reserved at the same time, and one began": {func(t *testing.T, r *replica, _ *clock) {
			if _, err := r.Reserve(t.Context(), wanted("d-2")); err != nil {
				t.Fatal(err)
			}
			r.begin(t, "d-1", "d-1", 50, budget)
		}, 50},
		"two tries reserved at the same time, and none began": {func(t *testing.T, r *replica, _ *clock) {
			if _, err := r.Reserve(t.Context(), wanted("d-2")); err != nil {
				t.Fatal(err)
			}
		}, 100},
		"it was refused, and reserved again at once": {func(t *testing.T, r *replica, _ *clock) {
			r.turn <- struct{}{} // nothing is settled meanwhile
			r.NeverRan("d-1", "d-1")
			<-r.turn
			if _, err := r.Reserve(t.Context(), wanted("d-2")); err != nil {
				t.Fatal(err)
			}
			r.begin(t, "d-1", "d-2", 50, budget)
		}, 50},
	} {
		t.Run(name, func(t *testing.T) {
			h, clock := newHouse(t), &clock{}
			h.now = clock.now
			r := h.start()
			if _, err := r.Reserve(t.Context(), wanted("")); err != nil {
				t.Fatal(err)
			}
			c.happens(t, r, clock)
			r.settleDue(t.Context())
			if left := r.left(t, budget); c.left == 50 && left != 50 {
				t.Errorf("%d MiB are left at once", left)
			}
			clock.forward(59 * time.Second)
			r.settleDue(t.Context())
			if left := r.left(t, budget); left > max(c.left, 50) && name != "it began, and its body never left" {
				t.Errorf("%d MiB are left while the verdict lives", left)
			}
			if name == "the verdict left late" {
				return
			}
			clock.forward(2 * time.Second)
			r.settleDue(t.Context())
			until(t, "what is left", func() bool { return r.left(t, budget) == c.left })
		})
	}
}

// What was given back does not begin any more: somebody else may have it.
func TestTooLateToBegin(t *testing.T) {
	h, clock := newHouse(t), &clock{}
	h.now = clock.now
	r := h.start()
	budget := daily(100)
	w := Wanted{Decision: "d-1", Budgets: []policies.Budget{budget}, Least: 50 * mib, Most: 50 * mib}
	if _, err := r.Reserve(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	clock.forward(61 * time.Second)
	r.settleDue(t.Context())
	r.must(t, "d-2", 100, budget)
	if err := r.Begin(t.Context(), w); !errors.Is(err, errLate) {
		t.Errorf("began: %v", err)
	}
	if left := r.left(t, budget); left != 0 {
		t.Errorf("%d MiB are left", left)
	}
}

// ext_authz and ext_proc may be of two processes. What one has reserved the other counts, also
// where nothing is left beside it, and the first gives its own back: what runs counts once, and
// never not at all.
func TestBegunByAnotherProcess(t *testing.T) {
	budget := daily(100)
	billed := int64(20 * mib)
	job := bigquery.Job{State: "DONE", TotalBytesBilled: &billed, Reference: bigquery.JobReference{ProjectID: "p", JobID: "j"}}
	w := Wanted{Decision: "d-1", Budgets: []policies.Budget{budget}, Least: 100 * mib, Most: 100 * mib}
	t.Run("that lives", func(t *testing.T) {
		h, clock := newHouse(t), &clock{}
		h.now = clock.now
		a, b := h.start(), h.start()
		if _, err := a.Reserve(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if err := b.Begin(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		a.Saw(t.Context(), "d-1", job) // by a poll of the job there
		a.settleDue(t.Context())
		clock.forward(61 * time.Second)
		a.settleDue(t.Context())
		until(t, "that it counts once", func() bool { return a.Err() == nil && a.left(t, budget) == 0 && b.left(t, budget) == 0 })
		b.Saw(t.Context(), "d-1", job)
		until(t, "what it was billed", func() bool { return a.left(t, budget) == 80 && b.left(t, budget) == 80 })
	})
	t.Run("after a crash of the first", func(t *testing.T) {
		h, clock := newHouse(t), &clock{}
		h.now = clock.now
		a := h.start()
		if _, err := a.Reserve(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		a.kill()
		next := h.start(a.journal, &audittest.Journal{})
		if err := next.Begin(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		clock.forward(61 * time.Second)
		next.settleDue(t.Context())
		if left := next.left(t, budget); left != -100 {
			t.Errorf("%d MiB are left of 100; want what the dead one reserved to stay, beside what began", left)
		}
	})
}

// The answer of a job that has a name was lost: BigQuery is asked, where no other job can answer.
func TestTheJobOfALostAnswer(t *testing.T) {
	budget := daily(100)
	for location, left := range map[string]int64{"EU": 80, "": 50} {
		t.Run("in "+location, func(t *testing.T) {
			h, clock := newHouse(t), &clock{}
			h.now = clock.now
			h.upstream.ends("j", 20*mib)
			r := h.start()
			w := Wanted{Decision: "d-1", Budgets: []policies.Budget{budget}, Least: 50 * mib, Most: 50 * mib}
			w.Job.ProjectID, w.Job.JobID, w.Job.Location = "p", "j", location
			if _, err := r.Reserve(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			if err := r.Begin(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			clock.forward(unseen + time.Second)
			r.askDue(t.Context())
			until(t, "what is left", func() bool { return r.left(t, budget) == left })
		})
	}
}
