//go:build demo

package demo

import (
	"context"
	"fmt"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/subjecttoken"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// The pool of the requesters' own principals. Its one provider trusts the gateway's issuer, by keys
// that were uploaded, and nobody else (A46).
const (
	requestersPool     = "projects/481516234200/locations/global/workloadIdentityPools/bqgate-requesters"
	requestersProvider = "//iam.googleapis.com/" + requestersPool + "/providers/gateway"
	everyRequester     = "principalSet://iam.googleapis.com/" + requestersPool + "/*"
	ownIssuer          = "https://bqgate.demo.example"
)

// federation is the gateway as that pool's issuer.
func (d *demo) federation() *credentials.Issuer {
	return &credentials.Issuer{URL: ownIssuer, Keys: []string{d.path("issuer.key")},
		Wrap: wrapping.Config{URI: "age:" + d.path("issuer.age")}}
}

// requesters makes the issuer's key, and the provider that is given its public half.
func (d *demo) requesters(ctx context.Context) (p fakegoogle.PoolProvider, err error) {
	issuer := d.federation()
	if err := wrapping.GenerateAge(d.path("issuer.age")); err != nil {
		return p, fmt.Errorf("make what wraps the issuer's key: %w", err)
	}
	wrapper, err := wrapping.Open(ctx, issuer.Wrap)
	if err != nil {
		return p, fmt.Errorf("open what wraps the issuer's key: %w", err)
	}
	if err := subjecttoken.NewKey(ctx, issuer.Keys[0], subjecttoken.Algorithms[0], wrapper); err != nil {
		return p, err
	}
	keys, err := credentials.Config{Issuer: issuer}.JWKS()
	if err != nil {
		return p, err
	}
	return fakegoogle.PoolProvider{
		Name: requestersProvider, Issuer: ownIssuer, JWKS: keys,
		Mapping: map[string]string{
			"google.subject": "assertion.sub", "google.groups": "assertion.groups", "attribute.repository": "assertion.repository",
		},
		Condition: `assertion.issuer == "` + issuerName + `"`,
	}, nil
}
