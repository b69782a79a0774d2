package extauthz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/limits"
)

// few is a limit of one, and of next to nothing that comes back, for each kind.
func few(k limits.Kind) limits.Config {
	l := map[limits.Form]limits.Limit{
		limits.AtOnce: {AtOnce: 1}, limits.Rate: {Burst: 1, PerSecond: 0.001}, limits.PerHour: {PerHour: 1 << 20},
	}[limits.Kinds[k].Form]
	return limits.Config{k.String(): l}
}

// Each limit that a request can meet is reached by one owner, in every run of theirs (A52), and by
// none of 199 others. What is refused has no record of its own, and nothing is asked of Google.
func TestLimits(t *testing.T) {
	query := func(w *boundWorld) outcome { return w.ask(boundQuery()) }
	read := func(w *boundWorld) outcome { return w.results("j") }
	dry := func(w *boundWorld) outcome {
		q := boundQuery()
		q["dryRun"] = true
		return w.ask(q)
	}
	for k, c := range map[limits.Kind]struct {
		ask   func(*boundWorld) outcome
		spend func(w *boundWorld, owner string) // what the owner has used up before
	}{
		limits.Requests: {query, func(w *boundWorld, owner string) {
			if _, err := w.s.Limits.Begin(owner, limits.Requests); err != nil {
				t.Fatal(err)
			}
		}},
		limits.RequestRate: {query, func(w *boundWorld, _ string) { query(w) }},
		limits.Queries:     {query, func(w *boundWorld, _ string) { query(w) }}, // forwarded, and its answer is on its way
		limits.Downloads:   {read, func(w *boundWorld, _ string) { read(w) }},
		limits.Lookups:     {dry, func(w *boundWorld, _ string) { dry(w) }},
		limits.GoogleCalls: {dry, func(w *boundWorld, owner string) { w.s.Limits.Charge(owner, limits.GoogleCalls, 1) }},
		limits.RefusedStatements: {query, func(w *boundWorld, _ string) {
			w.gone, w.denied = false, bigquery.ErrRowAccessDenied
			w.policy(strings.Replace(readPolicy, "p.finance.*", "p.crm.*", 1))
			if o := query(w); o.status != 403 {
				t.Fatalf("a statement that is not allowed: %d %s", o.status, o.body)
			}
			w.policy(readPolicy)
			w.denied = nil
		}},
		limits.RecordedBytes: {query, func(w *boundWorld, owner string) { w.s.Limits.Charge(owner, limits.RecordedBytes, 2<<20) }},
	} {
		t.Run(k.String(), func(t *testing.T) {
			w, _ := finishedJob(t, false)
			journal := &audittest.Journal{}
			w.s.Journal, w.s.Limits = journal, limits.New(few(k))
			w.subject.Budget = "greedy"
			c.spend(w, "greedy")
			before := len(journal.Records())
			for run := range 3 {
				w.subject.Owner = fmt.Sprint("run ", run)
				if k == limits.Downloads {
					w.subject.Owner = "run 1" // or it has no such job
				}
				o := c.ask(w)
				if says := limits.Kinds[k]; o.forward != nil || o.status != 403 || !strings.Contains(string(o.body), says.Reason) ||
					!strings.Contains(string(o.body), "too many "+says.What) || !o.summed {
					t.Fatalf("beyond the limit, run %d: %d %s", run, o.status, o.body)
				}
			}
			for _, r := range journal.Records()[before:] {
				if u, ok := r.(audit.Unrecorded); !ok || u.Who != "" {
					t.Errorf("a record of its own: %#v", r)
				}
			}
			w.subject.Owner = "run 1"
			for i := range 199 {
				w.subject.Budget = fmt.Sprint("agent ", i)
				if o := c.ask(w); o.forward == nil && o.status != 200 {
					t.Fatalf("agent %d: %d %s", i, o.status, o.body)
				}
			}

			ended, end := context.WithCancel(t.Context())
			end()
			w.s.Summarize(ended)
			all := journal.Records()
			u, ok := all[len(all)-1].(audit.Unrecorded)
			if !ok || u.Who != "greedy" || u.Answers != 3 || u.What != durable.BeyondLimit+k.String() || u.Since.IsZero() {
				t.Errorf("the sum: %#v", all[len(all)-1])
			}
		})
	}
}

// A query counts until its answer has gone out, whoever ends that, and not where it is not
// forwarded.
func TestQueriesAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		then func(w *boundWorld, o outcome)
		full bool
	}{
		"on its way":     {func(*boundWorld, outcome) {}, true},
		"ext_proc ended": {func(w *boundWorld, o outcome) { w.s.Limits.Take("b", limits.Queries, o.forward.Decision)() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := finishedJob(t, false)
			w.subject.Budget, w.s.Limits = "b", limits.New(few(limits.Queries))
			o := w.ask(boundQuery())
			if o.forward == nil {
				t.Fatalf("%d %s", o.status, o.body)
			}
			c.then(w, o)
			if o := w.ask(boundQuery()); (o.forward == nil) != c.full {
				t.Errorf("the next: %d %s", o.status, o.body)
			}
		})
	}
	for name, spoil := range map[string]func(w *boundWorld){
		"refused":      func(w *boundWorld) { w.policy(strings.Replace(readPolicy, "p.finance.*", "p.crm.*", 1)) },
		"held":         func(w *boundWorld) { w.policy(readPolicy + needsOf("reviewers")) },
		"not recorded": func(w *boundWorld) { w.s.Journal = &audittest.Journal{Refuse: audittest.Broken(errors.New("full"))} },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := finishedJob(t, false)
			w.subject.Budget, w.s.Limits = "b", limits.New(few(limits.Queries))
			journal := w.s.Journal
			spoil(w)
			if o := w.ask(boundQuery()); o.forward != nil {
				t.Fatal("forwarded")
			}
			w.policy(readPolicy)
			w.s.Journal = journal
			if o := w.ask(boundQuery()); o.forward == nil {
				t.Errorf("the next: %d %s", o.status, o.body)
			}
		})
	}
}

// Polls that find no room to wait are answered at once, and refused where they come too fast.
func TestPollsBeyondWaits(t *testing.T) {
	w := newSeenWorld(t)
	w.policy(readPolicy + needsOf("reviewers"))
	job := jobOf(t, w.ask(boundQuery()))
	w.subject.Budget = "b"
	w.s.Limits = limits.New(limits.Config{"waits": {AtOnce: 1}, "polls": {Burst: 2, PerSecond: 0.001}})
	w.s.LongPoll = time.Hour
	if _, err := w.s.Limits.Begin("b", limits.Waits); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if o := w.results(job); o.status != 200 || !strings.Contains(string(o.body), `"jobComplete":false`) {
			t.Fatalf("poll %d: %d %s", i, o.status, o.body)
		}
	}
	if o := w.results(job); o.status != 403 || !strings.Contains(string(o.body), "rateLimitExceeded") || !o.summed {
		t.Errorf("a poll too many: %d %s", o.status, o.body)
	}
	if o := w.call("POST", "/bigquery/v2/projects/p/jobs/"+job+"/cancel", nil); o.status != 200 {
		t.Errorf("a cancel beyond the limits: %d %s", o.status, o.body)
	}
}

// A budget that is used up does not keep anybody from stopping a job.
func TestCancelBeyondLimits(t *testing.T) {
	w, _ := finishedJob(t, false)
	w.subject.Budget = "b"
	for _, k := range []limits.Kind{limits.RecordedBytes, limits.RefusedStatements, limits.Queries, limits.Downloads, limits.Lookups} {
		w.s.Limits = limits.New(few(k))
		w.s.Limits.Charge("b", k, 2<<20)
		if o := w.call("POST", "/bigquery/v2/projects/p/jobs/j/cancel", nil); o.forward == nil {
			t.Errorf("%s: %d %s", k, o.status, o.body)
		}
	}
}

// With a dead journal nobody is told of limits either.
func TestNoSumNoAnswer(t *testing.T) {
	w, _ := finishedJob(t, false)
	w.subject.Budget, w.s.Limits = "b", limits.New(few(limits.RequestRate))
	w.ask(boundQuery())
	w.s.Journal = &audittest.Journal{Refuse: audittest.Broken(errors.New("full"))}
	w.s.sums = durable.Sums{}
	if o := w.ask(boundQuery()); !o.fault {
		t.Errorf("%d %s", o.status, o.body)
	}
}

// A list of jobs asks BigQuery about few of them, and never again about one that is done.
func TestJobListAsksLittle(t *testing.T) {
	w, r := finishedJob(t, false)
	u := &countedJobs{Upstream: w.s.Upstream, job: w.job, state: "DONE"}
	w.s.Upstream = u
	const most = 40
	for i := range most {
		r := r
		r.Job.JobID = fmt.Sprint("job-", i)
		r.Created = time.Now().Add(-time.Duration(i) * time.Second)
		if err := w.s.Jobs.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	list := func(want int64) {
		t.Helper()
		before := u.calls.Load()
		o := w.call("GET", "/bigquery/v2/projects/p/jobs?maxResults=100", nil)
		if n := strings.Count(string(o.body), `"jobId"`); o.status != 200 || n < most {
			t.Fatalf("%d jobs: %d %s", n, o.status, o.body)
		}
		if got := u.calls.Load() - before; got != want {
			t.Errorf("%d calls, want %d", got, want)
		}
	}
	for range most / jobsAsked {
		list(jobsAsked)
	}
	list(0)
	list(0)
}

// countedJobs shows each job as w.job, under its own id.
type countedJobs struct {
	Upstream
	job   bigquery.Job
	state string
	calls atomic.Int64
}

func (u *countedJobs) GetJob(_ context.Context, _ durable.Facts, ref bigquery.JobReference) (bigquery.Job, error) {
	u.calls.Add(1)
	job := u.job
	job.Reference, job.State = ref, u.state
	return job, nil
}

// Statements that keep a worker until the deadline use up their owner's budget soon, whichever run
// they come in; the same number of plain mistakes does not.
func TestStatementsThatRunToTheDeadline(t *testing.T) {
	for code, most := range map[googlesql.ErrorCode]int{googlesql.ErrorDeadline: 10, googlesql.ErrorSyntax: 5000} {
		t.Run(string(code), func(t *testing.T) {
			w, _ := finishedJob(t, false)
			w.subject.Budget, w.s.Limits = "b", limits.New(limits.Config{"request_rate": {Burst: 100_000, PerSecond: 1}})
			honest := w.analysis
			w.analysis = func() *googlesql.Analysis {
				return &googlesql.Analysis{Statements: []googlesql.Statement{}, Error: &googlesql.Error{Code: code, Message: "no"}}
			}
			for i := range 20 {
				w.subject.Owner = fmt.Sprint("run ", i)
				o := w.ask(boundQuery())
				if o.summed != (i >= most) || o.forward != nil || o.status >= 500 {
					t.Fatalf("statement %d: %d %s", i, o.status, o.body)
				}
			}
			w.analysis, w.subject.Budget, w.subject.Owner = honest, "another", "run 1"
			if o := w.ask(boundQuery()); o.forward == nil {
				t.Errorf("somebody else: %d %s", o.status, o.body)
			}
		})
	}
}
