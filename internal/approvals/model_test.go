package approvals

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"
)

// model is a request as the design draws it: no Redis, no claims, no journal.
type model struct {
	state     State
	quorum    int
	voters    map[int]bool // who has voted; every vote in it is an approval unless state is denied
	expires   time.Time
	releasing bool
	until     time.Time // of the lease
	lease     Lease     // the newest
	stale     Lease     // an older one
	runs      int
}

func (m *model) at(now time.Time) State {
	if m.releasing && now.Before(m.until) {
		return StateApproved
	}
	if (m.state == StatePending || m.state == StateApproved) && !now.Before(m.expires) {
		return StateExpired
	}
	return m.state
}

// Any order of deciders, releases, outcomes, withdrawals, passing time, dying processes and a
// failing journal leads where the drawing says, and the journal, read by the rule, tells the same
// story.
func TestModel(t *testing.T) {
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		t.Fatal(err)
	}
	defer mini.Close()
	b := newBench(t, mini.Addr(), Options{ClaimLease: 2 * time.Second, ReleaseLease: 60 * time.Second, MaxPerOwner: 1 << 30,
		MaxPending: 1 << 30, MaxTotalBytes: 1 << 50})
	killers := map[string]*killer{}
	doomed := map[string]*Store{}
	for name, script := range map[string]*redis.Script{"commit": scriptCommit, "claim": scriptClaim} {
		killers[name] = &killer{script: script}
		doomed[name] = b.replica(killers[name])
	}
	full := errors.New("disk is full")

	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		mini.SetTime(now)
		m := &model{state: StatePending, quorum: rapid.IntRange(1, 3).Draw(t, "quorum"), voters: map[int]bool{},
			expires: now.Add(time.Hour)}
		b.journal.forget()
		r, err := b.store.Hold(b.ctx, query(func(h *Held) { h.Approval.Quorum = m.quorum }))
		if err != nil {
			t.Fatal(err)
		}
		expect := func(err, want error) {
			t.Helper()
			if !errors.Is(err, want) || (want == nil && err != nil) {
				t.Fatalf("error %v, want %v; model %+v", err, want, m)
			}
		}
		act := map[string]func(*rapid.T){
			"decide": func(t *rapid.T) {
				who := rapid.IntRange(0, 4).Draw(t, "who") // 4 is carol, who stands behind it
				choice := rapid.SampledFrom([]Choice{Approve, Approve, Deny}).Draw(t, "verdict")
				by := reviewer(fmt.Sprint("r", who))
				if who == 4 {
					by.Subject.People = []string{"carol"}
				}
				_, err := b.store.Vote(b.ctx, r.ID, by, choice, "because")
				switch state := m.at(now); {
				case who == 4:
					expect(err, ErrOwn)
				case state == StateExpired:
					expect(err, ErrExpired)
				case state != StatePending, m.voters[who]:
					expect(err, ErrDecided)
				default:
					expect(err, nil)
					m.voters[who] = true
					if choice == Deny {
						m.state = StateDenied
					} else if len(m.voters) >= m.quorum {
						m.state = StateApproved
					}
				}
			},
			"begin": func(t *rapid.T) {
				lease, err := b.store.BeginRelease(b.ctx, r.ID, owner)
				switch state := m.at(now); {
				case m.releasing && now.Before(m.until):
					expect(err, ErrReleasing)
				case state == StateApproved:
					expect(err, nil)
					m.stale, m.lease, m.releasing, m.until = m.lease, lease, true, now.Add(60*time.Second)
				case state == StateExpired:
					expect(err, ErrExpired)
				case state == StateUsed:
					expect(err, ErrUsed)
				default:
					expect(err, ErrNotApproved)
				}
			},
			"finish": func(t *rapid.T) {
				if m.lease.Request == "" {
					t.Skip("no lease yet")
				}
				kind := rapid.IntRange(0, 2).Draw(t, "outcome")
				lease, live := m.lease, m.releasing
				if rapid.Bool().Draw(t, "stale") && m.stale.Request != "" {
					lease, live = m.stale, false
				}
				err := b.store.FinishRelease(b.ctx, lease, []Outcome{Ran(), Failed("503"), Lapsed("changed")}[kind])
				if !live {
					expect(err, ErrLeaseLost)
					return
				}
				expect(err, nil)
				m.releasing = false
				m.state = []State{StateUsed, StateApproved, StateCancelled}[kind]
				if kind == 0 {
					m.runs++
				}
			},
			"cancel": func(t *rapid.T) {
				_, err := b.store.Cancel(b.ctx, r.ID, owner)
				state := m.at(now)
				if m.releasing && now.Before(m.until) {
					expect(err, ErrReleasing)
					return
				}
				expect(err, nil)
				if state == StatePending || state == StateApproved {
					m.state, m.releasing = StateCancelled, false
				}
			},
			"time passes": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 1500).Draw(t, "seconds")) * time.Second)
				mini.SetTime(now)
			},
			"journal fails": func(t *rapid.T) {
				b.journal.set(full)
				defer b.journal.set(nil)
				if _, err := b.store.Vote(b.ctx, r.ID, dana, Approve, ""); err == nil {
					t.Fatal("decided without a journal")
				}
				if _, err := b.store.BeginRelease(b.ctx, r.ID, owner); err == nil {
					t.Fatal("released without a journal")
				}
			},
			"process dies": func(t *rapid.T) {
				name := rapid.SampledFrom([]string{"commit", "claim"}).Draw(t, "where")
				killers[name].dead.Store(false)
				if _, err := doomed[name].BeginRelease(b.ctx, r.ID, owner); err == nil {
					t.Fatal("released by the dead")
				}
				killers[name].dead.Store(false)
				if _, err := doomed[name].Vote(b.ctx, r.ID, dana, Deny, "dying"); err == nil {
					t.Fatal("decided by the dead")
				}
				now = now.Add(3 * time.Second) // the claim runs out
				mini.SetTime(now)
			},
			"": func(t *rapid.T) {
				got, err := b.store.Get(b.ctx, r.ID)
				if err != nil {
					t.Fatal(err)
				}
				want := m.at(now)
				if got.State != want {
					t.Fatalf("state is %s, want %s; model %+v", got.State, want, m)
				}
				if m.runs > 1 || (m.runs == 1 && len(m.voters) < m.quorum) {
					t.Fatalf("%d runs on %d approvals of %d", m.runs, len(m.voters), m.quorum)
				}
				story := b.journal.counts(r.ID)
				last := story[len(story)-1]
				stored, _, err := b.store.read(b.ctx, r.ID)
				if err != nil || last.Nonce != stored.Nonce || last.State != stored.State || last.Version != stored.Version {
					t.Fatalf("the journal ends with %+v, stored is version %d, %s (%v)", last, stored.Version, stored.State, err)
				}
			},
		}
		t.Repeat(act)
	})
}
