package extauthz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/refusal"
)

const (
	jobsDefault = 50 // jobs in a page, as at Google
	jobsMost    = 100
	jobsLooked  = 200 // jobs looked at for one page
	jobsAtOnce  = 8   // of them at the same time
	jobsAsked   = 8   // of them for which BigQuery is asked
)

// listJobs answers jobs.list from the gateway's own records: the owner's jobs, those that wait for
// a person among them, and nobody else's.
func (s *Service) listJobs(ctx context.Context, a asked) (ruling, error) {
	if err := s.mayAsk(a, s.reach(a)); err != nil {
		return ruling{}, err
	}
	list, next, err := s.ownJobs(ctx, a)
	return ruling{then: answers{body: bigquery.JobList(list, next)}}, err
}

func (s *Service) ownJobs(ctx context.Context, a asked) ([]bigquery.JobSummary, string, error) {
	l, project := a.op.List, a.op.Job.ProjectID
	all, err := s.Jobs.List(ctx, a.subject.Owner, project)
	if err != nil {
		return nil, "", err
	}
	purpose := "page/jobs.list/" + a.subject.Owner + "/" + project
	if l.PageToken != "" {
		var last jobs.Entry
		if err := s.Keys.Open(purpose, l.PageToken, &last); err != nil {
			return nil, "", &refusal.Refusal{Status: 400, Reason: "invalid", What: "the pageToken is not one that this listing gave you"}
		}
		all = slices.DeleteFunc(all, func(e jobs.Entry) bool {
			return e.Created.After(last.Created) || e.Created.Equal(last.Created) && e.JobID >= last.JobID
		})
	}
	all = slices.DeleteFunc(all, func(e jobs.Entry) bool {
		ms := e.Created.UnixMilli()
		return l.After != nil && ms < *l.After || l.Before != nil && ms > *l.Before
	})
	limit := jobsDefault
	if l.MaxResults != nil && *l.MaxResults > 0 {
		limit = int(min(*l.MaxResults, jobsMost))
	}
	var shown []bigquery.JobSummary
	var looks atomic.Int64
	for i := 0; i < len(all); {
		if i >= jobsLooked || len(shown) == limit {
			next, err := s.Keys.Seal(purpose, all[i-1])
			return shown, next, err
		}
		batch := all[i:min(len(all), i+min(jobsAtOnce, limit-len(shown)))]
		found, err := s.summaries(ctx, a, batch, &looks)
		if err != nil {
			return nil, "", err
		}
		for _, j := range found {
			if j.State != "" && (len(l.States) == 0 || slices.Contains(l.States, j.State)) {
				shown = append(shown, j)
			}
		}
		i += len(batch)
	}
	return shown, "", nil
}

// summaries says of each job how it stands. One that is not known any more has no state.
func (s *Service) summaries(ctx context.Context, a asked, batch []jobs.Entry, looks *atomic.Int64) ([]bigquery.JobSummary, error) {
	out := make([]bigquery.JobSummary, len(batch))
	g, ctx := errgroup.WithContext(ctx)
	for i, e := range batch {
		g.Go(func() (err error) {
			out[i], err = s.summary(ctx, a, e, looks)
			return err
		})
	}
	return out, g.Wait()
}

func (s *Service) summary(ctx context.Context, a asked, e jobs.Entry, looks *atomic.Int64) (bigquery.JobSummary, error) {
	record, verified, err := s.Jobs.Get(ctx, a.subject.Owner, a.op.Job.ProjectID, e.JobID)
	if errors.Is(err, jobs.ErrNotFound) {
		return s.heldSummary(ctx, a, e)
	}
	if err != nil {
		return bigquery.JobSummary{}, err
	}
	q := record.Query
	sum := bigquery.JobSummary{HeldJob: bigquery.HeldJob{Job: record.Job, SQL: q.SQL, Labels: q.Labels, Priority: q.Priority,
		Created: e.Created}, State: "DONE"}
	if verified != nil {
		sum.Ended = verified.At
		return sum, nil
	}
	state, err := s.stands(ctx, a, record, looks)
	if err != nil || state.State == "" {
		return bigquery.JobSummary{}, err
	}
	sum.State, sum.Ended = state.State, state.Ended
	if state.Failed != "" && s.mayKnow(ctx, a, record) {
		sum.Reason = state.Failed
	}
	return sum, nil
}

// stands is how a job stands, as far as is known: it is remembered, and few of those that were not
// done when last seen are looked at for one list. The others stand as they did then.
func (s *Service) stands(ctx context.Context, a asked, record jobs.Record, looks *atomic.Int64) (jobs.State, error) {
	state, known := s.Jobs.Stood(record.Job)
	if known && state.Fresh(time.Now()) || looks.Add(1) > jobsAsked {
		if !known {
			state.State = "RUNNING" // it was made, and nobody has seen its end
		}
		return state, nil
	}
	facts, err := a.ask.Facts(ctx)
	if err != nil {
		return state, err
	}
	job, err := s.Upstream.GetJob(ctx, facts, record.Job)
	switch {
	case errors.Is(err, bigquery.ErrNotFound):
		s.Jobs.SawNone(record.Job)
	case err != nil:
		return state, fmt.Errorf("look at job %s: %w", record.Job.JobID, err)
	case jobs.CheckCreated(record, job) != nil:
		s.Jobs.SawNone(record.Job)
	default:
		s.Jobs.Saw(record.Job, job)
	}
	state, _ = s.Jobs.Stood(record.Job)
	return state, nil
}

// mayKnow says whether today's policy would let jobs.get tell how a job ended: why one failed
// depends on what it read.
func (s *Service) mayKnow(ctx context.Context, a asked, record jobs.Record) bool {
	a.op.Method = bigquery.MethodGetJob
	_, err := s.judgeAgain(ctx, a, record)
	return err == nil
}

func (s *Service) heldSummary(ctx context.Context, a asked, e jobs.Entry) (bigquery.JobSummary, error) {
	r, held, err := s.Approvals.ByJob(ctx, a.subject.Owner, a.op.Job.ProjectID, "", e.JobID)
	if errors.Is(err, approvals.ErrNotFound) || errors.Is(err, approvals.ErrRolledBack) {
		return bigquery.JobSummary{}, nil // while approvals are closed nobody can tell how held jobs stand
	}
	if err != nil {
		return bigquery.JobSummary{}, err
	}
	q := held.Operation.Query
	sum := bigquery.JobSummary{HeldJob: bigquery.HeldJob{Job: held.Job, SQL: q.SQL, Labels: q.Labels, Priority: q.Priority,
		Created: r.Created}, State: "DONE", Reason: "accessDenied"}
	switch r.State {
	case approvals.StatePending, approvals.StateApproved:
		sum.State, sum.Reason = "PENDING", ""
	case approvals.StateCancelled:
		sum.Reason = "stopped"
	}
	return sum, nil
}
