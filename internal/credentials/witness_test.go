package credentials

import (
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
)

// decided is the witness of a decision, with which any token may be minted.
func decided(t testing.TB) durable.Decided { return durabletest.Decided(t, "d-1") }

// run is a run of an account for an owner, whose right has no end in sight.
func run(account, owner string) Run {
	return Run{Account: account, Owner: owner, Until: time.Now().Add(12 * time.Hour)}
}
