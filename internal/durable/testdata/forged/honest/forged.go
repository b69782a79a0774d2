// Package forged uses a witness as it is meant; it compiles.
package forged

import (
	"context"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/verdict"
)

func run(ctx context.Context, j *audit.Journal, b *credentials.Broker, c *bigquery.Client, keys *sealed.Keyring) error {
	d, err := durable.Decide(ctx, j, audit.Decision{ID: "d-1"})
	if err != nil {
		return err
	}
	token, err := b.Mint(ctx, d, "reader", "owner")
	if err != nil {
		return err
	}
	if _, err := c.InsertJob(ctx, d, token.Bearer(), "p", nil); err != nil {
		return err
	}
	_, err = verdict.Seal(keys, d, verdict.Forward{Decision: "d-1"})
	return err
}

var _ = run
