package identity

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// ids returns the ids of all session entries, on every master of a cluster.
func (s *Sessions) ids(ctx context.Context) ([]string, error) {
	var (
		mu    sync.Mutex
		found = map[string]bool{}
	)
	scan := func(ctx context.Context, node *redis.Client) error {
		keys := node.Scan(ctx, 0, sessionKey+"*", 1000).Iterator()
		for keys.Next(ctx) {
			mu.Lock()
			found[strings.TrimPrefix(keys.Val(), sessionKey)] = true
			mu.Unlock()
		}
		return keys.Err()
	}
	var err error
	switch client := s.redis.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, scan)
	case *redis.Ring:
		err = client.ForEachShard(ctx, scan)
	default:
		keys := client.Scan(ctx, 0, sessionKey+"*", 1000).Iterator()
		for keys.Next(ctx) {
			found[strings.TrimPrefix(keys.Val(), sessionKey)] = true
		}
		err = keys.Err()
	}
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(found))
	for id := range found {
		ids = append(ids, id)
	}
	return ids, nil
}

func sortSessions(sessions []Session) {
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
}
