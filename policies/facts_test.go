package policies

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// What Decide would ask for, one fact at a time.

func (s *Set) needsEstimate(r Input) bool {
	r.Estimate = nil
	return s.evaluate(&r).needsEstimate
}

func (s *Set) needsRowAccess(r Input) []*bigquery.Table {
	r.RowAccess = nil
	return s.evaluate(&r).needsRowAccess
}

func (s *Set) judge(r Input, rewrite func([]googlesql.Transform) (*googlesql.Rewritten, error)) (Decision, error) {
	d, _, err := s.Decide(context.Background(), r, Facts{
		Rewrite: func(_ context.Context, all []googlesql.Transform) (*googlesql.Rewritten, error) { return rewrite(all) },
	})
	return d, err
}

// Facts are asked for in their order, once, and only where the decision hangs on them. A fact that
// is not to be had refuses.
func TestFactsAreAskedOnce(t *testing.T) {
	const policy = readAll + "approvals: [{name: a, when: 'estimate.bytes > 100', reviewers: [g]}]\n"
	fault := errors.New("down")
	for name, c := range map[string]struct {
		request func(r *Input)
		access  bigquery.RowAccess
		failing string // the fact that fails
		without string // the fact that is not to be had
		asked   []string
		effect  Effect
	}{
		"allowed":              {asked: []string{"row access", "estimate"}, effect: Allow},
		"of somebody else":     {request: func(r *Input) { r.Subject = subject("y") }, effect: Refuse},
		"row access policies":  {access: bigquery.RowAccessPolicies, asked: []string{"row access"}, effect: Refuse},
		"row access fails":     {failing: "row access", asked: []string{"row access"}, effect: Refuse},
		"row access not there": {without: "row access", effect: Refuse},
		"estimate fails":       {failing: "estimate", asked: []string{"row access", "estimate"}, effect: Refuse},
		"estimate not there":   {without: "estimate", asked: []string{"row access"}, effect: Refuse},
		"estimate in the request": {request: func(r *Input) { r.Estimate = &Estimate{Bytes: 1} }, asked: []string{"row access"},
			effect: Allow},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(subject("x", "g"), selects("demo.crm.t", "a"), tableOf("demo.crm.t", "a"))
			r.Estimate, r.RowAccess = nil, nil
			if c.request != nil {
				c.request(&r)
			}
			var asked []string
			note := func(fact string) error {
				asked = append(asked, fact)
				if c.failing == fact {
					return fault
				}
				return nil
			}
			facts := Facts{
				RowAccess: func(_ context.Context, tables []*bigquery.Table) (map[string]bigquery.RowAccess, error) {
					access := c.access
					if access == "" {
						access = bigquery.RowAccessNone
					}
					return map[string]bigquery.RowAccess{tables[0].TableReference.String(): access}, note("row access")
				},
				Estimate: func(context.Context, []*bigquery.Table) (*Estimate, error) {
					return &Estimate{Bytes: 1}, note("estimate")
				},
			}
			switch c.without {
			case "row access":
				facts.RowAccess = nil
			case "estimate":
				facts.Estimate = nil
			}
			d, _, err := mustLoad(t, policy).Decide(t.Context(), r, facts)
			if (err != nil) != (c.failing != "") || d.Effect != c.effect || !slices.Equal(asked, c.asked) {
				t.Errorf("%s after %q, %v; want %s after %q: %s", d.Effect, asked, err, c.effect, c.asked, d.Message)
			}
		})
	}
}
