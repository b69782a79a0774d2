package extauthz

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/internal/unauthenticated"
	"github.com/bqgate/bqgate/policies"
)

const boundPolicy = `version: bqgate/v1
groups:
  agents: {issuer: ci, when: 'true'}
  owners: {issuer: ci, when: 'false'}
rules:
  - {name: r, groups: [agents], read: [p.finance.*], max_bytes: 10GiB, credential: reader}
approvals:
  - {name: payroll, when: 'true', reviewers: [owners]}
`

// boundWorld is a Service on parts that the test changes between the approval and the run.
type boundWorld struct {
	t          *testing.T
	s          *Service
	table      bigquery.Table
	analysis   func() *googlesql.Analysis
	set        *policies.Set
	subject    identity.Subject
	estimate   int64
	accuracy   string // of the estimate; PRECISE if empty
	project    string
	access     bigquery.RowAccess
	denied     error // what the question for row access policies ends with
	noEstimate error // what a dry run ends with

	gone        bool  // the table
	catalogDown error // what a look at the table ends with

	billed     int64             // maximumBytesBilled of the last job
	principals map[string]string // whom Google knows an account as

	inserts, mints, accessAsked int
	job                         bigquery.Job
}

func newBoundWorld(t *testing.T) *boundWorld {
	t.Helper()
	w := &boundWorld{t: t, project: "p", estimate: 1 << 30, access: bigquery.RowAccessNone}
	w.principals = map[string]string{"reader": "reader@p.iam", "other": "other@p.iam"}
	w.table = bigquery.Table{
		TableReference: bigquery.TableID{Project: "p", Dataset: "finance", Table: "payroll"}, Type: "TABLE", Location: "US",
		Schema: bigquery.Schema{Fields: []bigquery.Field{{Name: "employee", Type: "STRING"}}},
	}
	w.analysis = func() *googlesql.Analysis {
		table := w.table
		return &googlesql.Analysis{
			Statements: []googlesql.Statement{{
				Kind: "SELECT", Tables: []string{"p.finance.payroll"},
				Columns: []googlesql.Column{
					{Name: "employee", Type: "STRING",
						Sources: []googlesql.Source{{Column: "p.finance.payroll.employee", Carry: googlesql.CarryDirect}}},
				},
			}},
			Tables: map[string]*bigquery.Table{"p.finance.payroll": &table},
		}
	}
	w.policy(boundPolicy)
	w.subject = identity.Subject{
		Issuer: "https://ci.example", Name: "ci", Sub: "repo:acme/app", Owner: "run 1", Grant: "acme/app@main", People: []string{"carol"},
		Mapped: true, Workload: true,
		Issued: time.Now(), Expiry: time.Now().Add(time.Hour),
	}
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	t.Cleanup(func() { client.Close() })
	keys := sealedtest.Keyring(t, 5)
	holds, err := approvals.New(approvals.Options{Redis: client, Keys: keys, Journal: w, ConsoleURL: "https://console.example"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(holds.Close)
	w.s = &Service{Parts: Parts{
		Sessions: live{yes: true},
		Identity: w, Analyzer: w, Catalog: forAll(w), Policies: func() *policies.Set { return w.set }, Approvals: holds,
		Jobs: jobs.NewStore(client, keys), Credentials: w, Upstream: w,
		Limits: limits.New(
			nil,
		), Journal: w, Keys: keys, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Location: "US", LongPoll: time.Millisecond,
		Strangers: unauthenticated.New(w, slog.New(slog.DiscardHandler)),
		Prices:    func() Prices { return Prices{} }, Meter: NewMeter(nil),
	}}
	return w
}

func (w *boundWorld) policy(text string) {
	w.t.Helper()
	set, err := policies.LoadBytes("finance.yaml", []byte(text),
		policies.Options{Issuers: []string{"ci"}, Credentials: []string{"reader", "other"},
			Projects: map[string]string{"reader": "p", "other": "p"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.set = set
}

func (w *boundWorld) Authenticate(context.Context, []string) (identity.Subject, error) {
	return w.subject, nil
}
func (w *boundWorld) Analyze(context.Context, googlesql.Query) (*googlesql.Analysis, error) {
	return w.analysis(), nil
}
func (w *boundWorld) Rewrite(context.Context, googlesql.Query, *googlesql.Analysis, []googlesql.Transform) (*googlesql.Rewritten, error) {
	return nil, errors.New("nothing is sensitive here")
}

// forAll is one catalog for every request.
func forAll(c googlesql.Catalog) func(durable.Ask) googlesql.Catalog {
	return func(durable.Ask) googlesql.Catalog { return c }
}

func (w *boundWorld) Table(context.Context, bigquery.TableID) (*bigquery.Table, error) {
	if w.gone {
		return nil, googlesql.ErrNotFound
	}
	if w.catalogDown != nil {
		return nil, w.catalogDown
	}
	table := w.table
	return &table, nil
}
func (w *boundWorld) RowAccess(context.Context, bigquery.TableID) (bigquery.RowAccess, error) {
	w.accessAsked++
	return w.access, w.denied
}
func (w *boundWorld) Mint(context.Context, durable.Runs, credentials.Run) (credentials.Credential, error) {
	w.mints++
	return credentials.Credential{Token: credentials.Token{Account: "reader"}}, nil
}
func (w *boundWorld) Requester(string, identity.Subject) (identity.Requester, error) {
	return identity.Requester{}, nil
}
func (w *boundWorld) Principal(account string, _ identity.Requester) string {
	return w.principals[account]
}
func (w *boundWorld) DryRun(context.Context, durable.Text, bigquery.Operation) (bigquery.DryRun, error) {
	return bigquery.DryRun{TotalBytesProcessed: w.estimate, Accuracy: cmp.Or(w.accuracy, "PRECISE"), StatementType: "SELECT"}, w.noEstimate
}
func (w *boundWorld) Append(context.Context, audit.Record) (audit.Position, error) {
	return audit.Position{}, nil
}
func (w *boundWorld) ApprovalEvent(context.Context, approvals.Event) error { return nil }

func (w *boundWorld) InsertJob(_ context.Context, _ durable.Decided, _, project string, body []byte) (bigquery.Job, error) {
	w.inserts++
	var in struct {
		Configuration struct {
			Query struct {
				MaximumBytesBilled int64 `json:",string"`
			}
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		w.t.Error(err)
	}
	w.billed = in.Configuration.Query.MaximumBytesBilled
	w.job = jobMade(w.t, body, w.principals["reader"])
	return w.job, nil
}

// jobMade is the finished job that BigQuery makes of a body of jobs.insert, for an account.
func jobMade(t *testing.T, body []byte, account string) bigquery.Job {
	t.Helper()
	var in map[string]json.RawMessage
	if err := json.Unmarshal(body, &in); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"kind": "bigquery#job", "user_email": account, "jobReference": in["jobReference"], "configuration": in["configuration"],
		"status": map[string]string{"state": "DONE"}, "statistics": map[string]any{"query": map[string]string{"statementType": "SELECT"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	job, err := bigquery.ParseJob(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return job
}
func (w *boundWorld) GetJob(context.Context, durable.Facts, bigquery.JobReference) (bigquery.Job, error) {
	return w.job, nil
}

// ask sends a query.
func (w *boundWorld) ask(body map[string]any) outcome {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.call("POST", "/bigquery/v2/projects/"+w.project+"/queries", text)
}

func (w *boundWorld) call(verb, path string, body []byte) outcome {
	r := request{http: bigquery.Request{Verb: verb, Path: path, Body: body,
		Header: map[string][]string{"content-type": {"application/json"}}}}
	_, o := w.s.decide(context.Background(), w.s.arrived(r))
	return o
}

var requestIDs = regexp.MustCompile(`r-[0-9A-HJKMNP-TV-Z]{26}`)

var decisions = regexp.MustCompile(`d-[0-9A-HJKMNP-TV-Z]{26}`)

func (w *boundWorld) approve(id string) {
	w.t.Helper()
	dana := approvals.Decider{Subject: identity.Subject{Issuer: "h", Sub: "dana", People: []string{"dana"}, Mapped: true},
		Groups: []string{"owners"}}
	if _, err := w.s.Approvals.Vote(context.Background(), id, dana, approvals.Approve, "fine"); err != nil {
		w.t.Fatal(err)
	}
}

func boundQuery() map[string]any {
	return map[string]any{
		"query": "SELECT employee FROM payroll WHERE employee = @who", "useLegacySql": false, "parameterMode": "NAMED",
		"queryParameters": []any{map[string]any{"name": "who", "parameterType": map[string]any{"type": "STRING"},
			"parameterValue": map[string]any{"value": "a"}}},
		"defaultDataset": map[string]any{"projectId": "p", "datasetId": "finance"},
	}
}

// What changes, by name. Each is a part of what the reviewer approved.
var boundParts = map[string]func(w *boundWorld, query map[string]any){
	"SQL":             func(_ *boundWorld, q map[string]any) { q["query"] = q["query"].(string) + " " },
	"parameter value": func(_ *boundWorld, q map[string]any) { q["queryParameters"] = setValue(q["queryParameters"], "b") },
	"no parameters": func(_ *boundWorld, q map[string]any) {
		delete(q, "queryParameters")
		delete(q, "parameterMode")
	},
	"default dataset": func(_ *boundWorld, q map[string]any) {
		q["defaultDataset"] = map[string]any{"projectId": "p", "datasetId": "finance2"}
	},
	"no default":   func(_ *boundWorld, q map[string]any) { delete(q, "defaultDataset") },
	"grant key":    func(w *boundWorld, _ map[string]any) { w.subject.Grant = "acme/app@feature" },
	"column added": func(w *boundWorld, _ map[string]any) { w.column(bigquery.Field{Name: "salary", Type: "NUMERIC"}) },
	"column's type": func(w *boundWorld, _ map[string]any) {
		w.table.Schema.Fields = []bigquery.Field{{Name: "employee", Type: "BYTES"}}
	},
	"kind of table": func(w *boundWorld, _ map[string]any) { w.table.Type = "CLONE" },
	"lineage of a routine": func(w *boundWorld, _ map[string]any) {
		before := w.analysis
		w.analysis = func() *googlesql.Analysis {
			a := before()
			a.Statements[0].Uses = []googlesql.Use{{Column: "p.finance.payroll.employee", In: "filter"}}
			return a
		}
	},
	"byte cap":      func(w *boundWorld, _ map[string]any) { w.policy(strings.Replace(boundPolicy, "10GiB", "11GiB", 1)) },
	"credential":    func(w *boundWorld, _ map[string]any) { w.policy(strings.Replace(boundPolicy, "reader", "other", 1)) },
	"policy's text": func(w *boundWorld, _ map[string]any) { w.policy(boundPolicy + "# reviewed\n") },
}

func setValue(parameters any, value string) any {
	p := parameters.([]any)[0].(map[string]any)
	return []any{map[string]any{"name": p["name"], "parameterType": p["parameterType"], "parameterValue": map[string]any{"value": value}}}
}

func (w *boundWorld) column(f bigquery.Field) {
	w.table.Schema.Fields = append([]bigquery.Field{f}, w.table.Schema.Fields...)
}

// A request that does not wait is approved, one part of it changes, and the next try asks again.
// Unchanged, it runs, once.
func TestApprovalIsBoundToWhatWasReviewed(t *testing.T) {
	for name, change := range boundParts {
		t.Run(name, func(t *testing.T) {
			w := newBoundWorld(t)
			query := boundQuery()
			query["labels"] = map[string]any{"bqgate_wait": "no"}
			first := w.ask(query)
			id := requestIDs.FindString(string(first.body))
			if first.status != 403 || id == "" || !strings.Contains(string(first.body), "https://console.example/requests/"+id) {
				t.Fatalf("first try: %d %s", first.status, first.body)
			}
			w.approve(id)
			w.subject.Owner = "run 2"
			change(w, query)
			again := w.ask(query)
			if other := requestIDs.FindString(string(again.body)); again.status != 403 || other == "" || other == id {
				t.Fatalf("after the change: %d %s", again.status, again.body)
			}
			if w.inserts != 0 || w.mints != 0 {
				t.Fatalf("%d jobs, %d tokens", w.inserts, w.mints)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		w := newBoundWorld(t)
		query := boundQuery()
		query["labels"] = map[string]any{"bqgate_wait": "no", "team": "x"}
		w.approve(requestIDs.FindString(string(w.ask(query).body)))
		w.subject.Owner = "run 2"
		query["requestId"] = "try-2"
		job := jobOf(t, w.ask(query))
		for range 2 {
			if o := w.call("GET", fmt.Sprintf("/bigquery/v2/projects/p/queries/%s", job), nil); o.forward == nil {
				t.Fatalf("poll: %d %s", o.status, o.body)
			}
		}
		if w.inserts != 1 || w.job.Reference.JobID != job || w.job.Labels["team"] != "x" || w.job.Labels["bqgate_wait"] != "" {
			t.Fatalf("%d jobs, the last %+v", w.inserts, w.job)
		}
		w.subject.Owner, query["requestId"] = "run 3", "try-3"
		if third := w.ask(query); third.status != 403 {
			t.Fatalf("a second run on one approval: %d %s", third.status, third.body)
		}
	})
}

// A held job is approved, its tables or its policy change, and the poll that would release it is
// refused; nothing was minted or sent. Asking again asks again.
func TestReleaseChecksTheWholeDecisionAgain(t *testing.T) {
	for name, change := range boundParts {
		query := boundQuery()
		probe := newBoundWorld(t)
		change(probe, query)
		text, err := json.Marshal(query)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(boundQuery())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, plain) {
			continue // a part of the request itself, which is sealed with the hold
		}
		t.Run(name, func(t *testing.T) {
			w := newBoundWorld(t)
			job := jobOf(t, w.ask(boundQuery()))
			poll := func() outcome { return w.call("GET", "/bigquery/v2/projects/p/queries/"+job, nil) }
			if o := poll(); o.status != 200 || o.forward != nil {
				t.Fatalf("pending: %d %s", o.status, o.body)
			}
			list, err := w.s.Approvals.List(context.Background(), approvals.Filter{State: approvals.StatePending})
			if err != nil || len(list.Requests) != 1 {
				t.Fatalf("%d pending, %v", len(list.Requests), err)
			}
			w.approve(list.Requests[0].ID)
			change(w, boundQuery())
			o := poll()
			if o.forward != nil || o.status != 403 || !strings.Contains(string(o.body), "changed after the query was approved") {
				t.Fatalf("release after the change: %v %s", o, o.body)
			}
			if w.inserts != 0 || w.mints != 0 {
				t.Fatalf("%d jobs, %d tokens", w.inserts, w.mints)
			}
			if o := poll(); o.forward != nil || o.status != 403 {
				t.Fatalf("the void approval: %v %s", o, o.body)
			}
			if other := jobOf(t, w.ask(boundQuery())); other == job {
				t.Fatal("the same query again did not ask again")
			}
		})
	}
}

func jobOf(t *testing.T, o outcome) string {
	t.Helper()
	var v struct {
		JobComplete  bool
		JobReference bigquery.JobReference
	}
	if err := json.Unmarshal(o.body, &v); err != nil || o.status != 200 || v.JobComplete || v.JobReference.JobID == "" {
		t.Fatalf("not a pending job: %d %s", o.status, o.body)
	}
	return v.JobReference.JobID
}

// Two polls of one client: the second has seen no record of a job yet, and comes upon the request
// when the first has released it. It gets the job, and not the word that its approval is gone.
func TestAPollBesideTheRelease(t *testing.T) {
	w := newBoundWorld(t)
	job := jobOf(t, w.ask(boundQuery()))
	list, err := w.s.Approvals.List(t.Context(), approvals.Filter{State: approvals.StatePending})
	if err != nil || len(list.Requests) != 1 {
		t.Fatalf("%d pending, %v", len(list.Requests), err)
	}
	w.approve(list.Requests[0].ID)
	approved, held, err := w.s.Approvals.ByJob(t.Context(), w.subject.Owner, "p", "", job)
	if err != nil || approved.State != approvals.StateApproved {
		t.Fatalf("%v, %v", approved.State, err)
	}
	if o := w.call("GET", "/bigquery/v2/projects/p/queries/"+job, nil); o.forward == nil {
		t.Fatalf("first poll: %d %s", o.status, o.body)
	}
	late := func(method bigquery.Method) asked {
		n := w.s.arrived(request{})
		n.subject, n.op = w.subject, bigquery.Operation{Method: method, Job: bigquery.JobReference{ProjectID: "p", JobID: job},
			Read: &bigquery.ReadRequest{}}
		return n
	}
	for _, method := range []bigquery.Method{bigquery.MethodGetQueryResults, bigquery.MethodGetJob, bigquery.MethodCancel} {
		if o := w.poll(late(method)); o.forward == nil || o.forward.Record.Job.JobID != job {
			t.Errorf("%s after the release: %d %s", method, o.status, o.body)
		}
	}
	last := late(bigquery.MethodGetQueryResults)
	if o := w.s.conclude(t.Context(), last, ruling{then: releases{approved, held}}, nil); o.forward == nil || w.inserts != 1 {
		t.Errorf("released twice at once: %d %s, %d jobs", o.status, o.body, w.inserts)
	}
}

// poll reads a held job.
func (w *boundWorld) poll(a asked) outcome {
	r, err := w.s.readHeld(w.t.Context(), a, unknownJob(a.op.Job))
	return w.s.conclude(w.t.Context(), a, r, err)
}

// A job id is one job's, as in BigQuery: a held one and one that ran do not take it from each
// other, or a client would read the rows of the one and believe them to be the other's.
func TestAJobIDIsTakenOnce(t *testing.T) {
	w := newBoundWorld(t)
	insert := func(id, sql string) outcome {
		text, err := json.Marshal(map[string]any{
			"jobReference":  map[string]any{"projectId": "p", "jobId": id, "location": "US"},
			"configuration": map[string]any{"query": map[string]any{"query": sql, "useLegacySql": false}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return w.call("POST", "/bigquery/v2/projects/p/jobs", text)
	}
	taken := func(o outcome) bool {
		return o.forward == nil && o.status == 409 && strings.Contains(string(o.body), `"duplicate"`) && w.inserts+w.mints == 0
	}
	if o := insert("held", "SELECT employee FROM finance.payroll"); o.status != 200 || !strings.Contains(string(o.body), `"PENDING"`) {
		t.Fatalf("held: %d %s", o.status, o.body)
	}
	for _, sql := range []string{"SELECT employee FROM finance.payroll", "SELECT 1"} {
		if o := insert("held", sql); !taken(o) {
			t.Errorf("%s again while it is held: %d %s", sql, o.status, o.body)
		}
	}
	if err := w.s.Jobs.Create(t.Context(), jobs.Record{Owner: w.subject.Owner, Decision: "d-1",
		Job: bigquery.JobReference{ProjectID: "p", JobID: "ran", Location: "US"}, Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if o := insert("ran", "SELECT employee FROM finance.payroll"); !taken(o) {
		t.Errorf("held under the id of a job that ran: %d %s", o.status, o.body)
	}
	w.policy(openPolicyOf(boundPolicy))
	if o := insert("held", "SELECT employee FROM finance.payroll"); !taken(o) {
		t.Errorf("run under the id of a held job: %d %s", o.status, o.body)
	}
	w.subject.Owner = "run 2" // knows nothing of the other's jobs; BigQuery's own 409 keeps the two apart
	if o := insert("held", "SELECT employee FROM finance.payroll"); o.forward == nil {
		t.Errorf("another owner's job: %d %s", o.status, o.body)
	}
}

func openPolicyOf(policy string) string {
	return policy[:strings.Index(policy, "approvals:")]
}
