package approvals

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/identity"
)

// One owner never takes from another what may wait (attack A39): each has a budget of requests and
// of bytes, and the bounds of all together are those of more owners than there are. What has ended
// counts for nothing. The sums are those of the index, which the ledger tells, at the very message
// that the new request comes behind: replicas that hold at once cannot go over it together, and
// nothing that somebody plants in Redis is in it.

// budgetOf says against whose budget a request counts: never a run, a ref or a session, of which
// there are as many as somebody wants (attack A52).
func budgetOf(s identity.Subject) string { return cmp.Or(s.Budget, s.Owner) }

// TooLarge is the ErrTooLarge of a query, with the bound.
type TooLarge struct{ Bytes, Limit int } // of the request as it would be stored, sealed

// Error implements error.
func (e *TooLarge) Error() string {
	return fmt.Sprintf("%v: it takes %d bytes, at most %d can be kept", ErrTooLarge, e.Bytes, e.Limit)
}

// Unwrap returns ErrTooLarge.
func (e *TooLarge) Unwrap() error { return ErrTooLarge }

// Full is the ErrTooMany of a hold, with the bound that is reached.
type Full struct {
	Limit string    // "100 of yours are waiting already"
	Mine  bool      // it is the owner's own bound
	Free  time.Time // when the first of what counts ends by itself, zero where that is not known
}

// Error implements error.
func (e *Full) Error() string { return fmt.Sprintf("%v: %s", ErrTooMany, e.Limit) }

// Unwrap returns ErrTooMany.
func (e *Full) Unwrap() error { return ErrTooMany }

// fits says whether a new request is within all bounds.
func (s *Store) fits(c card, now time.Time) error {
	o, sum := s.options, s.index.spent(c.Budget, now)
	own := func(free time.Time, format string, args ...any) error {
		return &Full{Limit: fmt.Sprintf(format, args...), Mine: true, Free: free}
	}
	pending := c.State == StatePending
	switch {
	case pending && sum.waiting >= o.MaxPerOwner:
		return own(sum.first, "%d of yours are waiting already", o.MaxPerOwner)
	case sum.bytes+int64(c.Bytes) > o.MaxOwnerBytes:
		return own(sum.first, "those of yours that wait take %d bytes, and this one %d, of %d", sum.bytes, c.Bytes, o.MaxOwnerBytes)
	case pending && sum.lately >= o.MaxOwnerRequests:
		return own(now.Truncate(time.Hour).Add(time.Hour), "%d of yours came to wait in this hour", o.MaxOwnerRequests)
	case pending && sum.all >= o.MaxPending, sum.inAll+int64(c.Bytes) > o.MaxTotalBytes:
		return &Full{Limit: "the gateway keeps no more at once"}
	}
	return nil
}

// makeRoom is fits, after a look whether what fills the owner's budget is there at all: what Redis
// has lost counts for nothing.
func (s *Store) makeRoom(ctx context.Context, c card, now time.Time, fits func() error) error {
	var full *Full
	err := fits()
	if !errors.As(err, &full) || !full.Mine {
		return err
	}
	ids := s.index.spent(c.Budget, now).open
	there := make([]*redis.IntCmd, len(ids))
	if _, err := s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			there[i] = p.Exists(ctx, requestKey(id))
		}
		return nil
	}); err != nil {
		return fmt.Errorf("look at what waits: %w", err)
	}
	for i, id := range ids {
		if there[i].Val() == 0 {
			s.index.drop(id)
		}
	}
	return fits()
}
