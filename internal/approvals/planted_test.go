package approvals

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/redistest"
)

// damage is what somebody who writes Redis does to one key.
type damage func(b *bench, key string)

// damages are all kinds. older is what stood there before the last step, other what stands under
// another key of the same kind.
func damages(older, other func(b *bench, key string)) map[string]damage {
	wipe := func(b *bench, key string) { b.must(b.client.Del(b.ctx, key).Err()) }
	replace := func(put func(b *bench, key string)) damage {
		return func(b *bench, key string) { wipe(b, key); put(b, key) }
	}
	return map[string]damage{
		"missing":     wipe,
		"a string":    replace(func(b *bench, key string) { b.must(b.client.Set(b.ctx, key, "x", 0).Err()) }),
		"a list":      replace(func(b *bench, key string) { b.must(b.client.RPush(b.ctx, key, "x").Err()) }),
		"a set":       replace(func(b *bench, key string) { b.must(b.client.SAdd(b.ctx, key, "x").Err()) }),
		"a hash":      replace(func(b *bench, key string) { b.must(b.client.HSet(b.ctx, key, "state", "approved", "x", "y").Err()) }),
		"a sorted":    replace(func(b *bench, key string) { b.must(b.client.ZAdd(b.ctx, key, redis.Z{Score: 9e15, Member: "x"}).Err()) }),
		"huge string": replace(func(b *bench, key string) { b.must(b.client.Set(b.ctx, key, strings.Repeat("x", 64<<20), 0).Err()) }),
		"huge hash": replace(func(b *bench, key string) {
			for n := range 100 {
				fields := make([]any, 0, 2000)
				for m := range 1000 {
					fields = append(fields, n*1000+m, "x")
				}
				b.must(b.client.HSet(b.ctx, key, fields...).Err())
			}
			b.must(b.client.HSet(b.ctx, key, "sealed", strings.Repeat("x", 32<<20)).Err())
		}),
		"an older value":    older,
		"another key's own": other,
	}
}

func (b *bench) dump(key string) string { return b.client.Dump(b.ctx, key).Val() }

func (b *bench) restore(key, dump string) {
	b.t.Helper()
	b.client.Del(b.ctx, key)
	if dump != "" {
		b.must(b.client.Restore(b.ctx, key, 0, dump).Err())
	}
}

// Every key of approvals × every kind of damage. What rests on that key is closed or not there;
// another request is held, decided and released as ever, or approvals are closed as a whole, which
// they say and which one command ends. Nothing is opened: the request that was denied stays so.
func TestPlantedUnderEveryKey(t *testing.T) {
	keys := map[string]struct {
		key    func(b *bench, r Request) string
		other  func(b *bench, r Request) string
		closes bool // all approvals rest on it
	}{
		"head":    {key: func(*bench, Request) string { return keyHead }, closes: true},
		"ledger":  {key: func(*bench, Request) string { return keyLedger }, closes: true},
		"outbox":  {key: func(*bench, Request) string { return keyOutbox }},
		"tries":   {key: func(*bench, Request) string { return keyAttempts }},
		"dead":    {key: func(*bench, Request) string { return keyDead }},
		"why":     {key: func(*bench, Request) string { return keyWhy }},
		"request": {key: func(_ *bench, r Request) string { return requestKey(r.ID) }},
		"job":     {key: func(b *bench, r Request) string { return b.store.jobKey(owner, project, r.JobID) }},
		"history": {key: func(b *bench, _ Request) string { return b.store.grantKey("grant 1") }},
		"digest":  {key: func(b *bench, _ Request) string { return b.store.digestKey("statement 1") }},
	}
	addr := redistest.Start(t)
	for name, k := range keys {
		for kind := range damages(nil, nil) {
			t.Run(name+"/"+kind, func(t *testing.T) {
				b := newBench(t, addr, Options{Notify: func(Request, Kind) []string { return []string{"chat"} }})
				b.must(b.client.FlushAll(b.ctx).Err())
				victim, bystander := b.hold(), b.hold(func(h *Held) { h.Statement = "statement 2" })
				key := k.key(b, victim)
				older := b.dump(key)
				_, err := b.store.Vote(b.ctx, victim.ID, dana, Deny, "no")
				b.must(err)
				otherDump := b.dump(requestKey(bystander.ID))
				damages(
					func(b *bench, key string) { b.restore(key, older) }, func(b *bench, key string) { b.restore(key, otherDump) },
				)[kind](
					b,
					key,
				)

				fresh := b.learned()
				b.must(fresh.Begin(b.ctx, 0))
				stores := map[string]*Store{"running": b.store, "started again": fresh}
				for who, s := range stores {
					if r, err := s.Get(b.ctx, victim.ID); err == nil && r.State != StateDenied {
						t.Errorf("%s: the denied request is %s", who, r.State)
					}
					if _, err := s.BeginRelease(b.ctx, victim.ID, owner); err == nil {
						t.Errorf("%s: a denied request was released", who)
					}
					_, err := s.Get(b.ctx, bystander.ID)
					if closed := errors.Is(err, ErrRolledBack); err != nil && !(k.closes && closed) {
						t.Errorf("%s: another request: %v", who, err)
					}
				}
				b.opensAgain(t, stores)
				// As ever, from here on.
				for who, s := range stores {
					if r, err := s.Get(b.ctx, victim.ID); err == nil && r.State != StateDenied {
						t.Errorf("%s: the denied request is %s after it was mended", who, r.State)
					}
					r, err := s.Hold(b.ctx, query())
					b.must(err)
					_, err = s.Vote(b.ctx, r.ID, dana, Approve, "")
					b.must(err)
					lease, err := s.BeginRelease(b.ctx, r.ID, owner)
					b.must(err)
					b.must(s.FinishRelease(b.ctx, lease, Ran()))
					if _, err := s.List(b.ctx, Filter{For: &dana}); err != nil {
						t.Errorf("%s: list: %v", who, err)
					}
					if _, err := s.History(b.ctx, r.ID, 5); err != nil {
						t.Errorf("%s: history: %v", who, err)
					}
					messages, err := s.TakeMessages(b.ctx, 100, time.Minute)
					b.must(err)
					for _, m := range messages {
						b.must(s.GiveUp(b.ctx, m, "x"))
					}
					if _, err := s.Notifications(b.ctx, "", func(Request) bool { return true }); err != nil {
						t.Errorf("%s: notifications: %v", who, err)
					}
				}
			})
		}
	}
}

// opensAgain does what ends that approvals are closed: replicas heal what they can, and an operator
// acknowledges the rest.
func (b *bench) opensAgain(t *testing.T, stores map[string]*Store) {
	t.Helper()
	heal := func() (open bool) {
		open = true
		for _, s := range stores {
			ok, err := s.Heal(b.ctx)
			b.must(err)
			open = open && ok
		}
		return open
	}
	if heal() {
		return
	}
	found, err := b.learned().Inspect(b.ctx)
	b.must(err)
	if found.Open || found.Acknowledge == 0 {
		t.Fatalf("a replica is closed, and the command finds %+v", found)
	}
	if f, err := b.learned().Reopen(b.ctx, found.Acknowledge-1); err == nil || f.Open {
		t.Fatalf("opened with a smaller number: %+v, %v", f, err)
	}
	done, err := b.learned().Reopen(b.ctx, found.Acknowledge)
	b.must(err)
	if !done.Open {
		t.Fatalf("the command left it closed: %+v", done)
	}
	if !heal() {
		t.Fatal("a replica that runs stays closed after the command")
	}
}

// What needs nobody's word: the head alone was damaged, or Redis comes back as it was.
func TestHealsByItself(t *testing.T) {
	for name, c := range map[string]struct{ harm, mend func(b *bench) }{
		"the head gone":       {func(b *bench) { b.client.Del(b.ctx, keyHead) }, nil},
		"a head of a list":    {func(b *bench) { b.client.Del(b.ctx, keyHead); b.client.RPush(b.ctx, keyHead, "x") }, nil},
		"put forward":         {func(b *bench) { b.client.Set(b.ctx, keyHead, "900 "+strings.Repeat("0", 64), 0) }, nil},
		"put back":            {func(b *bench) { b.client.Set(b.ctx, keyHead, "1 "+strings.Repeat("0", 64), 0) }, nil},
		"garbage":             {func(b *bench) { b.client.Set(b.ctx, keyHead, strings.Repeat("x", 1000), 0) }, nil},
		"emptied, and back":   {func(b *bench) { b.client.FlushAll(b.ctx) }, func(*bench) {}},
		"the ledger and back": {func(b *bench) { b.client.Del(b.ctx, keyLedger); b.client.Del(b.ctx, keyHead) }, func(*bench) {}},
	} {
		t.Run(name, func(t *testing.T) {
			func(b *bench) { // DUMP of miniredis knows no hashes
				var told []bool
				b.options.Closed = func(err error) { told = append(told, err != nil) }
				other := b.host()
				b.store = b.replica()
				b.must(b.store.Begin(b.ctx, 0))
				r := b.approve(b.hold(), dana)
				_, err := other.Get(b.ctx, r.ID)
				b.must(err)
				type kept struct{ key, dump string }
				var all []kept
				if c.mend != nil {
					for _, key := range b.client.Keys(b.ctx, "*").Val() {
						all = append(all, kept{key, b.dump(key)})
					}
				}
				c.harm(b)
				_, err = b.store.Get(b.ctx, r.ID)
				wantErr(t, err, ErrRolledBack)
				if c.mend != nil {
					if open, err := b.store.Heal(b.ctx); err != nil || open {
						t.Fatalf("open %t, %v while all is gone", open, err)
					}
					for _, k := range all {
						b.restore(k.key, k.dump)
					}
				}
				open, err := b.store.Heal(b.ctx)
				b.must(err)
				if !open || len(told) != 2 || !told[0] || told[1] {
					t.Fatalf("open %t, told %v", open, told)
				}
				lease, err := b.store.BeginRelease(b.ctx, r.ID, owner)
				b.must(err)
				b.must(b.store.FinishRelease(b.ctx, lease, Ran()))
				if _, err := other.BeginRelease(b.ctx, r.ID, owner); !errors.Is(err, ErrUsed) {
					t.Errorf("on another host: %v", err)
				}
			}(newBench(t, redistest.Start(t), Options{}))
		})
	}
}

// A head that is put right never hides what a host has told that is known.
func TestHealKeepsWhatOthersTold(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		behind := b.host()
		r := b.approve(b.hold(), dana)
		_, err := behind.Get(b.ctx, r.ID)
		b.must(err)
		_, err = b.store.Revoke(b.ctx, r.ID, erin, "no more")
		b.must(err)
		b.client.Set(b.ctx, keyHead, "x", 0)
		_, err = behind.Get(b.ctx, r.ID)
		wantErr(t, err, ErrRolledBack)
		open, err := behind.Heal(b.ctx)
		b.must(err)
		if !open {
			t.Fatal("the messages prove where the head was")
		}
		if _, err := behind.BeginRelease(b.ctx, r.ID, owner); err == nil {
			t.Error("a revoked approval was released")
		}
	})
}

// A host that knew more than the one on which the loss was acknowledged stays closed, says up to
// where, and once that is acknowledged too, all is open, and what it knew holds everywhere.
func TestReopenOnTwoHosts(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		less := b.host()
		r := b.approve(b.hold(), dana)
		_, err := less.Get(b.ctx, r.ID)
		b.must(err)
		kept := b.entry(r.ID)
		more := b.host()
		_, err = more.Revoke(b.ctx, r.ID, erin, "no more")
		b.must(err)
		for range 3 {
			_, err := more.Hold(b.ctx, query())
			b.must(err)
		}
		b.client.FlushAll(b.ctx)
		b.putBack(r.ID, kept)
		command := func(h *host, number int64) Finding {
			again := &host{b: b, journal: h.journal}
			shared := b.journal
			b.journal = h.journal
			again.Store = b.replica()
			b.journal = shared
			for _, e := range h.journal.all() {
				again.Learn(e)
			}
			if number == 0 {
				f, err := again.Inspect(b.ctx)
				b.must(err)
				return f
			}
			f, err := again.Reopen(b.ctx, number)
			b.must(err)
			return f
		}
		for _, h := range []*host{less, more} {
			_, err := h.Get(b.ctx, r.ID)
			wantErr(t, err, ErrRolledBack)
		}
		low := command(less, 0)
		if f := command(less, low.Acknowledge); !f.Open {
			t.Fatalf("%+v", f)
		}
		if open, err := less.Heal(b.ctx); err != nil || !open {
			t.Fatalf("open %t, %v", open, err)
		}
		if open, err := more.Heal(b.ctx); err != nil || open {
			t.Fatalf("the host that knew more: open %t, %v", open, err)
		}
		high := command(more, 0)
		if high.Open || high.Acknowledge <= low.Acknowledge {
			t.Fatalf("%+v after %+v", high, low)
		}
		command(more, high.Acknowledge)
		if open, err := more.Heal(b.ctx); err != nil || !open {
			t.Fatalf("open %t, %v", open, err)
		}
		less.Get(b.ctx, r.ID) // it closes, or reads what was told
		if open, err := less.Heal(b.ctx); err != nil || !open {
			t.Fatalf("the first host: open %t, %v", open, err)
		}
		for who, h := range map[string]*host{"less": less, "more": more, "new": b.host()} {
			if _, err := h.BeginRelease(b.ctx, r.ID, owner); err == nil {
				t.Errorf("%s: a revoked approval was released", who)
			}
		}
	})
}
