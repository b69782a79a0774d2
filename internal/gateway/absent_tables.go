package gateway

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/policies"
)

const (
	listsAtOnce = 4                // datasets that are listed at the same time
	listWithin  = 30 * time.Second // for one list
)

// tableLister lists the tables of a dataset, under the inspection identity.
type tableLister interface {
	ListTables(ctx context.Context, w durable.Facts, ref bigquery.DatasetReference) ([]bigquery.ListedTable, error)
}

// logAbsentTables says in the log which entries of the policy name a table that is not there.
// Nothing waits for it: such an entry is not wrong in itself, since the table may come later, but
// whoever mistyped a name must hear of it. The names are the policy's own, and nobody's request is
// behind it. That a table lacks a column is said when it is first read.
func logAbsentTables(ctx context.Context, set *policies.Set, tables tableLister, log *slog.Logger) {
	var g errgroup.Group
	g.SetLimit(listsAtOnce)
	for _, dataset := range set.Datasets() {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, listWithin)
			defer cancel()
			list, err := tables.ListTables(ctx, durable.AbsentTables(), dataset)
			if err != nil && !errors.Is(err, bigquery.ErrNotFound) {
				log.Warn("it is not known whether the tables that the policy names are there",
					"dataset", dataset.ProjectID+"."+dataset.DatasetID, "error", err)
				return nil
			}
			names := make([]string, len(list))
			for i, t := range list {
				names[i] = t.Reference.Table
			}
			for _, f := range set.Absent(dataset, names) {
				log.Error("the policy names a table that is not there: what it says holds for no table",
					"file", f.File, "line", f.Line, "cause", f.Message)
			}
			return nil
		})
	}
	_ = g.Wait() // no call of it returns an error
}
