// Package forged mints a token without a witness.
package forged

import (
	"context"

	"github.com/bqgate/bqgate/internal/credentials"
)

func run(ctx context.Context, b *credentials.Broker) {
	b.Mint(ctx, "reader", "owner")
}
