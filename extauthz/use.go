package extauthz

import (
	"context"
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/refusal"
)

// takeUse takes one use of an approval at BigQuery, which gives a job id once, for good: the last
// guard against a second run, where Redis and all replicas have forgotten the first (A11).
//
// The query itself takes it, but for a later run on an approval whose client chose an id: clients
// look for the job that they asked for, and it keeps that. Then a job under the id of the use goes
// ahead of it, which reads nothing and costs nothing. A 409 on it is by an attempt of this same
// request that died, or the use is spent.
func (s *Service) takeUse(
	ctx context.Context, w durable.Decided, bearer string, held approvals.Held, lease approvals.Lease, labels map[string]string,
) error {
	if lease.Use == held.Job {
		return nil
	}
	op := bigquery.Operation{Method: bigquery.MethodInsert, Job: lease.Use, Query: &bigquery.QueryRequest{
		SQL: fmt.Sprintf("SELECT 1 -- bqgate: one use of the approval of request %s, by job %s", lease.Request, held.Job.JobID),
	}}
	m, err := s.Jobs.Weld(op, bigquery.Mutation{JobID: lease.Use.JobID, Location: lease.Use.Location,
		Labels: labels}, held.Decision)
	if err != nil {
		return fmt.Errorf("label the use of the approval: %w", err)
	}
	body, err := bigquery.EncodeInsert(op, m)
	if err != nil {
		return fmt.Errorf("encode the use of the approval: %w", err)
	}
	began := s.now()
	_, err = s.Upstream.InsertJob(ctx, w, bearer, lease.Use.ProjectID, body)
	var api *bigquery.APIError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &api) || api.Passes():
		return fmt.Errorf("take the use of the approval: %w", err)
	case api.Status != 409:
		return &refusal.Refusal{Status: api.Status, Reason: api.Reason, What: "BigQuery did not accept the approved query"}
	}
	taken, err := jobs.Created(ctx, w, s.Upstream, lease.Use)
	if err != nil {
		return fmt.Errorf("see who took the use of the approval: %w", err)
	}
	byThis := api.Again || taken.Created >= began.UnixMilli()
	if lease.Attempt == 1 && !byThis || taken.Labels[jobs.Label] != m.Decision {
		return usedBefore()
	}
	return nil
}

// usedBefore is the refusal of a second run of one use.
func usedBefore() *refusal.Refusal {
	return &refusal.Refusal{What: "BigQuery has run this use of the approval before",
		Remedy: "the same query again, which asks for approval again"}
}
