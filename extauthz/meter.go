package extauthz

import (
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/metrics"
)

// Meter counts what is decided and how long it takes, by words of the code alone. It is made by
// NewMeter.
type Meter struct {
	decisions *metrics.Counter
	took      *metrics.Histogram
	steps     *metrics.Histogram
}

// effects are what becomes of a request.
var effects = []string{"forward", "answer", "hold", "refuse", "fault"}

// reasons are BigQuery's words for why a request is refused.
var reasons = []string{
	"none", "accessDenied", "authError", "backendError", "duplicate", "invalid", "invalidQuery", "notFound", "notImplemented",
	"quotaExceeded",
	"rateLimitExceeded", "required", "resourceInUse", "responseTooLarge",
}

// steps are what the log of a decision calls them.
var steps = []string{"decode", "identity", "analysis", "row_access", "policy", "encode", "audit", "credentials"}

// NewMeter makes a Meter that counts in r, or nowhere for nil.
func NewMeter(r *metrics.Registry) *Meter {
	effect := metrics.Label{Name: "effect", Values: effects}
	return &Meter{
		decisions: r.Counter("decisions_total", "Requests that were decided, by what became of them and BigQuery's word for why.", effect,
			metrics.Label{Name: "reason", Values: reasons}),
		took: r.Histogram("decision_seconds", "How long requests took to decide, by what became of them.", metrics.Seconds, effect),
		steps: r.Histogram(
			"step_seconds",
			"Where the time of a decision went.",
			metrics.Seconds,
			metrics.Label{Name: "step", Values: steps},
		),
	}
}

func (m *Meter) count(a asked, o outcome) {
	effect, reason := o.effect(), "none"
	if effect == "refuse" {
		reason = o.reason
	}
	m.decisions.Inc(effect, reason)
	m.took.Took(time.Since(a.started), effect)
	a.clock.Each(func(step string, took time.Duration) { m.steps.Took(took, strings.ReplaceAll(step, " ", "_")) })
}

func (o outcome) effect() string {
	switch {
	case o.forward != nil:
		return "forward"
	case o.fault || o.status == 0:
		return "fault"
	case o.held:
		return "hold"
	case o.status == 200:
		return "answer"
	default:
		return "refuse"
	}
}
