package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
)

// A subject that was revoked on one host is over on all: where it was told of, after a restart by
// each host's own journal, and without what Redis had. The same name at another issuer is not.
func TestSubjectRevokedOnAnotherHost(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	there := w.host(t)
	a, running := w.mustBegin(), there.mustBegin()
	r := revoker{sessions: a.sessions, holds: a.holds, redis: w.client, keys: w.keys, journal: a.journal}
	ended, err := r.revoke(ctx, "i", "s", Revocation{By: "operator root", Reason: "left"})
	if err != nil {
		t.Fatal(err)
	}
	if err := running.follower.catchUp(ctx); err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, l *life) {
		t.Helper()
		for name, c := range map[string]struct {
			s    identity.Subject
			over bool
		}{
			"issued before":     {identity.Subject{Issuer: "i", Sub: "s", Issued: ended.At.Add(-time.Hour)}, true},
			"issued then":       {identity.Subject{Issuer: "i", Sub: "s", Issued: ended.At}, true},
			"issued later":      {identity.Subject{Issuer: "i", Sub: "s", Issued: ended.Cutoff().Add(time.Second)}, false},
			"of another issuer": {identity.Subject{Issuer: "j", Sub: "s", Issued: ended.At.Add(-time.Hour)}, false},
			"another":           {identity.Subject{Issuer: "i", Sub: "t", Issued: ended.At.Add(-time.Hour)}, false},
		} {
			if got := l.sessions.Over(c.s); got != c.over {
				t.Errorf("%s: over is %t, want %t", name, got, c.over)
			}
		}
	}
	for name, l := range map[string]*life{
		"where it was revoked": a, "there, started again": w.mustBegin(),
		"running": running, "started again": there.mustBegin(), "new": w.host(t).mustBegin(),
	} {
		t.Run(name, func(t *testing.T) { check(t, l) })
	}
	w.client.FlushAll(ctx)
	for name, l := range map[string]*life{"running": running, "started again": there.mustBegin(), "where it was revoked": w.mustBegin()} {
		t.Run("without Redis, "+name, func(t *testing.T) { check(t, l) })
	}
}

// What cannot be told to others is in the journal, and what the journal does not take is told: each
// of them is enough, and the error says which of them failed.
func TestSubjectRevokedByHalves(t *testing.T) {
	for name, c := range map[string]struct {
		harm  func(w *world, r *revoker)
		says  string
		known func(w *world) *life
	}{
		"no journal": {func(_ *world, r *revoker) {
			r.journal = &audittest.Journal{Refuse: func(context.Context, audit.Record) error { return errors.New("disk is full") }}
		}, "not in the audit journal", func(w *world) *life { return w.host(w.t).mustBegin() }},
		"the ledger is closed": {func(w *world, r *revoker) {
			r.holds, _ = approvals.New(approvals.Options{Redis: w.client, Keys: w.keys, Journal: unrecorded{}})
			w.client.Set(w.t.Context(), "bqgate:{approvals}:head", "rubbish", 0)
		}, "replicas on other hosts could not be told", func(w *world) *life {
			w.client.Del(w.t.Context(), "bqgate:{approvals}:head")
			return w.mustBegin()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.mustBegin()
			r := revoker{sessions: a.sessions, holds: a.holds, redis: w.client, keys: w.keys, journal: a.journal}
			c.harm(w, &r)
			ended, err := r.revoke(t.Context(), "i", "s", Revocation{By: "op"})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("revoked with %v, want %q", err, c.says)
			}
			if !c.known(w).sessions.Over(identity.Subject{Issuer: "i", Sub: "s", Issued: ended.At}) {
				t.Error("nobody knows of it")
			}
		})
	}
}

// ender is a gateway that carries revocations out, with a BigQuery that only cancels.
type ender struct {
	*endings
	life *life
	mu   sync.Mutex
	// forgotten are the owners of tokens of which some were dropped.
	forgotten map[string]int
	cancelled map[string]int
	answers   map[string]func() (bigquery.Job, error)
	records   *audittest.Journal
}

func (e *ender) Forget(whose func(string) bool) {
	for _, owner := range []string{"i#sub=s&run_id=1", "i#sub=t&run_id=1", "j#sub=s&run_id=1", "i#sub=s"} {
		if whose(owner) {
			e.forgotten[owner]++
		}
	}
}

func newEnder(t *testing.T, w *world) *ender {
	t.Helper()
	e := &ender{life: w.mustBegin(), forgotten: map[string]int{}, cancelled: map[string]int{}, records: &audittest.Journal{},
		answers: map[string]func() (bigquery.Job, error){}}
	e.endings = &endings{
		sessions: e.life.sessions, tokens: e, holds: e.life.holds, jobs: jobs.NewStore(w.client, w.keys), journal: e.records,
		reports: endingReports{w.client, w.keys}, log: slog.New(slog.DiscardHandler),
		cancel: func(_ context.Context, w durable.Stop, r jobs.Record) (bigquery.Job, error) {
			durable.Because(w)
			e.mu.Lock()
			defer e.mu.Unlock()
			e.cancelled[r.Job.JobID]++
			if answer := e.answers[r.Job.JobID]; answer != nil {
				return answer()
			}
			return bigquery.Job{Reference: r.Job, State: "RUNNING"}, nil
		},
	}
	return e
}

// runs notes a job of an owner as one that was sent.
func (e *ender) runs(t *testing.T, owner, id string, issued time.Time) {
	t.Helper()
	if err := e.jobs.Create(t.Context(), jobs.Record{
		Job: bigquery.JobReference{ProjectID: "p", JobID: id, Location: "US"}, Owner: owner, Issued: issued, Decision: "d-" + id,
		Credential: "c", Created: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
}

// A revocation ends, at every gateway that learns of it, the tokens, what waits for a person and
// the jobs of the subject that may run, and of nobody else. It is told and recorded what that was,
// the jobs before they are cancelled. A second look finds what arrived meanwhile.
func TestEndings(t *testing.T) {
	w := newWorld(t)
	e := newEnder(t, w)
	ctx, issued := t.Context(), time.Now().Add(-time.Minute)
	e.runs(t, "i#sub=s&run_id=1", "running", issued)
	e.runs(t, "i#sub=s&run_id=2", "of another run", issued)
	e.runs(t, "i#sub=s&run_id=1", "done", issued)
	e.runs(t, "i#sub=s&run_id=1", "on its way", issued)
	e.runs(t, "i#sub=s&run_id=3", "later", time.Now().Add(time.Minute))
	e.runs(t, "i#sub=t&run_id=1", "of another", issued)
	e.runs(t, "j#sub=s&run_id=1", "of another issuer", issued)
	e.answers["done"] = func() (bigquery.Job, error) { return bigquery.Job{State: "DONE"}, nil }
	notYet := true
	e.answers["on its way"] = func() (bigquery.Job, error) {
		if notYet {
			return bigquery.Job{}, bigquery.ErrNotFound
		}
		return bigquery.Job{State: "RUNNING"}, nil
	}
	request, err := e.life.holds.Hold(ctx, held())
	if err != nil {
		t.Fatal(err)
	}
	r := revoker{sessions: e.life.sessions, holds: e.life.holds, redis: w.client, keys: w.keys, journal: e.life.journal}
	ended, err := r.revoke(ctx, "i", "s", Revocation{By: "operator root", Reason: "left"})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	e.due(ctx, ended.Revocation, began)

	reports, err := e.reports.read(ctx, ended.Revocation)
	if err != nil || len(reports) != 1 {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	requests, all, failed := merged(reports)
	states := map[string]string{}
	for _, j := range all {
		states[j.JobID] = j.State
	}
	if len(requests) != 1 || requests[0] != request.ID || len(failed) != 0 || len(states) != 4 || states["running"] != audit.JobCancelled ||
		states["of another run"] != audit.JobCancelled || states["done"] != audit.JobDone || states["on its way"] != audit.JobUnknown {
		t.Errorf("ended %v, %v, %v", requests, states, failed)
	}
	if now, err := e.life.holds.Get(ctx, request.ID); err != nil || now.State != approvals.StateCancelled {
		t.Errorf("the request is %s, %v", now.State, err)
	}
	if e.forgotten["i#sub=s&run_id=1"] == 0 || e.forgotten["i#sub=s"] == 0 || e.forgotten["i#sub=t&run_id=1"] != 0 ||
		e.forgotten["j#sub=s&run_id=1"] != 0 {
		t.Errorf("tokens dropped of %v", e.forgotten)
	}
	var events []string
	for _, r := range e.records.Records() {
		if s, ok := r.(audit.Session); ok {
			events = append(events, s.Event)
			if s.By != "operator root" || s.Reason != "left" || len(s.Jobs) != 4 {
				t.Errorf("record %+v", s)
			}
		}
	}
	if len(events) != 2 || events[0] != audit.SubjectEnding || events[1] != audit.SubjectEnded {
		t.Errorf("records %v", events)
	}

	// Not before its time, and then what has arrived alone.
	notYet = false
	e.due(ctx, ended.Revocation, began.Add(time.Second))
	if e.cancelled["on its way"] != 1 {
		t.Error("looked again too early")
	}
	e.due(ctx, ended.Revocation, began.Add(3*time.Second))
	if e.cancelled["on its way"] != 2 || e.cancelled["running"] != 1 || e.cancelled["later"] != 0 {
		t.Errorf("cancelled %v", e.cancelled)
	}
	// A gateway that begins later does it all again, and finds nothing.
	other := newEnder(t, w)
	other.due(ctx, ended.Revocation, time.Now())
	if len(other.cancelled) != 0 {
		t.Errorf("another gateway cancelled %v", other.cancelled)
	}
}

// Nothing is cancelled before that is recorded, and what cannot be cancelled is said.
func TestEndingsThatFail(t *testing.T) {
	w := newWorld(t)
	e := newEnder(t, w)
	ctx := t.Context()
	e.runs(t, "i#sub=s", "job", time.Now().Add(-time.Minute))
	e.answers["job"] = func() (bigquery.Job, error) { return bigquery.Job{}, errors.New("BigQuery does not answer") }
	e.records.Refuse = func(context.Context, audit.Record) error { return errors.New("disk is full") }
	r := e.life.sessions.Revocation("i", "s", time.Now())
	if done := e.end(ctx, r); len(e.cancelled) != 0 || done.Failed == "" {
		t.Errorf("without a journal: %v, %+v", e.cancelled, done)
	}
	e.records.Refuse = nil
	if done := e.end(ctx, r); len(done.Jobs) != 1 || done.Jobs[0].State != audit.JobFailed || done.Failed == "" {
		t.Errorf("%+v", done)
	}
	e.answers = nil
	if done := e.end(ctx, r); len(done.Jobs) != 1 || done.Jobs[0].State != audit.JobCancelled || done.Failed != "" {
		t.Errorf("tried again: %+v", done)
	}
}
