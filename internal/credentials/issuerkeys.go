package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/subjecttoken"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// open reads the keys. The one that signs is opened at once where that asks nobody, and otherwise
// when it first signs: a KMS that is down at start costs queries, not the gateway. It is nil where
// nothing is federated.
func (i *Issuer) open(ctx context.Context) (*subjecttoken.Issuer, error) {
	if i == nil {
		return nil, nil
	}
	wrapper, err := wrapping.Open(ctx, i.Wrap)
	if err != nil {
		return nil, fmt.Errorf("wrap: %w", err)
	}
	issuer, err := i.read(wrapper)
	if err != nil || i.Wrap.Remote() {
		return issuer, err
	}
	return issuer, issuer.Open(ctx)
}

func (i *Issuer) read(wrapper wrapping.Wrapper) (*subjecttoken.Issuer, error) {
	var keys []subjecttoken.Key
	for _, path := range i.Keys {
		key, err := subjecttoken.ReadKey(path, wrapper)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return subjecttoken.New(i.URL, keys...)
}

// JWKS are the public keys of the gateway's own issuer, as JSON (RFC 7517). No secret is read.
func (c Config) JWKS() (json.RawMessage, error) {
	if c.Issuer == nil {
		return nil, errors.New("credentials.issuer is not configured: nothing is federated")
	}
	issuer, err := c.Issuer.read(nil)
	if err != nil {
		return nil, fmt.Errorf("credentials.issuer: %w", err)
	}
	return issuer.JWKS()
}
