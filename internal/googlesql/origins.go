package googlesql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// maxOrigins is how long a chain of snapshots, clones and linked datasets is followed.
const maxOrigins = 16

// readOrigins reads a table, and the tables whose rows it shows: a snapshot, a clone or a table of
// a linked dataset is what it was made of under another name (A45). depth is how many tables were
// followed to come here.
func readOrigins(ctx context.Context, catalog Catalog, id bigquery.TableID, depth int) (*bigquery.Table, *Error, error) {
	source := readSource(ctx, catalog, id) // while the table is read
	table, refused, err := readStored(ctx, catalog, id)
	if table == nil || refused != nil || err != nil {
		return table, refused, err
	}
	if len(table.Unknown) > 0 {
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("the definition of %s has %s, which bqgate does not understand", id,
			strings.Join(table.Unknown, ", "))}, nil
	}
	base, failed := table.Base()
	if failed != nil {
		return nil, &Error{Code: ErrorUnsupported, Message: failed.Error()}, nil
	}
	shown := <-source
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if errors.Is(shown.err, bigquery.ErrNotUnderstood) {
		return nil, unclearSource(id), nil
	}
	if shown.err != nil {
		return nil, &Error{Code: ErrorUnavailable,
			Message: fmt.Sprintf("whether the dataset of %s is a linked one could not be read; try again", id), Err: shown.err}, nil
	}
	view := table.Type == "VIEW" || table.Type == "MATERIALIZED_VIEW" || table.View != nil || table.MaterializedView != nil
	if view && shown.dataset != nil { // names in its query may be those of the source's project
		return nil, &Error{Code: ErrorUnsupported,
			Message: fmt.Sprintf("%s is a view in a linked dataset, which is not supported; read it where it is", id)}, nil
	}
	if view { // the tables behind it are found by its query
		return table, nil, nil
	}
	var bases []bigquery.TableID
	if base != nil {
		bases = append(bases, *base)
	}
	if d := shown.dataset; d != nil {
		bases = append(bases, bigquery.TableID{Project: d.ProjectID, Dataset: d.DatasetID, Table: id.Table})
	}
	if len(bases) == 0 {
		return table, nil, nil
	}
	if depth >= maxOrigins {
		return nil, &Error{Code: ErrorUnsupported,
			Message: fmt.Sprintf("%s is at the end of more than %d snapshots and clones", id, maxOrigins)}, nil
	}
	made := *table
	for _, base := range bases {
		origin, refused, err := readOrigins(ctx, catalog, base, depth+1)
		switch {
		case err != nil:
			return nil, nil, err
		case refused != nil: // without the name of the base: whoever may read the table may not know of that
			return nil, &Error{Code: refused.Code, Message: fmt.Sprintf("what %s was made of could not be read", id), Err: refused.Err}, nil
		}
		made.Origins = append(made.Origins, bigquery.Origin{ID: base, Table: origin})
	}
	return &made, nil, nil
}

func unclearSource(id fmt.Stringer) *Error {
	return &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("the dataset of %s is a linked one, and of which is not said", id)}
}

// source is the dataset that a linked dataset shows; nil for a dataset of its own.
type source struct {
	dataset *bigquery.DatasetReference
	err     error
}

// readSource asks whether a table's dataset is a linked one.
func readSource(ctx context.Context, catalog Catalog, id bigquery.TableID) <-chan source {
	answer := make(chan source, 1)
	datasets, ok := catalog.(DatasetCatalog)
	if !ok {
		answer <- source{}
		return answer
	}
	go func() {
		var s source
		var dataset *bigquery.ListedDataset
		if dataset, s.err = datasets.Dataset(ctx, bigquery.DatasetReference{ProjectID: id.Project, DatasetID: id.Dataset}); s.err == nil {
			s.dataset, s.err = dataset.Source()
		}
		answer <- s
	}()
	return answer
}
