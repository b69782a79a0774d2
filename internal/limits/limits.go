// Package limits keeps one caller from taking what all need: so many requests, queries and
// downloads at once, so many lookups a second, so many bytes recorded an hour, each for one owner
// in one process.
//
// An owner is identity.Subject.Budget: a repository or a person, never a run (A52). What is counted
// is the table Kinds, with the defaults, their reasons, and the keys of the configuration.
//
// Memory is bounded whatever owners come. Each has an entry of its own while it has something under
// way or has not got back what it spent; entries without that are forgotten, and nothing else is:
// fresh names cannot push out anybody's debt. Where so many owners are in debt that there is no
// entry left, newcomers share a few entries by a keyed hash of their names, and each of these has
// the limits of one owner: the unknown many pay, not those who are known.
package limits

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shards   = 64
	perShard = 256 // owners with an entry of their own: 16,384
	spare    = 16  // entries that are shared beyond those
)

// Owners are all owners of this process. It is made by New, safe for concurrent use, and nil limits
// nothing.
type Owners struct {
	// Met, if there is one, is told of each time that something is beyond a limit. It is set before
	// anything is counted, and must return at once.
	Met func(Kind)

	limits atomic.Pointer[[kinds]Limit]
	seed   maphash.Seed
	began  time.Time
	shards [shards]shard
}

type shard struct {
	mu     sync.Mutex
	owners map[uint64]*account
	shared [spare]account
	swept  int64 // when forgotten entries were last looked for
}

// account is what one owner has under way and has spent.
type account struct {
	under [kinds]int     // what is under way
	spent [kinds]float64 // what has not come back yet, as of at
	at    [kinds]int64   // nanoseconds since Owners began
	lent  map[string]lease
	due   int64 // when the first of them is over, or before
}

type lease struct {
	kind  Kind
	until int64
}

// New makes Owners. The configuration must have passed Check.
func New(c Config) *Owners {
	o := &Owners{seed: maphash.MakeSeed(), began: time.Now()}
	for i := range o.shards {
		o.shards[i].owners = map[uint64]*account{}
	}
	o.Set(c)
	return o
}

// Set puts other limits into force. What is under way and what was spent stays.
func (o *Owners) Set(c Config) {
	all := c.all()
	o.limits.Store(&all)
}

// Limit is what is in force for a kind.
func (o *Owners) Limit(k Kind) Limit { return o.limits.Load()[k] }

// Begin counts one more that is under way, until end is called. end may be called more than once.
// The error is an *Exceeded.
func (o *Owners) Begin(owner string, k Kind) (end func(), err error) {
	if o == nil {
		return func() {}, nil
	}
	h, s := o.lock(owner)
	defer s.mu.Unlock()
	a := o.account(s, h)
	if a.lentOut(o.now()); !a.room(k, o.Limit(k)) {
		return nil, o.exceeded(k, 0)
	}
	return o.begun(a, s, k), nil
}

// begun counts one that is under way.
func (o *Owners) begun(a *account, s *shard, k Kind) func() {
	a.under[k]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.under[k]--
	})
}

// Lend is Begin for something that another part of the gateway will go on with, and end: it counts
// until then at the longest, so that what gets lost on the way is not counted for ever. id names
// it; lending the same again changes nothing.
func (o *Owners) Lend(owner string, k Kind, id string, life time.Duration) error {
	if o == nil {
		return nil
	}
	h, s := o.lock(owner)
	defer s.mu.Unlock()
	a, now := o.account(s, h), o.now()
	a.lentOut(now)
	if _, ok := a.lent[id]; ok {
		return nil
	}
	if !a.room(k, o.Limit(k)) {
		return o.exceeded(k, 0)
	}
	if a.lent == nil {
		a.lent = map[string]lease{}
	}
	until := now + int64(life)
	if len(a.lent) == 0 || until < a.due {
		a.due = until
	}
	a.lent[id] = lease{k, until}
	a.under[k]++
	return nil
}

// Take goes on with what was lent, until end is called. What is not lent any more, or was lent by
// another replica, is counted all the same, and never refused: it was let through.
func (o *Owners) Take(owner string, k Kind, id string) (end func()) {
	if o == nil {
		return func() {}
	}
	h, s := o.lock(owner)
	defer s.mu.Unlock()
	a := o.account(s, h)
	if l, ok := a.lent[id]; ok {
		a.under[l.kind]--
		delete(a.lent, id)
	}
	return o.begun(a, s, k)
}

// GiveBack ends what was lent and is not gone on with.
func (o *Owners) GiveBack(owner string, id string) {
	if o == nil {
		return
	}
	h, s := o.lock(owner)
	defer s.mu.Unlock()
	a := o.account(s, h)
	if l, ok := a.lent[id]; ok {
		a.under[l.kind]--
		delete(a.lent, id)
	}
}

// Spend takes n of what an owner has, if there is any left: so the last one may take more than
// that, and waits the longer. The error is an *Exceeded.
func (o *Owners) Spend(owner string, k Kind, n int64) error { return o.spend(owner, k, n, false) }

// Charge is Spend for what was done already: it takes n whether there is any left or not.
func (o *Owners) Charge(owner string, k Kind, n int64) { _ = o.spend(owner, k, n, true) }

// Left says whether Spend would go through, and takes nothing.
func (o *Owners) Left(owner string, k Kind) error { return o.spend(owner, k, 0, false) }

func (o *Owners) spend(owner string, k Kind, n int64, always bool) error {
	if o == nil {
		return nil
	}
	form, l := Kinds[k].Form, o.Limit(k)
	h, s := o.lock(owner)
	defer s.mu.Unlock()
	a, now := o.account(s, h), o.now()
	spent := a.owes(k, now, form.refills(l))
	if over := spent + 1 - form.room(l); over > 0 && !always {
		return o.exceeded(k, time.Duration(over/form.refills(l)*float64(time.Second)))
	}
	a.spent[k], a.at[k] = spent+float64(n), now
	return nil
}

func (o *Owners) now() int64 { return int64(time.Since(o.began)) }

func (o *Owners) exceeded(k Kind, wait time.Duration) *Exceeded {
	if o.Met != nil {
		o.Met(k)
	}
	e := &Exceeded{Kind: k, What: Kinds[k].What, Limit: said(Kinds[k].Form, o.Limit(k))}
	if Kinds[k].Form != AtOnce {
		e.Wait, e.Free = wait, time.Now().Add(wait)
	}
	return e
}

func (o *Owners) lock(owner string) (uint64, *shard) {
	h := maphash.String(o.seed, owner)
	s := &o.shards[h%shards]
	s.mu.Lock()
	return h, s
}

// account is an owner's entry. The shard is locked.
func (o *Owners) account(s *shard, h uint64) *account {
	if a, known := s.owners[h]; known {
		return a
	}
	if len(s.owners) >= perShard {
		if now := o.now(); now-s.swept >= int64(100*time.Millisecond) || s.swept == 0 {
			o.sweep(s, now)
			s.swept = now
		}
	}
	if len(s.owners) >= perShard {
		return &s.shared[h/shards%spare]
	}
	a := &account{}
	s.owners[h] = a
	return a
}

// sweep forgets the owners that have nothing under way and have got back all that they spent.
func (o *Owners) sweep(s *shard, now int64) {
	limits := o.limits.Load()
	for h, a := range s.owners {
		if a.lentOut(now); a.even(now, limits) {
			delete(s.owners, h)
		}
	}
}

// even says that forgetting an account makes no difference.
func (a *account) even(now int64, limits *[kinds]Limit) bool {
	for k := range Kinds {
		if a.under[k] != 0 ||
			a.spent[k] > 0 && a.owes(Kind(k), now, Kinds[k].Form.refills(limits[k])) > 0 {
			return false
		}
	}
	return true
}

func (a *account) room(k Kind, l Limit) bool { return a.under[k] < l.AtOnce }

// owes is what was spent and has not come back by now.
func (a *account) owes(k Kind, now int64, perSecond float64) float64 {
	return max(0, a.spent[k]-float64(now-a.at[k])/float64(time.Second)*perSecond)
}

// lentOut ends the leases that are over.
func (a *account) lentOut(now int64) {
	if len(a.lent) == 0 || now < a.due {
		return
	}
	a.due = math.MaxInt64
	for id, l := range a.lent {
		if l.until <= now {
			a.under[l.kind]--
			delete(a.lent, id)
			continue
		}
		a.due = min(a.due, l.until)
	}
}
