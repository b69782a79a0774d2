package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
)

// Upstream is the gateway's own view of a job, asked with the inspection identity.
type Upstream interface {
	GetJob(ctx context.Context, w durable.Facts, ref bigquery.JobReference) (bigquery.Job, error)
}

// ErrMismatch says that the job upstream is not the one that was decided on. Its text names both
// sides.
var ErrMismatch = errors.New("the job upstream is not the one that was decided on")

// CheckCreated compares a job that BigQuery says it created with the record about to be written:
// the label must carry this decision and the SQL must be the text that was forwarded. A job from
// another life, or of another caller, fails (A6).
func CheckCreated(r Record, job bigquery.Job) error {
	if got := job.Labels[Label]; got != r.label() {
		return fmt.Errorf("%w: label %s is %q, want %q", ErrMismatch, Label, got, r.label())
	}
	if Digest(job.SQL) != r.SQLDigest {
		return fmt.Errorf("%w: its SQL differs", ErrMismatch)
	}
	if job.Reference.JobID != r.Job.JobID || job.Reference.ProjectID != r.Job.ProjectID {
		return fmt.Errorf("%w: it is %s:%s, want %s:%s", ErrMismatch, job.Reference.ProjectID, job.Reference.JobID, r.Job.ProjectID,
			r.Job.JobID)
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
	return r.Reads.compare(r.Tables, job, r.rowFiltered(), nil, nil)
}

// LabelValue is the decision id as a label value may be written: lower case letters, digits, '-'
// and '_', at most 63 characters.
func LabelValue(decision string) string { return strings.ToLower(decision) }

// label is the label that the job carries. Records from before labels had a MAC hold the id alone.
func (r Record) label() string { return cmp.Or(r.Mutation.Decision, LabelValue(r.Decision)) }

// checkWhole says whether a job is the one that was forwarded, in everything: its label is good for
// this request alone, the account of the decision ran it, and its whole configuration is what was
// forwarded. Somebody who may make jobs directly can copy a label, an id and the SQL (A48).
func checkWhole(r Record, job bigquery.Job) error {
	if err := CheckCreated(r, job); err != nil {
		return err
	}
	if !ranBy(r.Principal, job) {
		return fmt.Errorf("%w: another account ran it", ErrMismatch)
	}
	if r.Mutation.Decision == "" {
		return fmt.Errorf("%w: what was forwarded is not known", ErrMismatch)
	}
	if err := job.Configured(r.Query, r.Mutation); err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	return nil
}

const (
	federated        = "principal://" // of a principal in a workload identity pool
	ofServiceAccount = ".gserviceaccount.com"
)

// ranBy says whether a principal ran a job, letter by letter: the `sub` of a federated one may
// differ from another's in case alone. A service account is known by its address (user_email). A
// federated principal has none: it is named in principal_subject, "populated for both first- and
// third-party identities", and what else stands in user_email is no service account.
// https://cloud.google.com/bigquery/docs/reference/rest/v2/Job
func ranBy(principal string, job bigquery.Job) bool {
	switch {
	case principal == "":
		return false
	case strings.HasPrefix(principal, federated):
		return job.Principal == principal && !strings.HasSuffix(job.UserEmail, ofServiceAccount)
	default:
		return job.UserEmail == principal && !strings.HasPrefix(job.Principal, federated)
	}
}

// Adopt writes the record of a job, after comparing the two in everything, and returns the record
// that stands. A request that was sent again adopts the record that its first answer has written.
func (s *Store) Adopt(ctx context.Context, r Record, job bigquery.Job) (Record, error) {
	if err := checkWhole(r, job); err != nil {
		return Record{}, err
	}
	s.Saw(r.Job, job)
	err := s.keep(ctx, r)
	if !errors.Is(err, ErrExists) {
		return r, err
	}
	standing, _, err := s.Get(ctx, r.Owner, r.Job.ProjectID, r.Job.JobID)
	if err != nil {
		return Record{}, err
	}
	if standing.Decision != r.Decision || standing.label() != r.label() {
		return Record{}, fmt.Errorf("%w: another decision has a job of this id", ErrMismatch)
	}
	return standing, nil
}

// ErrLost says that a query ran whose client cannot name it, so that it finds it at no later try,
// and that the record could not be written without which nobody reads its result.
var ErrLost = errors.New("the query ran, and the record without which its result cannot be read could not be written")

// keptWithin bounds how long a record is tried to be written of a job that runs already.
const keptWithin = 2500 * time.Millisecond

// keep is Create of a job that runs already, which is worth more than one try: a Redis that was
// away for a moment makes nobody's query run twice.
func (s *Store) keep(ctx context.Context, r Record) error {
	ctx, cancel := context.WithTimeout(ctx, keptWithin)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause *= 2 {
		err := s.Create(ctx, r)
		if err == nil || errors.Is(err, ErrExists) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// Finish compares the finished job, as the gateway's own jobs.get showed it, with its record,
// writes the verification and returns the one that stands. changed names the tables and routines of
// the analysis that were found changed after the job was done (A8). A job that does not agree is
// unreadable for good; one that is not DONE, or cannot be compared (*Uncertain), is an error, and
// nothing is written.
func (s *Store) Finish(ctx context.Context, ask durable.Ask, r Record, job bigquery.Job, changed []string) (Verification, error) {
	if job.State != "DONE" {
		return Verification{}, fmt.Errorf("job %s is %s, not DONE", r.Job.JobID, job.State)
	}
	v := Verification{At: time.Now().UTC(), Destination: job.DestinationTable}
	switch err := s.settle(ctx, ask, r, job); {
	case errors.Is(err, ErrMismatch):
		v.Broken = err.Error()
	case len(changed) > 0:
		v.Broken = fmt.Sprintf("%v: changed since it was decided on: %s", ErrMismatch, strings.Join(changed, " "))
	case err != nil:
		return Verification{}, err
	}
	return s.Verify(ctx, r, v)
}
