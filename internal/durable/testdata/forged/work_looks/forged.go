// Package forged looks up a table as the work that stops jobs.
package forged

import (
	"context"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
)

func run(ctx context.Context, c *bigquery.Client) {
	c.GetTable(ctx, durable.StopJob(), bigquery.TableID{})
}
