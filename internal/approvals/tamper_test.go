package approvals

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/sealedtest"
)

// A11: an attacker who can write Redis writes an approval. Nothing of it opens anything, and each
// try is logged.
func TestForgedEntries(t *testing.T) {
	otherKeys := sealedtest.Keyring(t, 9)
	attacks := map[string]func(b *bench, victim, approved Request){
		"flips the plain state": func(b *bench, victim, _ Request) {
			b.client.HSet(b.ctx, requestKey(victim.ID), "state", "approved")
		},
		"flips the plain state and version": func(b *bench, victim, _ Request) {
			b.client.HSet(b.ctx, requestKey(victim.ID), "state", "approved", "version", "2")
		},
		"copies an approved record of another request": func(b *bench, victim, approved Request) {
			b.client.HSet(b.ctx, requestKey(victim.ID), b.client.HGetAll(b.ctx, requestKey(approved.ID)).Val())
		},
		"writes a record sealed with another key": func(b *bench, victim, _ Request) {
			r, _, err := b.store.read(b.ctx, victim.ID)
			b.must(err)
			r.State, r.Version = StateApproved, 2
			text, err := otherKeys.Seal(purpose(victim.ID), r)
			b.must(err)
			b.client.HSet(b.ctx, requestKey(victim.ID), "state", "approved", "version", "2", "sealed", text)
		},
		"takes away the sealed record": func(b *bench, victim, _ Request) {
			b.client.HDel(b.ctx, requestKey(victim.ID), "sealed")
		},
		"writes plain JSON": func(b *bench, victim, _ Request) {
			b.client.HSet(b.ctx, requestKey(victim.ID), "state", "approved", "sealed", `{"state":"approved"}`)
		},
		"puts another type under the key": func(b *bench, victim, _ Request) {
			b.client.Del(b.ctx, requestKey(victim.ID))
			b.client.Set(b.ctx, requestKey(victim.ID), "approved", 0)
		},
		"deletes it": func(b *bench, victim, _ Request) { b.client.Del(b.ctx, requestKey(victim.ID)) },
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			onEach(t, Options{}, func(t *testing.T, b *bench) {
				victim, approved := b.hold(), b.approve(b.hold(), dana)
				attack(b, victim, approved)
				for _, store := range []*Store{b.store, b.replica()} {
					_, err := store.Get(b.ctx, victim.ID)
					wantErr(t, err, ErrNotFound)
					_, _, err = store.ByJob(b.ctx, owner, project, "", victim.JobID)
					wantErr(t, err, ErrNotFound)
					_, err = store.BeginRelease(b.ctx, victim.ID, owner)
					wantErr(t, err, ErrNotFound)
					_, err = store.Vote(b.ctx, victim.ID, dana, Approve, "")
					wantErr(t, err, ErrNotFound)
					_, err = store.Wait(b.ctx, victim.ID, time.Second)
					wantErr(t, err, ErrNotFound)
				}
				list, err := b.store.List(b.ctx, Filter{})
				b.must(err)
				if len(list.Requests) != 1 || list.Requests[0].ID != approved.ID {
					t.Errorf("listed: %+v", list)
				}
				if gone := b.client.Type(b.ctx, requestKey(victim.ID)).Val() != "hash"; !gone &&
					!strings.Contains(b.log.String(), "tampered with") {
					t.Error("nothing was logged")
				}
				// It denies nothing either: the same query asks again.
				r, err := b.store.Hold(b.ctx, query(func(h *Held) { h.Job.JobID = victim.JobID }))
				b.must(err)
				if r.ID == victim.ID || r.Repeated || r.State != StatePending {
					t.Errorf("asked again: %+v", r)
				}
			})
		})
	}
}

// A11: an older state of the same request, put back whole, is noticed by the process that has seen
// the newer one.
func TestReplayedEntry(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.approve(b.hold(), dana)
		old := b.client.HGetAll(b.ctx, requestKey(r.ID)).Val()
		lease, err := b.store.BeginRelease(b.ctx, r.ID, owner)
		b.must(err)
		b.must(b.store.FinishRelease(b.ctx, lease, Ran()))
		b.client.HSet(b.ctx, requestKey(r.ID), "sealed", old["sealed"]) // the counter stays: every process notices
		for _, store := range []*Store{b.store, b.replica()} {
			_, err = store.BeginRelease(b.ctx, r.ID, owner)
			wantErr(t, err, ErrTampered)
		}
		b.client.HSet(b.ctx, requestKey(r.ID), old) // counter and state too
		_, err = b.store.BeginRelease(b.ctx, r.ID, owner)
		wantErr(t, err, ErrTampered)
		b.client.HSet(b.ctx, requestKey(r.ID), "version", strconv.Itoa(99))
		_, err = b.replica().BeginRelease(b.ctx, r.ID, owner)
		wantErr(t, err, ErrTampered)
	})
}

// A11: index entries are hints.
func TestForgedIndex(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		victim := b.approve(b.hold(func(h *Held) { h.Subject.Owner = "victim's run" }), dana)
		// The attacker points another job at the victim's approved request.
		b.client.Set(b.ctx, b.store.jobKey(owner, project, "mine"), victim.ID, 0)
		_, _, err := b.store.ByJob(b.ctx, owner, project, "", "mine")
		wantErr(t, err, ErrNotFound)
		r, err := b.store.Hold(b.ctx, query(func(h *Held) { h.Job.JobID = "mine" }))
		b.must(err)
		if r.ID == victim.ID || r.State != StatePending {
			t.Fatalf("requested as %+v", r)
		}
		// The same with a job id of the attacker's choice: the victim's.
		b.client.Set(b.ctx, b.store.jobKey(owner, project, victim.JobID), victim.ID, 0)
		_, _, err = b.store.ByJob(b.ctx, owner, project, "", victim.JobID)
		wantErr(t, err, ErrNotFound)
		r, err = b.store.Hold(b.ctx, query(func(h *Held) { h.Job.JobID = victim.JobID }))
		b.must(err)
		if r.ID == victim.ID || r.State != StatePending {
			t.Fatalf("held as %+v", r)
		}
		for _, junk := range []string{"", "x", strings.Repeat("A", 100_000), "r-01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
			t.Run(junk, func(t *testing.T) {
				b.client.Set(b.ctx, b.store.jobKey(owner, project, "junk"), junk, 0)
				_, _, err = b.store.ByJob(b.ctx, owner, project, "", "junk")
				wantErr(t, err, ErrNotFound)
			})
		}
		b.client.Del(b.ctx, b.store.jobKey(owner, project, "list"))
		b.client.RPush(b.ctx, b.store.jobKey(owner, project, "list"), "x")
		_, _, err = b.store.ByJob(b.ctx, owner, project, "", "list")
		wantErr(t, err, ErrNotFound)
		b.hold(func(h *Held) { h.Job.JobID = "list" })
		b.client.ZAdd(b.ctx, keyPrefix+"pending", z("x"), z("r-01ARZ3NDEKTSV4RRFFQ69G5FAV"))
		if list, err := b.store.List(b.ctx, Filter{State: StatePending}); err != nil || len(list.Requests) != 3 {
			t.Fatalf("listed %d, %v", len(list.Requests), err)
		}
	})
}

// A planted claim that never ends is not waited for.
func TestForgedClaim(t *testing.T) {
	onEach(t, Options{ClaimLease: 20 * time.Second}, func(t *testing.T, b *bench) {
		r := b.hold()
		far := strconv.FormatInt(time.Now().Add(24*time.Hour).UnixMilli(), 10)
		for _, until := range []string{far, "9e99", "x", "-1"} {
			t.Run(until, func(t *testing.T) {
				b.client.HSet(b.ctx, requestKey(r.ID), "claim", "attacker", "claim_until", until)
				start := time.Now()
				got, err := b.store.Cancel(b.ctx, r.ID, owner)
				b.must(err)
				if got.State != StateCancelled || time.Since(start) > 10*time.Second {
					t.Fatalf("claim until %s: %s after %v", until, got.State, time.Since(start))
				}
				r = b.hold()
			})
		}
	})
}

func TestTamperedIsNotFound(t *testing.T) {
	if !errors.Is(ErrTampered, ErrNotFound) {
		t.Fatal("a tampered request must read as not there")
	}
}
