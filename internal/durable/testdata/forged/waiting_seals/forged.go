// Package forged forwards on an answer that needs no record.
package forged

import (
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/verdict"
)

func run(keys *sealed.Keyring, waiting durable.Answer) {
	verdict.Seal(keys, waiting, verdict.Forward{})
}
