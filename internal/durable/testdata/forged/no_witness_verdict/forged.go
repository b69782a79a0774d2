// Package forged seals a verdict without a witness.
package forged

import (
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/verdict"
)

func run(keys *sealed.Keyring) {
	verdict.Seal(keys, verdict.Forward{})
}
