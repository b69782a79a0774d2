package extauthz

import (
	"testing"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/policies"
)

const webPolicy = `version: bqgate/v1
groups:
  agents: {issuer: ci, when: 'true'}
rules:
  - {name: web, groups: [agents], read: [p.web.*], credential: reader}
`

// loading is a policy that is replaced by another one as soon as it was asked for.
func (w *boundWorld) loading(now, next *policies.Set) (asked *int) {
	n := 0
	w.s.Policies = func() *policies.Set {
		if n++; n == 1 {
			return now
		}
		return next
	}
	return &n
}

// A policy that is loaded in the middle of a request does not touch it: one request meets one
// policy, and not the reach of one and the decision of another.
func TestOneRequestMeetsOnePolicy(t *testing.T) {
	const path = "/bigquery/v2/projects/p"
	for name, c := range map[string]struct{ verb, path, body string }{
		"query": {"POST", path + "/queries", plainQuery},
		"insert": {"POST", path + "/jobs",
			`{"configuration": {"query": {"query": "SELECT employee FROM finance.payroll", "useLegacySql": false}}}`},
		"dry run": {"POST", path + "/queries", `{"query": "SELECT employee FROM finance.payroll", "useLegacySql": false, "dryRun": true}`},
		"page":    {"GET", path + "/queries/j", ""},
		"job":     {"GET", path + "/jobs/j", ""},
		"table":   {"GET", path + "/datasets/finance/tables/payroll", ""},
		"dataset": {"GET", path + "/datasets/finance", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParts(t)
			p.s.Metadata, p.s.Journal = listsNothing{}, p.boundWorld
			open := p.set
			p.policy(webPolicy)
			closed := p.set
			p.ran(t, "p")
			for _, row := range []struct {
				name      string
				now, next *policies.Set
				passes    bool
			}{{"more is closed", open, closed, true}, {"more is opened", closed, open, false}} {
				times := p.loading(row.now, row.next)
				out := p.check(t.Context(), c.verb, c.path, c.body, bearer)
				if passed := out.GetOkResponse() != nil || out.GetDeniedResponse().GetStatus().GetCode() == 200; passed != row.passes {
					t.Errorf("%s meanwhile: passed %v: %s", row.name, passed, text(out))
				}
				if *times != 1 {
					t.Errorf("%s meanwhile: %d looks at the policy, want 1", row.name, *times)
				}
			}
		})
	}
}

// A held query runs by the policy of the moment when it runs, and not by that of the moment when
// its poll began to wait.
func TestARunMeetsThePolicyOfItsTime(t *testing.T) {
	w := newBoundWorld(t)
	open := w.set
	w.policy(webPolicy)
	closed := w.set
	w.set = open
	job := jobOf(t, w.ask(boundQuery()))
	list, err := w.s.Approvals.List(t.Context(), approvals.Filter{State: approvals.StatePending})
	if err != nil || len(list.Requests) != 1 {
		t.Fatalf("%d pending, %v", len(list.Requests), err)
	}
	w.approve(list.Requests[0].ID)
	w.loading(open, closed)
	if o := w.call("GET", "/bigquery/v2/projects/p/queries/"+job, nil); o.forward != nil || o.status != 403 || w.inserts != 0 {
		t.Errorf("run by a policy that is gone: %d %s, %d jobs", o.status, o.body, w.inserts)
	}
}
