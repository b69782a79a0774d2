package extauthz

import (
	"context"
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/policies"
)

// Budgets counts what is spent: budgets.Store.
type Budgets interface {
	Left(ctx context.Context, all []policies.Budget) ([]policies.Left, error)
	Reserve(ctx context.Context, w budgets.Wanted) (granted int64, err error)
	Saw(ctx context.Context, decision string, job bigquery.Job)
	NeverRan(decision string)
}

// uncounted refuses whatever has a budget: nobody counts.
type uncounted struct{}

var errUncounted = errors.New("a request has a budget, and nothing counts what is spent")

func (uncounted) Left(context.Context, []policies.Budget) ([]policies.Left, error) {
	return nil, errUncounted
}
func (uncounted) Reserve(context.Context, budgets.Wanted) (int64, error) { return 0, errUncounted }
func (uncounted) Saw(context.Context, string, bigquery.Job)              {}
func (uncounted) NeverRan(string)                                        {}

// counted is what counts, also of a Service that New did not make.
func (s *Service) counted() Budgets {
	if s.Budgets == nil {
		return uncounted{}
	}
	return s.Budgets
}

// left is what is left of the budgets of a query. For one that its client has sent before, and that
// BigQuery therefore runs no second time, there is always enough: it was reserved then.
func (s *Service) left(ctx context.Context, a asked, all []policies.Budget) ([]policies.Left, error) {
	left, err := s.counted().Left(ctx, all)
	a.clock.Done("budgets")
	if err != nil {
		return nil, err
	}
	sent, err := s.Jobs.Sent(ctx, a.op, a.subject.Owner)
	if err != nil {
		return nil, fmt.Errorf("look whether the query was sent before: %w", err)
	}
	for i, b := range all {
		if sent && b.Unit == policies.UnitBytes {
			left[i].Amount = max(b.Limit, left[i].Amount)
		}
	}
	return left, nil
}

// budgetsOf are the budgets of a unit.
func budgetsOf(unit policies.Unit, charges []policies.Charge) (all []policies.Budget) {
	for _, c := range charges {
		if c.Unit == unit {
			all = append(all, c.Budget)
		}
	}
	return all
}

// reserve takes what the query may bill at most from its budgets, durably, and lowers that to what
// they have left. reserved is the decision that it was taken for, "" where nothing counts.
func (s *Service) reserve(ctx context.Context, a asked, j *judged, limit bigquery.BytesCap) (
	lowered bigquery.BytesCap, reserved string, err error,
) {
	bytes := budgetsOf(policies.UnitBytes, j.decision.Budgets)
	if len(bytes) == 0 || len(tables(j.analysis)) == 0 { // a query that reads no table is billed nothing
		return limit, "", nil
	}
	w := budgets.Wanted{
		Decision: a.id, Budgets: bytes, Least: j.decision.Bills, Most: limit.Bytes, Job: auditJob(j.job), Beyond: j.decision.Beyond(),
	}
	if limit.Bytes > 0 {
		w.Least = min(w.Least, limit.Bytes) // BigQuery refuses it then, and bills nothing
	}
	granted, err := s.counted().Reserve(ctx, w)
	a.clock.Done("reserve")
	if err != nil {
		return limit, "", fmt.Errorf("reserve what the query may bill: %w", err)
	}
	if limit.Bytes == 0 || granted < limit.Bytes {
		limit = bigquery.BytesCap{Bytes: granted, Of: bigquery.CapBudget}
	}
	return limit, a.id, nil
}
