package bigquery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// MaxCatalogTTL is the longest that a schema may be believed: a column that becomes sensitive, or a view that is replaced, must be seen soon (A8, A17).
const MaxCatalogTTL = 60 * time.Second

const (
	notFoundTTL    = 5 * time.Second // a table that was just made should be found
	catalogTimeout = 10 * time.Second
	catalogSize    = 10_000
)

// TableSource gives tables; Client is one. A table that is not there is ErrNotFound.
type TableSource interface {
	GetTable(ctx context.Context, id TableID) (*Table, error)
}

// Catalog remembers schemas for a short while. Callers that want the same table at the same time share one request; of errors only ErrNotFound is remembered. It is safe
// for concurrent use.
type Catalog struct {
	source TableSource
	ttl    time.Duration
	now    func() time.Time
	flight singleflight.Group

	mu      sync.Mutex
	entries map[TableID]catalogEntry
}

type catalogEntry struct {
	table   *Table // nil: not found
	expires time.Time
}

// NewCatalog wants a ttl above zero and at most MaxCatalogTTL.
func NewCatalog(source TableSource, ttl time.Duration) (*Catalog, error) {
	if source == nil {
		return nil, errors.New("catalog: no source")
	}
	if ttl <= 0 || ttl > MaxCatalogTTL {
		return nil, fmt.Errorf("catalog: ttl %s: want above 0 and at most %s", ttl, MaxCatalogTTL)
	}
	return &Catalog{source: source, ttl: ttl, now: time.Now, entries: map[TableID]catalogEntry{}}, nil
}

// Table gives a table's schema. The table is shared: callers must not change it.
func (c *Catalog) Table(ctx context.Context, id TableID) (*Table, error) {
	if e, found := c.lookup(id); found {
		return e.result(id)
	}
	// The request outlives a caller who gives up, since others may wait for it too.
	shared := context.WithoutCancel(ctx)
	done := c.flight.DoChan(id.Project+"\x00"+id.Dataset+"\x00"+id.Table, func() (any, error) { return c.load(shared, id) })
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("table %s: %w", id, ctx.Err())
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(catalogEntry).result(id)
	}
}

func (e catalogEntry) result(id TableID) (*Table, error) {
	if e.table == nil {
		return nil, fmt.Errorf("table %s: %w", id, ErrNotFound)
	}
	return e.table, nil
}

func (c *Catalog) lookup(id TableID) (catalogEntry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, found := c.entries[id]
	return e, found && c.now().Before(e.expires)
}

// load asks the source and remembers the answer, counted from before the question.
func (c *Catalog) load(ctx context.Context, id TableID) (catalogEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	asked := c.now()
	table, err := c.source.GetTable(ctx, id)
	e := catalogEntry{table: table, expires: asked.Add(c.ttl)}
	switch {
	case errors.Is(err, ErrNotFound):
		e = catalogEntry{expires: asked.Add(min(notFoundTTL, c.ttl))}
	case err != nil:
		return catalogEntry{}, err
	case table == nil:
		return catalogEntry{}, fmt.Errorf("table %s: the source gave nothing", id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.makeRoom()
	c.entries[id] = e
	return e, nil
}

// makeRoom keeps the map bounded: expired entries go first, then any.
func (c *Catalog) makeRoom() {
	if len(c.entries) < catalogSize {
		return
	}
	now := c.now()
	for id, e := range c.entries {
		if !now.Before(e.expires) {
			delete(c.entries, id)
		}
	}
	for id := range c.entries {
		if len(c.entries) < catalogSize {
			break
		}
		delete(c.entries, id)
	}
}
