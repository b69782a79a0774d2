package approvals

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

// learned is a gateway that has just started: it knows what the journal says and nothing else.
func (b *bench) learned() *Store {
	s := b.replica()
	for _, e := range b.journal.all() {
		s.Learn(e)
	}
	return s
}

// A11, after a restart: whoever can write Redis kept a sealed record, and puts it back once it was
// used, revoked, denied or withdrawn. The log knows better.
func TestReplayAfterRestart(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		for name, spend := range map[string]func(r Request){
			"used": func(r Request) { b.runOut(r) },
			"revoked": func(r Request) {
				_, err := b.store.Revoke(b.ctx, r.ID, erin, "no more")
				b.must(err)
			},
			"withdrawn": func(r Request) {
				_, err := b.store.Cancel(b.ctx, r.ID, owner)
				b.must(err)
			},
			"lapsed": func(r Request) {
				lease, err := b.store.BeginRelease(b.ctx, r.ID, owner)
				b.must(err)
				b.must(b.store.FinishRelease(b.ctx, lease, Lapsed("changed")))
			},
		} {
			t.Run(name, func(t *testing.T) {
				r := b.approve(b.hold(func(h *Held) { h.Statement = name }), dana)
				kept := b.client.HGetAll(b.ctx, requestKey(r.ID)).Val()
				spend(r)
				b.client.Del(b.ctx, requestKey(r.ID))
				b.client.HSet(b.ctx, requestKey(r.ID), kept)
				if _, err := b.learned().BeginRelease(b.ctx, r.ID, owner); !errors.Is(err, ErrTampered) {
					t.Errorf("%s: a record put back gives %v, want ErrTampered", name, err)
				}
			})
		}
		// A standing grant: the copy with all its runs.
		first := b.approveFor(b.hold(standing(5, 8)), dana, 2, 8)
		kept := b.client.HGetAll(b.ctx, requestKey(first.ID)).Val()
		if r := b.hold(laterRun(2)); r.Under != first.ID {
			t.Fatalf("no run: %+v", r)
		}
		b.runOut(first)
		b.client.HSet(b.ctx, requestKey(first.ID), kept)
		fresh := b.learned()
		if r, err := fresh.Hold(b.ctx, query(laterRun(3))); err != nil || r.State != StatePending {
			t.Fatalf("a third run of two: %+v, %v", r, err)
		}
		// A denial put back to pending is not there either: nobody approves what was denied.
		r := b.hold()
		kept = b.client.HGetAll(b.ctx, requestKey(r.ID)).Val()
		_, err := b.store.Vote(b.ctx, r.ID, dana, Deny, "no")
		b.must(err)
		b.client.HSet(b.ctx, requestKey(r.ID), kept)
		_, err = b.learned().Vote(b.ctx, r.ID, erin, Approve, "")
		wantErr(t, err, ErrTampered)
	})
}

// What the journal only announces proves nothing: a step that was never committed does not make the
// record that stands an old one.
func TestLearnedAttemptsDoNotCount(t *testing.T) {
	onEach(t, Options{ClaimLease: 200 * time.Millisecond}, func(t *testing.T, b *bench) {
		r := b.approve(b.hold(), dana)
		_, err := b.replica(&killer{script: scriptCommit}).BeginRelease(b.ctx, r.ID, owner)
		wantErr(t, err, errKilled)
		time.Sleep(250 * time.Millisecond)
		fresh := b.learned()
		lease, err := fresh.BeginRelease(b.ctx, r.ID, owner)
		b.must(err)
		b.must(fresh.FinishRelease(b.ctx, lease, Ran()))
		if _, err := b.learned().BeginRelease(b.ctx, r.ID, owner); !errors.Is(err, ErrUsed) {
			t.Fatalf("after use: %v", err)
		}
	})
}

// A11: Redis lost changes. Nothing is held or released, by those who run and by those who start,
// until an operator says that they know.
func TestRolledBack(t *testing.T) {
	for name, lose := range map[string]func(b *bench){
		"emptied":           func(b *bench) { b.client.FlushAll(b.ctx) },
		"set back":          func(b *bench) { b.rewind(1) },
		"the head gone":     func(b *bench) { b.client.Del(b.ctx, keyHead) },
		"another head":      func(b *bench) { b.client.Set(b.ctx, keyHead, "2 "+strings.Repeat("0", 64), 0) },
		"no head":           func(b *bench) { b.client.Set(b.ctx, keyHead, "x", 0) },
		"a head of a list":  func(b *bench) { b.client.Del(b.ctx, keyHead); b.client.RPush(b.ctx, keyHead, "x") },
		"a head far beyond": func(b *bench) { b.client.Set(b.ctx, keyHead, "900 "+strings.Repeat("0", 64), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, Options{}, func(t *testing.T, b *bench) {
				b.must(b.store.Begin(b.ctx, 0))
				r := b.approve(b.hold(), dana)
				high := b.store.ledger.sure().number
				fresh := b.learned()
				b.must(fresh.Begin(b.ctx, 0))
				b.must(fresh.Err())
				lose(b)
				for range 2 {
					_, err := b.store.Get(b.ctx, r.ID)
					wantErr(t, err, ErrRolledBack)
					_, err = b.store.Hold(b.ctx, query())
					wantErr(t, err, ErrRolledBack)
					_, err = b.store.List(b.ctx, Filter{})
					wantErr(t, err, ErrRolledBack)
					_, err = b.store.BeginRelease(b.ctx, r.ID, owner)
					wantErr(t, err, ErrRolledBack)
				}
				wantErr(t, b.store.Err(), ErrRolledBack)
				for _, acknowledged := range []int64{0, high - 1} {
					fresh := b.learned()
					b.must(fresh.Begin(b.ctx, acknowledged))
					wantErr(t, fresh.Err(), ErrRolledBack)
				}
				if name == "a head far beyond" {
					high = 900
				}
				fresh = b.learned()
				b.must(fresh.Begin(b.ctx, high))
				b.must(fresh.Err())
				_, err := fresh.Hold(b.ctx, query())
				b.must(err)
				if name != "emptied" { // what is as it was known to be is good, and new hosts are told so
					_, err = b.host().Get(b.ctx, r.ID)
					b.must(err)
				}
				again := b.learned()
				b.must(again.Begin(b.ctx, 0)) // and counts on from there
				b.must(again.Err())
				if again.ledger.sure().number <= b.store.ledger.sure().number {
					t.Fatalf("the ledger is at %d, has been at %d", again.ledger.sure().number, b.store.ledger.sure().number)
				}
			})
		})
	}
}

// rewind takes the newest messages of the ledger away, and leaves it in order.
func (b *bench) rewind(by int64) {
	b.t.Helper()
	was, err := parseHead(b.client.Get(b.ctx, keyHead).Val())
	b.must(err)
	to := was.number - by
	for n := to + 1; n <= was.number; n++ {
		b.client.HDel(b.ctx, keyLedger, strconv.FormatInt(n, 10))
	}
	text := b.client.HGet(b.ctx, keyLedger, strconv.FormatInt(to, 10)).Val()
	b.client.Set(b.ctx, keyHead, head{to, linkOf(text)}.String(), 0)
}
