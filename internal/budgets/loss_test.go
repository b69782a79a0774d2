package budgets

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/policies"
)

// dump is what a snapshot of Redis has.
func (h *house) dump() map[string]string {
	all := map[string]string{}
	keys, err := h.redis.Keys(h.t.Context(), "*").Result()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, key := range keys {
		if all[key], err = h.redis.Dump(h.t.Context(), key).Result(); err != nil {
			h.t.Fatal(err)
		}
	}
	return all
}

func (h *house) restore(all map[string]string, only ...string) {
	for key, text := range all {
		if len(only) > 0 && only[0] != key {
			continue
		}
		if err := h.redis.RestoreReplace(h.t.Context(), key, 0, text).Err(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// Whatever becomes of Redis, nothing that was spent is given back, and budgets open again by
// themselves (A11, A52).
func TestWhatRedisLosesIsNotGivenBack(t *testing.T) {
	budget := daily(100)
	for name, harm := range map[string]func(h *house, a, b *replica, before map[string]string){
		"emptied": func(h *house, _, _ *replica, _ map[string]string) { h.redis.FlushAll(t.Context()) },
		"emptied again and again": func(h *house, _, _ *replica, _ map[string]string) {
			for range 5 {
				h.redis.FlushAll(t.Context())
				time.Sleep(7 * time.Millisecond)
			}
		},
		"a snapshot from before": func(h *house, _, _ *replica, before map[string]string) {
			h.redis.FlushAll(t.Context())
			h.restore(before)
		},
		"one part from before": func(h *house, a, _ *replica, before map[string]string) {
			h.restore(before, partKey(a.me))
		},
		"one part gone": func(h *house, a, _ *replica, _ map[string]string) { h.redis.Del(t.Context(), partKey(a.me)) },
		"one counter gone": func(h *house, a, _ *replica, _ map[string]string) {
			h.redis.HDel(t.Context(), partKey(a.me), a.zero(budget, a.Now()).Slot)
		},
		"one counter of another replica": func(h *house, a, b *replica, _ map[string]string) {
			slot := a.zero(budget, a.Now()).Slot
			text, _ := h.redis.HGet(t.Context(), partKey(b.me), slot).Result()
			h.redis.HSet(t.Context(), partKey(a.me), slot, text)
		},
		"a counter that nobody sealed": func(h *house, a, _ *replica, _ map[string]string) {
			h.redis.HSet(t.Context(), partKey(a.me), a.zero(budget, a.Now()).Slot, "0")
		},
		"a part of another type": func(h *house, a, _ *replica, _ map[string]string) { h.redis.Set(t.Context(), partKey(a.me), "x", 0) },
		"beats of another type":  func(h *house, _, _ *replica, _ map[string]string) { h.redis.Set(t.Context(), keyBeats, "x", 0) },
		"no beats":               func(h *house, _, _ *replica, _ map[string]string) { h.redis.Del(t.Context(), keyBeats) },
		"one beat gone":          func(h *house, a, _ *replica, _ map[string]string) { h.redis.HDel(t.Context(), keyBeats, a.me) },
		"a replica that is none": func(h *house, _, _ *replica, _ map[string]string) { h.redis.HSet(t.Context(), keyBeats, "evil", "x") },
		"nothing":                func(*house, *replica, *replica, map[string]string) {},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			a, b := h.start(), h.start()
			a.must(t, "d-0", 10, budget)
			b.must(t, "d-1", 10, budget)
			before := h.dump()
			a.must(t, "d-2", 50, budget)
			b.must(t, "d-3", 10, budget)
			until(t, "that both know it", func() bool { return a.left(t, budget) == 20 && b.left(t, budget) == 20 })
			harm(h, a, b, before)
			for i, r := range []*replica{b, a} {
				if _, err := r.reserve(t, fmt.Sprintf("d-over-%d", i), 21, 21, budget); !exceeded(err) && !errors.Is(err, ErrClosed) {
					t.Fatalf("replica %d reserved 21 of 20 MiB: %v", i, err)
				}
			}
			until(t, "budgets that are open", func() bool { return a.Err() == nil && b.Err() == nil })
			for i, r := range []*replica{a, b} {
				if left := r.left(t, budget); left != 20 {
					t.Errorf("%d MiB are left for replica %d, want 20", left, i)
				}
			}
			b.must(t, "d-4", 20, budget)
			if _, err := a.reserve(t, "d-5", 1, 1, budget); !exceeded(err) {
				t.Errorf("a reserved what is not there: %v", err)
			}
		})
	}
}

// While it is not known what another replica has counted, nothing is taken from a budget; a replica
// that does not answer is taken for dead, and what it had counted stays counted.
func TestClosedUntilEveryoneHasTold(t *testing.T) {
	h := newHouse(t)
	a, b := h.start(), h.start()
	budget := daily(100)
	a.must(t, "d-1", 60, budget)
	until(t, "that b knows it", func() bool { return b.left(t, budget) == 40 })
	a.turn <- struct{}{} // frozen: it holds its turn, so that no beat of its comes
	h.redis.FlushAll(t.Context())
	until(t, "that b has seen the loss", func() bool { return b.Err() != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.Reserve(ctx, Wanted{Decision: "d-2", Budgets: []policies.Budget{budget}, Least: mib, Most: mib}); !errors.Is(err,
		ErrClosed) {
		t.Errorf("b took from the budget while it waits for a: %v", err)
	}
	until(t, "that b takes a for dead", func() bool { return b.Err() == nil })
	if left := b.left(t, budget); left != 40 {
		t.Errorf("%d MiB are left, want 40", left)
	}
	b.must(t, "d-3", 40, budget)
	<-a.turn
	until(t, "that a lives again", func() bool {
		left, err := a.Left(t.Context(), []policies.Budget{budget})
		return err == nil && left[0].Amount == 0
	})
}

// A crash never gives back: what the journal has counts for the next process, whether or not Redis
// still has it; of what it does not have nothing was sent.
func TestCrash(t *testing.T) {
	budget := daily(100)
	billed := int64(5 * mib)
	for name, c := range map[string]struct {
		dies func(h *house, r *replica)
		left int64
	}{
		"after a reservation":  {func(*house, *replica) {}, 50},
		"and Redis is emptied": {func(h *house, _ *replica) { h.redis.FlushAll(t.Context()) }, 50},
		"after it was settled": {func(_ *house, r *replica) {
			r.Saw(t.Context(), "d-1", bigquery.Job{State: "DONE", TotalBytesBilled: &billed})
			until(t, "what was billed", func() bool { return r.left(t, budget) == 95 })
		}, 95},
		"after it was settled, and Redis is emptied": {func(h *house, r *replica) {
			r.Saw(t.Context(), "d-1", bigquery.Job{State: "DONE", TotalBytesBilled: &billed})
			until(t, "what was billed", func() bool { return r.left(t, budget) == 95 })
			r.kill()
			h.redis.FlushAll(t.Context())
		}, 95},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			r := h.start()
			r.must(t, "d-1", 50, budget)
			c.dies(h, r)
			r.kill()
			next := h.start(r.journal)
			if left := next.left(t, budget); left != c.left {
				t.Errorf("%d MiB are left, want %d", left, c.left)
			}
			if _, err := next.reserve(t, "d-2", c.left+1, c.left+1, budget); !exceeded(err) {
				t.Error(err)
			}
		})
	}
	t.Run("what others told is in the journal", func(t *testing.T) {
		h := newHouse(t)
		a, b := h.start(), h.start()
		a.must(t, "d-1", 50, budget)
		until(t, "that b has it in its journal", func() bool {
			for _, r := range b.journal.Records() {
				if told := r.(audit.Budget); told.Event == audit.BudgetTold && told.Replica == a.me && told.Counters[0].Reserved == 50*mib {
					return true
				}
			}
			return false
		})
		a.kill()
		b.kill()
		h.redis.FlushAll(t.Context())
		if left := h.start(b.journal).left(t, budget); left != 50 {
			t.Errorf("%d MiB are left, want 50", left)
		}
	})
}

// A process that dies at a step of a reservation or a settlement has given nothing back: at each
// write of the journal, before it and after it.
func TestKilledAtEachRecord(t *testing.T) {
	budget := daily(100)
	billed := int64(20 * mib)
	for _, event := range []string{audit.BudgetReserved, audit.BudgetSettled} {
		for _, written := range []bool{false, true} {
			for _, emptied := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, written %v, emptied %v", event, written, emptied), func(t *testing.T) {
					h := newHouse(t)
					r := h.start()
					kept := &audittest.Journal{}
					dead := errors.New("killed")
					died := make(chan struct{})
					r.Journal = journalFunc(func(ctx context.Context, rec audit.Record) (audit.Position, error) {
						b := rec.(audit.Budget)
						if b.Event != event || written {
							if _, err := kept.Append(ctx, rec); err != nil {
								return audit.Position{}, err
							}
						}
						if b.Event == event {
							close(died)
							<-ctx.Done() // nothing of this process happens any more
							return audit.Position{}, dead
						}
						return audit.Position{}, nil
					})
					ctx, cancel := context.WithCancel(t.Context())
					go func() {
						if _, err := r.Reserve(ctx, Wanted{Decision: "d-1", Budgets: []policies.Budget{budget}, Least: 50 * mib,
							Most: 50 * mib}); err == nil {
							r.begin(t, "d-1", "d-1", 50, budget)
							r.Saw(ctx, "d-1", bigquery.Job{State: "DONE", TotalBytesBilled: &billed})
						}
					}()
					<-died
					cancel()
					r.kill()
					if emptied {
						h.redis.FlushAll(t.Context())
					}
					left := h.start(kept).left(t, budget)
					want := map[string]int64{audit.BudgetReserved: 50, audit.BudgetSettled: 50}[event]
					switch {
					case event == audit.BudgetSettled && written:
						want = 80
					case event == audit.BudgetReserved && !written && emptied:
						want = 100 // nothing was sent, and nobody knows of it
					}
					if left != want {
						t.Errorf("%d MiB are left, want %d", left, want)
					}
				})
			}
		}
	}
}

type journalFunc func(ctx context.Context, r audit.Record) (audit.Position, error)

func (f journalFunc) Append(ctx context.Context, r audit.Record) (audit.Position, error) {
	return f(ctx, r)
}

// The next process on the host settles what one before it has left, once, whoever else does.
func TestOrphansAreSettledOnce(t *testing.T) {
	h := newHouse(t)
	shift := time.Duration(0)
	r := h.start()
	budget := daily(100)
	r.must(t, "d-1", 50, budget)
	r.Saw(t.Context(), "d-1", bigquery.Job{State: "RUNNING", Reference: bigquery.JobReference{ProjectID: "p", JobID: "j"}})
	r.kill()
	h.upstream.ends("j", 10*mib)
	_ = shift
	a, b := h.start(r.journal), h.start(r.journal)
	for _, s := range []*replica{a, b} {
		s.mu.Lock()
		s.started = s.started.Add(-time.Minute)
		s.mu.Unlock()
	}
	until(t, "what was billed", func() bool { return a.left(t, budget) == 90 && b.left(t, budget) == 90 })
	time.Sleep(3 * settleEvery)
	if a.left(t, budget) != 90 || b.left(t, budget) != 90 {
		t.Errorf("%d and %d MiB are left, want 90", a.left(t, budget), b.left(t, budget))
	}
}

// Rows are counted before they leave, and never given back.
func TestSpendRows(t *testing.T) {
	h := newHouse(t)
	r := h.start()
	rows := daily(0)
	rows.Unit, rows.Limit = policies.UnitRows, 100
	spend := func(n int64, beyond bool, b policies.Budget) error {
		return r.Spend(t.Context(), Wanted{Decision: "d", Budgets: []policies.Budget{b}, Most: n, Beyond: beyond})
	}
	held := rows
	held.Holds = true
	for _, c := range []struct {
		name   string
		rows   int64
		beyond bool
		budget policies.Budget
		over   bool
	}{
		{"some", 60, false, rows, false}, {"none", 0, false, rows, false}, {"more than there are", 41, false, rows, true},
		{"the same page again", 40, false, rows, false}, {"one more", 1, false, rows, true}, {"with approval", 1, true, held, false},
	} {
		if err := spend(c.rows, c.beyond, c.budget); exceeded(err) != c.over || err != nil && !c.over {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
