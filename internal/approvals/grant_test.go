package approvals

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/policies"
)

// in makes a reviewer of other groups.
func in(name string, groups ...string) Decider {
	d := reviewer(name)
	d.Groups = groups
	return d
}

func needing(quorum int, needs ...policies.Need) func(*Held) {
	return func(h *Held) {
		h.Approval.Quorum, h.Approval.Needs, h.Approval.Reviewers = quorum, needs, nil
		for _, n := range needs {
			h.Approval.Reviewers = append(h.Approval.Reviewers, n.Groups...)
		}
	}
}

func need(groups ...string) policies.Need { return policies.Need{Groups: groups, Quorum: 1} }

// Several groups: each must be heard, and so many people.
func TestAllOfAnyOf(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		for _, c := range []struct {
			name   string
			ask    func(*Held)
			voters []Decider
			after  []State
		}{
			{"all of two", needing(2, need("owners"), need("privacy")),
				[]Decider{in("ann", "owners"), in("bob", "owners"), in("cid", "privacy")},
				[]State{StatePending, StatePending, StateApproved}},
			{"one person in both is one person", needing(2, need("owners"), need("privacy")),
				[]Decider{in("ann", "owners", "privacy"), in("bob", "owners")},
				[]State{StatePending, StateApproved}},
			{"one person in both, where the policy takes one", needing(1, need("owners"), need("privacy")),
				[]Decider{in("ann", "owners", "privacy")}, []State{StateApproved}},
			{"all of one, any of two", needing(2, need("privacy"), need("owners", "finance")),
				[]Decider{in("ann", "owners"), in("bob", "finance"), in("cid", "privacy")},
				[]State{StatePending, StatePending, StateApproved}},
			{"groups that nobody asked", needing(2, need("owners"), need("privacy")),
				[]Decider{in("ann", "owners", "admins"), in("bob", "owners", "root")},
				[]State{StatePending, StatePending}},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := b.hold(c.ask)
				for i, d := range c.voters {
					r = b.approve(r, d)
					if r.State != c.after[i] {
						t.Fatalf("%s: after %s the request is %s, want %s (needs %+v)", c.name, d.Subject.People[0], r.State, c.after[i],
							r.Needs)
					}
				}
				if r.State != StateApproved {
					_, err := b.store.BeginRelease(b.ctx, r.ID, owner)
					wantErr(t, err, ErrNotApproved)
				}
			})
		}
		r := b.hold(needing(1, need("owners")))
		_, err := b.store.Vote(b.ctx, r.ID, in("ann", "privacy"), Approve, "")
		wantErr(t, err, ErrNotFound)
		// One member of any group denies for all.
		r = b.hold(needing(2, need("owners"), need("privacy")))
		b.approve(r, in("ann", "owners"))
		if r, err = b.store.Vote(b.ctx, r.ID, in("cid", "privacy"), Deny, "no"); err != nil || r.State != StateDenied {
			t.Fatalf("denied: %s, %v", r.State, err)
		}
	})
}

func standing(uses, hours int) func(*Held) {
	return func(h *Held) { h.Approval.Standing = policies.Standing{MaxUses: uses, MaxHours: hours} }
}

// laterRun is the same statement of the same pipeline, in another run.
// laterRun is a later try of the same statement, under the same policy.
func laterRun(n int) func(*Held) {
	return func(h *Held) {
		standing(5, 8)(h)
		h.Subject.Owner = fmt.Sprint("run ", n)
	}
}

func (b *bench) approveFor(r Request, by Decider, uses, hours int) Request {
	b.t.Helper()
	out, err := b.store.Vote(b.ctx, r.ID, by, Approve, "all week", Terms{uses, hours})
	b.must(err)
	return out
}

// runOut releases and finishes a request.
func (b *bench) runOut(r Request) {
	b.t.Helper()
	stored, _, err := b.store.read(b.ctx, r.ID)
	b.must(err)
	lease, err := b.store.BeginRelease(b.ctx, r.ID, stored.Held.Subject.Owner)
	b.must(err)
	b.must(b.store.FinishRelease(b.ctx, lease, Ran()))
}

func TestTerms(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold()
		for _, terms := range []Terms{{Uses: 2, Hours: 1}, {Uses: 1, Hours: 1}, {Uses: -1}, {Hours: 1}} {
			t.Run(fmt.Sprint(terms), func(t *testing.T) {
				_, err := b.store.Vote(b.ctx, r.ID, dana, Approve, "", terms)
				wantErr(t, err, ErrTerms)
			})
		}
		r = b.hold(standing(5, 8))
		for _, terms := range []Terms{{6, 8}, {5, 9}, {0, 1}, {2, 0}, {-2, -1}, {1 << 62, 1 << 62}} {
			t.Run(fmt.Sprint(terms), func(t *testing.T) {
				_, err := b.store.Vote(b.ctx, r.ID, dana, Approve, "", terms)
				wantErr(t, err, ErrTerms)
			})
		}
		_, err := b.store.Vote(b.ctx, r.ID, dana, Deny, "no", Terms{2, 2})
		wantErr(t, err, ErrTerms)
		if r = b.approveFor(r, dana, 5, 8); r.Uses != 5 || time.Until(r.Until) < 7*time.Hour || time.Until(r.Until) > 9*time.Hour {
			t.Fatalf("approved for %d until %s", r.Uses, r.Until)
		}
		// The least of what two people agreed to.
		r = b.hold(standing(5, 8), func(h *Held) { h.Approval.Quorum, h.Statement = 2, "two" })
		b.approveFor(r, dana, 4, 8)
		if r = b.approveFor(r, erin, 5, 2); r.Uses != 4 || time.Until(r.Until) > 3*time.Hour {
			t.Fatalf("two agreed on %d until %s", r.Uses, r.Until)
		}
		r = b.hold(standing(5, 8), func(h *Held) { h.Approval.Quorum, h.Statement = 2, "one of two" })
		b.approveFor(r, dana, 4, 8)
		if r = b.approve(r, erin); r.Uses != 1 || !r.Until.Equal(r.Expires) {
			t.Fatalf("one agreed to one run only: %d until %s", r.Uses, r.Until)
		}
	})
}

func TestStandingGrant(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		first := b.approveFor(b.hold(standing(5, 8)), dana, 2, 8)
		for name, change := range map[string]func(*Held){
			"another statement": func(h *Held) { h.Statement = "digest 2" },
			"another grant":     func(h *Held) { h.Subject.Grant = "grant 2" },
			"the approver's run": func(h *Held) {
				h.Subject.People = []string{"DANA"}
			},
			"nobody knows whose run": func(h *Held) { h.Subject.Mapped = false },
		} {
			t.Run(name, func(t *testing.T) {
				if r := b.hold(laterRun(9), change); r.State != StatePending || r.Under != "" {
					t.Fatalf("%s: runs on the grant: %+v", name, r)
				}
			})
		}
		second := b.hold(laterRun(2))
		if second.State != StateApproved || second.Under != first.ID || second.JobID == first.JobID {
			t.Fatalf("a later run is %s under %q", second.State, second.Under)
		}
		if got := b.journal.kinds(second.ID); got != "granted" {
			t.Fatalf("journal of the later run: %q", got)
		}
		if third := b.hold(laterRun(3)); third.State != StatePending {
			t.Fatalf("the run of the one who waited was given away: %+v", third)
		}
		b.runOut(second)
		if b.state(first.ID) != StateApproved {
			t.Fatalf("a grant with one run left is %s", b.state(first.ID))
		}
		b.runOut(first)
		if b.state(first.ID) != StateUsed {
			t.Fatalf("a spent grant is %s", b.state(first.ID))
		}
		if r := b.hold(laterRun(5)); r.State != StatePending {
			t.Fatalf("a third run of two: %+v", r)
		}
		for _, r := range []Request{first, second} {
			stored, _, err := b.store.read(b.ctx, r.ID)
			b.must(err)
			_, err = b.store.BeginRelease(b.ctx, r.ID, stored.Held.Subject.Owner)
			wantErr(t, err, ErrUsed)
		}
		r, err := b.store.Get(b.ctx, first.ID)
		b.must(err)
		g, ok := r.Grant()
		if !ok || g.State != GrantSpent || g.Uses != 2 || g.Used != 2 || len(g.Runs) != 2 {
			t.Fatalf("grant %+v", g)
		}
		if _, ok := second.Grant(); ok {
			t.Error("a run on a grant is listed as a grant")
		}
	})
}

// However many ask at once, and however many replicas there are: never more runs than were
// approved.
func TestStandingGrantRace(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		first := b.approveFor(b.hold(standing(9, 8)), dana, 5, 8)
		replicas := []*Store{b.store, b.replica(), b.replica()}
		var mu sync.Mutex
		var granted []Request
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				r, err := replicas[i%3].Hold(b.ctx, query(laterRun(i)))
				if err != nil {
					t.Errorf("hold: %v", err)
					return
				}
				if r.State == StateApproved {
					mu.Lock()
					granted = append(granted, r)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if len(granted) != 4 {
			t.Fatalf("%d runs were granted beside the one that waits, want 4", len(granted))
		}
		b.runOut(first)
		for _, r := range granted {
			b.runOut(r)
		}
	})
}

func TestRevoke(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		first := b.approveFor(b.hold(standing(5, 8)), dana, 5, 8)
		counted := b.hold(laterRun(2))
		for name, c := range map[string]struct {
			by     Decider
			reason string
			want   error
		}{
			"a stranger":   {in("zoe", "others"), "x", ErrNotFound},
			"the workload": {Decider{Subject: query().Subject}, "x", ErrOwn},
			"no reason":    {erin, " ", ErrReason},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := b.store.Revoke(b.ctx, first.ID, c.by, c.reason)
				if !errors.Is(err, c.want) {
					t.Fatalf("%s: %v, want %v", name, err, c.want)
				}
			})
		}
		r, err := b.store.Revoke(b.ctx, first.ID, erin, "the contractor has left")
		b.must(err)
		if g, _ := r.Grant(); r.State != StateCancelled || g.State != GrantRevoked ||
			b.journal.kinds(first.ID) != "requested approved run revoked" {
			t.Fatalf("revoked: %s, %+v, %q", r.State, g, b.journal.kinds(first.ID))
		}
		// Neither the one who waited, nor a run that was counted, nor a new one.
		_, err = b.store.BeginRelease(b.ctx, first.ID, owner)
		wantErr(t, err, ErrNotApproved)
		_, err = b.replica().BeginRelease(b.ctx, counted.ID, "run 2")
		wantErr(t, err, ErrRevoked)
		if r := b.hold(laterRun(3)); r.State != StatePending {
			t.Fatalf("runs on a revoked grant: %+v", r)
		}
		_, err = b.store.Revoke(b.ctx, first.ID, erin, "again")
		wantErr(t, err, ErrDecided)
		_, err = b.store.Revoke(b.ctx, b.hold(laterRun(4)).ID, erin, "pending")
		wantErr(t, err, ErrNotApproved)
		// An approval of one run is a grant too.
		once := b.approve(b.hold(func(h *Held) { h.Statement = "once" }), dana)
		_, err = b.store.Revoke(b.ctx, once.ID, dana, "I misread it")
		b.must(err)
		_, err = b.store.BeginRelease(b.ctx, once.ID, owner)
		wantErr(t, err, ErrNotApproved)
		// What has run cannot be taken back; what is just being submitted neither, but the rest
		// can.
		once = b.approve(b.hold(func(h *Held) { h.Statement = "once more" }), dana)
		lease, err := b.store.BeginRelease(b.ctx, once.ID, owner)
		b.must(err)
		_, err = b.store.Revoke(b.ctx, once.ID, dana, "late")
		wantErr(t, err, ErrReleasing)
		b.must(b.store.FinishRelease(b.ctx, lease, Ran()))
		_, err = b.store.Revoke(b.ctx, once.ID, dana, "late")
		wantErr(t, err, ErrDecided)
		many := b.approveFor(b.hold(standing(5, 8), func(h *Held) { h.Statement = "many" }), dana, 5, 8)
		lease, err = b.store.BeginRelease(b.ctx, many.ID, owner)
		b.must(err)
		_, err = b.store.Revoke(b.ctx, many.ID, dana, "after this one")
		b.must(err)
		b.must(b.store.FinishRelease(b.ctx, lease, Ran()))
		if r := b.hold(laterRun(5), func(h *Held) { h.Statement = "many" }); r.State != StatePending || b.state(many.ID) != StateCancelled {
			t.Fatalf("%s; the grant is %s", r.State, b.state(many.ID))
		}
	})
}

// A pipeline that cannot wait asks, goes away, and runs at its next try, once.
func TestNoWait(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		noWait := func(h *Held) { h.NoWait = true }
		first := b.hold(noWait, laterRun(1))
		again := b.hold(noWait, laterRun(2))
		if first.State != StatePending || again.ID != first.ID || !again.Repeated || !first.NoWait {
			t.Fatalf("asked twice: %+v, %+v", first, again)
		}
		_, _, err := b.store.ByJob(b.ctx, "run 1", project, "", first.JobID)
		wantErr(t, err, ErrNotFound) // it was refused: there is no job
		b.approve(first, dana)
		_, err = b.store.BeginRelease(b.ctx, first.ID, "run 1")
		wantErr(t, err, ErrNotApproved)
		if r := b.hold(noWait, laterRun(3), func(h *Held) { h.Subject.Grant = "another branch" }); r.State != StatePending ||
			r.ID == first.ID {
			t.Fatalf("another grant key uses it: %+v", r)
		}
		try := b.hold(noWait, laterRun(3))
		if try.State != StateApproved || try.Under != first.ID {
			t.Fatalf("the next try is %+v", try)
		}
		if b.state(first.ID) != StateUsed {
			t.Fatalf("the grant is %s", b.state(first.ID))
		}
		b.runOut(try)
		if r := b.hold(noWait, laterRun(4)); r.State != StatePending || r.ID == first.ID {
			t.Fatalf("a second run on one approval: %+v", r)
		}
		// One who would wait may use it too: it is the same statement of the same pipeline.
		other := func(h *Held) { h.Statement = "other" }
		asked := b.hold(noWait, other, laterRun(5))
		b.approve(asked, dana)
		if r := b.hold(other, laterRun(6)); r.Under != asked.ID {
			t.Fatalf("waiting try: %+v", r)
		}
		// A denial is the answer for as long as the request would have lasted.
		no := func(h *Held) { h.Statement = "no" }
		denied := b.hold(noWait, no, laterRun(7))
		_, err = b.store.Vote(b.ctx, denied.ID, dana, Deny, "not this month")
		b.must(err)
		if r := b.hold(noWait, no, laterRun(8)); r.ID != denied.ID || r.State != StateDenied {
			t.Fatalf("after a denial: %+v", r)
		}
	})
}
