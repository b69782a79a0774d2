package googlesql

import (
	"context"
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// RowAccessCatalog knows whether tables have row access policies.
type RowAccessCatalog interface {
	RowAccess(ctx context.Context, id bigquery.TableID) (bigquery.RowAccess, error)
}

// rowAccessAtOnce bounds how many tables a catalog is asked about at the same time.
const rowAccessAtOnce = 8

// RowAccess asks whether tables of an analysis have row access policies, by
// "project.dataset.table". A wildcard table has them if one of its members has. The first error
// ends it: where one table cannot be asked about, none is answered.
func RowAccess(ctx context.Context, catalog Catalog, tables []*bigquery.Table) (map[string]bigquery.RowAccess, error) {
	known := make(map[string]bigquery.RowAccess, len(tables))
	if len(tables) == 0 {
		return known, nil
	}
	source, ok := catalog.(RowAccessCatalog)
	if !ok {
		return nil, errors.New("row access policies are not known here")
	}
	type answer struct {
		name   string // of the table that was asked for, a wildcard's for its members
		access bigquery.RowAccess
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := 0
	answers, slots := make(chan answer), make(chan struct{}, rowAccessAtOnce)
	ask := func(name string, id bigquery.TableID) {
		asked++
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			a := answer{name: name}
			if a.err = ctx.Err(); a.err == nil {
				a.access, a.err = source.RowAccess(ctx, id)
			}
			answers <- a
		}()
	}
	for _, t := range tables {
		name, id := t.TableReference.String(), t.TableReference
		if t.Members == nil {
			ask(name, id)
		}
		for _, member := range t.Members {
			id.Table = member
			ask(name, id)
		}
	}
	var failed error
	for range asked {
		a := <-answers
		switch {
		case a.err == nil && a.access != bigquery.RowAccessNone && a.access != bigquery.RowAccessPolicies:
			a.err = fmt.Errorf("row access policies of %s: the catalog said %q", a.name, a.access)
			fallthrough
		case a.err != nil:
			if failed == nil {
				failed = a.err
			}
			cancel()
		case known[a.name] != bigquery.RowAccessPolicies:
			known[a.name] = a.access
		}
	}
	if failed != nil {
		return nil, failed
	}
	return known, nil
}
