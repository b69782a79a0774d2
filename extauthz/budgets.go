package extauthz

import (
	"context"
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// Budgets counts what is spent: budgets.Store.
type Budgets interface {
	Left(ctx context.Context, all []policies.Budget) ([]policies.Left, error)
	Reserve(ctx context.Context, w budgets.Wanted) (granted int64, err error)
	Saw(ctx context.Context, decision string, job bigquery.Job)
	Holds(reserved, decision string) bool
	Lend(reserved, decision string)
	Begin(ctx context.Context, w budgets.Wanted) error
	NeverRan(reserved, decision string)
}

// uncounted refuses whatever has a budget: nobody counts.
type uncounted struct{}

var errUncounted = errors.New("a request has a budget, and nothing counts what is spent")

func (uncounted) Left(context.Context, []policies.Budget) ([]policies.Left, error) {
	return nil, errUncounted
}
func (uncounted) Reserve(context.Context, budgets.Wanted) (int64, error) { return 0, errUncounted }
func (uncounted) Saw(context.Context, string, bigquery.Job)              {}
func (uncounted) Holds(string, string) bool                              { return false }
func (uncounted) NeverRan(string, string)                                {}
func (uncounted) Lend(string, string)                                    {}
func (uncounted) Begin(context.Context, budgets.Wanted) error            { return errUncounted }

// counted is what counts, also of a Service that New did not make.
func (s *Service) counted() Budgets {
	if s.Budgets == nil {
		return uncounted{}
	}
	return s.Budgets
}

// left is what is left of the budgets of a query. For one that its client has sent before, and that
// BigQuery therefore runs no second time, there is always enough while what was reserved then is.
func (s *Service) left(ctx context.Context, a asked, all []policies.Budget) ([]policies.Left, error) {
	left, err := s.counted().Left(ctx, all)
	a.done(stepBudgets)
	if err != nil {
		return nil, err
	}
	reserved, sent, err := s.Jobs.Sent(ctx, a.op, a.subject.Owner)
	if err != nil {
		return nil, fmt.Errorf("look whether the query was sent before: %w", err)
	}
	sent = sent && s.counted().Holds(reserved, "")
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
	bytes := reserves(j)
	if len(bytes) == 0 {
		return limit, "", nil
	}
	w := budgets.Wanted{
		Decision: a.id, Budgets: bytes, Least: j.decision.Bills, Most: limit.Bytes, Job: auditJob(j.job), Beyond: j.decision.Beyond(),
	}
	if limit.Bytes > 0 {
		w.Least = min(w.Least, limit.Bytes) // BigQuery refuses it then, and bills nothing
	}
	granted, err := s.counted().Reserve(ctx, w)
	a.done(stepReserve)
	if err != nil {
		return limit, "", fmt.Errorf("reserve what the query may bill: %w", err)
	}
	if limit.Bytes == 0 || granted < limit.Bytes {
		limit = bigquery.BytesCap{Bytes: granted, Of: bigquery.CapBudget}
	}
	return limit, a.id, nil
}

// reserveAgain sees to it that what is sent again is reserved, and says for which decision. The
// first try may have given it back, since BigQuery refused it or it never left; this one may run.
// Or there was no budget then: there is one now.
func (s *Service) reserveAgain(ctx context.Context, a asked, j *judged, first jobs.Record) (reserved string, err error) {
	reserved = first.Reservation()
	w := budgets.Wanted{
		Decision: reserved, By: a.id, Budgets: reserves(j), Least: first.Mutation.MaximumBytesBilled,
		Most: first.Mutation.MaximumBytesBilled, Job: auditJob(first.Job), Beyond: j.decision.Beyond(),
	}
	switch {
	case len(w.Budgets) == 0:
		return first.Reserved, nil
	case s.counted().Holds(reserved, a.id):
		return reserved, nil
	case w.Most == 0: // it would bill whatever it needs
		return "", fmt.Errorf("%w: the bytes that it may bill", jobs.ErrOtherwise)
	}
	_, err = s.counted().Reserve(ctx, w)
	a.done(stepReserve)
	if err != nil {
		return "", fmt.Errorf("reserve again what the query may bill: %w", err)
	}
	return reserved, nil
}

// reserves are the budgets from which what a query may bill is taken: none where it reads no table,
// and so is billed nothing.
func reserves(j *judged) []policies.Budget {
	if len(tables(j.analysis)) == 0 {
		return nil
	}
	return budgetsOf(policies.UnitBytes, j.decision.Budgets)
}

// giveBack gives back what was reserved for a request that is not sent by this decision.
func (s *Service) giveBack(f *verdict.Forward, decision string) {
	if f != nil && f.Creates && f.Record.Reserved != "" {
		s.counted().NeverRan(f.Record.Reserved, decision)
	}
}
