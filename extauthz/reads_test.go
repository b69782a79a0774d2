package extauthz

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
)

// finishedJob is a job of the subject's that ran: under an approval where approved says so.
func finishedJob(t *testing.T, approved bool) (*boundWorld, jobs.Record) {
	t.Helper()
	w := newSeenWorld(t)
	if !approved {
		w.policy(readPolicy)
	}
	job := ""
	if approved {
		w.policy(readPolicy + needsOf("reviewers"))
		job = jobOf(t, w.ask(boundQuery()))
		w.say(w.pending(), "dana", "reviewers")
		if o := w.results(job); o.forward == nil {
			t.Fatalf("%d %s", o.status, o.body)
		}
	} else {
		o := w.ask(boundQuery())
		if o.forward == nil {
			t.Fatalf("%d %s", o.status, o.body)
		}
		r := o.forward.Record
		r.Job = bigquery.JobReference{ProjectID: "p", JobID: "j", Location: "US"}
		w.job = bigquery.Job{
			Reference: r.Job, SQL: r.Query.SQL, Labels: map[string]string{jobs.Label: r.Mutation.Decision}, State: "DONE",
			StatementType: "SELECT",
		}
		if err := w.s.Jobs.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		job = "j"
	}
	r, _, err := w.s.Jobs.Get(t.Context(), w.subject.Owner, "p", job)
	if err != nil {
		t.Fatal(err)
	}
	v := jobs.Verification{Destination: bigquery.TableID{Project: "p", Dataset: "_anon", Table: "result"}, At: time.Now()}
	if _, err := w.s.Jobs.Verify(t.Context(), r, v); err != nil {
		t.Fatal(err)
	}
	return w, r
}

const readPolicy = `version: bqgate/v1
groups:
  agents: {issuer: ci, when: '"agents" in claims.groups'}
  reviewers: {issuer: ci, when: 'false'}
  privacy: {issuer: ci, when: 'false'}
rules:
  - {name: agents, groups: [agents], read: [p.finance.*], credential: reader}
`

func needsOf(groups string) string {
	return "approvals:\n  - {name: payroll, when: 'true', reviewers: [" + groups + "]}\n"
}

// The methods that show something of a finished job, and jobs.list, which shows that there is one.
func readings(job string) map[string][2]string {
	return map[string][2]string{
		"jobs.get":             {"GET", "/bigquery/v2/projects/p/jobs/" + job},
		"jobs.getQueryResults": {"GET", "/bigquery/v2/projects/p/queries/" + job},
		"tabledata.list":       {"GET", "/bigquery/v2/projects/p/datasets/_anon/tables/result/data"},
		"tables.get":           {"GET", "/bigquery/v2/projects/p/datasets/_anon/tables/result"},
	}
}

// What happened between the run and a read, and whether the read is still one that today's rules
// allow.
var sinceTheRun = map[string]struct {
	approved bool
	since    func(*boundWorld)
	readable bool
}{
	"nothing":                     {false, func(*boundWorld) {}, true},
	"nothing, approved":           {true, func(*boundWorld) {}, true},
	"the group is gone":           {false, func(w *boundWorld) { w.in() }, false},
	"the group is gone, approved": {true, func(w *boundWorld) { w.in() }, false},
	"the table is closed": {false, func(w *boundWorld) { w.policy(strings.Replace(readPolicy, "p.finance.*", "p.crm.*", 1)) },
		false},
	"the table is not there": {false, func(w *boundWorld) { w.gone = true }, false},
	"a column is sensitive":  {false, func(w *boundWorld) { w.policy(readPolicy + sensitive) }, true},
	"another credential":     {false, func(w *boundWorld) { w.policy(strings.Replace(readPolicy, "reader", "other", 1)) }, false},
	"another credential, approved": {true, func(w *boundWorld) {
		w.policy(strings.Replace(readPolicy, "reader", "other", 1) + needsOf("reviewers"))
	}, false},
	"another account of that name":        {false, func(w *boundWorld) { w.principals["reader"] = "other@p.iam" }, false},
	"no account of that name":             {false, func(w *boundWorld) { w.principals = nil }, false},
	"a second rule of another credential": {false, func(w *boundWorld) { w.policy(withOther(readPolicy)) }, true},
	"the first rule of another credential": {false, func(w *boundWorld) {
		w.policy(strings.Replace(withOther(readPolicy), "name: agents, groups: [agents], read: [p.finance.*], credential: reader",
			"name: agents, groups: [agents], read: [p.crm.*], credential: reader", 1))
	}, false},
	"an approval is needed":          {false, func(w *boundWorld) { w.policy(readPolicy + needsOf("reviewers")) }, false},
	"an approval is not needed now":  {true, func(w *boundWorld) { w.policy(readPolicy) }, true},
	"another approval of the same":   {true, func(w *boundWorld) { w.policy(readPolicy + needsOf("reviewers") + "# again\n") }, true},
	"others must approve":            {true, func(w *boundWorld) { w.policy(readPolicy + needsOf("privacy")) }, false},
	"any of more groups may approve": {true, func(w *boundWorld) { w.policy(readPolicy + needsOf("privacy, reviewers")) }, true},
	"two must approve": {true, func(w *boundWorld) {
		w.policy(readPolicy + strings.Replace(needsOf("reviewers"), "]}", "], quorum: 2}", 1))
	}, false},
	"a second approval by others": {true, func(w *boundWorld) {
		w.policy(readPolicy + needsOf("reviewers") + "  - {name: privacy, when: 'true', reviewers: [privacy]}\n")
	}, false},
	"by a fresh login": {true, func(w *boundWorld) {
		w.policy(readPolicy + strings.Replace(needsOf("reviewers"), "]}", "], max_auth_age: 5m}", 1))
	}, false},
	"the approver is behind it": {true, func(w *boundWorld) { w.subject.People = []string{"dana"} }, false},
	"nobody knows who is":       {true, func(w *boundWorld) { w.subject.Mapped = false }, false},
	"another run":               {true, func(w *boundWorld) { w.subject.Owner = "run 2" }, false},
}

const sensitive = "columns:\n  - {match: p.finance.payroll.salary, mask: ALWAYS_NULL}\n  - {match: p.finance.payroll.employee, clear: " +
	"true}\n"

func withOther(policy string) string {
	return policy + "  - {name: more, groups: [agents], read: [p.finance.*], credential: other}\n"
}

func TestReadsOfAFinishedJobAskAgain(t *testing.T) {
	for name, c := range sinceTheRun {
		for method := range readings("") {
			t.Run(name+"/"+method, func(t *testing.T) {
				w, r := finishedJob(t, c.approved)
				before := w.mints
				c.since(w)
				how := readings(r.Job.JobID)[method]
				o := w.call(how[0], how[1], nil)
				if shown := o.forward != nil || o.status == 200; shown != c.readable {
					t.Fatalf("readable: %v, want %v: %d %s", shown, c.readable, o.status, o.body)
				}
				if !c.readable && (o.status != 403 || w.mints != before || strings.Contains(string(o.body), "employee")) {
					t.Errorf("%d tokens, %d %s", w.mints-before, o.status, o.body)
				}
				if name == "a column is sensitive" && o.forward != nil && (!o.forward.Plan.Sensitive ||
					o.forward.Plan.Columns[1].Mask != masking.AlwaysNull) {
					t.Errorf("plan %+v", o.forward.Plan)
				}
			})
		}
	}
}

// jobs.cancel goes to BigQuery whatever today's rules say: stopping shows nothing. What it answers
// is today's to say.
func TestCancelStopsWhateverTheRulesSay(t *testing.T) {
	for name, c := range sinceTheRun {
		t.Run(name, func(t *testing.T) {
			w, r := finishedJob(t, c.approved)
			c.since(w)
			o := w.call("POST", "/bigquery/v2/projects/p/jobs/"+r.Job.JobID+"/cancel", nil)
			if w.subject.Owner != r.Owner {
				if o.forward != nil || o.status != 403 {
					t.Errorf("another run's job: %d %s", o.status, o.body)
				}
				return
			}
			if o.forward == nil || o.forward.Method != bigquery.MethodCancel || !strings.Contains(o.forward.Query, "location=US") {
				t.Fatalf("not stopped: %d %s", o.status, o.body)
			}
			if o.forward.Bare == c.readable {
				t.Errorf("bare: %v, though it is readable: %v", o.forward.Bare, c.readable)
			}
			if o.forward.Bare && !o.forward.Plan.Sensitive || name == "a column is sensitive" && !o.forward.Plan.Sensitive {
				t.Errorf("an error's words pass: %+v", o.forward.Plan)
			}
		})
	}
	t.Run("nothing can be asked", func(t *testing.T) {
		w, r := finishedJob(t, false)
		w.catalogDown = errors.New("BigQuery is not there")
		o := w.call("POST", "/bigquery/v2/projects/p/jobs/"+r.Job.JobID+"/cancel", nil)
		if o.forward == nil || !o.forward.Bare {
			t.Fatalf("%v %s", o, o.body)
		}
	})
	t.Run("a job that read something else", func(t *testing.T) {
		w, r := finishedJob(t, false)
		r.Job.JobID = "k"
		if err := w.s.Jobs.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if _, err := w.s.Jobs.Verify(t.Context(), r, jobs.Verification{Broken: "it read hr.reviews"}); err != nil {
			t.Fatal(err)
		}
		if o := w.call("POST", "/bigquery/v2/projects/p/jobs/k/cancel", nil); o.forward == nil || !o.forward.Bare {
			t.Fatalf("%v %s", o, o.body)
		}
	})
}

// jobs.list says of a job why it failed only where jobs.get would.
func TestTheListTellsNoReasonThatJobsGetWouldNot(t *testing.T) {
	for name, c := range map[string]struct {
		since func(*boundWorld)
		told  bool
	}{
		"nothing":           {func(*boundWorld) {}, true},
		"a closed table":    {func(w *boundWorld) { w.policy(withOther(strings.Replace(readPolicy, "p.finance.*", "p.crm.*", 1))) }, false},
		"an account is new": {func(w *boundWorld) { w.principals = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := finishedJob(t, false)
			r.Job.JobID, r.Created = "failed", time.Now()
			if err := w.s.Jobs.Create(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			w.job.Reference, w.job.Error = r.Job, &bigquery.JobError{Reason: "invalidQuery", Message: "Bad int64 value: 123-45-6789"}
			c.since(w)
			o := w.call("GET", "/bigquery/v2/projects/p/jobs", nil)
			if o.status != 200 || !strings.Contains(string(o.body), `"failed"`) {
				t.Fatalf("%d %s", o.status, o.body)
			}
			if strings.Contains(string(o.body), "invalidQuery") != c.told || strings.Contains(string(o.body), "123-45") {
				t.Errorf("told: %s", o.body)
			}
		})
	}
}

// A page token opens for its own reader, job and method, and BigQuery's own opens nothing.
func TestPageTokensOpenTheirOwnJob(t *testing.T) {
	w, r := finishedJob(t, false)
	const token = "BEGXTEE3PMAQAAASA4EAAEEAQCAAKGQEBBSBAZBAWCXBK==="
	seal := func(r jobs.Record, method bigquery.Method) string {
		t.Helper()
		text, err := r.SealPageToken(w.s.Keys, method, token)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	other := r
	other.Job.JobID = "j2"
	theirs := r
	theirs.Owner = "run 2"
	results, table := "/bigquery/v2/projects/p/queries/j", "/bigquery/v2/projects/p/datasets/_anon/tables/result/data"
	for name, c := range map[string]struct {
		path, token string
		ok          bool
	}{
		"its own":                        {results, seal(r, bigquery.MethodGetQueryResults), true},
		"of jobs.query":                  {results, seal(r, bigquery.MethodQuery), true},
		"of jobs.query, for the table":   {table, seal(r, bigquery.MethodQuery), true},
		"the table's own":                {table, seal(r, bigquery.MethodListTableData), true},
		"the table's, for the job":       {results, seal(r, bigquery.MethodListTableData), false},
		"the job's, for the table":       {table, seal(r, bigquery.MethodGetQueryResults), false},
		"another job's":                  {results, seal(other, bigquery.MethodGetQueryResults), false},
		"another run's":                  {results, seal(theirs, bigquery.MethodGetQueryResults), false},
		"BigQuery's own":                 {results, token, false},
		"BigQuery's own, of the table":   {table, token, false},
		"cut":                            {results, seal(r, bigquery.MethodGetQueryResults)[:40], false},
		"of a listing":                   {results, listToken(t, w), false},
		"one that lists jobs, sealed so": {table, listToken(t, w), false},
	} {
		t.Run(name, func(t *testing.T) {
			o := w.call("GET", c.path+"?pageToken="+strings.ReplaceAll(c.token, "=", "%3D"), nil)
			if !c.ok {
				if o.forward != nil || o.status != 400 {
					t.Fatalf("%v %s", o, o.body)
				}
				return
			}
			if o.forward == nil || !strings.Contains(o.forward.Query, "pageToken="+strings.ReplaceAll(token, "=", "%3D")) {
				t.Fatalf("%v %s", o, o.body)
			}
		})
	}
}

func listToken(t *testing.T, w *boundWorld) string {
	t.Helper()
	text, err := w.s.Keys.Seal("page/jobs.list/"+w.subject.Owner+"/p", jobs.Entry{JobID: "j"})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A run's record keeps who approved it, and no run that needed nobody has votes.
func TestVotesAreInTheRecord(t *testing.T) {
	_, r := finishedJob(t, true)
	if len(r.Votes) != 1 || r.Votes[0].By != "dana" || r.Approval == "" {
		t.Errorf("%+v under %q", r.Votes, r.Approval)
	}
	if _, r := finishedJob(t, false); len(r.Votes) != 0 || r.Approval != "" {
		t.Errorf("%+v under %q", r.Votes, r.Approval)
	}
}
