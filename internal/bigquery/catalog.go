package bigquery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/durable"
)

// MaxCatalogTTL is the longest that a schema may be believed: a column that becomes sensitive, or a
// view that is replaced, must be seen soon (A8, A17).
const MaxCatalogTTL = 60 * time.Second

const (
	notFoundTTL    = 5 * time.Second // a table that was just made should be found
	catalogTimeout = 10 * time.Second
	catalogSize    = 10_000
)

// TableSource gives tables; Client is one. A table that is not there is ErrNotFound.
type TableSource interface {
	GetTable(ctx context.Context, w durable.Facts, id TableID) (*Table, error)
}

// RoutineSource gives routines; Client is one.
type RoutineSource interface {
	GetRoutine(ctx context.Context, w durable.Facts, id RoutineID) (*Routine, error)
}

// TableLister lists the tables of a dataset; Client is one.
type TableLister interface {
	ListTables(ctx context.Context, w durable.Facts, d DatasetReference) ([]ListedTable, error)
}

// DatasetSource gives datasets; Client is one. One that is not there is ErrNotFound.
type DatasetSource interface {
	GetDataset(ctx context.Context, w durable.Facts, d DatasetReference) (ListedDataset, error)
}

// RowAccessSource says whether tables have row access policies; Client is one.
type RowAccessSource interface {
	RowAccess(ctx context.Context, w durable.Facts, id TableID) (RowAccess, error)
}

// Catalog remembers schemas, routines, datasets, lists of tables and whether tables have row access
// policies, for a short while. Callers that want the same thing at the same time share one request;
// of errors only ErrNotFound is remembered. It is safe for concurrent use, and asked through For.
type Catalog struct {
	now       func() time.Time
	tables    *remembered[TableID, *Table]
	routines  *remembered[RoutineID, *Routine]
	lists     *remembered[DatasetReference, *[]ListedTable]
	datasets  *remembered[DatasetReference, *ListedDataset]
	rowAccess *remembered[TableID, RowAccess]
}

// NewCatalog wants a ttl above zero and at most MaxCatalogTTL. A source that is no RoutineSource,
// TableLister, DatasetSource or RowAccessSource gives a Catalog that fails for those.
func NewCatalog(source TableSource, ttl time.Duration) (*Catalog, error) {
	if source == nil {
		return nil, errors.New("catalog: no source")
	}
	if ttl <= 0 || ttl > MaxCatalogTTL {
		return nil, fmt.Errorf("catalog: ttl %s: want above 0 and at most %s", ttl, MaxCatalogTTL)
	}
	c := &Catalog{now: time.Now}
	now := func() time.Time { return c.now() }
	c.tables = newRemembered("table", ttl, now, source.GetTable)
	c.routines = newRemembered("routine", ttl, now, func(ctx context.Context, w durable.Facts, id RoutineID) (*Routine, error) {
		return Uncached{source, w}.Routine(ctx, id)
	})
	c.lists = newRemembered("tables of dataset", ttl, now,
		func(ctx context.Context, w durable.Facts, d DatasetReference) (*[]ListedTable, error) {
			list, err := Uncached{source, w}.Tables(ctx, d)
			return &list, err
		})
	c.datasets = newRemembered("dataset", ttl, now, func(ctx context.Context, w durable.Facts, d DatasetReference) (*ListedDataset, error) {
		return Uncached{source, w}.Dataset(ctx, d)
	})
	c.rowAccess = newRemembered("row access policies of", ttl, now,
		func(ctx context.Context, w durable.Facts, id TableID) (RowAccess, error) {
			s, ok := source.(RowAccessSource)
			if !ok {
				return "", fmt.Errorf("row access policies of %s: the catalog's source does not know them", id)
			}
			return s.RowAccess(ctx, w, id)
		})
	return c, nil
}

// For is the catalog as one request asks it: what is not remembered is read with the witness that
// ask gives (invariant I1). Callers that want the same thing at the same time have a witness each,
// and share the request of one of them.
func (c *Catalog) For(ask durable.Ask) CatalogFor { return CatalogFor{c, ask} }

// CatalogFor is a Catalog on behalf of one request.
type CatalogFor struct {
	catalog *Catalog
	ask     durable.Ask
}

// Table gives a table's schema. The table is shared: callers must not change it.
func (c CatalogFor) Table(ctx context.Context, id TableID) (*Table, error) {
	return c.catalog.tables.get(ctx, c.ask, id)
}

// Knows says that Table would answer from memory.
func (c CatalogFor) Knows(id TableID) bool {
	_, _, known := c.catalog.tables.lookup(id)
	return known
}

// Routine gives a routine. It is shared: callers must not change it.
func (c CatalogFor) Routine(ctx context.Context, id RoutineID) (*Routine, error) {
	return c.catalog.routines.get(ctx, c.ask, id)
}

// Tables lists the tables of a dataset. The list is shared: callers must not change it.
func (c CatalogFor) Tables(ctx context.Context, d DatasetReference) ([]ListedTable, error) {
	list, err := c.catalog.lists.get(ctx, c.ask, d)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Dataset gives a dataset. It is shared: callers must not change it.
func (c CatalogFor) Dataset(ctx context.Context, d DatasetReference) (*ListedDataset, error) {
	return c.catalog.datasets.get(ctx, c.ask, d)
}

// RowAccess says whether a table has row access policies.
func (c CatalogFor) RowAccess(ctx context.Context, id TableID) (RowAccess, error) {
	return c.catalog.rowAccess.get(ctx, c.ask, id)
}

// Forget makes the catalog ask for everything again. What is under way is neither kept nor given to
// those who ask from now on.
func (c *Catalog) Forget() {
	c.tables.forget()
	c.routines.forget()
	c.lists.forget()
	c.datasets.forget()
	c.rowAccess.forget()
}

// Uncached is a catalog without memory: what it says was true after it was asked. It is for the
// check of a finished job.
type Uncached struct {
	Source  TableSource
	Witness durable.Facts
}

// Table reads a table's schema.
func (u Uncached) Table(ctx context.Context, id TableID) (*Table, error) {
	return u.Source.GetTable(ctx, u.Witness, id)
}

// Routine reads a routine.
func (u Uncached) Routine(ctx context.Context, id RoutineID) (*Routine, error) {
	s, ok := u.Source.(RoutineSource)
	if !ok {
		return nil, fmt.Errorf("routine %s: the catalog's source knows no routines", id)
	}
	return s.GetRoutine(ctx, u.Witness, id)
}

// Tables lists the tables of a dataset.
func (u Uncached) Tables(ctx context.Context, d DatasetReference) ([]ListedTable, error) {
	s, ok := u.Source.(TableLister)
	if !ok {
		return nil, fmt.Errorf("tables of dataset %s: the catalog's source cannot list them", d)
	}
	return s.ListTables(ctx, u.Witness, d)
}

// Dataset reads a dataset.
func (u Uncached) Dataset(ctx context.Context, d DatasetReference) (*ListedDataset, error) {
	s, ok := u.Source.(DatasetSource)
	if !ok {
		return nil, fmt.Errorf("dataset %s: the catalog's source knows no datasets", d)
	}
	dataset, err := s.GetDataset(ctx, u.Witness, d)
	if err != nil {
		return nil, err
	}
	return &dataset, nil
}
