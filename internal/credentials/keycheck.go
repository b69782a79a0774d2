package credentials

import (
	"context"
	"fmt"

	"github.com/bqgate/bqgate/internal/signer"
)

// CheckKey opens a sealed key in a process of its own and, where google says so, asks Google for a
// token by it, which is thrown away. endpoint replaces oauth2.googleapis.com; nil for that.
func CheckKey(ctx context.Context, k Key, endpoint *Endpoint, google bool) error {
	if errs := k.problems(); len(errs) > 0 {
		return errs[0]
	}
	b := &Broker{config: Config{KeyEndpoint: endpoint}, signers: map[string]*signer.Signer{}}
	defer func() {
		for _, s := range b.signers {
			s.Close()
		}
	}()
	from, err := b.openKey(ctx, &k, "", Scope, "check")
	if err != nil {
		return err
	}
	if err := from.signer.Opened(ctx); err != nil || !google {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mintTimeout)
	defer cancel()
	if _, err := from.exchange(ctx, Scope, MinLifetime); err != nil {
		return fmt.Errorf("ask %s for a token: %s", from.at, clean(err))
	}
	return nil
}
