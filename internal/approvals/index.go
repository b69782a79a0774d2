package approvals

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// index is what every replica knows of all requests without opening one: who asked, who may see it,
// where it stands and what it costs. It is told in the sealed messages of the ledger, with the step
// that changes it, so that nothing that is planted in Redis is in it: neither lists nor budgets
// depend on what stands there. Its zero value is ready.
type index struct {
	mu      sync.RWMutex
	cards   map[string]card
	budgets map[string]*budget
	dropped []string // requests that ended long ago, of which Redis still has something
}

// card is the entry of one request: nothing that is secret, and all that a list chooses by.
type card struct {
	ID      string    `json:"id"`
	State   State     `json:"state"` // as stored
	Ends    time.Time `json:"ends"`  // when what is pending or approved is over
	Until   time.Time `json:"until"` // when the record goes
	Bytes   int       `json:"bytes"` // of the stored record
	Created time.Time `json:"created"`

	Budget    string   `json:"budget"` // whose budget it counts against
	Owner     string   `json:"owner"`
	Issuer    string   `json:"issuer"`
	Sub       string   `json:"sub"`
	People    []string `json:"people,omitempty"`
	Reviewers []string `json:"reviewers,omitempty"`
	Revoked   bool     `json:"revoked,omitempty"` // the approval was taken back
}

// budget is what one owner has.
type budget struct {
	open  map[string]bool // requests that have not ended
	ended []string        // newest last
	hour  int64           // the hour of the newest request, in hours since 1970
	made  int             // requests made in that hour
}

func (s *Store) cardOf(r record, bytes int) card {
	h := r.Held
	return card{
		Revoked: r.Grant != nil && r.Grant.Revoked,
		ID:      r.ID, State: r.State, Ends: r.ends(), Until: s.garbage(r), Bytes: bytes, Created: r.Created, Budget: budgetOf(h.Subject),
		Owner: h.Subject.Owner, Issuer: h.Subject.Issuer, Sub: h.Subject.Sub, People: h.Subject.People, Reviewers: h.Approval.Reviewers,
	}
}

// ended says whether nothing more will come of what was stored: its text is not needed.
func (st State) ended() bool {
	switch st {
	case StateDenied, StateCancelled, StateUsed, StateExpired:
		return true
	case StatePending, StateApproved, stateReleasing:
		return false
	}
	return true
}

// late says whether the request is over, though nobody has written that down yet.
func (c card) late(now time.Time) bool { return !c.State.ended() && !now.Before(c.Ends) }

// may says whether the request may be in a state at a time. Only the record says whether it is.
func (c card) may(state State, now time.Time) bool {
	switch {
	case state == "":
		return true
	case c.State == stateReleasing:
		return state != StatePending && state != StateDenied
	case c.late(now):
		return state == StateExpired
	default:
		return c.State == state
	}
}

// visible is Request.VisibleTo, of a request that need not be opened for it.
func (c card) visible(d Decider) bool {
	r := Request{Issuer: c.Issuer, Subject: c.Sub, People: c.People, Reviewers: c.Reviewers, owner: c.Owner}
	return r.VisibleTo(d)
}

// take makes a card the one of its request, and returns the requests of the same owner that ended
// so long ago that nothing more is kept of them.
func (x *index) take(c card, kept int) (dropped []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cards == nil {
		x.cards, x.budgets = make(map[string]card), make(map[string]*budget)
	}
	_, known := x.cards[c.ID]
	x.cards[c.ID] = c
	b := x.budgets[c.Budget]
	if b == nil {
		b = &budget{open: make(map[string]bool)}
		x.budgets[c.Budget] = b
	}
	if !known {
		switch hour := c.Created.Unix() / 3600; {
		case hour == b.hour:
			b.made++
		case hour > b.hour:
			b.hour, b.made = hour, 1
		}
	}
	if !c.State.ended() {
		b.open[c.ID] = true
		return nil
	}
	delete(b.open, c.ID)
	if !slices.Contains(b.ended, c.ID) {
		b.ended = append(b.ended, c.ID)
	}
	for len(b.ended) > kept {
		id := b.ended[0]
		b.ended = b.ended[1:]
		dropped = append(dropped, id)
		delete(x.cards, id)
	}
	x.dropped = append(x.dropped, dropped...)
	return dropped
}

// get returns the card of a request.
func (x *index) get(id string) (card, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	c, ok := x.cards[id]
	return c, ok
}

// drop forgets requests of which nothing is stored any more.
func (x *index) drop(ids ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range ids {
		c, ok := x.cards[id]
		if !ok {
			continue
		}
		delete(x.cards, id)
		if b := x.budgets[c.Budget]; b != nil {
			delete(b.open, id)
			b.ended = slices.DeleteFunc(b.ended, func(e string) bool { return e == id })
		}
	}
}

// sweep forgets what is garbage, and owners of nothing.
func (x *index) sweep(now time.Time) {
	x.mu.RLock()
	var old []string
	for id, c := range x.cards {
		if now.After(c.Until) {
			old = append(old, id)
		}
	}
	x.mu.RUnlock()
	x.drop(old...)
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, b := range x.budgets {
		if len(b.open) == 0 && len(b.ended) == 0 && b.hour < now.Unix()/3600 {
			delete(x.budgets, name)
		}
	}
}

// choose lists the ids of requests that may be in a state and that d may see, the newest first,
// older than after. A nil d sees all.
func (x *index) choose(state State, d *Decider, after string, now time.Time) []card {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []card
	for id, c := range x.cards {
		if (after == "" || id < after) && c.may(state, now) && !now.After(c.Until) && (d == nil || c.visible(*d)) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b card) int { return cmp.Compare(b.ID, a.ID) }) // a ULID begins with its time
	return out
}

// Waiting says how many requests wait for a person, and since when the oldest does; zero where none
// does. It opens none.
func (s *Store) Waiting(now time.Time) (n int, oldest time.Time) {
	for _, c := range s.index.choose(StatePending, nil, "", now) {
		if n++; n == 1 || c.Created.Before(oldest) {
			oldest = c.Created
		}
	}
	return n, oldest
}

// toDelete are requests of which Redis should have nothing any more, each told once.
func (x *index) toDelete() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	ids := x.dropped
	x.dropped = nil
	return ids
}

// overdue are requests that are over, though nobody has written that down yet.
func (x *index) overdue(now time.Time, most int) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []string
	for id, c := range x.cards {
		if len(out) < most && c.State != stateReleasing && c.late(now) {
			out = append(out, id)
		}
	}
	return out
}

// spent is what an owner, and all together, have of what is bounded.
type spent struct {
	waiting, all int       // pending requests
	bytes, inAll int64     // stored for what has not ended
	lately       int       // requests made in this hour
	first        time.Time // when the first of the owner's ends by itself
	open         []string  // the owner's
}

func (x *index) spent(of string, now time.Time) (sum spent) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for name, b := range x.budgets {
		for id := range b.open {
			c := x.cards[id]
			if c.late(now) {
				continue
			}
			sum.inAll += int64(c.Bytes)
			pending := c.State == StatePending
			if pending {
				sum.all++
			}
			if name != of {
				continue
			}
			sum.bytes += int64(c.Bytes)
			sum.open = append(sum.open, id)
			if pending {
				sum.waiting++
			}
			if sum.first.IsZero() || c.Ends.Before(sum.first) {
				sum.first = c.Ends
			}
		}
		if name == of && b.hour == now.Unix()/3600 {
			sum.lately = b.made
		}
	}
	return sum
}
