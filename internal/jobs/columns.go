package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/masking"
)

// NoteColumns keeps what an answer with a schema said of columns whose names, or types, only
// BigQuery knows (masking.Plan.Open), once: other answers about the job have no schema.
func (s *Store) NoteColumns(ctx context.Context, r Record, columns []masking.Column) error {
	err := s.putOnce(ctx, s.columnsKey(r), columns, nil)
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// Shown is a plan for the job of the record, with the names and types that BigQuery gave to its
// columns. Where no answer has told of them yet it is the plan as it was.
func (s *Store) Shown(ctx context.Context, r Record, plan masking.Plan) (masking.Plan, error) {
	if !plan.Open() {
		return plan, nil
	}
	key := s.columnsKey(r)
	var columns []masking.Column
	switch err := s.open(ctx, key, &columns); {
	case errors.Is(err, ErrNotFound):
		return plan, nil
	case err != nil:
		return masking.Plan{}, fmt.Errorf("columns of job %s: %w", r.Job.JobID, err)
	}
	return plan.Shown(columns)
}

// Break ends the readability of a job, also where it was found to be in order before: an answer
// about it was not what was planned, and one without a schema would not show that.
func (s *Store) Break(ctx context.Context, r Record, why string) error {
	key := s.key(r.Owner, r.Job.ProjectID, r.Job.JobID) + ":verified"
	text, err := s.keys.Seal(key, Verification{Broken: why, At: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := s.redis.Set(ctx, key, text, Retention).Err(); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

func (s *Store) columnsKey(r Record) string {
	return s.key(r.Owner, r.Job.ProjectID, r.Job.JobID) + ":columns"
}
