package extauthz

import (
	"context"
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/coarse"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/policies"
)

// estimate asks BigQuery, with the inspection identity and through jobs.insert, what the query
// would read. What BigQuery does not say for certain is unknown, and so is what it says of a query
// of which one of the tables named has row access policies (policies.Facts).
func (s *Service) estimate(
	ctx context.Context, a asked, op bigquery.Operation, unmeasured []*bigquery.Table,
) (*policies.Estimate, error) {
	said, err := s.dryRunBytes(ctx, a.ask, op)
	a.done(stepEstimate)
	if err != nil || said.Unknown || len(unmeasured) == 0 {
		return said, err
	}
	access, err := googlesql.RowAccess(ctx, s.Catalog(a.ask), unmeasured)
	a.done(stepRowAccess)
	switch {
	case errors.Is(err, bigquery.ErrRowAccessDenied): // nobody knows whether the estimate is one
		return &policies.Estimate{Unknown: true}, nil
	case err != nil:
		return nil, fmt.Errorf("ask for row access policies: %w", err)
	}
	for _, t := range unmeasured {
		if access[t.TableReference.String()] != bigquery.RowAccessNone {
			return &policies.Estimate{Unknown: true}, nil
		}
	}
	return said, nil
}

// dryRunBytes is what a dry run says, in the last minute or now.
func (s *Service) dryRunBytes(ctx context.Context, ask durable.Ask, op bigquery.Operation) (*policies.Estimate, error) {
	plain := op
	q := *op.Query
	q.Labels, q.RequestID, q.MaximumBytesBilled = nil, "", 0
	plain.Query = &q
	key, err := bigquery.EncodeDryRun(plain)
	if err != nil {
		return nil, fmt.Errorf("encode dry run: %w", err)
	}
	v, err := shared(ctx, &s.estimates, ask.Text, estimatesKept, estimateTTL, string(key),
		func(ctx context.Context, text durable.Text) (policies.Estimate, error) {
			return s.dryRunNow(ctx, text, plain)
		})
	if err != nil {
		return nil, fmt.Errorf("estimate the query: %w", err)
	}
	return &v, nil
}

// dryRunNow is what BigQuery says of a dry run.
func (s *Service) dryRunNow(ctx context.Context, text durable.Text, plain bigquery.Operation) (v policies.Estimate, err error) {
	run, err := s.Upstream.DryRun(ctx, text, plain)
	var api *bigquery.APIError
	if errors.As(err, &api) && api.Status == 400 {
		return v, &refusal.Refusal{Status: 400, Reason: "invalidQuery", What: "BigQuery does not accept the query: its dry run failed"}
	}
	if errors.As(err, &api) && api.Status < 500 && api.Status != 401 {
		// What is permanent must not look as if the next try could pass, nor the other way round.
		r := &refusal.Refusal{Status: api.Status, Reason: api.Reason, What: "BigQuery did not estimate the query", Err: err}
		if words := api.Words(); words != "" {
			r.What += ": " + words
		}
		if api.Status == 404 {
			r.Status, r.Reason = 403, "accessDenied"
		}
		return v, r
	}
	if err != nil && !errors.Is(err, bigquery.ErrNoEstimate) {
		return v, err
	}
	v = policies.Estimate{Bytes: run.TotalBytesProcessed}
	if err != nil || !bounded(run.Accuracy) {
		v = policies.Estimate{Unknown: true}
	}
	return v, nil
}

// bounded says whether a query reads no more than its dry run says. Of UNKNOWN and LOWER_BOUND
// nobody knows, and BigQuery says 0 bytes beside them. "For dry-run jobs, totalBytesProcessed is an
// estimate and this field specifies the accuracy": totalBytesProcessedAccuracy,
// https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobStatistics2
func bounded(accuracy string) bool { return accuracy == "PRECISE" || accuracy == "UPPER_BOUND" }

// bytesCap is what BigQuery may bill: the smallest of the client's own limit, the rule's, and the
// estimate that was decided on, with room for BigQuery's rounding. 0 means that nobody set a limit.
func (j *judged) bytesCap(q *bigquery.QueryRequest) bigquery.BytesCap {
	limit := bigquery.BytesCap{Bytes: q.MaximumBytesBilled, Of: bigquery.CapRequest}
	lower := func(v int64, of bigquery.CapOf) {
		if v > 0 && (limit.Bytes == 0 || v < limit.Bytes) {
			limit = bigquery.BytesCap{Bytes: v, Of: of}
		}
	}
	if rule := j.decision.MaxBytes; rule > 0 {
		// Below the least that BigQuery bills, what the rule allows would fail.
		lower(max(rule, int64(len(tables(j.analysis)))*policies.TableFloor), bigquery.CapPolicy)
	}
	if j.estimate != nil && !j.estimate.Unknown { // rounded, since a request for approval shows its requester the limit
		e := policies.Estimate{Bytes: coarse.Bytes(j.estimate.Bytes)}
		lower(e.Most(len(tables(j.analysis))), bigquery.CapEstimate)
	}
	return limit
}
