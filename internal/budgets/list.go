package budgets

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/policies"
)

// Lines is what is spent of every budget now, as far as this replica has been told.
func (s *Store) Lines(known []policies.Budget) []Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lines(s.parts, known, s.Now())
}

// Read is Lines for a process that counts nothing: what the replicas have written into Redis.
func Read(ctx context.Context, client redis.UniversalClient, keys *sealed.Keyring, known []policies.Budget, now time.Time) ([]Line, error) {
	s := &Store{Options: Options{Redis: client, Keys: keys}, parts: map[string]*part{}}
	beats, err := client.HKeys(ctx, keyBeats).Result()
	if err != nil {
		return nil, fmt.Errorf("read the replicas' beats: %w", err)
	}
	for _, id := range beats {
		all, err := client.HGetAll(ctx, partKey(id)).Result()
		if err != nil {
			return nil, fmt.Errorf("read what a replica has counted: %w", err)
		}
		p := newPart()
		for slot, text := range all {
			if c, err := s.openCounter(id, slot, text); err == nil {
				p.take(c, text)
			}
		}
		s.parts[id] = p
	}
	return lines(s.parts, known, now), nil
}
