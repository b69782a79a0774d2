package credentials

import (
	"errors"
	"fmt"

	"cloud.google.com/go/auth"

	"github.com/bqgate/bqgate/internal/googleidentity"
)

// scopeIAM is what the source token needs to impersonate. IAM Credentials accepts nothing narrower.
const scopeIAM = "https://www.googleapis.com/auth/cloud-platform"

// check reports every mistake in the configuration and in the gateway's own identity, which it
// reads.
func (c Config) check() (*auth.Credentials, error) {
	wrong := c.Validate()
	if c.Source == (Source{}) {
		return nil, wrong
	}
	creds, err := googleidentity.Source(c.Source).Credentials(scopeIAM)
	if err != nil {
		err = fmt.Errorf("source: %w", err)
	}
	return creds, errors.Join(wrong, err)
}
