// Package forged asks BigQuery without a witness.
package forged

import (
	"context"

	"github.com/bqgate/bqgate/internal/bigquery"
)

func run(ctx context.Context, c *bigquery.Client) {
	c.GetTable(ctx, bigquery.TableID{})
}
