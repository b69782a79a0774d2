package console

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
)

// item is a request in a list.
type item struct {
	ID, State   string
	Who, Reads  string
	Why         string
	Cost        string
	Made, Until time.Time
	Now         time.Time
	Mine        bool // the visitor's own, or of a person behind it
	Waits       bool // for this visitor's decision
	Votes       string
	Decided     string // who had the last word
}

// queue is what the first page lists.
type queue struct {
	Decide, Own, Ended []item
	Undelivered        int // messages about requests that were given up
}

func (q queue) waiting() int { return len(q.Decide) }

// Says is the queue in one sentence, for screen readers too.
func (q queue) Says() string {
	switch len(q.Decide) {
	case 0:
		return "Nothing waits for your decision."
	case 1:
		return "1 query waits for your decision."
	default:
		return fmt.Sprintf("%d queries wait for your decision.", len(q.Decide))
	}
}

func (u *ui) queueOf(list []approvals.Request, v *visitor) queue {
	var q queue
	seen := map[string]bool{}
	for _, r := range list {
		if !r.VisibleTo(v.decider) || seen[r.ID] {
			continue
		}
		seen[r.ID] = true
		i := u.itemOf(r, v)
		switch {
		case r.State == approvals.StatePending && i.Mine:
			q.Own = append(q.Own, i)
		case r.State == approvals.StatePending:
			q.Decide = append(q.Decide, i)
		case u.now().Sub(endedAt(r)) < stillShown:
			q.Ended = append(q.Ended, i)
		}
	}
	return q
}

func endedAt(r approvals.Request) time.Time {
	switch {
	case r.State == approvals.StateExpired:
		return r.Expires
	case len(r.Votes) > 0:
		return r.Votes[len(r.Votes)-1].At
	default:
		return r.Created
	}
}

func (u *ui) itemOf(r approvals.Request, v *visitor) item {
	i := item{
		ID: r.ID, State: string(r.State), Who: r.Person, Reads: tablesOf(r), Why: sentence(errors.New(r.Why)), Cost: costOf(r),
		Made: r.Created, Until: r.Expires, Now: u.now(),
		Mine: r.MadeBy(v.decider), Waits: r.State == approvals.StatePending && r.MayDecide(v.decider) == nil,
	}
	if r.Quorum > 1 {
		i.Votes = fmt.Sprintf("%d of %d approvals", approvalsOf(r), r.Quorum)
	}
	if n := len(r.Votes); n > 0 {
		i.Decided = r.Votes[n-1].By
	}
	return i
}

func approvalsOf(r approvals.Request) int {
	n := 0
	for _, d := range r.Votes {
		if d.Choice == approvals.Approve {
			n++
		}
	}
	return n
}

func (u *ui) queue(w http.ResponseWriter, r *http.Request, v *visitor) {
	list, err := u.hub.fresh(r.Context())
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	q := u.queueOf(list, v)
	if q.Undelivered, err = u.undelivered(r.Context(), v); err != nil {
		u.broken(w, r, v, err)
		return
	}
	u.show(w, r, http.StatusOK, queuePage(shell{Title: fmt.Sprintf("%d waiting", q.waiting()), Visitor: v, Here: "/", Live: true}, q))
}
