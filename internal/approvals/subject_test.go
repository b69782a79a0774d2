package approvals

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Everything of a subject ends at once: what waits, what was approved and stands for later tries.
// What was asked with a token of after the revocation, or by somebody else, does not.
func TestEndOf(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		revoked := time.Now()
		over := func(issued time.Time) bool { return !issued.After(revoked) }
		statement := func(name string) func(*Held) { return func(h *Held) { h.Statement = name } }
		later := func(h *Held) { h.Subject.Issued = revoked.Add(time.Second) }
		someoneElse := func(h *Held) { h.Subject.Issuer = "https://other.example" }
		pending := b.hold()
		approved := b.approve(b.hold(statement("approved")), dana)
		spent := b.approve(b.hold(statement("spent")), dana)
		b.runOut(spent)
		standsFor := b.approveFor(b.hold(standing(5, 8), statement("standing")), dana, 5, 8)
		counted := b.hold(laterRun(2), statement("standing"))
		kept := []Request{b.hold(statement("later"), later), b.hold(statement("another"), someoneElse)}

		subject := query().Subject
		ended, all, err := b.store.EndOf(b.ctx, subject.Issuer, subject.Sub, "operator root", "laptop lost", over)
		b.must(err)
		var ids []string
		for _, r := range ended {
			ids = append(ids, r.ID)
			if !strings.Contains(r.Ended, `revoked by operator root: "laptop lost"`) {
				t.Errorf("ended with %q", r.Ended)
			}
		}
		slices.Sort(ids)
		want := []string{pending.ID, approved.ID, standsFor.ID, counted.ID}
		slices.Sort(want)
		if !slices.Equal(ids, want) || !all {
			t.Errorf("ended %v, want %v (all: %t)", ids, want, all)
		}
		for name, c := range map[string]struct {
			r     Request
			want  State
			taken bool
		}{
			"pending": {pending, StateCancelled, false}, "approved": {approved, StateCancelled, true},
			"spent": {spent, StateUsed, false}, "standing": {standsFor, StateCancelled, true},
			"counted": {counted, StateCancelled, true},
			"later":   {kept[0], StatePending, false}, "another": {kept[1], StatePending, false},
		} {
			t.Run(name, func(t *testing.T) {
				if got := b.state(c.r.ID); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if got := b.store.TakenBack(c.r.ID); got != c.taken {
					t.Errorf("taken back: %t", got)
				}
				if got := b.learned().TakenBack(c.r.ID); got && !c.taken {
					t.Errorf("taken back at another replica")
				}
			})
		}
		for name, r := range map[string]Request{"approved": approved, "standing": standsFor, "counted": counted} {
			owner := owner
			if r.ID == counted.ID {
				owner = "run 2"
			}
			if _, err := b.replica().BeginRelease(b.ctx, r.ID, owner); err == nil {
				t.Errorf("%s runs", name)
			}
		}
		// Again: nothing is left, and nothing is written.
		before := len(b.journal.all())
		ended, all, err = b.store.EndOf(b.ctx, subject.Issuer, subject.Sub, "operator root", "again", over)
		if b.must(err); len(ended) != 0 || !all || len(b.journal.all()) != before {
			t.Errorf("ended %+v, all: %t", ended, all)
		}
	})
}

// A query that is just being submitted is left for the next call.
func TestEndOfWhileReleasing(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		over := func(time.Time) bool { return true }
		r := b.approve(b.hold(), dana)
		lease, err := b.store.BeginRelease(b.ctx, r.ID, owner)
		b.must(err)
		subject := query().Subject
		if ended, all, err := b.store.EndOf(b.ctx, subject.Issuer, subject.Sub, "op", "x", over); err != nil || all || len(ended) != 0 {
			t.Errorf("ended %+v, all: %t, %v", ended, all, err)
		}
		b.must(b.store.FinishRelease(b.ctx, lease, Failed("BigQuery does not answer")))
		ended, all, err := b.store.EndOf(b.ctx, subject.Issuer, subject.Sub, "op", "x", over)
		if b.must(err); !all || len(ended) != 1 || b.state(r.ID) != StateCancelled {
			t.Errorf("ended %+v, all: %t, %s", ended, all, b.state(r.ID))
		}
	})
}
