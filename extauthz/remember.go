package extauthz

import (
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/policies"
)

const (
	estimateTTL  = 60 * time.Second // how long a dry run is believed
	estimateKept = 4096             // entries; above that the cache starts anew
)

// estimates caches dry runs. Its zero value is ready.
type estimates struct {
	mu      sync.Mutex
	entries map[string]estimated
}

type estimated struct {
	value policies.Estimate
	until time.Time
}

func (e *estimates) get(key string) (policies.Estimate, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v, ok := e.entries[key]
	return v.value, ok && time.Now().Before(v.until)
}

func (e *estimates) put(key string, v policies.Estimate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.entries == nil || len(e.entries) >= estimateKept {
		e.entries = make(map[string]estimated)
	}
	e.entries[key] = estimated{v, time.Now().Add(estimateTTL)}
}

// listedFor is how long a listing of BigQuery is believed. It is the same for every subject: each sees what their policy reaches of it.
const listedFor = 15 * time.Second

// listings remembers listings of BigQuery for a moment. The zero value is ready.
type listings struct {
	mu      sync.Mutex
	entries map[any]listing
}

type listing struct {
	value any
	until time.Time
}

const listingsKept = 256

func (l *listings) datasets(project string, read func() ([]bigquery.ListedDataset, error)) ([]bigquery.ListedDataset, error) {
	return remembered(l, project, read)
}

func (l *listings) tables(ref bigquery.DatasetReference, read func() ([]bigquery.ListedTable, error)) ([]bigquery.ListedTable, error) {
	return remembered(l, ref, read)
}

func remembered[T any](l *listings, key any, read func() (T, error)) (T, error) {
	l.mu.Lock()
	e, ok := l.entries[key]
	l.mu.Unlock()
	if ok && time.Now().Before(e.until) {
		return e.value.(T), nil
	}
	until := time.Now().Add(listedFor)
	v, err := read()
	if err != nil {
		return v, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries == nil || len(l.entries) >= listingsKept {
		l.entries = map[any]listing{}
	}
	l.entries[key] = listing{v, until}
	return v, nil
}

// toldKept bounds how many faults are remembered; above that they are told anew.
const toldKept = 1000

// told remembers which faults of the policy the operators were told of. The zero value is ready.
type told struct {
	mu   sync.Mutex
	seen map[string]bool
}

// first says whether a fault is seen for the first time.
func (t *told) first(fault string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen[fault] {
		return false
	}
	if t.seen == nil || len(t.seen) >= toldKept {
		t.seen = map[string]bool{}
	}
	t.seen[fault] = true
	return true
}
