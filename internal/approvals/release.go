package approvals

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/policies"
)

// Lease is the right to submit an approved query, once. The zero Lease is none.
type Lease struct {
	Request string    // id
	Nonce   string    // names this attempt
	Attempt int       // 1 for the first
	Until   time.Time // by Redis's clock; from then on another attempt may begin

	// Use is the job that this use of the approval takes at BigQuery, before anything runs on it.
	Use bigquery.JobReference

	Votes Votes     // of those who approved, without those who are behind whoever asked
	began time.Time // by Redis's clock
	asked time.Time
}

// Meets says whether the approval is one that a asks for, for the run of s: by these people, and
// not longer ago than it lets a request wait.
func (l Lease) Meets(a policies.Approval, s identity.Subject) bool {
	return l.Votes.Meet(a, s) && l.began.Before(l.asked.Add(a.Expires))
}

// Outcome is how an attempt to submit an approved query ended. The zero Outcome is none and is
// refused.
type Outcome struct {
	kind    Kind
	message string
}

// Ran says that the query was submitted, so that the approval is used.
func Ran() Outcome { return Outcome{kind: EventUsed} }

// Failed says that the query may not have been submitted and may be tried again: the approval
// stands until it expires. Message says why, without any data.
func Failed(message string) Outcome { return Outcome{EventFailed, message} }

// Lapsed says that what was approved is not what would run now, so that the approval is void. Why
// is shown to the requester.
func Lapsed(why string) Outcome { return Outcome{EventLapsed, why} }

// BeginRelease takes the right to submit an approved query. One caller gets it; when that one does
// not come back with FinishRelease before the lease ends, another may. Since the first may still be
// submitting, the job id of the use is the last guard: BigQuery takes it once. The whole decision
// must be made again under the lease (attack A9).
//
// Errors: ErrNotFound (also for another owner than the one who asked), ErrNotApproved, ErrExpired,
// ErrReleasing, ErrUsed.
func (s *Store) BeginRelease(ctx context.Context, id, owner string) (Lease, error) {
	before, _, err := s.read(ctx, id)
	if err != nil {
		return Lease{}, err
	}
	if before.Held.Subject.Owner == owner {
		if err := s.standsUnder(ctx, before); err != nil {
			return Lease{}, err
		}
	}
	r, began, err := s.transition(ctx, id, func(r *record, now time.Time) (Event, error) {
		if err := r.releasable(owner, now); err != nil {
			return Event{}, err
		}
		if !r.Grant.has(r.ID) { // counted now, and for good: a second attempt is of the same run
			r.Grant.Runs = append(r.Grant.Runs, run{Request: r.ID, Job: r.Held.Job, At: now})
		}
		attempt := 1
		if r.Release != nil {
			attempt = r.Release.Attempt + 1
		}
		r.State = stateReleasing
		r.Release = &release{Nonce: nonce(), Until: now.Add(s.options.ReleaseLease), Attempt: attempt}
		return ownersEvent(EventReleasing, *r, ""), nil
	})
	if err != nil {
		return Lease{}, err
	}
	return Lease{
		Request: r.ID, Nonce: r.Release.Nonce, Attempt: r.Release.Attempt, Until: r.Release.Until, Use: s.use(r),
		Votes: usable(r.Votes, r.Held.Subject), began: began, asked: r.Created,
	}, nil
}

func (r record) releasable(owner string, now time.Time) error {
	if owner == "" || r.Held.Subject.Owner != owner {
		return ErrNotFound
	}
	state, releasing := r.state(now)
	switch {
	case releasing:
		return ErrReleasing
	case state == StateUsed, r.Ran:
		return ErrUsed
	case state == StateExpired:
		return ErrExpired
	case state != StateApproved:
		return fmt.Errorf("%w: it is %s", ErrNotApproved, state)
	case r.Held.NoWait && r.Under == nil:
		return fmt.Errorf("%w: its client did not wait; the same query again runs", ErrNotApproved)
	case !r.Held.intact():
		return fmt.Errorf("%w: what was approved is not what is kept of it", ErrNotApproved)
	case !met(r.Held.Approval, usable(r.Votes, r.Held.Subject)): // the votes themselves, not the word for them
		return fmt.Errorf("%w: %d people approved it, which is not who must", ErrNotApproved, len(different(r.Votes, nil)))
	case r.Grant == nil || r.Grant.Revoked || !r.Grant.has(r.ID) && r.Grant.left() < 1:
		return ErrUsed
	}
	return nil
}

// FinishRelease says how the attempt ended: Ran leads to used, Failed back to approved, Lapsed to
// cancelled. A caller whose client has gone may still finish. ErrLeaseLost means that another
// attempt has begun since.
func (s *Store) FinishRelease(ctx context.Context, lease Lease, outcome Outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*s.options.ClaimLease)
	defer cancel()
	_, _, err := s.transition(ctx, lease.Request, func(r *record, _ time.Time) (Event, error) {
		if lease.Nonce == "" || r.State != stateReleasing || r.Release == nil || r.Release.Nonce != lease.Nonce {
			return Event{}, ErrLeaseLost
		}
		r.Failure = ""
		switch outcome.kind {
		case EventUsed:
			r.State, r.Ran = StateUsed, true
			if r.Grant.left() > 0 { // a standing approval: later tries have the rest
				r.State = StateApproved
			}
		case EventFailed:
			r.State, r.Failure, r.Release.Until = StateApproved, clip(outcome.message, maxMessage), time.Time{}
		case EventLapsed:
			r.State, r.Ended = StateCancelled, clip(outcome.message, maxMessage)
		default:
			return Event{}, errors.New("finish release: no outcome")
		}
		if r.Grant.Revoked && !(r.Ran && r.Grant.left() == 0) {
			r.State = StateCancelled
		}
		return ownersEvent(outcome.kind, *r, clip(outcome.message, maxMessage)), nil
	})
	return err
}

const maxMessage = 2000 // bytes kept of an outcome's message

// Cancel withdraws a request on behalf of its owner. A request that has ended already stays as it
// is and is returned so. A query that is just being submitted can no longer be withdrawn
// (ErrReleasing).
func (s *Store) Cancel(ctx context.Context, id, owner string) (Request, error) {
	errEnded := errors.New("ended already")
	r, now, err := s.transition(ctx, id, func(r *record, now time.Time) (Event, error) {
		if owner == "" || r.Held.Subject.Owner != owner {
			return Event{}, ErrNotFound
		}
		state, releasing := r.state(now)
		switch {
		case releasing:
			return Event{}, ErrReleasing
		case state != StatePending && state != StateApproved:
			return Event{}, errEnded
		}
		r.State, r.Ended = StateCancelled, "withdrawn by the requester"
		return ownersEvent(EventCancelled, *r, r.Ended), nil
	})
	if err != nil && !errors.Is(err, errEnded) {
		return Request{}, err
	}
	return s.view(r, now), nil
}

func ownersEvent(kind Kind, r record, reason string) Event {
	e := Event{Kind: kind, Reason: reason}
	e.by(r.Held.Subject)
	return e
}
