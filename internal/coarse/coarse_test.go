package coarse

import (
	"fmt"
	"math"
	"testing"
)

func TestBytes(t *testing.T) {
	for _, c := range []struct{ n, bytes, limit int64 }{
		{math.MinInt64, 0, math.MinInt64}, {-1, 0, -1}, {0, 0, 0}, {1, Step, 1}, {Step - 1, Step, Step - 1}, {Step, Step, Step},
		{Step + 1, 2 * Step, Step},
		{2*Step - 1, 2 * Step, Step}, {2 * Step, 2 * Step, 2 * Step}, {math.MaxInt64, maxBytes, maxBytes},
		{maxBytes + 1, maxBytes, maxBytes},
	} {
		t.Run(fmt.Sprint(c.n), func(t *testing.T) {
			if got := Bytes(c.n); got != c.bytes {
				t.Errorf("Bytes(%d) = %d, want %d", c.n, got, c.bytes)
			}
			if got := Limit(c.n); got != c.limit {
				t.Errorf("Limit(%d) = %d, want %d", c.n, got, c.limit)
			}
		})
	}
}
