package extauthz

import (
	"errors"
	"time"

	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/metrics"
	"github.com/bqgate/bqgate/policies"
)

// Meter counts what is decided and how long it takes, by words of the code alone. It is made by
// NewMeter.
type Meter struct {
	decisions *metrics.Counter
	took      *metrics.Histogram
	steps     *metrics.Histogram
	budgets   *metrics.Counter
}

// effects are what becomes of a request.
var effects = []string{"forward", "answer", "hold", "refuse", "fault"}

// reasons are BigQuery's words for why a request is refused.
var reasons = []string{
	"none", "accessDenied", "authError", "backendError", "duplicate", "invalid", "invalidQuery", "notFound", "notImplemented",
	"quotaExceeded", "rateLimitExceeded", "required", "resourceInUse", "responseTooLarge",
}

// NewMeter makes a Meter that counts in r, or nowhere for nil.
func NewMeter(r *metrics.Registry) *Meter {
	effect := metrics.Label{Name: "effect", Values: effects}
	return &Meter{
		decisions: r.Counter("decisions_total", "Requests that were decided, by what became of them and BigQuery's word for why.", effect,
			metrics.Label{Name: "reason", Values: reasons}),
		took: r.Histogram("decision_seconds", "How long requests took to decide, by what became of them.", metrics.Seconds, effect),
		budgets: r.Counter("budget_decisions_total", "Queries that did not fit what was left of a budget: refused, or held for a person.",
			metrics.Label{Name: "unit", Values: []string{string(policies.UnitBytes), string(policies.UnitRows)}},
			metrics.Label{Name: "result", Values: []string{"refused", "held"}}),
		steps: r.Histogram("step_seconds", "Where the time of a decision went.", metrics.Seconds,
			metrics.Label{Name: "step", Values: stepLabels()}),
	}
}

func (m *Meter) count(a asked, o outcome) {
	effect, reason := o.effect(), "none"
	if effect == "refuse" {
		reason = o.reason
	}
	m.decisions.Inc(effect, reason)
	m.took.Took(time.Since(a.started), effect)
	a.clock.Each(func(step string, took time.Duration) { m.steps.Took(took, stepLabel(step)) })
}

// refusedByBudget counts a refusal, if it was for a budget.
func (m *Meter) refusedByBudget(d policies.Decision, err error) {
	unit := d.Exceeded
	if over, late := errors.AsType[*budgets.Exceeded](err); late {
		unit = over.Budget.Unit
	}
	if unit != "" {
		m.budgets.Inc(string(unit), "refused")
	}
}

// heldByBudget counts a query that is held, if it is for a budget.
func (m *Meter) heldByBudget(d policies.Decision) {
	for _, c := range d.Budgets {
		if d.Over(c) {
			m.budgets.Inc(string(c.Unit), "held")
		}
	}
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
