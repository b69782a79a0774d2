package approvals

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// EndOf ends everything that waits for a person or may still run in the name of a subject whose
// access was revoked: what is pending is cancelled, and what was approved is taken back, standing
// approvals too. over says of the time at which the requester's token was issued whether it is one
// of those that are over. by and reason are for the record and for whoever asks why.
//
// It returns the requests that it ended, and whether all are ended: one whose query is just being
// submitted is for the next call. An error ended none or some.
func (s *Store) EndOf(ctx context.Context, issuer, sub, by, reason string, over func(issued time.Time) bool) (ended []Request, all bool,
	err error) {
	_, now, err := s.fetch(ctx, nil) // what others tell is known then
	if err != nil {
		return nil, false, err
	}
	all = true
	for _, id := range s.index.of(issuer, sub, now) {
		r, now, err := s.transition(ctx, id, func(r *record, now time.Time) (Event, error) {
			return r.endFor(by, reason, over, now)
		})
		switch {
		case err == nil:
			ended = append(ended, s.view(r, now))
		case errors.Is(err, ErrReleasing), errors.Is(err, ErrBusy):
			all = false
		case !errors.Is(err, ErrDecided) && !errors.Is(err, ErrNotFound):
			return ended, false, fmt.Errorf("end request %s: %w", id, err)
		}
	}
	return ended, all, nil
}

// endFor is the step that ends a request of a revoked subject.
func (r *record) endFor(by, reason string, over func(time.Time) bool, now time.Time) (Event, error) {
	state, releasing := r.state(now)
	words := fmt.Sprintf("the access of the requester was revoked by %s: %q", by, reason)
	e := Event{Kind: EventCancelled, By: by, Reason: words}
	switch {
	case !over(r.Held.Subject.Issued):
		return Event{}, ErrDecided
	case releasing:
		return Event{}, ErrReleasing
	case state == StatePending:
		r.State = StateCancelled
	case r.Grant != nil && !r.Grant.Revoked && (state == StateApproved || state == StateUsed && r.Grant.Later && now.Before(r.Grant.Until)):
		e.Kind = EventRevoked
		r.Grant.Revoked = true
		if state == StateApproved {
			r.State = StateCancelled
		}
	default:
		return Event{}, ErrDecided
	}
	r.Ended = words
	return e, nil
}

// TakenBack says whether an approval was: then nothing that was run on it may be read any more. All
// replicas tell each other of that, so that nothing in Redis hides it.
func (s *Store) TakenBack(grant string) bool {
	c, ok := s.index.get(grant)
	return ok && c.Revoked
}

// of lists the requests of a subject of which something may still come, the oldest first.
func (x *index) of(issuer, sub string, now time.Time) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var found []card
	for _, c := range x.cards {
		live := !c.State.ended() && !c.late(now) || c.State == StateUsed && now.Before(c.Ends) && !c.Revoked
		if c.Issuer == issuer && c.Sub == sub && live {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b card) int { return cmp.Compare(a.ID, b.ID) })
	ids := make([]string, len(found))
	for i, c := range found {
		ids[i] = c.ID
	}
	return ids
}
