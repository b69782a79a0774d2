package extauthz

import (
	"context"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/policies"
)

// dryRun answers a client's dry run. It is decided as the run would be, so that it tells nothing
// that the run would not (A29), and answered from the gateway's own dry run with what a client
// needs: the kind of statement, the masked result's schema, the tables, and the bytes, rounded up.
// Nothing is forwarded, and no job comes to be.
func (s *Service) dryRun(ctx context.Context, w *walk) outcome {
	if err := s.mayAsk(w, s.reach(w)); err != nil {
		return s.refuse(ctx, w, err)
	}
	if err := s.judge(ctx, w, w.op); err != nil {
		return s.refuse(ctx, w, err)
	}
	if w.decision.Effect == policies.Refuse {
		return s.refuse(ctx, w, denied(w.decision))
	}
	job := bigquery.JobReference{ProjectID: w.op.Job.ProjectID, Location: w.op.Job.Location}
	if job.Location == "" {
		job.Location = s.location(w)
	}
	w.job = job
	d := bigquery.DryRunAnswer{
		Job: job, SQL: w.op.Query.SQL, Labels: w.op.Query.Labels, Bytes: w.estimate.Bytes, Unknown: w.estimate.Unknown, Schema: planSchema(w.decision.Mask),
	}
	for _, name := range tables(w.analysis) {
		if parts := strings.SplitN(name, ".", 3); len(parts) == 3 {
			d.Tables = append(d.Tables, bigquery.TableID{Project: parts[0], Dataset: parts[1], Table: parts[2]})
		}
	}
	d.Waits = w.decision.Effect == policies.Hold
	if w.op.Method == bigquery.MethodInsert {
		return s.answer(ctx, w, bigquery.DryRunJob(d, w.started.UnixMilli()))
	}
	return s.answer(ctx, w, bigquery.DryRunQuery(d))
}
