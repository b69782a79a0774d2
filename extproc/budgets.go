package extproc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/verdict"
)

// Budgets counts what is spent: budgets.Store.
type Budgets interface {
	Spend(ctx context.Context, w budgets.Wanted) error
	Begin(ctx context.Context, w budgets.Wanted) error
	Saw(ctx context.Context, decision string, job bigquery.Job)
	NeverRan(reserved, decision string)
}

// uncounted lets no row out that has a budget: nobody counts.
type uncounted struct{}

func (uncounted) Spend(context.Context, budgets.Wanted) error {
	return errors.New("an answer has a budget, and nothing counts what is spent")
}
func (uncounted) Begin(context.Context, budgets.Wanted) error {
	return errors.New("bytes are reserved for a query, and nothing counts what is spent")
}
func (uncounted) Saw(context.Context, string, bigquery.Job) {}
func (uncounted) NeverRan(string, string)                   {}

// begin says that what was reserved for a request may be spent from now on. Without that it is not
// sent.
func (s *Service) begin(ctx context.Context, f *verdict.Forward) error {
	r := f.Record
	if !f.Creates || r.Reserved == "" {
		return nil
	}
	w := budgets.Wanted{
		Decision: r.Reserved, By: f.Decision, Budgets: f.Reserves, Most: r.Mutation.MaximumBytesBilled, Job: auditJob(r.Job),
	}
	if err := s.Budgets.Begin(ctx, w); err != nil {
		return fmt.Errorf("begin with what is reserved for the query: %w", err)
	}
	return nil
}

// saw tells what BigQuery says of a job for which something was reserved.
func (s *Service) saw(ctx context.Context, record jobs.Record, job bigquery.Job) {
	if record.Reserved != "" {
		s.Budgets.Saw(ctx, record.Reserved, job)
	}
}

// neverRan gives back what was reserved for a request that made no job. What was sent more than
// once keeps it until that is known of each time.
func (s *Service) neverRan(f *verdict.Forward) {
	if f.Creates && f.Record.Reserved != "" {
		s.Budgets.NeverRan(f.Record.Reserved, f.Decision)
	}
}

// madeNone says of an error status that BigQuery has made no job: it has refused the request. "You
// are not charged for queries that return an error."
// https://cloud.google.com/bigquery/pricing#on_demand_pricing
func madeNone(code int) bool { return code == 400 || code == 401 || code == 403 || code == 404 }

// neverLeft says of Envoy's response.code_details that it had no connection to send the request by.
// What was lost on a connection may have arrived.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/response_code_details
func neverLeft(details string) bool {
	if details == "no_healthy_upstream" {
		return true
	}
	why, reset := strings.CutPrefix(details, "upstream_reset_before_response_started{")
	for _, before := range []string{"remote_connection_failure", "local_connection_failure", "overflow"} {
		if reset && strings.HasPrefix(why, before) {
			return true
		}
	}
	return false
}
