package approvals

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
)

func TestDecide(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		approved := b.approve(b.hold(), dana)
		if approved.State != StateApproved || len(approved.Votes) != 1 || approved.Votes[0].By != "dana@acme.example" {
			t.Fatalf("approved is %+v", approved)
		}
		if got := b.journal.kinds(approved.ID); got != "requested approved" {
			t.Errorf("journal has %q", got)
		}
		denied, err := b.store.Vote(b.ctx, b.hold().ID, dana, Deny, "month end is closed, ask again on Monday")
		b.must(err)
		if denied.State != StateDenied || denied.Votes[0].Reason != "month end is closed, ask again on Monday" {
			t.Fatalf("denied is %+v", denied)
		}
		for _, r := range []Request{approved, denied} {
			for _, v := range []Choice{Approve, Deny} {
				_, err := b.store.Vote(b.ctx, r.ID, erin, v, "me too")
				wantErr(t, err, ErrDecided)
				if !strings.Contains(err.Error(), "dana@acme.example") {
					t.Errorf("error does not say who was first: %v", err)
				}
			}
		}
	})
}

// A7: nobody behind a request decides on it, and no workload on any.
func TestDecideWho(t *testing.T) {
	is := func(change func(*identity.Subject), groups ...string) Decider {
		d := reviewer("dana")
		change(&d.Subject)
		d.Groups = groups
		return d
	}
	cases := []struct {
		name string
		by   Decider
		want error
	}{
		{"the person behind the workload, by e-mail",
			is(func(s *identity.Subject) { s.People = []string{"carol@acme.example"} }, "data-owners"), ErrOwn},
		{"the same, by login, in capitals and with a space",
			is(func(s *identity.Subject) { s.People = []string{"dana", "CAROL "} }, "data-owners"), ErrOwn},
		{"the person behind it, not even a reviewer", is(func(s *identity.Subject) { s.People = []string{"carol"} }), ErrOwn},
		{"the same subject, without people", is(func(s *identity.Subject) {
			s.Issuer, s.Sub, s.People = "https://ci.example", "repo:acme/app:ref:refs/heads/main", nil
		}, "data-owners"), ErrOwn},
		{"the run itself", is(func(s *identity.Subject) { s.Owner, s.Workload = owner, true }), ErrOwn},
		{"another workload in the reviewers' group", is(func(s *identity.Subject) { s.Workload = true }, "data-owners"), ErrOwn},
		{"another workload outside of it", is(func(s *identity.Subject) { s.Workload = true }, "ai-agents"), ErrNotFound},
		{"another run of the same sub", is(func(s *identity.Subject) {
			s.Issuer, s.Sub, s.Workload = "https://ci.example", "repo:acme/app:ref:refs/heads/main", true
		}), ErrNotFound},
		{"a stranger", is(func(s *identity.Subject) {}), ErrNotFound},
		{"a member of another group", is(func(s *identity.Subject) {}, "analysts"), ErrNotFound},
		{"a reviewer whom nobody knows", is(func(s *identity.Subject) { s.Mapped = false }, "data-owners"), ErrNoPerson},
		{"one with an opaque sub", is(func(s *identity.Subject) { s.Sub, s.People, s.Mapped = "8f3c", []string{"8f3c"}, false },
			"data-owners"), ErrNoPerson},
		{"an unknown one who is behind it", is(func(s *identity.Subject) { s.People, s.Mapped = []string{"carol"}, false }, "data-owners"),
			ErrOwn},
		{"one whose name looks like the requester's",
			is(func(s *identity.Subject) { s.People = []string{"\u0441\u0430r\u043el"} }, "data-owners"), ErrOwn},
		{"a reviewer who is nobody", is(func(s *identity.Subject) { s.People = []string{" "} }, "data-owners"), ErrNoPerson},
		{"the zero decider", Decider{}, ErrNotFound},
	}
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold()
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				for _, v := range []Choice{Approve, Deny} {
					_, err := b.store.Vote(b.ctx, r.ID, c.by, v, "because")
					if !errors.Is(err, c.want) {
						t.Errorf("%s: %s gives %v, want %v", c.name, v, err, c.want)
					}
				}
			})
		}
		if n := len(b.journal.all()); n != 2 || b.state(r.ID) != StatePending {
			t.Errorf("refused deciders left %d events and state %s", n, b.state(r.ID))
		}
		// A subject without any name of a person is nobody's own request, yet a workload's groups
		// still count for nothing.
		if r.VisibleTo(Decider{Subject: identity.Subject{Workload: true, Issuer: r.Issuer, Sub: r.Subject}}) {
			t.Error("another run of the same sub sees the request")
		}
	})
}

func TestQuorum(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		two := func(h *Held) { h.Approval.Quorum = 2 }
		r := b.approve(b.hold(two), dana)
		if r.State != StatePending {
			t.Fatalf("one of two makes it %s", r.State)
		}
		again := []Decider{
			dana,
			// another account of dana's
			{Subject: identity.Subject{Issuer: "https://other.example", Sub: "7", People: []string{"Dana@acme.example"}, Mapped: true},
				Groups: dana.Groups},
		}
		for _, d := range again {
			for _, v := range []Choice{Approve, Deny} {
				_, err := b.store.Vote(b.ctx, r.ID, d, v, "again")
				wantErr(t, err, ErrDecided)
			}
		}
		if r = b.approve(r, erin); r.State != StateApproved || len(r.Votes) != 2 {
			t.Fatalf("two of two make it %s", r.State)
		}
		r = b.approve(b.hold(two), dana)
		r, err := b.store.Vote(b.ctx, r.ID, erin, Deny, "no")
		b.must(err)
		if r.State != StateDenied {
			t.Fatalf("a denial after an approval makes it %s", r.State)
		}
		// A workload whose people are not known needs two, whatever the rule says.
		r = b.approve(b.hold(func(h *Held) { h.Subject.Mapped = false }), dana)
		if r.State != StatePending || r.Quorum != 2 {
			t.Fatalf("unmapped workload: %s, quorum %d", r.State, r.Quorum)
		}
		// So does a person whom nobody knows, and who may be one of the two (A61).
		r = b.approve(b.hold(func(h *Held) { h.Subject.Workload, h.Subject.Mapped, h.Subject.People = false, false, []string{"8f3c"} }),
			dana)
		if r.State != StatePending || r.Quorum != 2 {
			t.Fatalf("unknown person: %s, quorum %d", r.State, r.Quorum)
		}
		if r = b.approve(r, erin); r.State != StateApproved {
			t.Fatalf("two approvals for an unknown person make it %s", r.State)
		}
	})
}

func TestReason(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold()
		for _, c := range []struct {
			choice Choice
			reason string
			want   error
		}{
			{Deny, "", ErrReason}, {Deny, " \n", ErrReason}, {Approve, strings.Repeat("é", 1001), ErrReason}, {Approve, "a\xff", ErrReason},
			{Approve, "right\u202eto left", ErrReason}, {Approve, "bell\a", ErrReason}, {Approve, "line\rback", ErrReason},
		} {
			t.Run(c.reason, func(t *testing.T) {
				_, err := b.store.Vote(b.ctx, r.ID, dana, c.choice, c.reason)
				wantErr(t, err, c.want)
			})
		}
		if _, err := b.store.Vote(b.ctx, r.ID, dana, "maybe", "x"); err == nil {
			t.Error("an unknown choice is taken")
		}
		if _, err := b.store.Vote(b.ctx, r.ID, dana, Approve, ""); err != nil {
			t.Errorf("an approval needs no reason: %v", err)
		}
		if _, err := b.store.Vote(b.ctx, b.hold().ID, dana, Deny, strings.Repeat("é", 1000)+""); err != nil {
			t.Error(err)
		}
	})
}

func TestExpiry(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		soon := func(h *Held) { h.Approval.Expires = time.Second }
		pending, approved := b.hold(soon), b.hold(soon)
		approved = b.approve(approved, dana)
		time.Sleep(1100 * time.Millisecond)
		if b.state(pending.ID) != StateExpired || b.state(approved.ID) != StateExpired {
			t.Fatalf("after the expiry: %s, %s", b.state(pending.ID), b.state(approved.ID))
		}
		for _, v := range []Choice{Approve, Deny} {
			_, err := b.store.Vote(b.ctx, pending.ID, dana, v, "late")
			wantErr(t, err, ErrExpired)
		}
		_, err := b.store.BeginRelease(b.ctx, approved.ID, owner)
		wantErr(t, err, ErrExpired)
		if list, err := b.store.List(b.ctx, Filter{State: StatePending}); err != nil || len(list.Requests) != 0 {
			t.Errorf("still listed: %v, %v", list, err)
		}
		if r, err := b.store.Cancel(b.ctx, pending.ID, owner); err != nil || r.State != StateExpired {
			t.Errorf("cancel after the expiry: %s, %v", r.State, err)
		}
	})
}

// A12: fifty deciders, half of them against, on two replicas: one outcome, in Redis, in the answers
// and in the journal.
func TestDecideRace(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		stores := []*Store{b.store, b.replica()}
		for round := range 5 {
			r := b.hold()
			var approvals, denials atomic.Int64
			var wg sync.WaitGroup
			for i := range 50 {
				choice, count := Approve, &approvals
				if i%2 == 1 {
					choice, count = Deny, &denials
				}
				wg.Go(func() {
					_, err := stores[i/2%2].Vote(b.ctx, r.ID, reviewer(fmt.Sprint("r", i)), choice, "race")
					switch {
					case err == nil:
						count.Add(1)
					case !errors.Is(err, ErrDecided):
						t.Errorf("decider %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			got, err := b.store.Get(b.ctx, r.ID)
			b.must(err)
			if approvals.Load()+denials.Load() != 1 || len(got.Votes) != 1 {
				t.Fatalf("round %d: %d approvals and %d denials were told they won; decisions %+v", round, approvals.Load(), denials.Load(),
					got.Votes)
			}
			want, kind := StateApproved, "requested approved"
			if denials.Load() == 1 {
				want, kind = StateDenied, "requested denied"
			}
			if got.State != want || b.journal.kinds(r.ID) != kind {
				t.Fatalf("round %d: state %s, journal %q, want %s", round, got.State, b.journal.kinds(r.ID), want)
			}
		}
	})
}

func TestQuorumRace(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold(func(h *Held) { h.Approval.Quorum = 3 })
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() { // ten people, each trying three times
				if _, err := b.store.Vote(b.ctx, r.ID, reviewer(fmt.Sprint("r", i%10)), Approve, ""); err == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		got, err := b.store.Get(b.ctx, r.ID)
		b.must(err)
		people := map[string]bool{}
		for _, d := range got.Votes {
			people[d.By] = true
		}
		if got.State != StateApproved || len(people) != 3 || won.Load() != 3 {
			t.Fatalf("state %s, %d people, %d were told they counted", got.State, len(people), won.Load())
		}
	})
}
