package extproc

import (
	"context"
	"fmt"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/timing"
	"github.com/bqgate/bqgate/internal/verdict"
)

// documentLimit bounds answers that are read whole.
const documentLimit = 8 << 20

// document rebuilds a small answer by allow-list: a Job.
type document struct {
	service *Service
	forward *verdict.Forward
	body    []byte
	about   bigquery.JobReference
	clock   *timing.Clock
}

func (d *document) rows() uint64               { return 0 }
func (d *document) job() bigquery.JobReference { return d.about }

func (d *document) write(_ context.Context, p []byte) ([]byte, error) {
	if len(d.body)+len(p) > documentLimit {
		return nil, fmt.Errorf("the answer is larger than %d bytes", documentLimit)
	}
	d.body = append(d.body, p...)
	return nil, nil
}

func (d *document) close(ctx context.Context) ([]byte, error) {
	f := d.forward
	job, err := bigquery.ParseJob(d.body, f.Method == bigquery.MethodCancel)
	if err != nil {
		return nil, fmt.Errorf("read the job of the answer: %w", err)
	}
	d.about = job.Reference
	if f.Creates {
		d.clock.Done("mask")
		_, err := clearJob(ctx, d.service, f, job.Reference, false)
		d.clock.Done("job check")
		if err != nil {
			return nil, err
		}
	} else if err := jobs.CheckCreated(f.Record, job); err != nil {
		return nil, &mismatch{err}
	}
	if f.Method == bigquery.MethodGetJob && !f.Verified && job.State == "DONE" && job.Error == nil {
		// The answer names the result table, which Java then reads: from here on it is known to be this job's.
		if err := finish(ctx, d.service, f.Record, job, recheck(ctx, d.service, f.Record)); err != nil {
			return nil, err
		}
	}
	out, err := d.shown()
	if err != nil {
		return nil, fmt.Errorf("filter the job of the answer: %w", err)
	}
	fields, err := bigquery.ParseFieldMask(f.Fields)
	if err != nil {
		return nil, fmt.Errorf("fields of the request: %w", err)
	}
	return fields.Apply(out)
}

// shown is the job as its reader may see it: nothing but that it was stopped, where the answer is bare.
func (d *document) shown() ([]byte, error) {
	f, q := d.forward, d.forward.Record.Query
	if f.Bare {
		return bigquery.StoppedJob(bigquery.HeldJob{
			Job: f.Record.Job, SQL: q.SQL, Labels: q.Labels, Priority: q.Priority, Created: f.Record.Created,
		}), nil
	}
	return bigquery.FilterJob(d.body, bigquery.JobView{
		SQL: q.SQL, Labels: q.Labels, Sensitive: f.Plan.Sensitive, Wrapped: f.Method == bigquery.MethodCancel,
	})
}
