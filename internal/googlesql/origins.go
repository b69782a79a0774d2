package googlesql

import (
	"context"
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// maxOrigins is how long a chain of snapshots, clones and linked datasets is followed.
const maxOrigins = 16

// readOrigins reads a table, and the tables whose rows it shows: a snapshot, a clone or a table of a linked dataset is
// what it was made of under another name (A45). depth is how many tables were followed to come here.
func readOrigins(ctx context.Context, catalog Catalog, id bigquery.TableID, depth int) (*bigquery.Table, *Error, error) {
	table, refused, err := readStored(ctx, catalog, id)
	if table == nil || refused != nil || err != nil || table.Type == "VIEW" {
		return table, refused, err // the tables behind a view are found by its query
	}
	bases, refused, err := basesOf(ctx, catalog, table)
	if refused != nil || err != nil || len(bases) == 0 {
		return table, refused, err
	}
	if depth >= maxOrigins {
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is at the end of more than %d snapshots and clones", id, maxOrigins)}, nil
	}
	made := *table
	for _, base := range bases {
		origin, refused, err := readOrigins(ctx, catalog, base, depth+1)
		switch {
		case err != nil:
			return nil, nil, err
		case refused != nil: // without the name of the base: whoever may read the table may not know of that
			return nil, &Error{Code: refused.Code, Message: fmt.Sprintf("what %s was made of could not be read; try again", id)}, nil
		}
		made.Origins = append(made.Origins, bigquery.Origin{ID: base, Table: origin})
	}
	return &made, nil, nil
}

// basesOf names the tables that a table was made of.
func basesOf(ctx context.Context, catalog Catalog, table *bigquery.Table) ([]bigquery.TableID, *Error, error) {
	id := table.TableReference
	var bases []bigquery.TableID
	base, err := table.Base()
	if err != nil {
		return nil, &Error{Code: ErrorUnsupported, Message: err.Error()}, nil
	}
	if base != nil {
		bases = append(bases, *base)
	}
	datasets, ok := catalog.(DatasetCatalog)
	if !ok {
		return bases, nil, nil
	}
	dataset, err := datasets.Dataset(ctx, bigquery.DatasetReference{ProjectID: id.Project, DatasetID: id.Dataset})
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	var source *bigquery.DatasetReference
	if err == nil {
		source, err = dataset.Source()
	}
	if err != nil {
		code, again := ErrorUnavailable, "; try again"
		if errors.Is(err, ErrNotFound) {
			again = ": it is not there"
		}
		return nil, &Error{Code: code, Message: fmt.Sprintf("whether the dataset of %s is a linked one could not be read%s", id, again)}, nil
	}
	if source != nil {
		bases = append(bases, bigquery.TableID{Project: source.ProjectID, Dataset: source.DatasetID, Table: id.Table})
	}
	return bases, nil, nil
}
