package jobs

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// Two indexes lead back to records: from an owner to their jobs, for jobs.list, and from a result
// table to the job that wrote it, for tabledata.list. Their entries are sealed, and lead to records
// that are sealed themselves: a planted entry leads nowhere.

// Indexed is the newest jobs of one owner that are kept in the index.
const Indexed = 1000

// Entry is a job of the index. Its record may have gone, or the job may be held and have none yet.
type Entry struct {
	JobID   string    `json:"job_id"`
	Created time.Time `json:"created"`
}

// Note puts a job into the index of its owner. Create does so by itself; it is for jobs that are
// held.
func (s *Store) Note(ctx context.Context, owner string, job bigquery.JobReference, created time.Time) error {
	note, err := s.note(ctx, owner, job, created)
	if err != nil {
		return err
	}
	cmds, err := s.redis.Pipelined(ctx, func(p redis.Pipeliner) error { note(p); return nil })
	if err != nil {
		err = s.noteAgain(ctx, cmds, note)
	}
	if err != nil {
		return fmt.Errorf("note job %s in the index of its owner: %w", job.JobID, err)
	}
	return nil
}

func (s *Store) note(ctx context.Context, owner string, job bigquery.JobReference, created time.Time) (func(redis.Pipeliner), error) {
	key := s.listKey(owner, job.ProjectID)
	text, err := s.keys.Seal(key, Entry{JobID: job.JobID, Created: created})
	if err != nil {
		return nil, err
	}
	return func(p redis.Pipeliner) {
		p.ZAdd(ctx, key, redis.Z{Score: float64(created.UnixMilli()), Member: text})
		p.ZRemRangeByRank(ctx, key, 0, -Indexed-1)
		p.Expire(ctx, key, Retention)
	}, nil
}

// List gives the owner's jobs of a project, newest first, each once.
func (s *Store) List(ctx context.Context, owner, project string) ([]Entry, error) {
	key := s.listKey(owner, project)
	texts, err := s.redis.ZRevRange(ctx, key, 0, Indexed-1).Result()
	if err != nil && !wrongType(err) {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	var all []Entry
	seen := map[string]bool{}
	for _, text := range texts {
		var e Entry
		if s.keys.Open(key, text, &e) == nil && time.Since(e.Created) < Retention {
			all = append(all, e)
		}
	}
	// A job that was held and then ran is noted twice: the time of the hold, which comes last, is
	// the one that a client knows.
	slices.SortStableFunc(all, func(a, b Entry) int { return a.Created.Compare(b.Created) })
	all = slices.DeleteFunc(all, func(e Entry) bool {
		again := seen[e.JobID]
		seen[e.JobID] = true
		return again
	})
	slices.SortStableFunc(all, func(a, b Entry) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(b.JobID, a.JobID)
	})
	return all, nil
}

// ByDestination returns the owner's job that wrote a result table, with its verification. Tables
// that no verified job of the owner wrote are ErrNotFound, whatever they hold.
func (s *Store) ByDestination(ctx context.Context, owner string, table bigquery.TableID) (Record, *Verification, error) {
	key := s.tableKey(owner, table)
	var job bigquery.JobReference
	if err := s.open(ctx, key, &job); err != nil {
		return Record{}, nil, fmt.Errorf("look up result table: %w", err)
	}
	r, v, err := s.Get(ctx, owner, job.ProjectID, job.JobID)
	switch {
	case err != nil:
		return Record{}, nil, err
	case v == nil || v.Broken != "" || v.Destination != table:
		return Record{}, nil, ErrNotFound
	default:
		return r, v, nil
	}
}

// destination lets the result table of a job that was found to be in order be read by
// ByDestination. Of two jobs with one table, which BigQuery only gives where its cache is used, the
// first keeps it.
func (s *Store) destination(r Record, v Verification) []once {
	if v.Broken != "" || v.Destination.Table == "" {
		return nil
	}
	return []once{{s.tableKey(r.Owner, v.Destination), r.Job, Retention}}
}

// Spend adds to the bytes of a job's result that have been released and returns their sum. It
// bounds how much of what is allowed is copied (A35); the sum is no secret and opens nothing that a
// plan does not.
func (s *Store) Spend(ctx context.Context, r Record, bytes int) (int64, error) {
	key := s.key(r.Owner, r.Job.ProjectID, r.Job.JobID) + ":bytes"
	var sum *redis.IntCmd
	_, err := s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		sum = p.IncrBy(ctx, key, int64(bytes))
		p.Expire(ctx, key, Retention)
		return nil
	})
	if err != nil && (wrongType(err) || strings.Contains(err.Error(), "not an integer") || strings.Contains(err.Error(), "overflow")) {
		return math.MaxInt64, nil // how much was read is lost, so that no more is
	}
	if err != nil {
		return 0, fmt.Errorf("count the bytes of job %s: %w", r.Job.JobID, err)
	}
	return sum.Val(), nil
}

func (s *Store) listKey(owner, project string) string {
	sum := s.keys.Name("jobs", owner, project)
	return "bqgate:jobs:" + hex.EncodeToString(sum[:])
}

func (s *Store) tableKey(owner string, t bigquery.TableID) string {
	sum := s.keys.Name("table", owner, t.Project, t.Dataset, t.Table)
	return "bqgate:table:" + hex.EncodeToString(sum[:])
}
