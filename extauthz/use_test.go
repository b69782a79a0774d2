package extauthz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/internal/unauthenticated"
	"github.com/bqgate/bqgate/policies"
)

// bigQuery takes each job id once, as BigQuery does: "Already Exists" is a 409.
// https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid
type bigQuery struct {
	*boundWorld
	jobs map[string]bigquery.Job
	fail []error // of the next inserts; nil lets one through
	dry  []error // of the next dry runs
}

func (u *bigQuery) DryRun(ctx context.Context, w durable.Text, op bigquery.Operation) (bigquery.DryRun, error) {
	if len(u.dry) > 0 {
		err := u.dry[0]
		u.dry = u.dry[1:]
		return bigquery.DryRun{}, err
	}
	return u.boundWorld.DryRun(ctx, w, op)
}

func (u *bigQuery) InsertJob(ctx context.Context, w durable.Decided, bearer, project string, body []byte) (bigquery.Job, error) {
	var in struct{ JobReference bigquery.JobReference }
	if err := json.Unmarshal(body, &in); err != nil {
		u.t.Error(err)
	}
	var lost error
	if len(u.fail) > 0 {
		err := u.fail[0]
		u.fail = u.fail[1:]
		var then errLostThen
		switch {
		case errors.As(err, &then):
			lost = then.error
		case errors.Is(err, errLost):
			lost = err
		case err != nil:
			return bigquery.Job{}, err
		}
	}
	key := in.JobReference.ProjectID + ":" + in.JobReference.Location + "." + in.JobReference.JobID
	if _, taken := u.jobs[key]; taken {
		return bigquery.Job{}, &bigquery.APIError{Status: 409, Reason: "duplicate"}
	}
	job, err := u.boundWorld.InsertJob(ctx, w, bearer, project, body)
	u.jobs[key] = job
	if lost != nil {
		return bigquery.Job{}, lost
	}
	return job, err
}

// errLost is an insert that was carried out and not answered; errLostThen one that was then made
// again.
var errLost = errors.New("connection reset")

type errLostThen struct{ error }

func (u *bigQuery) GetJob(_ context.Context, _ durable.Facts, ref bigquery.JobReference) (bigquery.Job, error) {
	job, ok := u.jobs[ref.ProjectID+":"+ref.Location+"."+ref.JobID]
	if !ok {
		return bigquery.Job{}, bigquery.ErrNotFound
	}
	return job, nil
}

// runs are the jobs that read the table.
func (u *bigQuery) runs() (ids []string) {
	for _, job := range u.jobs {
		if strings.Contains(job.SQL, "payroll") {
			ids = append(ids, job.Reference.JobID)
		}
	}
	return ids
}

// gatewayWorld is several hosts of one gateway, on one Redis and one BigQuery.
type gatewayWorld struct {
	*boundWorld
	upstream *bigQuery
	client   *redis.Client
	keys     *sealed.Keyring
}

func newGatewayWorld(t *testing.T, addr string) *gatewayWorld {
	t.Helper()
	w := &gatewayWorld{boundWorld: newBoundWorld(t)}
	w.upstream = &bigQuery{boundWorld: w.boundWorld, jobs: map[string]bigquery.Job{}}
	w.client = redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { w.client.Close() })
	w.keys = sealedtest.Keyring(t, 6)
	w.policy(strings.Replace(boundPolicy, "reviewers: [owners]", "reviewers: [owners], standing: {max_uses: 5, max_hours: 8}", 1))
	w.host()
	return w
}

// host makes a new host the one that is asked. It has no journal, and knows what Redis shows it.
func (w *gatewayWorld) host() {
	w.t.Helper()
	holds, err := approvals.New(approvals.Options{Redis: w.client, Keys: w.keys, Journal: w.boundWorld,
		ConsoleURL: "https://console.example", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(holds.Close)
	if err := holds.Begin(context.Background(), 0); err != nil {
		w.t.Fatal(err)
	}
	b := w.boundWorld
	b.s = &Service{Parts: Parts{
		Sessions: live{yes: true},
		Identity: b, Analyzer: b, Catalog: forAll(b), Policies: func() *policies.Set { return b.set }, Approvals: holds,
		Jobs: jobs.NewStore(w.client, w.keys), Credentials: b, Upstream: w.upstream,
		Limits: limits.New(
			nil,
		), Journal: b, Keys: w.keys, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Location: "US", LongPoll: time.Millisecond,
		Strangers: unauthenticated.New(b, slog.New(slog.DiscardHandler)),
		Prices:    func() Prices { return Prices{} }, Meter: NewMeter(nil),
	}}
}

// keep copies all of Redis; put back, it is as it was.
func (w *gatewayWorld) keep() (putBack func()) {
	ctx := context.Background()
	kept := map[string]string{}
	for _, k := range w.client.Keys(ctx, "*").Val() {
		kept[k] = w.client.Dump(ctx, k).Val()
	}
	return func() {
		w.client.FlushAll(ctx)
		for k, v := range kept {
			if err := w.client.RestoreReplace(ctx, k, 0, v).Err(); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// insert sends the query as jobs.insert under an id of the client's own, "" for none.
func (w *gatewayWorld) insert(id string, labels map[string]string) outcome {
	w.t.Helper()
	ref := map[string]any{"projectId": w.project}
	if id != "" {
		ref["jobId"] = id
	}
	text, err := json.Marshal(map[string]any{"jobReference": ref, "configuration": map[string]any{"query": boundQuery(), "labels": labels}})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.call("POST", "/bigquery/v2/projects/"+w.project+"/jobs", text)
}

// requestOf is the request for approval behind a held job.
func (w *gatewayWorld) requestOf(job string) string {
	w.t.Helper()
	r, _, err := w.s.Approvals.ByJob(context.Background(), w.subject.Owner, w.project, "", job)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.ID
}

func (w *gatewayWorld) poll(id string) outcome {
	return w.call("GET", "/bigquery/v2/projects/"+w.project+"/queries/"+id, nil)
}

func (w *gatewayWorld) approveStanding(id string) {
	w.t.Helper()
	dana := approvals.Decider{Subject: identity.Subject{Issuer: "h", Sub: "dana", People: []string{"dana"}, Mapped: true},
		Groups: []string{"owners"}}
	if _, err := w.s.Approvals.Vote(context.Background(), id, dana, approvals.Approve, "fine",
		approvals.Terms{Uses: 3, Hours: 2}); err != nil {
		w.t.Fatal(err)
	}
}

// A11: Redis, and with it everything that replicas told, is put back as it was before a run, and
// the records of its jobs with it. A host that has no journal believes it, and asks BigQuery, which
// has not forgotten: nothing runs a second time on one use.
func TestBigQueryRefusesTheSecondRun(t *testing.T) {
	noWait := map[string]string{"bqgate_wait": "no"}
	for name, c := range map[string]struct {
		first func(w *gatewayWorld) (again func(n int) outcome) // up to the run of the use
	}{
		"jobs.query": {func(w *gatewayWorld) func(int) outcome {
			id := jobOf(w.t, w.ask(boundQuery()))
			w.approve(w.requestOf(id))
			return func(int) outcome { return w.poll(id) }
		}},
		"jobs.insert without an id": {func(w *gatewayWorld) func(int) outcome {
			id := jobOf(w.t, w.insert("", nil))
			w.approve(w.requestOf(id))
			return func(int) outcome { return w.poll(id) }
		}},
		"jobs.insert under the client's id": {func(w *gatewayWorld) func(int) outcome {
			id := jobOf(w.t, w.insert("mine", nil))
			if id != "mine" {
				w.t.Fatalf("the client's job is %s", id)
			}
			w.approve(w.requestOf(id))
			return func(int) outcome { return w.poll(id) }
		}},
		"jobs.get": {func(w *gatewayWorld) func(int) outcome {
			id := jobOf(w.t, w.insert("mine", nil))
			w.approve(w.requestOf(id))
			return func(int) outcome { return w.call("GET", "/bigquery/v2/projects/p/jobs/"+id, nil) }
		}},
		"a later run of a standing approval": {func(w *gatewayWorld) func(int) outcome {
			w.approveStanding(w.requestOf(jobOf(w.t, w.insert("first", nil))))
			return func(n int) outcome {
				w.subject.Owner = fmt.Sprint("run ", n+2)
				return w.poll(jobOf(w.t, w.insert(fmt.Sprint("later-", n), nil)))
			}
		}},
		"a later run of a standing approval by jobs.query": {func(w *gatewayWorld) func(int) outcome {
			w.approveStanding(w.requestOf(jobOf(w.t, w.insert("first", nil))))
			return func(n int) outcome {
				w.subject.Owner = fmt.Sprint("run ", n+2)
				return w.poll(jobOf(w.t, w.ask(boundQuery())))
			}
		}},
		"the try after one that did not wait": {func(w *gatewayWorld) func(int) outcome {
			w.approve(requestIDs.FindString(string(w.insert("", noWait).body)))
			return func(n int) outcome {
				w.subject.Owner = fmt.Sprint("run ", n+2)
				return w.poll(jobOf(w.t, w.insert(fmt.Sprint("try-", n), nil)))
			}
		}},
		"first by jobs.query, then by jobs.insert": {func(w *gatewayWorld) func(int) outcome {
			w.approve(requestIDs.FindString(string(w.insert("", noWait).body)))
			return func(n int) outcome {
				w.subject.Owner = fmt.Sprint("run ", n+2)
				if n == 0 {
					return w.poll(jobOf(w.t, w.ask(boundQuery())))
				}
				return w.poll(jobOf(w.t, w.insert(fmt.Sprint("try-", n), nil)))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newGatewayWorld(t, redistest.Start(t))
			again := c.first(w)
			putBack := w.keep()
			if out := again(0); out.forward == nil || len(w.upstream.runs()) != 1 {
				t.Fatalf("the first run: %d %s, ran %v", out.status, out.body, w.upstream.runs())
			}
			for n := range 2 {
				putBack()
				w.host()
				out := again(n + 1)
				if out.status != 403 || !strings.Contains(string(out.body), "run this use of the approval before") ||
					len(w.upstream.runs()) != 1 {
					t.Errorf("host %d: %v %d %s, ran %v", n+2, out, out.status, out.body, w.upstream.runs())
				}
			}
		})
	}
}

// A run that died between the two jobs goes on: the use is its own.
func TestUseOfADeadAttempt(t *testing.T) {
	for name, fail := range map[string][]error{
		"before the use": {&bigquery.APIError{Status: 503, Reason: "backendError"}},
		"after the use":  {nil, &bigquery.APIError{Status: 503, Reason: "backendError"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newGatewayWorld(t, redistest.Start(t))
			w.approveStanding(w.requestOf(jobOf(t, w.insert("first", nil))))
			w.subject.Owner = "run 2"
			id := jobOf(t, w.insert("mine", nil))
			w.upstream.fail = fail
			if out := w.poll(id); !out.fault {
				t.Fatalf("%d %s", out.status, out.body)
			}
			w.host()
			if out := w.poll(id); out.forward == nil || out.forward.Record.Job.JobID != "mine" {
				t.Fatalf("tried again: %d %s", out.status, out.body)
			}
			if runs := w.upstream.runs(); len(runs) != 1 || runs[0] != "mine" || len(w.upstream.jobs) != 2 {
				t.Fatalf("ran %v, jobs %v", runs, w.upstream.jobs)
			}
		})
	}
}

// While approvals are closed, everything else goes on, and what is refused says what would pass.
func TestApprovalsClosed(t *testing.T) {
	w := newGatewayWorld(t, redistest.Start(t))
	waiting := jobOf(t, w.insert("waiting", nil))
	approved := jobOf(t, w.insert("approved", nil))
	w.approve(w.requestOf(approved))
	w.client.FlushAll(context.Background())
	refused := func(what string, out outcome) {
		t.Helper()
		if out.status != 403 || !strings.Contains(string(out.body), "bqgate: refused: approvals are closed") ||
			!strings.Contains(string(out.body), "What would pass: queries that need no approval") {
			t.Errorf("%s: %v %d %s", what, out, out.status, out.body)
		}
	}
	refused("an approved job", w.poll(approved))
	refused("a waiting job", w.poll(waiting))
	refused("jobs.query", w.ask(boundQuery()))
	refused("jobs.insert", w.insert("another", nil))
	if len(w.upstream.jobs) != 0 {
		t.Fatalf("ran %v", w.upstream.jobs)
	}
	w.policy(strings.Replace(boundPolicy, "when: 'true', reviewers", "when: 'false', reviewers", 1))
	for name, out := range map[string]outcome{"jobs.query": w.ask(boundQuery()), "jobs.insert": w.insert("free", nil),
		"jobs.insert without an id": w.insert("", nil)} {
		t.Run(name, func(t *testing.T) {
			if out.forward == nil {
				t.Errorf("%s that needs no approval: %d %s", name, out.status, out.body)
			}
		})
	}
	if out := w.call("GET", "/bigquery/v2/projects/p/jobs", nil); out.status != 200 {
		t.Errorf("jobs.list: %d %s", out.status, out.body)
	}
}
