package bigquery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// remembered keeps what a source said of names, for a short while.
type remembered[K interface {
	comparable
	fmt.Stringer
}, V interface{ comparable }] struct {
	what   string // "table", for errors
	ttl    time.Duration
	now    func() time.Time
	ask    func(context.Context, K) (V, error)
	flight singleflight.Group

	mu      sync.Mutex
	entries map[K]memory[V]
	age     int // grows when everything is forgotten: what was asked for before is not kept
}

type memory[V any] struct {
	value   V // zero: not found
	expires time.Time
}

func newRemembered[K interface {
	comparable
	fmt.Stringer
}, V interface{ comparable }](what string, ttl time.Duration, now func() time.Time, ask func(context.Context, K) (V, error)) *remembered[K,
	V] {
	return &remembered[K, V]{what: what, ttl: ttl, now: now, ask: ask, entries: map[K]memory[V]{}}
}

func (r *remembered[K, V]) get(ctx context.Context, key K) (V, error) {
	m, age, found := r.lookup(key)
	if found {
		return r.result(key, m)
	}
	// The request outlives a caller who gives up, since others may wait for it too.
	shared := context.WithoutCancel(ctx)
	done := r.flight.DoChan(fmt.Sprintf("%d %#v", age, key), func() (any, error) { return r.load(shared, key, age) })
	var none V
	select {
	case <-ctx.Done():
		return none, fmt.Errorf("%s %s: %w", r.what, key, ctx.Err())
	case answer := <-done:
		if answer.Err != nil {
			return none, answer.Err
		}
		return r.result(key, answer.Val.(memory[V]))
	}
}

func (r *remembered[K, V]) result(key K, m memory[V]) (V, error) {
	var none V
	if m.value == none {
		return none, fmt.Errorf("%s %s: %w", r.what, key, ErrNotFound)
	}
	return m.value, nil
}

func (r *remembered[K, V]) lookup(key K) (m memory[V], age int, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, found = r.entries[key]
	return m, r.age, found && r.now().Before(m.expires)
}

func (r *remembered[K, V]) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.entries)
	r.age++
}

// load asks the source and remembers the answer, counted from before the question.
func (r *remembered[K, V]) load(ctx context.Context, key K, age int) (memory[V], error) {
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	asked := r.now()
	value, err := r.ask(ctx, key)
	m := memory[V]{value: value, expires: asked.Add(r.ttl)}
	var none V
	switch {
	case errors.Is(err, ErrNotFound):
		m = memory[V]{expires: asked.Add(min(notFoundTTL, r.ttl))}
	case err != nil:
		return memory[V]{}, err
	case value == none:
		return memory[V]{}, fmt.Errorf("%s %s: the source gave nothing", r.what, key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.age == age {
		r.makeRoom()
		r.entries[key] = m
	}
	return m, nil
}

// makeRoom keeps the map bounded: expired entries go first, then any.
func (r *remembered[K, V]) makeRoom() {
	if len(r.entries) < catalogSize {
		return
	}
	now := r.now()
	for key, m := range r.entries {
		if !now.Before(m.expires) {
			delete(r.entries, key)
		}
	}
	for key := range r.entries {
		if len(r.entries) < catalogSize {
			break
		}
		delete(r.entries, key)
	}
}
