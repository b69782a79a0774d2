package bigquery

import (
	"testing"

	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
)

// decided is the witness of a decision "d-1", with which everything may be asked.
func decided(t testing.TB) durable.Decided { return durabletest.Decided(t, "d-1") }
