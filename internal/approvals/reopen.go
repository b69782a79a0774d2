package approvals

import (
	"context"
	"fmt"
	"time"
)

// Finding is what an operator is told before approvals are opened again.
type Finding struct {
	Open        bool   `json:"open"`                  // there is nothing to do
	Why         string `json:"why,omitempty"`         // approvals are closed
	Known       int64  `json:"known"`                 // messages of the ledger that the journals of this host know of
	Shown       int64  `json:"shown"`                 // messages that Redis shows
	Acknowledge int64  `json:"acknowledge,omitempty"` // the number with which Reopen opens them

	// What is told anew: requests of which the record is as it was known to be, by what they are,
	// and what is over and must stay so.
	Waiting  int `json:"waiting"`
	Approved int `json:"approved"`
	Ended    int `json:"ended"`
	Revoked  int `json:"revoked"` // sessions and tokens
	// Lost are requests whose records Redis does not show as they were: their queries ask again.
	Lost int `json:"lost"`
}

// Inspect says how the ledger that Redis shows compares with what the journals say (see Learn), and
// puts right what needs no acknowledgement. It is for a process that serves nothing.
func (s *Store) Inspect(ctx context.Context) (Finding, error) {
	l := &s.ledger
	if err := l.repairLocked(ctx); err != nil {
		return Finding{}, err
	}
	text, err := s.headText(ctx)
	if err != nil {
		return Finding{}, err
	}
	known := l.sure()
	shown, why, err := l.fits(ctx, known, text)
	if err != nil {
		return Finding{}, err
	}
	f := Finding{Open: why == "", Why: why, Known: known.number, Shown: shown.number}
	if !f.Open {
		f.Acknowledge = l.toAcknowledge(shown)
	}
	return f, s.count(ctx, &f)
}

func (l *ledger) repairLocked(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repairHead(ctx, l.sure())
}

// count says what would be told anew.
func (s *Store) count(ctx context.Context, f *Finding) error {
	now := time.Now()
	for _, part := range s.seen.parts(now) {
		var ids []string
		for _, m := range part {
			if ValidID(m.ID) {
				ids = append(ids, m.ID)
			} else {
				f.Revoked++
			}
		}
		records, err := s.left(ctx, ids)
		if err != nil {
			return err
		}
		f.Lost += len(ids) - len(records)
		for _, r := range records {
			switch state, _ := r.state(now); state {
			case StatePending:
				f.Waiting++
			case StateApproved:
				f.Approved++
			case StateDenied, StateExpired, StateCancelled, StateUsed, stateReleasing:
				f.Ended++
			}
		}
	}
	return nil
}

// Reopen is Begin for an operator who has read what Inspect found: it begins the ledger anew, with
// all that is known, and says what it has done. Replicas that run open approvals within seconds
// (Heal), and tell what they know beside.
func (s *Store) Reopen(ctx context.Context, acknowledged int64) (Finding, error) {
	f, err := s.Inspect(ctx)
	if err != nil || f.Open {
		return f, err
	}
	if acknowledged < f.Acknowledge {
		return f, fmt.Errorf("approvals stay closed: %s; acknowledge %d, not %d", f.Why, f.Acknowledge, acknowledged)
	}
	if err := s.Begin(ctx, acknowledged); err != nil {
		return f, err
	}
	if err := s.Err(); err != nil {
		return f, err
	}
	f.Open = true
	return f, nil
}
