package identity

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// SessionIDs returns what follows prefix in the names of all entries that begin with it, on every master of a cluster.
func SessionIDs(ctx context.Context, from redis.UniversalClient, prefix string) ([]string, error) {
	var (
		mu    sync.Mutex
		found = map[string]bool{}
	)
	scan := func(ctx context.Context, node *redis.Client) error {
		keys := node.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for keys.Next(ctx) {
			mu.Lock()
			found[strings.TrimPrefix(keys.Val(), prefix)] = true
			mu.Unlock()
		}
		return keys.Err()
	}
	var err error
	switch client := from.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, scan)
	case *redis.Ring:
		err = client.ForEachShard(ctx, scan)
	default:
		keys := client.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for keys.Next(ctx) {
			found[strings.TrimPrefix(keys.Val(), prefix)] = true
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

// SortSessions puts the oldest first.
func SortSessions(sessions []Session) {
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
}
