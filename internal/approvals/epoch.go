package approvals

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// epoch is the highest count of changes that this process knows Redis to have had, of its own and from the journal. Each change of a request adds one in the script that
// makes it, so a Redis that shows less has lost changes: it was restored, replaced, emptied, or failed over to a copy that was behind (attack A11).
type epoch struct {
	high atomic.Int64
	gone atomic.Pointer[error]
}

// seen must be asked before Redis is: an epoch learnt meanwhile proves nothing about the answer.
func (e *epoch) seen() int64 { return e.high.Load() }

func (e *epoch) raise(to int64) {
	for {
		has := e.high.Load()
		if to <= has || e.high.CompareAndSwap(has, to) {
			return
		}
	}
}

// Err is why the store serves nothing any more, nil while it does.
func (s *Store) Err() error {
	if err := s.epoch.gone.Load(); err != nil {
		return *err
	}
	return nil
}

// sawEpoch compares what Redis shows with what it is known to have had before it was asked.
func (s *Store) sawEpoch(before int64, v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("Redis told the epoch as %T", v)
	}
	now, err := strconv.ParseInt(text, 10, 64)
	if err != nil || now < 0 {
		return fmt.Errorf("Redis told the epoch as %.20q", text)
	}
	if now < before {
		return s.rolledBack(now, before)
	}
	s.epoch.raise(now)
	return nil
}

func (s *Store) rolledBack(now, before int64) error {
	err := fmt.Errorf("%w: it counts %d changes of requests, and it has counted %d: it was restored, replaced, emptied, or failed over to a copy that was behind. "+
		"What was revoked or used since may be live again. Make sure of that, then set redis.acknowledge_epoch to %d and start the gateway again", ErrRolledBack, now, before, before)
	if s.epoch.gone.CompareAndSwap(nil, &err) {
		s.log.Error("Redis has gone back in time; nothing is served until an operator acknowledges it", "epoch", now, "seen", before)
	}
	return s.Err()
}

// changed runs a script that counts as a change, and returns its word and the epoch.
func (s *Store) changed(name string, before int64, run func() (any, error)) (word string, epoch int64, err error) {
	v, err := run()
	if err != nil {
		return "", 0, err
	}
	values, err := reply{name, v}.list(2)
	if err != nil {
		return "", 0, err
	}
	word, _ = values[0].(string)
	epoch, _ = values[1].(int64)
	if word != "ok" {
		return word, 0, nil
	}
	if epoch <= before { // a change adds one to all that went before it
		return "", 0, s.rolledBack(epoch-1, before)
	}
	s.epoch.raise(epoch)
	return word, epoch, nil
}

// Learn takes an event that this process, an earlier life of it, or another process on this host has written to the journal. All that is there must be learnt before anything is served.
func (s *Store) Learn(e Event) {
	s.seen.learn(e)
	s.epoch.raise(e.Epoch)
}

// CatchUpWith sets what learns the news of the journal. It is called before a request is changed in any way, so that what another process on this host has written is known by then,
// whatever Redis shows.
func (s *Store) CatchUpWith(learn func() error) { s.catchUp.Store(&learn) }

func (s *Store) caughtUp() error {
	learn := s.catchUp.Load()
	if learn == nil {
		return nil
	}
	if err := (*learn)(); err != nil {
		return fmt.Errorf("learn what the journal says: %w", err)
	}
	return nil
}

// CheckEpoch refuses a Redis that has lost changes which the journal knows of (see Learn). acknowledged is the highest epoch whose loss an operator has acknowledged: up to it the count goes on
// from there, and what had been revoked or used is still known from the journal.
func (s *Store) CheckEpoch(ctx context.Context, acknowledged int64) error {
	high := s.epoch.seen()
	text, err := s.redis.Get(ctx, keyEpoch).Result()
	if errors.Is(err, redis.Nil) {
		text, err = "0", nil
	}
	if err != nil {
		return fmt.Errorf("read the epoch from Redis: %w", err)
	}
	now, err := strconv.ParseInt(text, 10, 64)
	if err != nil || now < 0 {
		return fmt.Errorf("Redis told the epoch as %.20q", text)
	}
	if now >= high {
		s.epoch.raise(now)
		return nil
	}
	if acknowledged < high {
		return s.rolledBack(now, high)
	}
	s.log.Warn("Redis has gone back in time, which an operator has acknowledged", "epoch", now, "seen", high, "acknowledged", acknowledged)
	if _, err := scriptAdvance.Run(ctx, s.redis, []string{keyEpoch}, high).Result(); err != nil {
		return fmt.Errorf("carry the epoch on: %w", err)
	}
	return nil
}
