package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cause"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
)

// endings carries out, at each gateway, what the revocation of a subject means beyond its tokens
// and sessions, which are over as soon as the gateway knows: tokens of Google's in the cache are
// dropped, answers on their way broken off (identity.Sessions.Revoked does that), requests for
// approval ended and jobs cancelled at BigQuery.
//
// Every gateway does all of it, so that nothing depends on one that dies. It looks again for a
// while: what was on its way when the subject was revoked arrives later.
type endings struct {
	sessions *identity.Sessions
	tokens   forgets
	holds    *approvals.Store
	jobs     *jobs.Store
	cancel   func(ctx context.Context, w durable.Stop, r jobs.Record) (bigquery.Job, error)
	journal  durable.Journal
	reports  endingReports
	log      *slog.Logger

	carried map[string]*carried // by subject
}

type forgets interface {
	Forget(whose func(owner string) bool)
}

// carried is how far a revocation was carried out.
type carried struct {
	at     time.Time // of the revocation
	began  time.Time
	looked int
}

// looksAfter is when a gateway looks for what there is to end, counted from when it learnt of the
// revocation. The last is longer than a request takes that was let in before.
var looksAfter = []time.Duration{0, 2 * time.Second, 10 * time.Second, 30 * time.Second, 2 * time.Minute}

const (
	cancelledAtOnce = 8
	endedWithin     = 30 * time.Second // one look
)

func (e *endings) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, r := range e.sessions.Revocations() {
			e.due(ctx, r, time.Now())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.sessions.Told:
		case <-tick.C:
		}
	}
}

// due looks for what there is to end, if it is time.
func (e *endings) due(ctx context.Context, r identity.Revocation, now time.Time) {
	if e.carried == nil {
		e.carried = map[string]*carried{}
	}
	c := e.carried[r.Key()]
	if c == nil || !c.at.Equal(r.At) {
		c = &carried{at: r.At, began: now}
		e.carried[r.Key()] = c
	}
	if c.looked == len(looksAfter) || now.Sub(c.began) < looksAfter[c.looked] {
		return
	}
	c.looked++
	ctx, cancel := context.WithTimeout(ctx, endedWithin)
	defer cancel()
	if m := e.sessions.Marked(ctx, r); r.By == "" {
		r.By, r.Reason = m.By, m.Reason
	}
	done := e.end(ctx, r)
	if c.looked > 1 && len(done.Requests) == 0 && len(done.Jobs) == 0 && done.Failed == "" {
		return
	}
	e.log.Warn("a subject was revoked, and what it had is ended", "subject", r, "requests", len(done.Requests), "jobs", len(done.Jobs),
		"failed", done.Failed)
	if _, err := e.journal.Append(ctx, done); err != nil {
		e.log.Error("what was ended of a revoked subject is not recorded", "subject", r, "error", err)
	}
	if err := e.reports.add(ctx, r, done); err != nil {
		e.log.Warn("what was ended of a revoked subject is not told to whoever revoked it", "subject", r, "error", err)
	}
}

// end ends what there is, and says what that was. What cannot be ended keeps nothing else from it.
func (e *endings) end(ctx context.Context, r identity.Revocation) audit.Session {
	done := audit.Session{Event: audit.SubjectEnded, Subject: audit.Subject{Issuer: r.Issuer, Sub: r.Subject}, By: r.By, Reason: r.Reason,
		UpTo: r.At, Expires: r.Until}
	forget := func() { e.tokens.Forget(func(owner string) bool { return identity.SubjectOf(owner) == r.Key() }) }
	forget()
	over := func(issued time.Time) bool { return e.sessions.Ends(r, issued) }
	requests, all, err := e.holds.EndOf(ctx, r.Issuer, r.Subject, cmp.Or(r.By, "an operator"), r.Reason, over)
	for _, one := range requests {
		done.Requests = append(done.Requests, one.ID)
	}
	if err == nil && !all {
		e.log.Info("a query of a revoked subject is just being submitted; its job is cancelled next", "subject", r)
	}
	jobsErr := e.endJobs(ctx, r, over, &done)
	forget() // what cancelled the jobs
	if err := errors.Join(err, jobsErr); err != nil {
		done.Failed = cause.Text(err)
		e.log.Error("not all that a revoked subject has could be ended", "subject", r, "error", err)
	}
	return done
}

// endJobs cancels what may run.
func (e *endings) endJobs(ctx context.Context, r identity.Revocation, over func(time.Time) bool, done *audit.Session) error {
	all, err := e.jobs.Runs(ctx, r.Key(), time.Now())
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(run jobs.Run) bool { return !over(run.Issued) })
	if len(all) == 0 {
		return nil
	}
	ending := *done
	ending.Requests = nil
	for _, run := range all {
		ending.Jobs = append(ending.Jobs, audit.EndedJob{Job: jobOf(run.Job)})
	}
	stop, err := durable.StopJobsOf(ctx, e.journal, ending)
	if err != nil {
		return fmt.Errorf("record which jobs are to be cancelled: %w", err)
	}
	var (
		mu     sync.Mutex
		failed []error
		group  errgroup.Group
	)
	group.SetLimit(cancelledAtOnce)
	for _, run := range all {
		group.Go(func() error {
			state, err := e.endJob(ctx, stop, run)
			mu.Lock()
			defer mu.Unlock()
			done.Jobs = append(done.Jobs, audit.EndedJob{Job: jobOf(run.Job), State: state})
			if err != nil {
				failed = append(failed, fmt.Errorf("cancel job %s: %w", run.Job.JobID, err))
			}
			return nil
		})
	}
	_ = group.Wait() // no error: each is told
	slices.SortFunc(done.Jobs, func(a, b audit.EndedJob) int { return cmp.Compare(a.JobID, b.JobID) })
	return errors.Join(failed...)
}

// endJob cancels one job, and says how it stands.
func (e *endings) endJob(ctx context.Context, w durable.Stop, run jobs.Run) (state string, err error) {
	job, err := e.cancel(ctx, w, run.Record())
	var api *bigquery.APIError
	switch {
	case errors.Is(err, bigquery.ErrNotFound), errors.As(err, &api) && api.Status == 404:
		return audit.JobUnknown, nil // it may be on its way: the next look finds it
	case err != nil:
		return audit.JobFailed, err
	case job.State == "DONE" && job.Error == nil:
		state = audit.JobDone
	default:
		state = audit.JobCancelled
	}
	return state, e.jobs.Done(ctx, run)
}

func jobOf(ref bigquery.JobReference) audit.Job {
	return audit.Job{ProjectID: ref.ProjectID, JobID: ref.JobID, Location: ref.Location}
}
