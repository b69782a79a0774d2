package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/cause"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/identity"
)

// issuersWithin is how long LookAtIssuers waits for the slowest issuer.
const issuersWithin = 6 * time.Second

// LookAtIssuers asks each issuer of a configuration for its keys, as the gateway does with the
// first token. What can never come right is an error: an issuer that calls itself otherwise than
// the configuration does, by a slash perhaps. One that does not answer is a note: it may answer the
// gateway.
func LookAtIssuers(ctx context.Context, c *config.Config) (notes []string, wrong error) {
	verifier, err := identity.NewVerifier(c.Identity)
	if err != nil {
		return nil, nil // Check says so
	}
	defer verifier.Close()
	ctx, cancel := context.WithTimeout(ctx, issuersWithin)
	defer cancel()
	for _, state := range verifier.Look(ctx) {
		var other *identity.Mismatch
		switch {
		case errors.As(state.Failed, &other):
			wrong = errors.Join(wrong, fmt.Errorf("identity: %s", cause.Words(state.Failed)))
		case state.Failed != nil:
			notes = append(notes, fmt.Sprintf("issuer %s does not answer from here: %s", state.Name, cause.Text(state.Failed)))
		case !state.Usable:
			notes = append(notes, fmt.Sprintf("issuer %s does not answer from here in %s", state.Name, issuersWithin))
		}
	}
	return notes, wrong
}

// entraLife is what an access token of Entra ID lives at most, counted from its iat.
// https://learn.microsoft.com/entra/identity-platform/configurable-token-lifetimes
const entraLife = 95 * time.Minute

// Notes are what a configuration allows and hardly means: conditions of its policies that let
// strangers through, by its issuers' presets. The gateway starts all the same.
func Notes(c *config.Config) []string {
	var notes []string
	whole := c.Identity.WithDefaults()
	for _, i := range whole.Issuers {
		if i.Preset == "entra" && whole.MaxTokenAge < entraLife {
			notes = append(notes, fmt.Sprintf("issuer %s: tokens of Entra ID live up to %s, and max_token_age is %s: longer ones are "+
				"refused; set max_token_age: 2h", i.Name, entraLife, whole.MaxTokenAge))
		}
	}
	set, err := loadPolicies(c)
	if err != nil || c.Identity.Validate() != nil {
		return notes // Check says so
	}
	for _, f := range set.Pitfalls(whole.Issuers) {
		notes = append(notes, fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message))
	}
	return notes
}
