package gateway

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealed"
)

// parties is everything that says who somebody is.
type parties struct {
	verifier      *identity.Verifier
	authenticator *identity.Authenticator
	sessions      *identity.Sessions
	tokens        http.Handler // POST /v1/token
}

func identities(c identity.Config, store redis.UniversalClient, keys *sealed.Keyring, log *slog.Logger) (parties, error) {
	verifier, err := identity.NewVerifier(c)
	if err != nil {
		return parties{}, fmt.Errorf("identity: %w", err)
	}
	sessions, err := identity.NewSessions(store, keys, c, log)
	if err != nil {
		return parties{}, fmt.Errorf("identity: %w", err)
	}
	authenticator, err := identity.NewAuthenticator(verifier, sessions)
	if err != nil {
		return parties{}, fmt.Errorf("identity: %w", err)
	}
	tokens, err := identity.TokenHandler(verifier, sessions, log)
	if err != nil {
		return parties{}, fmt.Errorf("identity: %w", err)
	}
	return parties{verifier, authenticator, sessions, tokens}, nil
}

func issuerNames(c identity.Config) []string {
	var names []string
	for _, i := range c.Issuers {
		names = append(names, i.Name)
	}
	return names
}
