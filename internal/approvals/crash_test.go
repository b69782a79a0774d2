package approvals

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// z is a member that no clock reaches.
func z(member string) redis.Z { return redis.Z{Member: member, Score: 9e15} }

// A12: without a durable journal nothing happens.
func TestJournalFails(t *testing.T) {
	onEach(t, Options{ClaimLease: time.Minute}, func(t *testing.T, b *bench) {
		pending, approved, releasing := b.hold(), b.approve(b.hold(), dana), b.approve(b.hold(), dana)
		lease, err := b.store.BeginRelease(b.ctx, releasing.ID, owner)
		b.must(err)
		full := errors.New("disk is full")
		b.journal.set(full)
		_, err = b.store.Hold(b.ctx, query(func(h *Held) { h.Job.JobID = "never" }))
		wantErr(t, err, full)
		for _, v := range []Choice{Approve, Deny} {
			_, err = b.store.Vote(b.ctx, pending.ID, dana, v, "x")
			wantErr(t, err, full)
		}
		_, err = b.store.Cancel(b.ctx, pending.ID, owner)
		wantErr(t, err, full)
		_, err = b.store.BeginRelease(b.ctx, approved.ID, owner)
		wantErr(t, err, full)
		wantErr(t, b.store.FinishRelease(b.ctx, lease, Ran()), full)
		b.journal.set(nil)
		if b.state(pending.ID) != StatePending || b.state(approved.ID) != StateApproved {
			t.Fatalf("states are %s, %s", b.state(pending.ID), b.state(approved.ID))
		}
		_, _, err = b.store.ByJob(b.ctx, owner, project, "", "never")
		wantErr(t, err, ErrNotFound)
		// The claims were given back: all of it works at once.
		start := time.Now()
		b.approve(pending, dana)
		_, err = b.store.BeginRelease(b.ctx, approved.ID, owner)
		b.must(err)
		b.must(b.store.FinishRelease(b.ctx, lease, Ran()))
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// A12: killed between append and commit. The log has the attempt, nobody believes it, and after the
// lease others decide.
func TestKilledBeforeCommit(t *testing.T) {
	onEach(t, Options{ClaimLease: 300 * time.Millisecond}, func(t *testing.T, b *bench) {
		r := b.hold()
		dying := b.replica(&killer{script: scriptCommit})
		_, err := dying.Vote(b.ctx, r.ID, dana, Approve, "yes")
		wantErr(t, err, errKilled)
		if b.state(r.ID) != StatePending || b.journal.kinds(r.ID) != "requested" {
			t.Fatalf("after the kill: %s, journal counts %q", b.state(r.ID), b.journal.kinds(r.ID))
		}
		_, err = b.store.BeginRelease(b.ctx, r.ID, owner)
		wantErr(t, err, ErrNotApproved)
		attempts := 0
		for _, e := range b.journal.all() {
			if e.Request == r.ID && e.Kind == EventApprove {
				attempts++
			}
		}
		if attempts != 1 {
			t.Fatalf("the journal has %d attempts to approve", attempts)
		}
		got, err := b.store.Vote(b.ctx, r.ID, erin, Deny, "no")
		b.must(err)
		if got.State != StateDenied || b.journal.kinds(r.ID) != "requested denied" {
			t.Fatalf("decided by another: %s, %q", got.State, b.journal.kinds(r.ID))
		}
	})
}

// Killed between the claim and the append: no trace but the claim, which runs out.
func TestKilledBeforeAppend(t *testing.T) {
	onEach(t, Options{ClaimLease: 300 * time.Millisecond}, func(t *testing.T, b *bench) {
		r := b.hold()
		stored, _, err := b.store.read(b.ctx, r.ID)
		b.must(err)
		start := time.Now()
		claimed, _, err := b.store.claim(b.ctx, stored, "the dead")
		b.must(err)
		if !claimed {
			t.Fatal("not claimed")
		}
		if got := b.approve(r, dana); got.State != StateApproved {
			t.Fatalf("state %s", got.State)
		}
		if d := time.Since(start); d < 290*time.Millisecond {
			t.Errorf("the claim held for only %v", d)
		}
	})
}

// A slow journal outlives the claim, and another decides meanwhile: the slow one must not overwrite
// it.
func TestClaimRunsOutDuringAppend(t *testing.T) {
	onEach(t, Options{ClaimLease: 200 * time.Millisecond}, func(t *testing.T, b *bench) {
		r := b.hold()
		slow := make(chan struct{})
		b.journal.before = func(e Event) {
			if e.Kind == EventApprove && e.Phase == PhaseAttempt {
				<-slow
			}
		}
		result := make(chan error)
		go func() {
			_, err := b.store.Vote(b.ctx, r.ID, dana, Approve, "yes")
			result <- err
		}()
		time.Sleep(50 * time.Millisecond)
		got, err := b.replica().Vote(b.ctx, r.ID, erin, Deny, "no")
		b.must(err)
		close(slow)
		if err := <-result; err == nil {
			t.Error("the slow reviewer was told that the approval counts")
		}
		if got.State != StateDenied || b.state(r.ID) != StateDenied || b.journal.kinds(r.ID) != "requested denied" {
			t.Fatalf("state %s, journal %q", b.state(r.ID), b.journal.kinds(r.ID))
		}
	})
}

// A process that was frozen sends its commit late: Redis itself refuses it.
func TestCommitWithoutClaim(t *testing.T) {
	onEach(t, Options{ClaimLease: 500 * time.Millisecond}, func(t *testing.T, b *bench) {
		before, _, err := b.store.read(b.ctx, b.hold().ID)
		b.must(err)
		after := before.clone()
		after.State, after.Version, after.Nonce = StateApproved, 2, "mine"
		text, err := b.store.seal(after)
		b.must(err)
		refused := func(what string) {
			t.Helper()
			if _, err := b.store.commit(b.ctx, before, after, text); err == nil || b.state(before.ID) != StatePending {
				t.Fatalf("%s: committed, state %s", what, b.state(before.ID))
			}
		}
		claim := func(nonce string) {
			t.Helper()
			if ok, _, err := b.store.claim(b.ctx, before, nonce); err != nil || !ok {
				t.Fatalf("not claimed: %v", err)
			}
		}
		refused("without a claim")
		claim("mine")
		time.Sleep(550 * time.Millisecond)
		refused("after the lease")
		claim("another's")
		refused("under another's claim")
		time.Sleep(550 * time.Millisecond)
		claim("mine")
		_, err = b.store.commit(b.ctx, before, after, text)
		b.must(err)
		claimed, _, err := b.store.claim(b.ctx, before, "late")
		if err != nil || claimed {
			t.Fatalf("an old version is claimed: %v", err)
		}
	})
}

// The answer to a commit is lost, or the client sends it twice: the record says that it happened.
func TestLostAnswerOfCommit(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold()
		got, err := b.replica(&repeater{scriptCommit}).Vote(b.ctx, r.ID, dana, Approve, "yes")
		b.must(err)
		if got.State != StateApproved || b.journal.kinds(r.ID) != "requested approved" {
			t.Fatalf("state %s, journal %q", got.State, b.journal.kinds(r.ID))
		}
		fresh, err := b.replica(&repeater{scriptHold}).Hold(b.ctx, query())
		b.must(err)
		if fresh.Repeated || b.journal.kinds(fresh.ID) != "requested" {
			t.Fatalf("requested twice by a retry: %+v, journal %q", fresh, b.journal.kinds(fresh.ID))
		}
		if _, err := b.replica(&repeater{scriptClaim}).Cancel(b.ctx, fresh.ID, owner); err != nil {
			t.Fatal(err)
		}
	})
}

// Killed while holding: the request is there or not, never half.
func TestKilledWhileHolding(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		h := query()
		_, err := b.replica(&killer{script: scriptHold}).Hold(b.ctx, h)
		wantErr(t, err, errKilled)
		_, _, err = b.store.ByJob(b.ctx, owner, project, "", h.Job.JobID)
		wantErr(t, err, ErrNotFound)
		r, err := b.store.Hold(b.ctx, h)
		b.must(err)
		if r.Repeated {
			t.Error("the dead hold counts")
		}
	})
}
