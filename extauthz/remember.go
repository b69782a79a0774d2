package extauthz

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cache"
	"github.com/bqgate/bqgate/policies"
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

// remembered is a cache that is made with its first use: its zero value is ready.
type remembered[K comparable, V any] struct {
	once    sync.Once
	entries *cache.Cache[K, V]
}

func (r *remembered[K, V]) of(size int) *cache.Cache[K, V] {
	r.once.Do(func() { r.entries = cache.New[K, V](size) })
	return r.entries
}

// estimates remembers dry runs. Its zero value is ready.
type estimates struct {
	remembered[string, policies.Estimate]
}

func (e *estimates) get(key string) (policies.Estimate, bool) {
	return e.of(estimatesKept).Get(key, time.Now())
}

func (e *estimates) put(key string, v policies.Estimate) {
	e.of(estimatesKept).Put(key, v, time.Now().Add(estimateTTL))
}

// listings remembers listings of BigQuery for a moment. The zero value is ready.
type listings struct {
	byProject remembered[string, []bigquery.ListedDataset]
	byDataset remembered[bigquery.DatasetReference, []bigquery.ListedTable]
}

func (l *listings) datasets(project string, read func() ([]bigquery.ListedDataset, error)) ([]bigquery.ListedDataset, error) {
	return listing(l.byProject.of(listingsKept), project, read)
}

func (l *listings) tables(ref bigquery.DatasetReference, read func() ([]bigquery.ListedTable, error)) ([]bigquery.ListedTable, error) {
	return listing(l.byDataset.of(listingsKept), ref, read)
}

// listing reads a listing, unless it is remembered. Its time counts from before it is read.
func listing[K comparable, V any](known *cache.Cache[K, V], key K, read func() (V, error)) (V, error) {
	now := time.Now()
	if v, ok := known.Get(key, now); ok {
		return v, nil
	}
	v, err := read()
	if err == nil {
		known.Put(key, v, now.Add(listedFor))
	}
	return v, err
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
