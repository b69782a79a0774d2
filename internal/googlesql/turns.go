package googlesql

import "slices"

// turns is a queue in which callers take turns: the next question is the oldest one of the caller
// who has waited longest since its last turn. It is not safe for concurrent use.
type turns struct {
	limit   int
	each    int // of one caller; 0 for as many as there is room for
	size    int
	callers []*line // in order of their turns; none is empty
}

type line struct {
	caller  string
	tickets []*ticket
}

// ticket is a place in the queue. A worker is sent on ready when it is the ticket's turn; ready is
// closed when the ticket loses its place.
type ticket struct {
	caller string
	ready  chan *process
}

// push queues a question. In a full queue the newest question of the caller with the most of them
// loses its place to a caller with fewer, and is returned as evicted; a caller that has the most
// itself gets no ticket.
func (t *turns) push(caller string) (mine, evicted *ticket) {
	var own, longest *line
	for _, l := range t.callers {
		if l.caller == caller {
			own = l
		}
		if longest == nil || len(l.tickets) > len(longest.tickets) {
			longest = l
		}
	}
	if own != nil && t.each > 0 && len(own.tickets) >= t.each {
		return nil, nil
	}
	if t.size >= t.limit {
		if longest == nil || own != nil && len(own.tickets)+1 >= len(longest.tickets) || own == nil && len(longest.tickets) <= 1 {
			return nil, nil
		}
		evicted = longest.tickets[len(longest.tickets)-1]
		t.remove(evicted)
	}
	mine = &ticket{caller: caller, ready: make(chan *process, 1)}
	if own == nil {
		own = &line{caller: caller}
		t.callers = append(t.callers, own)
	}
	own.tickets = append(own.tickets, mine)
	t.size++
	return mine, evicted
}

// pop takes the next ticket of a caller who may run, or returns nil. Callers who may not keep their
// turns.
func (t *turns) pop(may func(caller string) bool) *ticket {
	i := slices.IndexFunc(t.callers, func(l *line) bool { return may(l.caller) })
	if i < 0 {
		return nil
	}
	first := t.callers[i]
	t.callers = slices.Delete(t.callers, i, i+1)
	next := first.tickets[0]
	first.tickets = first.tickets[1:]
	if len(first.tickets) > 0 {
		t.callers = append(t.callers, first)
	}
	t.size--
	return next
}

// of is how many questions of a caller wait.
func (t *turns) of(caller string) int {
	for _, l := range t.callers {
		if l.caller == caller {
			return len(l.tickets)
		}
	}
	return 0
}

// remove takes a ticket out; one that has left already is ignored.
func (t *turns) remove(gone *ticket) {
	for i, l := range t.callers {
		if l.caller != gone.caller {
			continue
		}
		for j, candidate := range l.tickets {
			if candidate == gone {
				l.tickets = append(l.tickets[:j], l.tickets[j+1:]...)
				t.size--
				if len(l.tickets) == 0 {
					t.callers = append(t.callers[:i], t.callers[i+1:]...)
				}
				return
			}
		}
	}
}

// drain empties the queue.
func (t *turns) drain() []*ticket {
	var all []*ticket
	anybody := func(string) bool { return true }
	for next := t.pop(anybody); next != nil; next = t.pop(anybody) {
		all = append(all, next)
	}
	return all
}
