package extauthz

import (
	"fmt"
	"testing"

	"github.com/bqgate/bqgate/internal/approvals"
)

// Requesters see their own requests. Two estimates within one step of 10 MiB give requests that
// tell the same bytes, cost and limit.
func TestARequestTellsRoundedBytes(t *testing.T) {
	tell := func(t *testing.T, estimate int64) string {
		w := newSeenWorld(t)
		w.in("agents")
		w.estimate, w.s.Prices = estimate, func() Prices { return Prices{Default: 6.25} }
		if o := w.ask(boundQuery()); o.status != 200 {
			t.Fatalf("%d %s", o.status, o.body)
		}
		list, err := w.s.Approvals.List(t.Context(), approvals.Filter{State: approvals.StatePending})
		if err != nil || len(list.Requests) != 1 || list.Requests[0].EstimatedBytes == nil || list.Requests[0].EstimatedCost == nil {
			t.Fatalf("%+v %v", list.Requests, err)
		}
		r := list.Requests[0]
		return fmt.Sprintf("%d bytes, %g, at most %d", *r.EstimatedBytes, *r.EstimatedCost, r.MaximumBytes)
	}
	const step = 10 << 20
	for name, c := range map[string]struct {
		a, b int64
		same bool
	}{
		"the smallest and a whole step": {1, step, true},
		"within a step":                 {919, 4096, true},
		"within a later step":           {100*step + 1, 101 * step, true},
		"two steps":                     {step, step + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			if a, b := tell(t, c.a), tell(t, c.b); (a == b) != c.same {
				t.Errorf("%d bytes: %s; %d bytes: %s", c.a, a, c.b, b)
			}
		})
	}
}
