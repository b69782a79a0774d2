package extauthz

import (
	"context"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/bqgate/bqgate/internal/cache"
	"github.com/bqgate/bqgate/internal/durable"
)

const (
	estimateTTL   = 60 * time.Second // how long a dry run is believed
	estimatesKept = 4096
	// listedFor is how long a listing of BigQuery is believed. It is the same for every subject:
	// each sees what their policy reaches of it.
	listedFor    = 15 * time.Second
	listingsKept = 256
	toldKept     = 1000 // a fault is told again once there were so many others
)

// remembered are answers of Google that are good for a while. Who asks for the same at the same
// time shares one request, and has a record of it all the same. Its zero value is ready.
type remembered[K comparable, V any] struct {
	once    sync.Once
	entries *cache.Cache[K, V]
	flight  singleflight.Group
}

// sharedTime bounds a request that several callers may wait for.
const sharedTime = 30 * time.Second

// shared gives what is remembered, or reads it, with the witness that the caller has to have. Its
// time counts from before it is read.
func shared[K comparable, V any, W durable.Witness](
	ctx context.Context, r *remembered[K, V], ask func(context.Context) (W, error), kept int, life time.Duration, key K,
	read func(context.Context, W) (V, error),
) (V, error) {
	r.once.Do(func() { r.entries = cache.New[K, V](kept) })
	if v, ok := r.entries.Get(key, time.Now()); ok {
		return v, nil
	}
	var none V
	witness, err := ask(ctx)
	if err != nil {
		return none, err
	}
	lasting := context.WithoutCancel(ctx) // it outlives a caller who gives up
	done := r.flight.DoChan(fmt.Sprintf("%#v", key), func() (any, error) {
		now := time.Now()
		if v, ok := r.entries.Get(key, now); ok { // since this caller looked
			return v, nil
		}
		ctx, cancel := context.WithTimeout(lasting, sharedTime)
		defer cancel()
		v, err := read(ctx, witness)
		if err == nil {
			r.entries.Put(key, v, now.Add(life))
		}
		return v, err
	})
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case answer := <-done:
		if answer.Err != nil {
			return none, answer.Err
		}
		return answer.Val.(V), nil
	}
}

// told remembers which faults of the policy the operators were told of. The zero value is ready.
type told struct {
	once sync.Once
	seen *lru.Cache[string, struct{}]
}

// first says whether a fault is seen for the first time.
func (t *told) first(fault string) bool {
	t.once.Do(func() { t.seen, _ = lru.New[string, struct{}](toldKept) }) // an error is of a size below 1 alone
	known, _ := t.seen.ContainsOrAdd(fault, struct{}{})
	return !known
}
