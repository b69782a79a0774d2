package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/sealedtest"
)

// asked is a request that makes a job: an operation, and the draft of its record.
type asked struct {
	op    bigquery.Operation
	draft jobs.Record
}

// byQuery is jobs.query with a requestId, byInsert jobs.insert with a job id, byRelease the
// gateway's own insert.
func byQuery() asked {
	n, ms := uint32(10), int64(5000)
	return asking(bigquery.Operation{Method: bigquery.MethodQuery, Job: bigquery.JobReference{ProjectID: "demo"},
		Query: &bigquery.QueryRequest{
			SQL: sql, RequestID: "0b8b2e1c", MaxResults: &n, TimeoutMs: &ms, Labels: map[string]string{"team": "x"},
		}})
}

func byInsert() asked {
	return asking(bigquery.Operation{
		Method: bigquery.MethodInsert, Job: bigquery.JobReference{ProjectID: "demo", JobID: "job-one-of-alice", Location: "US"},
		Query: &bigquery.QueryRequest{SQL: sql},
	})
}

func byRelease() asked {
	a := byQuery()
	a.draft.Job = bigquery.JobReference{ProjectID: "demo", JobID: "bqgate_1", Location: "US"}
	a.draft.Mutation.JobID, a.draft.Mutation.Location = "bqgate_1", "US"
	return a
}

func asking(op bigquery.Operation) asked {
	return asked{op, record(func(r *jobs.Record) {
		r.Job, r.Query, r.Mutation = op.Job, *op.Query, bigquery.Mutation{MaximumBytesBilled: 1000}
		r.Reads.Digests = map[string]string{"demo.crm.customers": "1"}
	})}
}

// sent is what leaves for BigQuery.
func (a asked) sent(t *testing.T, b jobs.Begun) string {
	t.Helper()
	encode := bigquery.Encode
	if a.draft.Mutation.JobID != "" {
		encode = bigquery.EncodeInsert
	}
	body, err := encode(a.op, b.Record.Mutation)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// begin takes a request as far as its leaving.
func (a asked) begin(t *testing.T, w world) jobs.Begun {
	t.Helper()
	b, err := w.Begin(t.Context(), a.op, a.draft)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Stand(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// later is the same request under a new decision, with changes.
func (a asked) later(changes ...func(*asked)) asked {
	q := *a.op.Query
	a.op.Query = &q
	a.draft.Decision, a.draft.Created = "d-02", a.draft.Created.Add(time.Minute)
	for _, change := range changes {
		change(&a)
	}
	a.draft.Query = *a.op.Query
	return a
}

var names = map[string]func() asked{"jobs.query": byQuery, "jobs.insert": byInsert, "a release": byRelease}

func TestARequestThatIsSentAgainIsTheFirstOneByteForByte(t *testing.T) {
	for name, of := range names {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t), of()
			first := a.begin(t, w)
			again := a.later()
			if name == "a release" {
				again.draft.Decision = a.draft.Decision // of the hold, in every attempt
			}
			second := again.begin(t, w)
			if first.Again || !second.Again || second.Record.Decision != "d-01ABC" || !second.Record.Created.Equal(first.Record.Created) {
				t.Errorf("again %v and %v, under decision %s of %s", first.Again, second.Again, second.Record.Decision,
					second.Record.Created)
			}
			if one, two := a.sent(t, first), again.sent(t, second); one != two {
				t.Errorf("sent\n%s, then\n%s", one, two)
			}
			if third := again.begin(t, w); third.Record.Decision != "d-01ABC" {
				t.Errorf("a third time under decision %s", third.Record.Decision)
			}
		})
	}
}

// How long a client waits, and in which form it takes an answer, is not of the job.
func TestTheFormOfAnAnswerIsNotOfTheRequest(t *testing.T) {
	w, a := newWorld(t), byQuery()
	first := a.begin(t, w)
	second := a.later(func(a *asked) {
		ms := int64(9000)
		a.op.Query.TimeoutMs, a.op.Query.MaxResults, a.op.Query.Format.UseInt64Timestamp = &ms, nil, true
	}).begin(t, w)
	if !second.Again || !reflect.DeepEqual(second.Record.Mutation, first.Record.Mutation) {
		t.Errorf("%+v, want %+v again", second.Record.Mutation, first.Record.Mutation)
	}
}

func TestAnotherRequestIsANewOne(t *testing.T) {
	changes := map[string]func(*asked){
		"another owner":   func(a *asked) { a.draft.Owner = "bob" },
		"another project": func(a *asked) { a.op.Job.ProjectID, a.draft.Job.ProjectID = "other", "other" },
		"other SQL":       func(a *asked) { a.op.Query.SQL = "SELECT 1" },
		"parameters":      func(a *asked) { a.op.Query.Parameters = []byte(`[{"name":"a"}]`) },
		"a default dataset": func(a *asked) {
			a.op.Query.DefaultDataset = &bigquery.DatasetReference{ProjectID: "demo", DatasetID: "hr"}
		},
		"a label":      func(a *asked) { a.op.Query.Labels = map[string]string{"team": "y"} },
		"a limit":      func(a *asked) { a.op.Query.MaximumBytesBilled = 5 },
		"a time limit": func(a *asked) { a.op.Query.JobTimeoutMs = 5 },
		"another id": func(a *asked) {
			a.op.Query.RequestID = "other"
			if a.op.Job.JobID != "" {
				a.op.Job.JobID, a.draft.Job.JobID = "other", "other"
			}
		},
	}
	for name, of := range map[string]func() asked{"jobs.query": byQuery, "jobs.insert": byInsert} {
		for what, change := range changes {
			t.Run(name+"/"+what, func(t *testing.T) {
				w, a := newWorld(t), of()
				first := a.begin(t, w)
				b := a.later(change).begin(t, w)
				if b.Again || b.Record.Decision != "d-02" || b.Record.Mutation.Decision == first.Record.Mutation.Decision {
					t.Errorf("taken for the first request: %+v", b.Record.Mutation)
				}
				if name == "jobs.query" && b.Record.Mutation.RequestID == first.Record.Mutation.RequestID {
					t.Error("the same requestId leaves for BigQuery (A6)")
				}
			})
		}
	}
}

func TestTheRequestIDOfAClientNeverLeaves(t *testing.T) {
	w, a := newWorld(t), byQuery()
	b := a.begin(t, w)
	if id := b.Record.Mutation.RequestID; id == "" || id == a.op.Query.RequestID || len(id) > 36 {
		t.Errorf("requestId %q leaves, want one of at most 36 characters that is not the client's", id)
	}
}

// What can be named by nobody is not sent again, and nothing is kept of it.
func TestARequestWithoutANameIsNotKept(t *testing.T) {
	for name, of := range map[string]func() asked{"jobs.query": byQuery, "jobs.insert": byInsert} {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t), of()
			a.op.Query.RequestID, a.op.Job.JobID, a.draft.Job.JobID = "", "", ""
			first, second := a.begin(t, w), a.later().begin(t, w)
			if second.Again || first.Record.Mutation.Decision == second.Record.Mutation.Decision {
				t.Error("two requests without a name were taken for one")
			}
			if keys := w.redis.Keys(t.Context(), "*").Val(); len(keys) > 0 {
				t.Errorf("kept: %q", keys)
			}
		})
	}
}

// Today's decision is the stricter one: the request is not sent again as it was.
func TestWhatIsStricterTodayIsNotSentAgain(t *testing.T) {
	for name, change := range map[string]func(*asked){
		"another account":                 func(a *asked) { a.draft.Credential = "other" },
		"the account is another identity": func(a *asked) { a.draft.Principal = "other@demo.iam.gserviceaccount.com" },
		"its tables are masked now": func(a *asked) {
			a.draft.Mutation.SQL, a.draft.SQLDigest = "SELECT 'X'", jobs.Digest("SELECT 'X'")
		},
		"a table changed": func(a *asked) { a.draft.Reads.Digests = map[string]string{"demo.crm.customers": "2"} },
		"fewer bytes":     func(a *asked) { a.draft.Mutation.MaximumBytesBilled = 999 },
		"another shape":   func(a *asked) { a.draft.Plan.Columns = append(a.draft.Plan.Columns, a.draft.Plan.Columns[0]) },
	} {
		for method, of := range names {
			t.Run(method+"/"+name, func(t *testing.T) {
				w, a := newWorld(t), of()
				a.begin(t, w)
				again := a.later(change)
				if method == "a release" {
					again.draft.Decision = a.draft.Decision
				}
				if b, err := w.Begin(t.Context(), again.op, again.draft); !errors.Is(err, jobs.ErrOtherwise) {
					t.Errorf("%+v, %v; want ErrOtherwise", b.Record.Mutation, err)
				}
			})
		}
	}
	unbounded := byQuery()
	unbounded.draft.Mutation.MaximumBytesBilled = 0
	w := newWorld(t)
	unbounded.begin(t, w)
	bounded := unbounded.later(func(a *asked) { a.draft.Mutation.MaximumBytesBilled = 1 << 40 })
	if _, err := w.Begin(t.Context(), bounded.op, bounded.draft); !errors.Is(err, jobs.ErrOtherwise) {
		t.Errorf("a limit where there was none: %v, want ErrOtherwise", err)
	}
}

// Of the first decision and today's, the stricter bounds what is shown, whichever it is.
func TestTheStricterDecisionBoundsTheAnswer(t *testing.T) {
	masked := masking.Plan{Sensitive: true, Columns: []masking.Column{{Name: "ssn", Type: "STRING", Mask: masking.LastFourCharacters}}}
	shown := masking.Plan{Sensitive: true, Columns: []masking.Column{{Name: "ssn", Type: "STRING", Mask: masking.Clear}}}
	for name, c := range map[string]struct{ first, now masking.Plan }{"then": {masked, shown}, "now": {shown, masked}} {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t), byQuery()
			a.draft.Plan, a.draft.MaxRows, a.draft.MaxResultBytes = c.first, 10, 0
			a.begin(t, w)
			b := a.later(func(a *asked) { a.draft.Plan, a.draft.MaxRows, a.draft.MaxResultBytes = c.now, 5, 70 }).begin(t, w)
			if b.Plan.Columns[0].Mask != masking.LastFourCharacters || b.MaxRows != 5 || b.MaxResultBytes != 70 {
				t.Errorf("mask %v, %d rows, %d bytes; want the masked column, 5 and 70", b.Plan.Columns[0].Mask, b.MaxRows,
					b.MaxResultBytes)
			}
		})
	}
	w, a := newWorld(t), byQuery()
	a.begin(t, w)
	if b := a.later(func(a *asked) { a.draft.Mutation.MaximumBytesBilled = 0 }).begin(t, w); b.Record.Mutation.MaximumBytesBilled != 1000 {
		t.Errorf("the first limit became %d", b.Record.Mutation.MaximumBytesBilled)
	}
}

// After BigQuery's window a requestId is a new request; a job id is good once.
func TestARequestIDIsKnownForItsWindow(t *testing.T) {
	if jobs.Window >= 15*time.Minute {
		t.Errorf("the window is %s: BigQuery's own is 15 minutes", jobs.Window)
	}
	for name, c := range map[string]struct {
		of   func() asked
		kept time.Duration
	}{"jobs.query": {byQuery, jobs.Window}, "jobs.insert": {byInsert, jobs.Retention}} {
		t.Run(name, func(t *testing.T) {
			w, a, ctx := newWorld(t), c.of(), t.Context()
			first := a.begin(t, w)
			keys := w.redis.Keys(ctx, "bqgate:provisional:*").Val()
			if len(keys) != 1 {
				t.Fatalf("%q", keys)
			}
			if left := w.redis.PTTL(ctx, keys[0]).Val(); left > c.kept || left < c.kept-time.Minute {
				t.Errorf("kept for %s, want %s", left, c.kept)
			}
			w.redis.Del(ctx, keys[0]) // the time is over
			b := a.later().begin(t, w)
			if b.Again || b.Record.Decision != "d-02" || a.op.Method == bigquery.MethodQuery &&
				b.Record.Mutation.RequestID == first.Record.Mutation.RequestID {
				t.Errorf("not a new request: %+v", b.Record.Mutation)
			}
		})
	}
}

// trips counts the exchanges with Redis, but those of a connection that begins.
type trips struct{ n int }

func (c *trips) count(cmds ...redis.Cmder) {
	if name := cmds[0].Name(); name != "hello" && name != "client" {
		c.n++
	}
}

func (c *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { c.count(cmd); return next(ctx, cmd) }
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { c.count(cmds...); return next(ctx, cmds) }
}

// TestTripsOfABeginning: to see whether a request was sent before takes an exchange with Redis, and
// its record another one, before it leaves. Bounding what it may bill takes none.
func TestTripsOfABeginning(t *testing.T) {
	for name, c := range map[string]struct {
		asked asked
		trips int
	}{"query": {byQuery(), 2}, "insert": {byInsert(), 2}, "release": {byRelease(), 2}, "without a name": {asking(bigquery.Operation{
		Method: bigquery.MethodQuery, Job: bigquery.JobReference{ProjectID: "demo"}, Query: &bigquery.QueryRequest{SQL: sql},
	}), 1}} {
		t.Run(name, func(t *testing.T) {
			w, a, ctx := newWorld(t), c.asked, t.Context()
			if err := w.Takes(ctx); err != nil { // a script is loaded once
				t.Fatal(err)
			}
			counted := &trips{}
			w.redis.AddHook(counted)
			begun, err := w.Begin(ctx, a.op, a.draft)
			if err != nil {
				t.Fatal(err)
			}
			uncapped := begun.Record.Mutation
			a.draft.Mutation.MaximumBytesBilled = 500
			if begun, err = w.Capped(a.op, begun, a.draft); err != nil {
				t.Fatal(err)
			}
			if m := begun.Record.Mutation; m.MaximumBytesBilled != 500 || m.Decision == uncapped.Decision ||
				m.RequestID != uncapped.RequestID {
				t.Errorf("the label is not of what is sent: %+v, before %+v", m, uncapped)
			}
			if err := w.Stand(ctx, begun); err != nil || counted.n != c.trips {
				t.Errorf("%d exchanges, want %d; %v", counted.n, c.trips, err)
			}
			if c.trips == 1 || name == "release" { // no other decision sends it
				return
			}
			again := a.later().begin(t, w)
			if !again.Again || !reflect.DeepEqual(again.Record.Mutation, begun.Record.Mutation) {
				t.Errorf("sent again it is %+v, was %+v", again.Record.Mutation, begun.Record.Mutation)
			}
			if _, err := w.Capped(a.op, again, a.draft); err == nil {
				t.Error("what is sent again was changed")
			}
		})
	}
	if err := newWorld(t).Stand(t.Context(), jobs.Begun{}); err == nil {
		t.Error("what was not begun stands")
	}
}

// Two hosts get the same request at once: one of them sends it.
func TestOneOfTwoBeginsARequest(t *testing.T) {
	w, a, ctx := newWorld(t), byQuery(), t.Context()
	one, err := w.Begin(ctx, a.op, a.draft)
	if err != nil {
		t.Fatal(err)
	}
	two, err := w.Begin(ctx, a.op, a.later().draft)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Stand(ctx, two); err != nil {
		t.Fatal(err)
	}
	if err := w.Stand(ctx, one); !errors.Is(err, jobs.ErrRace) {
		t.Errorf("both stand: %v, want ErrRace", err)
	}
	if b := a.begin(t, w); b.Record.Decision != "d-02" {
		t.Errorf("decision %s stands, want d-02", b.Record.Decision)
	}
}

// A48: labels are read in JOBS by others, who can copy them. Each is good for one request.
func TestALabelIsGoodForOneRequest(t *testing.T) {
	w := newWorld(t)
	a := byInsert()
	weld := func(store *jobs.Store, change func(*asked)) string {
		t.Helper()
		a := a.later(change)
		m, err := store.Weld(a.op, a.draft.Mutation, a.draft.Decision)
		if err != nil {
			t.Fatal(err)
		}
		return m.Decision
	}
	decision := func(a *asked) { a.draft.Decision = "d-01J9ZK4T7QABCDEFGHJKMNPQRS" }
	same := weld(w.Store, decision)
	if again := weld(w.Store, decision); again != same {
		t.Errorf("%s, then %s", same, again)
	}
	if !strings.HasPrefix(same, "d-01j9zk4t7qabcdefghjkmnpqrs-") || !regexp.MustCompile(`^[a-z0-9_-]{1,63}$`).MatchString(same) {
		t.Errorf("%q, want the decision at its beginning, and at most 63 characters of [a-z0-9_-]", same)
	}
	keys := sealedtest.Keyring(t, 8)
	labels := map[string]string{same: "the request", weld(jobs.NewStore(w.redis, keys), decision): "another gateway"}
	for name, change := range map[string]func(*asked){
		"another decision": func(a *asked) { a.draft.Decision = "d-01J9ZK4T7QABCDEFGHJKMNPQRT" },
		"another job":      func(a *asked) { a.op.Job.JobID = "job2" },
		"another project":  func(a *asked) { a.op.Job.ProjectID = "other" },
		"another location": func(a *asked) { a.op.Job.Location = "EU" },
		"other SQL":        func(a *asked) { a.op.Query.SQL = "SELECT 1" },
		"other masks":      func(a *asked) { a.draft.Mutation.SQL = "SELECT 1 " },
		"another limit":    func(a *asked) { a.draft.Mutation.MaximumBytesBilled = 5 },
		"a default dataset": func(a *asked) {
			a.op.Query.DefaultDataset = &bigquery.DatasetReference{ProjectID: "demo", DatasetID: "hr"}
		},
		"the gateway's id": func(a *asked) { a.draft.Mutation.JobID = "job2" },
	} {
		t.Run(name, func(t *testing.T) {
			got := weld(w.Store, func(a *asked) { decision(a); change(a) })
			if other, seen := labels[got]; seen {
				t.Errorf("%s has the label of %s", name, other)
			}
			labels[got] = name
		})
	}
}

// bigQuery knows some jobs, and nothing of them for the first asks.
type bigQuery struct {
	job    *bigquery.Job
	unsure int // how often it says first that it has no job
	brief  int // how often it says first that there is one, and nothing of it
	err    error
	asked  []bigquery.JobReference
}

func (u *bigQuery) GetJob(_ context.Context, _ durable.Facts, ref bigquery.JobReference) (bigquery.Job, error) {
	u.asked = append(u.asked, ref)
	switch {
	case u.err != nil:
		return bigquery.Job{}, u.err
	case u.job == nil, len(u.asked) <= u.unsure:
		return bigquery.Job{}, &bigquery.APIError{Status: 404, Reason: "notFound"}
	case len(u.asked) <= u.brief:
		return bigquery.Job{Reference: u.job.Reference, State: "PENDING"}, nil
	}
	return *u.job, nil
}

// A job that has just begun may be told without its configuration and its account: that is not
// another job.
func TestAJobThatIsNotToldWholeYet(t *testing.T) {
	ctx := t.Context()
	w, a := newWorld(t), byInsert()
	made := a.made(t, a.begin(t, w))
	up := &bigQuery{job: made, brief: 2}
	r, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), up, "alice", a.op.Job)
	if err != nil || r.Job.JobID != a.op.Job.JobID || len(up.asked) != 3 {
		t.Errorf("%v after %d requests: %v", r.Job, len(up.asked), err)
	}
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	w, a = newWorld(t), byInsert()
	a.begin(t, w)
	if _, err := w.Recover(short, durabletest.Decided(t, "d-1"), &bigQuery{job: made, brief: 99}, "alice", a.op.Job); err == nil ||
		errors.Is(err, jobs.ErrMismatch) || errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("%v, want a fault that passes", err)
	}
}

// made is the job that BigQuery makes of what was sent.
func (a asked) made(t *testing.T, b jobs.Begun) *bigquery.Job {
	t.Helper()
	var body struct {
		JobReference  json.RawMessage `json:"jobReference"`
		Configuration json.RawMessage `json:"configuration"`
	}
	if err := json.Unmarshal([]byte(a.sent(t, b)), &body); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"kind": "bigquery#job", "jobReference": body.JobReference, "configuration": body.Configuration, "user_email": account,
		"status": map[string]string{"state": "RUNNING"},
	})
	if err != nil {
		t.Fatal(err)
	}
	job, err := bigquery.ParseJob(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return &job
}

// The answer to jobs.insert was lost, and the client asks for the job.
func TestAJobWhoseAnswerWasLostIsRecovered(t *testing.T) {
	ctx := t.Context()
	ref := bigquery.JobReference{ProjectID: "demo", JobID: "job-one-of-alice"}
	t.Run("under the first decision", func(t *testing.T) {
		w, a := newWorld(t), byInsert()
		first := a.begin(t, w)
		a.later().begin(t, w)
		a.later(func(a *asked) { a.op.Query.SQL = "SELECT 1" }).begin(t, w) // another request of the same id, which came too late
		up := &bigQuery{job: a.made(t, first), unsure: 2}
		r, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), up, "alice", ref)
		if err != nil || r.Decision != "d-01ABC" || r.Query.SQL != sql {
			t.Fatalf("%+v, %v", r, err)
		}
		if got, _, err := w.Get(ctx, "alice", "demo", "job-one-of-alice"); err != nil || got.Decision != "d-01ABC" {
			t.Errorf("the record of %s stands, %v", got.Decision, err)
		}
		if len(up.asked) != 3 || up.asked[0].Location != "US" {
			t.Errorf("BigQuery was asked for %v: want it asked again while it does not know the job, where it was asked for", up.asked)
		}
	})
	t.Run("where its tables are", func(t *testing.T) {
		w, a := newWorld(t), byInsert()
		a.op.Job.Location, a.draft.Job.Location, a.draft.Located = "", "", "europe-west3"
		up := &bigQuery{job: a.made(t, a.begin(t, w))}
		if _, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), up, "alice", ref); err != nil || up.asked[0].Location != "europe-west3" {
			t.Errorf("%v, asked for %v", err, up.asked)
		}
	})
	for name, c := range map[string]struct {
		owner  string
		change func(*bigquery.Job)
		asks   bool
		is     error // beside ErrNotFound
	}{
		"not for another owner": {owner: "bob"},
		"not with the label of another decision": {"alice", func(j *bigquery.Job) {
			j.Labels = map[string]string{jobs.Label: "d-01abc-ffffffffffffffffffffffffffffffff"}
		}, true, jobs.ErrMismatch},
		"not without a label":    {"alice", func(j *bigquery.Job) { j.Labels = nil }, true, jobs.ErrMismatch},
		"not with other SQL":     {"alice", func(j *bigquery.Job) { j.SQL = "SELECT 1" }, true, jobs.ErrMismatch},
		"not of another account": {"alice", func(j *bigquery.Job) { j.UserEmail = "mallory@x" }, true, jobs.ErrMismatch},
		"not with another configuration": {"alice", func(j *bigquery.Job) {
			j.Configuration = []byte(strings.Replace(string(j.Configuration), `"query":{`,
				`"query":{"defaultDataset":{"projectId":"demo","datasetId":"hr"},`, 1))
		}, true, jobs.ErrMismatch},
		"not under another id": {"alice", func(j *bigquery.Job) { j.Reference.JobID = "j2" }, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t), byInsert()
			job := a.made(t, a.begin(t, w))
			if c.change != nil {
				c.change(job)
			}
			up := &bigQuery{job: job}
			r, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), up, c.owner, ref)
			if err == nil || c.is != nil && (!errors.Is(err, c.is) || !errors.Is(err, jobs.ErrNotFound)) || c.asks != (len(up.asked) > 0) {
				t.Errorf("%+v, %v, asked %v", r, err, up.asked)
			}
			if _, _, err := w.Get(ctx, "alice", "demo", "job-one-of-alice"); !errors.Is(err, jobs.ErrNotFound) {
				t.Errorf("a record was left behind: %v", err)
			}
		})
	}
	t.Run("not where BigQuery has none", func(t *testing.T) {
		w, a := newWorld(t), byInsert()
		a.begin(t, w)
		if _, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), &bigQuery{}, "alice", ref); !errors.Is(err, jobs.ErrNotYet) ||
			!errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("%v, want ErrNotYet", err)
		}
	})
	t.Run("not where BigQuery does not say", func(t *testing.T) {
		w, a := newWorld(t), byInsert()
		a.begin(t, w)
		if _, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), &bigQuery{err: &bigquery.APIError{Status: 503}}, "alice",
			ref); err == nil || errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("%v, want a fault", err)
		}
	})
	t.Run("not a job that nobody asked for", func(t *testing.T) {
		w := newWorld(t)
		j := job()
		up := &bigQuery{job: &j}
		if _, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), up, "alice", ref); !errors.Is(err, jobs.ErrNotFound) ||
			len(up.asked) > 0 {
			t.Errorf("%v, asked %v; want ErrNotFound, and nothing asked of BigQuery", err, up.asked)
		}
	})
	t.Run("not of a release, which ends with its own outcome", func(t *testing.T) {
		w, a := newWorld(t), byRelease()
		up := &bigQuery{job: a.made(t, a.begin(t, w))}
		if _, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), up, "alice", a.draft.Job); !errors.Is(err, jobs.ErrNotFound) ||
			len(up.asked) > 0 {
			t.Errorf("%v, asked %v", err, up.asked)
		}
	})
}

// Who writes Redis can plant, copy and alter provisional records: they lead nowhere (A11).
func TestPlantedProvisionalRecordsLeadNowhere(t *testing.T) {
	w, a, ctx := newWorld(t), byInsert(), t.Context()
	b := a.begin(t, w)
	bobs := a.later(func(a *asked) { a.draft.Owner, a.draft.Plan = "bob", masking.Plan{} })
	bobs.begin(t, w)
	keys := append(w.redis.Keys(ctx, "bqgate:provisional:*").Val(), w.redis.Keys(ctx, "bqgate:provisionals:*").Val()...)
	if len(keys) != 4 {
		t.Fatalf("%q", keys)
	}
	for _, key := range keys {
		if strings.Contains(key, "alice") || strings.Contains(key, "job-one") {
			t.Errorf("Redis shows a name in %s", key)
		}
	}
	one, two := w.redis.Get(ctx, keys[0]).Val(), w.redis.Get(ctx, keys[1]).Val()
	w.redis.Set(ctx, keys[0], two, 0)
	w.redis.Set(ctx, keys[1], one, 0)
	all := append(w.redis.SMembers(ctx, keys[2]).Val(), w.redis.SMembers(ctx, keys[3]).Val()...)
	for _, index := range keys[2:] {
		w.redis.SAdd(ctx, index, all[0], all[1], "planted", `"bqgate:provisional:x"`)
	}
	up := &bigQuery{job: a.made(t, b)}
	for _, owner := range []string{"alice", "bob"} {
		if r, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), up, owner, a.op.Job); err == nil {
			t.Errorf("%s got %+v", owner, r)
		}
	}
	if got, err := w.Begin(ctx, a.op, a.later().draft); err == nil {
		t.Errorf("a copied record was sent again: %+v", got)
	}
}

// A48: somebody who may make jobs at BigQuery has read our label, job id and SQL, and makes the job
// first, with something else in it. Neither the answer to the owner's own request nor a read of the
// job adopts it.
func TestAJobMadeDirectlyIsNotAdopted(t *testing.T) {
	ctx := t.Context()
	for name, change := range map[string]func(configuration, query map[string]any){
		"another default dataset": func(_, q map[string]any) {
			q["defaultDataset"] = map[string]string{"projectId": "demo", "datasetId": "hr"}
		},
		"an external table": func(_, q map[string]any) {
			q["tableDefinitions"] = map[string]any{
				"customers": map[string]any{"sourceFormat": "CSV", "sourceUris": []string{"gs://evil/x"}},
			}
		},
		"a destination": func(_, q map[string]any) {
			q["destinationTable"] = map[string]string{"projectId": "demo", "datasetId": "evil", "tableId": "t"}
		},
		"a destination that looks anonymous": func(_, q map[string]any) {
			q["destinationTable"] = map[string]string{"projectId": "demo", "datasetId": "evil",
				"tableId": "anonfbbe65d6_9782_469b_9f56_1392560314b2"}
		},
		"parameters": func(_, q map[string]any) {
			q["parameterMode"], q["queryParameters"] = "POSITIONAL",
				[]any{map[string]any{"parameterType": map[string]string{"type": "INT64"},
					"parameterValue": map[string]string{"value": "1"}}}
		},
		"a function of a script": func(_, q map[string]any) {
			q["userDefinedFunctionResources"] = []any{map[string]string{"inlineCode": "x"}}
		},
		"a session": func(_, q map[string]any) {
			q["connectionProperties"] = []any{map[string]string{"key": "session_id", "value": "s"}}
		},
		"a moved project": func(_, q map[string]any) {
			q["connectionProperties"] = []any{map[string]string{"key": "dataset_project_id", "value": "evil"}}
		},
		"a new session":      func(_, q map[string]any) { q["createSession"] = true },
		"no limit of bytes":  func(_, q map[string]any) { delete(q, "maximumBytesBilled") },
		"a higher limit":     func(_, q map[string]any) { q["maximumBytesBilled"] = "1001" },
		"appending":          func(_, q map[string]any) { q["writeDisposition"] = "WRITE_APPEND" },
		"the cache":          func(_, q map[string]any) { q["useQueryCache"] = true },
		"legacy SQL":         func(_, q map[string]any) { delete(q, "useLegacySql") },
		"a reservation":      func(c, _ map[string]any) { c["reservation"] = "projects/evil/locations/US/reservations/r" },
		"a label more":       func(c, _ map[string]any) { c["labels"].(map[string]any)["team"] = "evil" },
		"an unknown member":  func(_, q map[string]any) { q["newThing"] = map[string]any{} },
		"a member beside it": func(c, _ map[string]any) { c["newThing"] = false },
		"the names of others": func(_, q map[string]any) {
			q["systemVariables"] = map[string]any{"values": map[string]string{"dataset_id": "hr"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, a := newWorld(t), byInsert()
			b := a.begin(t, w)
			job := a.made(t, b)
			var configuration map[string]any
			if err := json.Unmarshal(job.Configuration, &configuration); err != nil {
				t.Fatal(err)
			}
			change(configuration, configuration["query"].(map[string]any))
			text, err := json.Marshal(map[string]any{
				"kind": "bigquery#job", "jobReference": job.Reference, "configuration": configuration, "user_email": account,
				"status": map[string]string{"state": "DONE"},
			})
			if err != nil {
				t.Fatal(err)
			}
			altered, err := bigquery.ParseJob(text, false)
			if err != nil {
				t.Fatal(err)
			}
			if altered.Labels[jobs.Label] != job.Labels[jobs.Label] || altered.SQL != job.SQL {
				t.Fatal("the attacker's job is not one with our label and SQL")
			}
			if _, err := w.Adopt(ctx, b.Record, altered); !errors.Is(err, jobs.ErrMismatch) {
				t.Errorf("the answer to the owner's request adopts it: %v", err)
			}
			if _, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), &bigQuery{job: &altered}, "alice", a.op.Job); !errors.Is(err,
				jobs.ErrMismatch) || !errors.Is(err, jobs.ErrNotFound) {
				t.Errorf("a read adopts it: %v", err)
			}
			if _, _, err := w.Get(ctx, "alice", "demo", "job-one-of-alice"); !errors.Is(err, jobs.ErrNotFound) {
				t.Errorf("a record was left behind: %v", err)
			}
			if _, err := w.Recover(ctx, durabletest.Decided(t, "d-1"), &bigQuery{job: job}, "alice", a.op.Job); err != nil {
				t.Errorf("the job itself is not adopted: %v", err)
			}
		})
	}
}
