package credentials

import (
	"testing"

	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
)

// decided is the witness of a decision, with which any token may be minted.
func decided(t testing.TB) durable.Decided { return durabletest.Decided(t, "d-1") }
