package approvals

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRelease(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.approve(b.hold(), dana)
		lease, err := b.store.BeginRelease(b.ctx, r.ID, owner)
		b.must(err)
		got, err := b.store.Get(b.ctx, r.ID)
		b.must(err)
		if got.State != StateApproved || !got.Releasing || lease.Attempt != 1 {
			t.Fatalf("while releasing: %s, %v; lease %+v", got.State, got.Releasing, lease)
		}
		_, err = b.store.BeginRelease(b.ctx, r.ID, owner)
		wantErr(t, err, ErrReleasing)
		_, err = b.store.Cancel(b.ctx, r.ID, owner)
		wantErr(t, err, ErrReleasing)
		b.must(b.store.FinishRelease(b.ctx, lease, Ran()))
		if _, held, err := b.store.ByJob(b.ctx, owner, project, "", r.JobID); err != nil || held.Job.JobID != r.JobID ||
			b.state(r.ID) != StateUsed {
			t.Fatalf("after the run: %v, %s", err, b.state(r.ID))
		}
		_, err = b.store.BeginRelease(b.ctx, r.ID, owner)
		wantErr(t, err, ErrUsed)
		for _, o := range []Outcome{Ran(), Failed("x"), Lapsed("x")} {
			t.Run(fmt.Sprint(o), func(t *testing.T) {
				wantErr(t, b.store.FinishRelease(b.ctx, lease, o), ErrLeaseLost)
			})
		}
		if got := b.journal.kinds(r.ID); got != "requested approved releasing used" {
			t.Errorf("journal has %q", got)
		}
		if r, err := b.store.Cancel(b.ctx, r.ID, owner); err != nil || r.State != StateUsed {
			t.Errorf("cancel after the run: %s, %v", r.State, err)
		}
	})
}

func TestReleaseOutcomes(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.approve(b.hold(), dana)
		lease, err := b.store.BeginRelease(b.ctx, r.ID, owner)
		b.must(err)
		if err := b.store.FinishRelease(b.ctx, lease, Outcome{}); err == nil {
			t.Error("the zero Outcome is taken")
		}
		wantErr(t, b.store.FinishRelease(b.ctx, Lease{Request: r.ID}, Ran()), ErrLeaseLost)
		gone, cancel := context.WithCancel(b.ctx)
		cancel() // a client that hung up does not keep the outcome from being written
		b.must(b.store.FinishRelease(gone, lease, Failed("BigQuery answered 503")))
		got, err := b.store.Get(b.ctx, r.ID)
		b.must(err)
		if got.State != StateApproved || got.Releasing || got.Failure != "BigQuery answered 503" {
			t.Fatalf("after a failure: %+v", got)
		}
		again, err := b.store.BeginRelease(b.ctx, r.ID, owner)
		b.must(err)
		if again.Attempt != 2 || again.Nonce == lease.Nonce {
			t.Fatalf("second lease %+v", again)
		}
		wantErr(t, b.store.FinishRelease(b.ctx, lease, Ran()), ErrLeaseLost)
		b.must(b.store.FinishRelease(b.ctx, again, Lapsed("the policy has changed")))
		got, err = b.store.Get(b.ctx, r.ID)
		b.must(err)
		if got.State != StateCancelled || got.Ended != "the policy has changed" {
			t.Fatalf("after a lapse: %+v", got)
		}
		_, err = b.store.BeginRelease(b.ctx, r.ID, owner)
		wantErr(t, err, ErrNotApproved)
		if got := b.journal.kinds(r.ID); got != "requested approved releasing failed releasing lapsed" {
			t.Errorf("journal has %q", got)
		}
	})
}

func TestReleaseNeedsApprovalAndOwner(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		pending := b.hold()
		_, err := b.store.BeginRelease(b.ctx, pending.ID, owner)
		wantErr(t, err, ErrNotApproved)
		denied := b.hold()
		_, err = b.store.Vote(b.ctx, denied.ID, dana, Deny, "no")
		b.must(err)
		_, err = b.store.BeginRelease(b.ctx, denied.ID, owner)
		wantErr(t, err, ErrNotApproved)
		half := b.approve(b.hold(func(h *Held) { h.Approval.Quorum = 2 }), dana)
		_, err = b.store.BeginRelease(b.ctx, half.ID, owner)
		wantErr(t, err, ErrNotApproved)
		approved := b.approve(b.hold(), dana)
		for _, who := range []string{"", "another run"} {
			_, err = b.store.BeginRelease(b.ctx, approved.ID, who)
			wantErr(t, err, ErrNotFound)
			_, err = b.store.Cancel(b.ctx, approved.ID, who)
			wantErr(t, err, ErrNotFound)
		}
	})
}

func TestReleaseRace(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		stores := []*Store{b.store, b.replica()}
		r := b.approve(b.hold(), dana)
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				_, err := stores[i%2].BeginRelease(b.ctx, r.ID, owner)
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, ErrReleasing) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d callers got the release", won.Load())
		}
	})
}

// Approve, cancel and release at once: whatever order they take, a cancelled request is never
// released.
func TestCancelRace(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		for range 10 {
			r := b.approve(b.hold(), dana)
			var released, cancelled atomic.Bool
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := b.store.BeginRelease(b.ctx, r.ID, owner)
				released.Store(err == nil)
			})
			wg.Go(func() {
				c, err := b.store.Cancel(b.ctx, r.ID, owner)
				cancelled.Store(err == nil && c.State == StateCancelled)
			})
			wg.Wait()
			if released.Load() == cancelled.Load() {
				t.Fatalf("released %v and cancelled %v", released.Load(), cancelled.Load())
			}
		}
	})
}

// A9: whoever got the release and died leaves it to the next one after the lease, until the
// approval expires.
func TestAbandonedRelease(t *testing.T) {
	onEach(t, Options{ReleaseLease: 150 * time.Millisecond}, func(t *testing.T, b *bench) {
		r := b.approve(b.hold(func(h *Held) { h.Approval.Expires = 2 * time.Second }), dana)
		first, err := b.store.BeginRelease(b.ctx, r.ID, owner)
		b.must(err)
		time.Sleep(200 * time.Millisecond)
		second, err := b.replica().BeginRelease(b.ctx, r.ID, owner)
		b.must(err)
		if second.Attempt != 2 {
			t.Fatalf("second attempt is %+v", second)
		}
		wantErr(t, b.store.FinishRelease(b.ctx, first, Ran()), ErrLeaseLost)
		time.Sleep(time.Until(r.Expires) + 50*time.Millisecond)
		if b.state(r.ID) != StateExpired {
			t.Fatalf("abandoned and past its expiry: %s", b.state(r.ID))
		}
		_, err = b.store.BeginRelease(b.ctx, r.ID, owner)
		wantErr(t, err, ErrExpired)
		// The one who submitted it still tells what became of the query.
		b.must(b.store.FinishRelease(b.ctx, second, Ran()))
		if b.state(r.ID) != StateUsed {
			t.Fatalf("finished late: %s", b.state(r.ID))
		}
	})
}

func TestCancel(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold()
		for range 2 {
			got, err := b.store.Cancel(b.ctx, r.ID, owner)
			b.must(err)
			if got.State != StateCancelled || got.Ended == "" {
				t.Fatalf("cancelled: %+v", got)
			}
		}
		_, err := b.store.Vote(b.ctx, r.ID, dana, Approve, "")
		wantErr(t, err, ErrDecided)
		if got := b.journal.kinds(r.ID); got != "requested cancelled" {
			t.Errorf("journal has %q", got)
		}
	})
}
