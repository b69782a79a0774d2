package extauthz

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/metrics"
	"github.com/bqgate/bqgate/internal/timing"
	"github.com/bqgate/bqgate/policies"
)

// Each step of a decision has a label of its own in the metric of steps, and none is counted as
// another one.
func TestEveryStepIsCounted(t *testing.T) {
	counted := metrics.New()
	m := NewMeter(counted)
	a := asked{clock: &timing.Clock{}}
	a.clock.Begin()
	for s := range steps {
		a.done(s)
	}
	m.count(a, outcome{})
	w := httptest.NewRecorder()
	counted.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, label := range stepLabels() {
		t.Run(label, func(t *testing.T) {
			if !strings.Contains(w.Body.String(), `bqgate_step_seconds_count{step="`+label+`"} 1`+"\n") {
				t.Error("it is not counted once")
			}
		})
	}
	if strings.Contains(w.Body.String(), `bqgate_step_seconds_count{step="other"} 1`) {
		t.Error("a step is counted as another one")
	}
}

// What does not fit a budget is counted by the budget's unit, and never by whose it is.
func TestBudgetsAreCounted(t *testing.T) {
	counted := metrics.New()
	m := NewMeter(counted)
	mine := policies.Budget{Who: "repo:acme/app", Limit: 100, Unit: policies.UnitBytes}
	let := mine
	let.Holds = true
	m.refusedByBudget(policies.Decision{Exceeded: policies.UnitRows}, denied(policies.Decision{Exceeded: policies.UnitRows}))
	m.refusedByBudget(policies.Decision{}, fmt.Errorf("reserve: %w", &budgets.Exceeded{Budget: mine})) // another query was faster
	m.refusedByBudget(policies.Decision{}, errors.New("of something else"))
	m.heldByBudget(
		policies.Decision{Bills: 10, Budgets: []policies.Charge{{Budget: let, Left: 9}, {Budget: let, Left: 10}, {Budget: mine}}},
	)
	w := httptest.NewRecorder()
	counted.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`{result="refused",unit="rows"} 1`, `{result="refused",unit="bytes"} 1`, `{result="held",unit="bytes"} 1`,
		`{result="held",unit="rows"} 0`,
	} {
		if !strings.Contains(w.Body.String(), "bqgate_budget_decisions_total"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(w.Body.String(), "acme") {
		t.Error("an owner is in the metrics")
	}
}
