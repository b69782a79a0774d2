package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/console"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/sealed"
)

// identityServices is everything that says who somebody is.
type identityServices struct {
	verifier      *identity.Verifier
	authenticator *identity.Authenticator
	sessions      *identity.Sessions
	tokens        http.Handler // POST /v1/token
}

func newIdentityServices(
	c identity.Config, store redis.UniversalClient, keys *sealed.Keyring, owners *limits.Owners, log *slog.Logger,
) (identityServices, error) {
	verifier, err := identity.NewVerifier(c)
	if err != nil {
		return identityServices{}, fmt.Errorf("identity: %w", err)
	}
	sessions, err := identity.NewSessions(store, keys, c, log)
	if err != nil {
		return identityServices{}, fmt.Errorf("identity: %w", err)
	}
	authenticator, err := identity.NewAuthenticator(verifier, sessions)
	if err != nil {
		return identityServices{}, fmt.Errorf("identity: %w", err)
	}
	tokens, err := identity.TokenHandler(verifier, sessions, owners, log)
	if err != nil {
		return identityServices{}, fmt.Errorf("identity: %w", err)
	}
	return identityServices{verifier, authenticator, sessions, tokens}, nil
}

func issuerNames(c identity.Config) []string {
	var names []string
	for _, i := range c.Issuers {
		names = append(names, i.Name)
	}
	return names
}

// loginOf says how reviewers log in; nil where no client is configured.
func loginOf(c *config.Config, v *identity.Verifier) (*console.Login, error) {
	k := c.Console
	if k.ClientID == "" {
		return nil, nil
	}
	issuer, client, ok := v.Client(k.Issuer)
	if !ok {
		return nil, fmt.Errorf("console.issuer %q is not configured", k.Issuer)
	}
	login := &console.Login{
		Issuer: issuer, Client: client, ClientID: k.ClientID, Scopes: k.Scopes, URL: k.URL, Session: k.Session,
	}
	if k.ClientSecretFile != "" {
		secret, err := os.ReadFile(k.ClientSecretFile)
		if err != nil {
			return nil, fmt.Errorf("console.client_secret_file: %w", err)
		}
		if login.ClientSecret = strings.TrimSpace(string(secret)); login.ClientSecret == "" {
			return nil, fmt.Errorf("console.client_secret_file %s is empty", k.ClientSecretFile)
		}
	}
	return login, nil
}
