package gateway

import (
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/limits"
)

// An owner whose statements took long goes to the slow workers, and nobody else does.
func TestHabits(t *testing.T) {
	h := habits{limits.New(limits.Config{})}
	for i := range 4 {
		if i < 3 && h.Long("bomber") {
			t.Errorf("long after %d statements of 400 ms, want three of them", i)
		}
		h.Ran("bomber", 400*time.Millisecond)
	}
	if !h.Long("bomber") {
		t.Error("1.6 s of long statements leave an owner with the others")
	}
	if h.Long("another") {
		t.Error("another owner has the bomber's habits")
	}
}
