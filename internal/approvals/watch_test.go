package approvals

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		ctx, stop := context.WithCancel(b.ctx)
		changes := b.replica().Watch(ctx)
		next := func() Change {
			t.Helper()
			select {
			case c, open := <-changes:
				if !open {
					t.Fatal("the watch has ended")
				}
				return c
			case <-time.After(30 * time.Second):
				t.Fatal("no change in 5 s")
			}
			return Change{}
		}
		until := func(id string) {
			t.Helper()
			for next().Request != id {
			}
		}
		until("") // begun
		until("") // subscribed
		r := b.hold()
		until(r.ID)
		b.approve(r, dana)
		until(r.ID)
		other := b.hold()
		until(other.ID)
		_, err := b.store.Cancel(b.ctx, other.ID, owner)
		b.must(err)
		until(other.ID)
		// Who does not listen for a while loses no change, only which.
		for range 3 * watchBuffer {
			b.client.Publish(b.ctx, channel, r.ID)
		}
		last := b.hold()
		for c := next(); c.Request != "" && c.Request != last.ID; c = next() {
		}
		b.client.Publish(b.ctx, channel, "anything <b>")
		stop()
		for range changes {
		}
	})
}

func TestWatchEndsWithTheStore(t *testing.T) {
	b := newBench(t, startMini(t), Options{})
	store := b.replica()
	changes := store.Watch(b.ctx)
	<-changes
	store.Close()
	for range changes {
	}
	for range store.Watch(b.ctx) { // a watch that comes late ends as well
	}
}

func TestHistory(t *testing.T) {
	onEach(t, Options{MaxPerOwner: 1000}, func(t *testing.T, b *bench) {
		var mine []Request
		for i := range 3 {
			mine = append(mine, b.hold(func(h *Held) { h.Subject.Owner = fmt.Sprint("run ", i) })) // other runs of one pipeline
			time.Sleep(3 * time.Millisecond)
		}
		b.hold(func(h *Held) { h.Subject.Grant = "grant 2" })
		b.approve(mine[0], dana)
		got, err := b.store.History(b.ctx, mine[1].ID, 0)
		b.must(err)
		if len(got) != 2 || got[0].ID != mine[2].ID || got[1].ID != mine[0].ID || got[1].State != StateApproved {
			t.Fatalf("history is %+v", got)
		}
		if got, err := b.store.History(b.ctx, mine[1].ID, 1); err != nil || len(got) != 1 {
			t.Fatalf("history of one: %d, %v", len(got), err)
		}
		// A planted entry shows nobody else's request.
		alien := b.hold(func(h *Held) { h.Subject.Grant = "grant 3" })
		b.client.ZAdd(b.ctx, b.store.grantKey("grant 1"), z(alien.ID), z("x"))
		if got, err := b.store.History(b.ctx, mine[1].ID, 0); err != nil || len(got) != 2 {
			t.Fatalf("history with a planted entry: %d, %v", len(got), err)
		}
		_, err = b.store.History(b.ctx, "r-01ARZ3NDEKTSV4RRFFQ69G5FAV", 0)
		wantErr(t, err, ErrNotFound)
	})
}
