package extproc

import (
	"bytes"
	"context"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

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

	unreadable error // why a body cannot be read, should there be one
	made       bool  // BigQuery gave no body, and the gateway made one
}

func (d *document) rows() uint64               { return 0 }
func (d *document) job() bigquery.JobReference { return d.about }

func (d *document) write(_ context.Context, p []byte) ([]byte, error) {
	if len(d.body)+len(p) > documentLimit {
		return nil, strange(fmt.Errorf("the answer is larger than %d bytes", documentLimit), aboutJob)
	}
	d.body = append(d.body, p...)
	return nil, nil
}

func (d *document) close(ctx context.Context) ([]byte, error) {
	f := d.forward
	if f.Method == bigquery.MethodCancel && len(bytes.TrimSpace(d.body)) == 0 {
		return d.stopped(ctx)
	}
	if d.unreadable != nil {
		return nil, d.unreadable
	}
	job, err := bigquery.ParseJob(d.body, f.Method == bigquery.MethodCancel)
	if err != nil {
		return nil, d.unread(fmt.Errorf("read the job of the answer: %w", err))
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
	} else {
		d.service.saw(ctx, f.Record, job)
	}
	if f.Method == bigquery.MethodGetJob && !f.Verified && job.State == "DONE" && job.Error == nil {
		// The answer names the result table, which Java then reads: from here on it is known to be
		// this job's.
		if err := finish(ctx, d.service, f, f.Record, job, recheck(ctx, d.service, f.Witness(), f.Record)); err != nil {
			return nil, err
		}
	}
	return d.shown(job)
}

// stopped is the answer to jobs.cancel for which BigQuery gave a status and no body. Clients read
// the job in it, so the gateway asks for the job; where it gets none, the job's names and that it
// was running are all that is told.
func (d *document) stopped(ctx context.Context) ([]byte, error) {
	record := d.forward.Record
	d.about, d.made = record.Job, true
	job, err := d.service.Upstream.GetJob(ctx, d.forward.Witness(), record.Job)
	if err != nil {
		d.service.Log.Warn("a job was cancelled, and cannot be read", "decision", d.forward.Decision, "error", err)
		return d.shown(bigquery.Job{Reference: record.Job, Priority: record.Query.Priority, State: "RUNNING",
			Created: record.Created.UnixMilli()})
	}
	if err := jobs.CheckCreated(record, job); err != nil {
		return nil, &mismatch{err}
	}
	return d.shown(job)
}

// unread tells an answer that is whole, and no job that is understood, from one that came broken.
func (d *document) unread(err error) error {
	if jsontext.Value(d.body).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return strange(err, aboutJob)
	}
	return err
}

// shown is the job as its reader may see it: nothing but that it was stopped, where the answer is
// bare.
func (d *document) shown(job bigquery.Job) ([]byte, error) {
	out, err := d.view(job)
	if err != nil {
		return nil, d.unread(fmt.Errorf("filter the job of the answer: %w", err))
	}
	fields, err := bigquery.ParseFieldMask(d.forward.Fields)
	if err != nil {
		return nil, fmt.Errorf("fields of the request: %w", err)
	}
	return fields.Apply(out)
}

func (d *document) view(job bigquery.Job) ([]byte, error) {
	f, q := d.forward, d.forward.Record.Query
	if f.Bare {
		return bigquery.StoppedJob(bigquery.HeldJob{
			Job: f.Record.Job, SQL: q.SQL, Labels: q.Labels, Priority: q.Priority, Created: f.Record.Created,
		}), nil
	}
	return bigquery.ShowJob(job, bigquery.JobView{
		SQL: q.SQL, Labels: q.Labels, Cap: f.Record.Cap, Sensitive: f.Plan.Sensitive, Wrapped: f.Method == bigquery.MethodCancel,
	})
}
