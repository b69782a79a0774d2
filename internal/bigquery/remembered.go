package bigquery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bqgate/bqgate/internal/cache"
	"github.com/bqgate/bqgate/internal/durable"
)

// remembered keeps what a source said of names, for a short while.
type remembered[K interface {
	comparable
	fmt.Stringer
}, V interface{ comparable }] struct {
	what   string // "table", for errors
	ttl    time.Duration
	now    func() time.Time
	read   reader[K, V]
	flight singleflight.Group

	mu      sync.Mutex
	entries *cache.Cache[K, V] // zero: not found
	age     int                // grows when everything is forgotten: what was asked for before is not kept
}

// reader asks the source, with the witness of the record that says who asks.
type reader[K, V any] func(context.Context, durable.Facts, K) (V, error)

func newRemembered[K interface {
	comparable
	fmt.Stringer
}, V interface{ comparable }](what string, ttl time.Duration, now func() time.Time, read reader[K, V]) *remembered[K, V] {
	return &remembered[K, V]{what: what, ttl: ttl, now: now, read: read, entries: cache.New[K, V](catalogSize)}
}

func (r *remembered[K, V]) get(ctx context.Context, ask durable.Ask, key K) (V, error) {
	var none V
	value, age, found := r.lookup(key)
	if found {
		return r.result(key, value)
	}
	// Whoever asks has a record of it, and it counts among their looks, also where somebody else's
	// request answers them: one's own journal or limit ends nobody else's request.
	w, err := ask.Facts(ctx)
	if err != nil {
		return none, err
	}
	// The request outlives a caller who gives up, since others may wait for it too.
	shared := context.WithoutCancel(ctx)
	done := r.flight.DoChan(fmt.Sprintf("%d %#v", age, key), func() (any, error) { return r.load(shared, w, key, age) })
	select {
	case <-ctx.Done():
		return none, fmt.Errorf("%s %s: %w", r.what, key, ctx.Err())
	case answer := <-done:
		if answer.Err != nil {
			return none, answer.Err
		}
		return r.result(key, answer.Val.(V))
	}
}

func (r *remembered[K, V]) result(key K, value V) (V, error) {
	var none V
	if value == none {
		return none, fmt.Errorf("%s %s: %w", r.what, key, ErrNotFound)
	}
	return value, nil
}

func (r *remembered[K, V]) lookup(key K) (value V, age int, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value, found = r.entries.Get(key, r.now())
	return value, r.age, found
}

func (r *remembered[K, V]) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries.Clear()
	r.age++
}

// load asks the source and remembers the answer, counted from before the question. A zero value
// says that there is nothing of that name.
func (r *remembered[K, V]) load(ctx context.Context, w durable.Facts, key K, age int) (V, error) {
	if value, now, found := r.lookup(key); found && now == age { // while the record of this caller became durable
		return value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	asked, ttl := r.now(), r.ttl
	var none V
	value, err := r.read(ctx, w, key)
	switch {
	case errors.Is(err, ErrNotFound):
		value, ttl = none, min(notFoundTTL, r.ttl)
	case err != nil:
		return none, err
	case value == none:
		return none, fmt.Errorf("%s %s: the source gave nothing", r.what, key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.age == age {
		r.entries.Put(key, value, asked.Add(ttl))
	}
	return value, nil
}
