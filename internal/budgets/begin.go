package budgets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// use is a decision by which what was reserved is sent.
type use struct {
	begun bool
	until time.Time // when it is over if it has not begun by then
}

func (s *Store) lent() use { return use{until: s.Now().Add(s.Lent)} }

// unseen is after how long BigQuery is asked for a job of which no answer has told.
const unseen = time.Minute

// errLate says that what was reserved for a decision was given back, since nothing began with it.
var errLate = errors.New("what was reserved for the query was given back: it did not begin in time")

// Lend says that the verdict of a decision leaves now. What was reserved waits for it anew, for as
// long as a verdict lives.
func (s *Store) Lend(reserved, decision string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.open[reserved]; c != nil {
		if u, ok := c.users[decision]; ok && !u.begun {
			c.users[decision] = s.lent()
		}
	}
}

// Begin says that a query is about to be sent by the decision w.By: from now on it may run, and
// what was reserved under w.Decision is given back only when NeverRan says that it did not. Where
// another process has reserved it, it is counted here anew: that one never hears of it, and gives
// its own back.
func (s *Store) Begin(ctx context.Context, w Wanted) error {
	by := cmp.Or(w.By, w.Decision)
	s.mu.Lock()
	began := s.begun(w.Decision, by)
	_, late := s.late[by]
	s.mu.Unlock()
	switch {
	case began:
		return nil
	case late:
		return fmt.Errorf("begin with decision %s: %w", by, errLate)
	}
	w.counted = true
	if _, err := s.Reserve(ctx, w); err != nil {
		return fmt.Errorf("count what another process has reserved: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun(w.Decision, by)
	return nil
}

// begun notes that a decision has begun. It is false where nothing is reserved here for it.
func (s *Store) begun(reserved, by string) bool {
	c := s.open[reserved]
	if c == nil {
		_, ran := s.ran[reserved]
		return ran
	}
	_, ok := c.users[by]
	if ok {
		c.users[by] = use{begun: true}
		if c.next.IsZero() {
			c.next = s.Now().Add(unseen)
		}
	}
	return ok || c.ran
}

// waits says that nothing has begun here with a reservation.
func (c *claim) waits() bool {
	for _, u := range c.users {
		if u.begun {
			return false
		}
	}
	return len(c.users) > 0
}

// expire ends the uses of a reservation that have not begun in time.
func (s *Store) expire(c *claim, now time.Time) {
	for by, u := range c.users {
		if !u.begun && !u.until.After(now) {
			s.late[by] = now.Add(s.Lent)
			s.unused(c, by)
		}
	}
}

// unused takes a decision from a reservation, which is given back with the last one, unless its job
// is known.
func (s *Store) unused(c *claim, decision string) {
	delete(c.users, decision)
	if len(c.users) == 0 && !c.ran && c.billed == nil {
		c.billed = new(int64)
		s.wake()
	}
}

// NeverRan says that nothing was sent by a decision, or that BigQuery has refused it. What was
// reserved is given back, unless the query was sent by another decision too: a client's next try.
func (s *Store) NeverRan(reserved, decision string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.open[reserved]; c != nil && s.mine(c) {
		s.unused(c, decision)
	}
}

// Holds says whether what was reserved for a query is still reserved, or was billed. Until NeverRan
// says otherwise it is then for the decision by which the query is sent again, too; none where that
// is "". What is not known here must be reserved again.
func (s *Store) Holds(reserved, decision string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[reserved]
	switch {
	case c == nil:
		_, ran := s.ran[reserved]
		return ran
	case c.ran:
		return true
	case c.replica != s.me || c.billed != nil || !c.until().After(s.Now()):
		return false
	}
	if _, known := c.users[decision]; decision != "" && !known {
		c.users[decision] = s.lent()
	}
	return true
}

// keep takes in a reservation that was just counted. It is false where two tries of one request
// have reserved at the same time: then the first reservation is for both, and this one is to be
// freed once its record is durable.
func (s *Store) keep(c *claim, by string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.open[c.decision]
	switch {
	case old == nil || old.replica != s.me:
	case old.billed == nil:
		old.users[by] = s.lent()
		return false
	default: // about to be settled
		s.freed = append(s.freed, old)
	}
	c.users = map[string]use{by: s.lent()}
	s.open[c.decision] = c
	return true
}

// free gives a reservation back that stands for nothing.
func (s *Store) free(c *claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.billed = new(int64)
	s.freed = append(s.freed, c)
	s.wake()
}
