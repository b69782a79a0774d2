package jobs

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// Upstream is the gateway's own view of a job, asked with the inspection identity.
type Upstream interface {
	GetJob(ctx context.Context, ref bigquery.JobReference) (bigquery.Job, error)
}

// ErrMismatch says that the job upstream is not the one that was decided on. Its text names both sides.
var ErrMismatch = errors.New("the job upstream is not the one that was decided on")

// CheckCreated compares a job that BigQuery says it created with the record about to be written: the label must carry this decision and the SQL
// must be the text that was forwarded. A job from another life, or of another caller, fails (A6).
func CheckCreated(r Record, job bigquery.Job) error {
	if got := job.Labels[Label]; got != LabelValue(r.Decision) {
		return fmt.Errorf("%w: label %s is %q, want %q", ErrMismatch, Label, got, LabelValue(r.Decision))
	}
	if Digest(job.SQL) != r.SQLDigest {
		return fmt.Errorf("%w: its SQL differs", ErrMismatch)
	}
	if job.Reference.JobID != r.Job.JobID || job.Reference.ProjectID != r.Job.ProjectID {
		return fmt.Errorf("%w: it is %s:%s, want %s:%s", ErrMismatch, job.Reference.ProjectID, job.Reference.JobID, r.Job.ProjectID, r.Job.JobID)
	}
	return nil
}

// CheckFinished compares what the finished job read with what the analysis named (A8).
func CheckFinished(r Record, job bigquery.Job) error {
	if err := CheckCreated(r, job); err != nil {
		return err
	}
	if job.State != "DONE" {
		return fmt.Errorf("%w: it is %s, not DONE", ErrMismatch, job.State)
	}
	if job.StatementType != "SELECT" {
		return fmt.Errorf("%w: its statementType is %q, want SELECT", ErrMismatch, job.StatementType)
	}
	return r.Reads.compare(r.Tables, job)
}

// LabelValue is the decision id as a label value may be written: lower case letters, digits, '-' and '_', at most 63 characters.
func LabelValue(decision string) string { return strings.ToLower(decision) }

// Adopt writes the record of a job that this decision created, after comparing the two, and returns the record that stands. A repeated request
// (the same requestId, so the same job) adopts the record of the first one, if it was for the same SQL and masks no less.
func (s *Store) Adopt(ctx context.Context, r Record, job bigquery.Job) (Record, error) {
	mismatch := CheckCreated(r, job)
	if mismatch == nil {
		err := s.Create(ctx, r)
		if !errors.Is(err, ErrExists) {
			return r, err
		}
	}
	standing, _, err := s.Get(ctx, r.Owner, r.Job.ProjectID, r.Job.JobID)
	if errors.Is(err, ErrNotFound) && mismatch != nil {
		return Record{}, mismatch
	}
	if err != nil {
		return Record{}, err
	}
	if err := CheckCreated(standing, job); err != nil {
		return Record{}, err
	}
	if standing.SQLDigest != r.SQLDigest || !reflect.DeepEqual(standing.Plan, r.Plan) {
		return Record{}, fmt.Errorf("%w: it was created under another plan", ErrMismatch)
	}
	if standing.Credential != r.Credential || standing.Principal != r.Principal {
		return Record{}, fmt.Errorf("%w: it was created under another account", ErrMismatch)
	}
	return standing, nil
}

// Finish compares the finished job, as the gateway's own jobs.get showed it, with its record, writes the verification and returns the one that stands. changed names what
// the analysis rested on and is not as it was, read after the job was done (A8). A job that does not agree is broken for good; one that is not DONE is an error, and nothing
// is written.
func (s *Store) Finish(ctx context.Context, r Record, job bigquery.Job, changed []string) (Verification, error) {
	if job.State != "DONE" {
		return Verification{}, fmt.Errorf("job %s is %s, not DONE", r.Job.JobID, job.State)
	}
	v := Verification{At: time.Now().UTC(), Destination: job.DestinationTable}
	if err := CheckFinished(r, job); err != nil {
		v.Broken = err.Error()
	} else if len(changed) > 0 {
		v.Broken = fmt.Sprintf("%v: changed since it was decided on: %s", ErrMismatch, strings.Join(changed, " "))
	}
	return s.Verify(ctx, r, v)
}
