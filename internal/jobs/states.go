package jobs

import (
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cache"
)

const (
	statesKept = 20_000 // jobs whose state is remembered; some 5 MB
	stateFresh = 5 * time.Second
)

// State is how a job stood when the gateway last saw it, for lists of jobs.
type State struct {
	State  string // PENDING, RUNNING or DONE; "" for a job that is not there, or not the one of the record
	Ended  time.Time
	Failed string // the reason of its error; "" without one
	seen   time.Time
}

// Fresh says that there is no need to look again: a job that is DONE stays so.
func (s State) Fresh(now time.Time) bool {
	return s.State == "DONE" || now.Before(s.seen.Add(stateFresh))
}

// Saw remembers how a job of a record stands. job is that of the record (CheckCreated).
func (s *Store) Saw(ref bigquery.JobReference, job bigquery.Job) {
	state := State{State: job.State, seen: time.Now()}
	if job.Ended > 0 {
		state.Ended = time.UnixMilli(job.Ended)
	}
	if job.Error != nil {
		state.Failed = job.Error.Reason
	}
	s.remember(ref, state)
}

// SawNone remembers for a moment that BigQuery has no such job, or another one.
func (s *Store) SawNone(ref bigquery.JobReference) { s.remember(ref, State{seen: time.Now()}) }

func (s *Store) remember(ref bigquery.JobReference, state State) {
	s.states.Put(ref, state, state.seen.Add(Retention))
}

// Stood is how a job stood when it was last seen.
func (s *Store) Stood(ref bigquery.JobReference) (State, bool) {
	return s.states.Get(ref, time.Now())
}

func newStates() *cache.Cache[bigquery.JobReference, State] {
	return cache.New[bigquery.JobReference, State](statesKept)
}
