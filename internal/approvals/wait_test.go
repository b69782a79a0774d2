package approvals

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/redistest"
)

// Wait waits for a request by its id.
func (s *Store) Wait(ctx context.Context, id string, most time.Duration) (Request, error) {
	r, now, err := s.wait(ctx, id, most, func(record) error { return nil })
	if err != nil {
		return Request{}, err
	}
	return s.view(r, now), nil
}

// A poll by the job waits for its own request; of anybody else's there is nothing to wait for.
func TestWaitByJob(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold()
		start := time.Now()
		for name, of := range map[string][3]string{"another owner": {"mallory", project, ""}, "another project": {owner, "other", ""},
			"another location": {owner, project, "mars"}} {
			t.Run(name, func(t *testing.T) {
				if _, _, err := b.store.WaitByJob(b.ctx, of[0], of[1], of[2], r.JobID, time.Minute); !errors.Is(err, ErrNotFound) {
					t.Errorf("%s: %v, want ErrNotFound", name, err)
				}
			})
		}
		// The index is Redis's to change: an entry that leads to somebody else's request is not
		// waited on.
		planted := b.store.jobKey("mallory", project, r.JobID)
		b.must(b.client.Set(b.ctx, planted, r.ID, 0).Err())
		if _, _, err := b.store.WaitByJob(b.ctx, "mallory", project, "", r.JobID, time.Minute); !errors.Is(err, ErrTampered) {
			t.Errorf("a planted entry: %v, want ErrTampered", err)
		}
		if waited := time.Since(start); waited > 30*time.Second {
			t.Errorf("refused after %v", waited)
		}
		deciding := b.replica()
		time.AfterFunc(150*time.Millisecond, func() { deciding.Vote(b.ctx, r.ID, dana, Approve, "") })
		got, held, err := b.store.WaitByJob(b.ctx, owner, project, "", r.JobID, time.Minute)
		b.must(err)
		if got.State != StateApproved || got.ID != r.ID || held.Job.JobID != r.JobID || held.Operation.Query.SQL == "" {
			t.Errorf("approved while it waited: %+v, %+v", got, held)
		}
	})
}

func TestWait(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold()
		start := time.Now()
		got, err := b.store.Wait(b.ctx, r.ID, 100*time.Millisecond)
		b.must(err)
		if d := time.Since(start); got.State != StatePending || d < 90*time.Millisecond || d > 8*time.Second {
			t.Fatalf("undecided: %s after %v", got.State, d)
		}
		deciding := b.replica()
		time.AfterFunc(150*time.Millisecond, func() { deciding.Vote(b.ctx, r.ID, dana, Approve, "") })
		start = time.Now()
		got, err = b.store.Wait(b.ctx, r.ID, 10*time.Second)
		b.must(err)
		if d := time.Since(start); got.State != StateApproved || d > 8*time.Second {
			t.Fatalf("approved on another replica: %s after %v", got.State, d)
		}
		start = time.Now()
		if _, err = b.store.Wait(b.ctx, r.ID, 10*time.Second); err != nil || time.Since(start) > 8*time.Second {
			t.Fatalf("already decided: %v after %v", err, time.Since(start))
		}
		// While it is being submitted, the next poll waits for how that ends.
		lease, err := b.store.BeginRelease(b.ctx, r.ID, owner)
		b.must(err)
		time.AfterFunc(100*time.Millisecond, func() { deciding.FinishRelease(b.ctx, lease, Ran()) })
		if got, err = b.store.Wait(b.ctx, r.ID, 10*time.Second); err != nil || got.State != StateUsed {
			t.Fatalf("released: %s, %v", got.State, err)
		}
	})
}

func TestWaitForExpiry(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold(func(h *Held) { h.Approval.Expires = 200 * time.Millisecond })
		start := time.Now()
		got, err := b.store.Wait(b.ctx, r.ID, 10*time.Second)
		b.must(err)
		if d := time.Since(start); got.State != StateExpired || d > 8*time.Second {
			t.Fatalf("%s after %v", got.State, d)
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	onEach(t, Options{MaxWaiting: 2}, func(t *testing.T, b *bench) {
		r := b.hold()
		ctx, cancel := context.WithCancel(b.ctx)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if _, err := b.store.Wait(ctx, r.ID, time.Minute); !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled wait: %v", err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		if got, err := b.store.Wait(b.ctx, r.ID, time.Minute); err != nil || got.State != StatePending ||
			time.Since(start) > 30*time.Second {
			t.Fatalf("above the cap: %s, %v after %v", got.State, err, time.Since(start))
		}
		cancel()
		wg.Wait()
		if b.store.waiters.count != 0 || len(b.store.waiters.byID) != 0 {
			t.Errorf("%d waiters are left", b.store.waiters.count)
		}
	})
}

func TestCloseEndsWaits(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold()
		store := b.replica()
		done := make(chan State)
		go func() {
			got, err := store.Wait(b.ctx, r.ID, time.Minute)
			if err != nil {
				t.Error(err)
			}
			done <- got.State
		}()
		time.Sleep(100 * time.Millisecond)
		store.Close()
		store.Close()
		select {
		case s := <-done:
			if s != StatePending {
				t.Errorf("state %s", s)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("Wait goes on after Close")
		}
	})
}

// A thousand long polls share one subscription and learn of their own change only.
func TestThousandWaiters(t *testing.T) {
	b := newBench(t, redistest.Start(t), Options{})
	var ids []string
	for range 20 {
		ids = append(ids, b.hold().ID)
	}
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			if got, err := b.store.Wait(b.ctx, ids[i%20], 2*time.Minute); err != nil || got.State != StateApproved {
				t.Errorf("waiter %d: %s, %v", i, got.State, err)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	start := time.Now()
	for _, id := range ids {
		b.approve(Request{ID: id}, dana)
	}
	wg.Wait()
	t.Logf("20 approvals reached 1000 waiters in %v", time.Since(start))
}
