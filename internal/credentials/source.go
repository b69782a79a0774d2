package credentials

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"cloud.google.com/go/auth"

	"github.com/bqgate/bqgate/internal/googleidentity"
	"github.com/bqgate/bqgate/internal/signer"
)

// scopeIAM is what the source token needs to impersonate. IAM Credentials accepts nothing narrower.
const scopeIAM = signer.ScopeCloudPlatform

// impersonates says whether an account is impersonated by the source.
func (c Config) impersonates() bool {
	return slices.ContainsFunc(c.names(), func(name string) bool {
		account := c.Accounts[name]
		return account.Federated == nil && account.Key == nil
	})
}

func (c Config) sourceProblems() []error {
	chosen := 0
	for _, is := range []bool{c.Source.CredentialsFile != "", c.Source.ApplicationDefault, c.Source.Key != nil} {
		if is {
			chosen++
		}
	}
	switch {
	case chosen == 0 && (c.impersonates() || len(c.Accounts) == 0):
		return []error{errors.New("choose credentials_file (an external_account file), application_default: true, or a sealed key")}
	case chosen > 1:
		return []error{errors.New("choose one of credentials_file, application_default and key, not both")}
	case c.Source.Key == nil:
		return nil
	}
	var errs []error
	for _, err := range c.Source.Key.problems() {
		errs = append(errs, fmt.Errorf("key: %w", err))
	}
	return errs
}

// check reports every mistake in the configuration and in the gateway's own identity, which it
// reads. The identity is nil where it is a sealed key, or there is none.
func (c Config) check() (*auth.Credentials, error) {
	wrong := c.Validate()
	if c.Source.CredentialsFile == "" && !c.Source.ApplicationDefault {
		return nil, wrong
	}
	creds, err := googleidentity.Source{
		CredentialsFile: c.Source.CredentialsFile, ApplicationDefault: c.Source.ApplicationDefault, CAFile: c.Source.CAFile,
	}.Credentials(scopeIAM)
	if err != nil {
		err = fmt.Errorf("source: %w", err)
	}
	return creds, errors.Join(wrong, err)
}

// keySource is the identity of the gateway itself by a sealed key.
type keySource struct{ keyed }

// Token implements auth.TokenProvider.
func (k keySource) Token(ctx context.Context) (*auth.Token, error) {
	given, err := k.exchange(ctx, scopeIAM, DefaultLifetime)
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: given.text, Type: "Bearer", Expiry: given.expiry}, nil
}

func (k keySource) credentials() *auth.Credentials {
	return auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: auth.NewCachedTokenProvider(k, nil)})
}

// keyHost is where assertions are exchanged, whatever a key's file said of a token_uri.
const keyHost = "oauth2.googleapis.com"

var keyAddress = net.JoinHostPort(keyHost, "443")
