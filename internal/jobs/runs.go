package jobs

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
)

// A third index leads from a subject to its jobs that may run: whoever is revoked has them
// cancelled. Its entries are sealed, in a hash for each hour in which jobs began, and go when a job
// is known to be done, or when none of that hour can run any more.

// runs is how long a query can run at BigQuery, with an hour for those who are late.
// https://cloud.google.com/bigquery/quotas#query_jobs (execution time limit)
const runs = 7 * time.Hour

// Run is a job of the index of a subject.
type Run struct {
	Job        bigquery.JobReference `json:"job"`
	Owner      string                `json:"owner"`
	Issued     time.Time             `json:"issued"` // the identity token's iat that it was asked with
	Credential string                `json:"credential"`
	Requester  identity.Requester    `json:"requester,omitzero"`
	Created    time.Time             `json:"created"`
}

// Record is as much of the job's record as it takes to cancel it.
func (r Run) Record() Record {
	return Record{Job: r.Job, Owner: r.Owner, Credential: r.Credential, Requester: r.Requester}
}

func (s *Store) noteRun(ctx context.Context, r Record) (func(redis.Pipeliner), error) {
	key, field := s.runsKey(identity.SubjectOf(r.Owner), r.Created), s.runField(r.Job)
	text, err := s.keys.Seal(key+"/"+field, Run{r.Job, r.Owner, r.Issued, r.Credential, r.Requester, r.Created})
	if err != nil {
		return nil, err
	}
	return func(p redis.Pipeliner) {
		p.HSet(ctx, key, field, text)
		p.Expire(ctx, key, runs+time.Hour)
	}, nil
}

func (s *Store) noteDone(ctx context.Context, r Record) func(redis.Pipeliner) {
	key, field := s.runsKey(identity.SubjectOf(r.Owner), r.Created), s.runField(r.Job)
	return func(p redis.Pipeliner) { p.HDel(ctx, key, field) }
}

// Done takes a job that is done out of the index of its subject.
func (s *Store) Done(ctx context.Context, r Run) error {
	if err := s.redis.HDel(ctx, s.runsKey(identity.SubjectOf(r.Owner), r.Created), s.runField(r.Job)).Err(); err != nil && !wrongType(err) {
		return fmt.Errorf("note that job %s is done: %w", r.Job.JobID, err)
	}
	return nil
}

// Runs lists the jobs of a subject (identity.SubjectKey) that may run: all that it began lately and
// that are not known to be done. What is planted is passed over.
func (s *Store) Runs(ctx context.Context, subject string, now time.Time) ([]Run, error) {
	var all []Run
	for hour := now.Add(-runs).Truncate(time.Hour); !hour.After(now.Add(time.Hour)); hour = hour.Add(time.Hour) {
		key := s.runsKey(subject, hour)
		fields, err := s.redis.HGetAll(ctx, key).Result()
		if err != nil && !wrongType(err) {
			return nil, fmt.Errorf("list the jobs of a subject: %w", err)
		}
		for field, text := range fields {
			var r Run
			if s.keys.Open(key+"/"+field, text, &r) != nil || identity.SubjectOf(r.Owner) != subject {
				continue
			}
			if state, ok := s.Stood(r.Job); ok && state.State == "DONE" {
				continue
			}
			all = append(all, r)
		}
	}
	return all, nil
}

func (s *Store) runsKey(subject string, at time.Time) string {
	sum := s.keys.Name("runs", subject, strconv.FormatInt(at.Unix()/3600, 10))
	return "bqgate:runs:" + hex.EncodeToString(sum[:])
}

func (s *Store) runField(job bigquery.JobReference) string {
	sum := s.keys.Name("run", job.ProjectID, job.JobID)
	return hex.EncodeToString(sum[:16])
}
