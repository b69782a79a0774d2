package gateway

import (
	"time"

	"github.com/bqgate/bqgate/internal/limits"
)

// habits are whose statements took long of late, as a limit of their owner.
type habits struct{ limits *limits.Owners }

// Long is googlesql.Habits'.
func (h habits) Long(owner string) bool { return h.limits.Left(owner, limits.Analysis) != nil }

// Ran is googlesql.Habits'.
func (h habits) Ran(owner string, took time.Duration) {
	h.limits.Charge(owner, limits.Analysis, took.Milliseconds())
}
