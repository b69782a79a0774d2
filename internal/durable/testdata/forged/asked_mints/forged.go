// Package forged mints a token where only facts may be asked for.
package forged

import (
	"context"

	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
)

func run(ctx context.Context, b *credentials.Broker, asked durable.Facts) {
	b.Mint(ctx, asked, "reader", "owner")
}
