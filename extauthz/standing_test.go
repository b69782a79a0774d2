package extauthz

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/verdict"
)

const agedPolicy = `version: bqgate/v1
groups:
  agents: {issuer: ci, when: 'true'}
rules:
  - {name: r, groups: [agents], read: [p.finance.*], max_bytes: 10GiB, credential: reader, for: 10m}
  - {name: web, groups: [agents], read: [p.web.*], credential: reader, for: 30m}
`

// text is what a denied client reads.
func text(out *authv3.CheckResponse) string { return out.GetDeniedResponse().GetBody() }

// job lets the world have run a query, and gives its record.
func (p *parts) ran(t *testing.T, project string) {
	t.Helper()
	record := jobs.Record{
		Job: bigquery.JobReference{ProjectID: project, Location: "US", JobID: "j"}, Owner: p.subject.Owner, Decision: "d-1",
		Query: bigquery.QueryRequest{SQL: "SELECT employee FROM finance.payroll"}, Analysis: *p.boundWorld.analysis(),
		Tables:     []string{"p.finance.payroll"},
		Plan:       masking.Plan{Columns: []masking.Column{{Name: "employee", Type: "STRING", Mask: masking.Clear}}},
		Credential: "reader", Principal: "reader@p.iam", Created: time.Now(),
		RowAccess: map[string]bigquery.RowAccess{"p.finance.payroll": bigquery.RowAccessNone},
	}
	record.SQLDigest = jobs.Digest(record.Query.SQL)
	job := bigquery.Job{Reference: record.Job, SQL: record.Query.SQL, Labels: map[string]string{jobs.Label: jobs.LabelValue("d-1")},
		StatementType: "SELECT", State: "DONE"}
	p.boundWorld.job = job
	if err := p.s.Jobs.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
}

// Access ends with the token's age for every method, also in the middle of paging; only stopping a
// job is not a matter of access.
func TestEveryMethodEndsWithTheTokensAge(t *testing.T) {
	const path = "/bigquery/v2/projects/p"
	for name, c := range map[string]struct {
		verb, path, body string
		always           bool
	}{
		"query": {"POST", path + "/queries", plainQuery, false},
		"insert": {"POST", path + "/jobs",
			`{"configuration": {"query": {"query": "SELECT employee FROM finance.payroll", "useLegacySql": false}}}`, false},
		"dry run": {"POST", path + "/queries",
			`{"query": "SELECT employee FROM finance.payroll", "useLegacySql": false, "dryRun": true}`, false},
		"first page":  {"GET", path + "/queries/j", "", false},
		"next page":   {"GET", path + "/queries/j?startIndex=7&maxResults=5", "", false},
		"job":         {"GET", path + "/jobs/j", "", false},
		"cancel":      {"POST", path + "/jobs/j/cancel", "", true},
		"jobs":        {"GET", path + "/jobs", "", true}, // rules on web still run
		"table":       {"GET", path + "/datasets/finance/tables/payroll", "", false},
		"rows of it":  {"GET", path + "/datasets/finance/tables/payroll/data", "", false},
		"dataset":     {"GET", path + "/datasets/finance", "", false},
		"of projects": {"GET", "/bigquery/v2/projects", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParts(t)
			p.policy(agedPolicy)
			p.s.Metadata, p.s.Journal = listsNothing{}, p.boundWorld
			clock := time.Now()
			p.s.Now = func() time.Time { return clock }
			p.ran(t, "p")
			ask := func() (passed bool, says string) {
				out := p.check(t.Context(), c.verb, c.path, c.body, bearer)
				return out.GetOkResponse() != nil || out.GetDeniedResponse().GetStatus().GetCode() == 200, text(out)
			}
			clock = p.subject.Issued.Add(11 * time.Minute) // its minute for clocks is not over yet
			if passed, says := ask(); !passed && name != "rows of it" {
				t.Errorf("before: %s", says)
			}
			clock = clock.Add(time.Second)
			if passed, says := ask(); passed != c.always || !passed && !strings.Contains(says, "accessDenied") {
				t.Errorf("after: passed %v, %s", passed, says)
			}
			clock = p.subject.Issued.Add(32 * time.Minute) // no rule is left
			passed, says := ask()
			if passed != (name == "cancel") || !passed && !strings.Contains(says, "ends 30m0s after the identity token was issued") {
				t.Errorf("after all rules: passed %v, %s", passed, says)
			}
		})
	}
}

// listsNothing is a BigQuery that has nothing.
type listsNothing struct{}

func (listsNothing) GetDataset(_ context.Context, _ durable.Facts, ref bigquery.DatasetReference) (bigquery.ListedDataset, error) {
	return bigquery.ListedDataset{Reference: ref, Location: "US"}, nil
}
func (listsNothing) ListDatasets(context.Context, durable.Facts, string) ([]bigquery.ListedDataset, error) {
	return nil, nil
}
func (listsNothing) ListTables(context.Context, durable.Facts, bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	return nil, nil
}

// A held query is not answered, and not released, to a token that is too old. The approval stays
// good for a new token of the same run.
func TestAHeldQueryEndsWithTheTokensAge(t *testing.T) {
	w := newBoundWorld(t)
	w.policy(strings.Replace(boundPolicy, "credential: reader}", "credential: reader, for: 10m}\n  - {name: web, groups: [agents], read: "+
		"[p.web.*], credential: reader}", 1))
	clock := time.Now()
	w.s.Now = func() time.Time { return clock }
	pending := w.ask(boundQuery())
	listing, err := w.s.Approvals.List(context.Background(), approvals.Filter{})
	list := listing.Requests
	if err != nil || len(list) != 1 || pending.status != 200 {
		t.Fatalf("%d %s: %v %v", pending.status, pending.body, list, err)
	}
	poll := func() outcome {
		return w.call("GET", "/bigquery/v2/projects/p/queries/"+list[0].JobID, nil)
	}
	clock = w.subject.Issued.Add(11*time.Minute + time.Second)
	for _, state := range []string{"pending", "approved"} {
		if o := poll(); o.status != 403 || !strings.Contains(string(o.body), "ends 10m0s after the identity token was issued") ||
			w.inserts != 0 {
			t.Fatalf("%s: %d %s, %d runs", state, o.status, o.body, w.inserts)
		}
		if state == "pending" {
			w.approve(list[0].ID)
		}
	}
	w.subject.Issued = clock // the CI system gives the same run a new token
	if o := poll(); o.forward == nil || w.inserts != 1 {
		t.Errorf("with a new token: %d %s, %d runs", o.status, o.body, w.inserts)
	}
}

// A project in which the subject may run nothing is refused by every method that names a job,
// before anything is asked about it, in the words of one that does not exist.
func TestAProjectOfNoRule(t *testing.T) {
	const sql = `"query": "SELECT employee FROM finance.payroll", "useLegacySql": false`
	for name, c := range map[string]struct{ verb, path, body string }{
		"query":  {"POST", "/queries", "{" + sql + "}"},
		"insert": {"POST", "/jobs", `{"configuration": {"query": {` + sql + `}}}`},
		"insert by id": {"POST", "/jobs", `{"jobReference": {"projectId": "PROJECT", "jobId": "a"}, "configuration": {"query": {` + sql +
			`}}}`},
		"dry query":      {"POST", "/queries", `{"dryRun": true, ` + sql + "}"},
		"dry insert":     {"POST", "/jobs", `{"configuration": {"dryRun": true, "query": {` + sql + `}}}`},
		"default set":    {"POST", "/queries", `{"defaultDataset": {"projectId": "p", "datasetId": "finance"}, ` + sql + "}"},
		"broken SQL":     {"POST", "/queries", `{"query": "SELEC", "useLegacySql": false}`},
		"drop":           {"POST", "/queries", `{"query": "DROP TABLE finance.payroll", "useLegacySql": false}`},
		"results":        {"GET", "/queries/j", ""},
		"results, page":  {"GET", "/queries/j?maxResults=1", ""},
		"job":            {"GET", "/jobs/j", ""},
		"job elsewhere":  {"GET", "/jobs/j?location=EU", ""},
		"jobs":           {"GET", "/jobs", ""},
		"jobs, a filter": {"GET", "/jobs?stateFilter=done", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParts(t)
			p.analyze = func(context.Context) (*googlesql.Analysis, error) { return nil, errors.New("asked what it means") }
			p.ran(t, "other")  // from before the policy closed the project
			p.s.Upstream = nil // whoever asks BigQuery panics
			said := map[string]bool{}
			for _, project := range []string{"other", "no-such-project"} {
				out := p.check(t.Context(), c.verb, "/bigquery/v2/projects/"+project+c.path, strings.ReplaceAll(c.body, "PROJECT", project),
					bearer)
				if out.GetDeniedResponse().GetStatus().GetCode() != 403 || !strings.Contains(text(out), "accessDenied") {
					t.Errorf("%s: %v", project, out)
				}
				says, _, _ := strings.Cut(text(out), `\nDecision`)
				said[strings.ReplaceAll(says, project, "PROJECT")] = true
				if !strings.Contains(says, "project "+project+" does not exist or no policy lets you run jobs in it") ||
					!strings.Contains(says, "the same request in project p") {
					t.Errorf("%s", says)
				}
			}
			if len(said) != 1 || len(p.order) != 2 || p.order[0] != "record refuse" {
				t.Errorf("words %v, steps %v", said, p.order)
			}
		})
	}
	// Stopping a job is not running one.
	p := newParts(t)
	p.ran(t, "other")
	if out := p.check(t.Context(), "POST", "/bigquery/v2/projects/other/jobs/j/cancel", "", bearer); out.GetOkResponse() == nil {
		t.Errorf("an own job cannot be stopped: %v", text(out))
	}
}

// live says which sessions are good.
type live struct {
	yes    bool
	err    error
	banned bool
	over   bool
}

func (l live) Live(context.Context, string) (bool, error) { return l.yes, l.err }
func (l live) Banned(string) bool                         { return l.banned }
func (l live) Over(identity.Subject) bool                 { return l.over }

// What is on its way goes on only while whoever asked for it would be given the same again.
func TestAnAnswerOnItsWayIsDecidedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *parts, clock *time.Time)
		method string
		path   string
		ends   bool
	}{
		"nothing has changed":     {nil, "GET", "/queries/j", false},
		"of a new query":          {nil, "POST", "/queries", false},
		"the token is too old":    {func(_ *parts, clock *time.Time) { *clock = clock.Add(12 * time.Minute) }, "GET", "/queries/j", true},
		"of a new query, too old": {func(_ *parts, clock *time.Time) { *clock = clock.Add(12 * time.Minute) }, "POST", "/queries", true},
		"within the minute": {func(_ *parts, clock *time.Time) { *clock = clock.Add(10*time.Minute + 30*time.Second) }, "GET",
			"/queries/j", false},
		"the session is revoked": {func(p *parts, _ *time.Time) { p.s.Sessions = live{} }, "GET", "/queries/j", true},
		"the token is revoked": {func(p *parts, _ *time.Time) { p.s.Sessions = live{yes: true, banned: true} }, "GET", "/queries/j",
			true},
		"the subject is revoked": {func(p *parts, _ *time.Time) { p.s.Sessions = live{yes: true, over: true} }, "GET", "/queries/j",
			true},
		"Redis does not answer": {func(p *parts, _ *time.Time) { p.s.Sessions = live{yes: true, err: errors.New("timeout")} }, "GET",
			"/queries/j", true},
		"nobody knows sessions": {func(p *parts, _ *time.Time) { p.s.Sessions = nil }, "GET", "/queries/j", true},
		"the rule is gone": {func(p *parts, _ *time.Time) { p.policy(strings.Replace(agedPolicy, "p.finance", "p.sales", 1)) }, "GET",
			"/queries/j", true},
		"no rule is left": {func(p *parts, _ *time.Time) { p.policy(strings.Replace(agedPolicy, "'true'", "'false'", 1)) }, "GET",
			"/queries/j", true},
		"the rule became shorter": {func(p *parts, clock *time.Time) {
			*clock = clock.Add(3 * time.Minute)
			p.policy(strings.Replace(agedPolicy, "for: 10m", "for: 1m", 1))
		}, "GET", "/queries/j", true},
		"the policy masks it": {func(p *parts, _ *time.Time) {
			p.policy(agedPolicy + "columns:\n  - {match: p.finance.payroll.employee, mask: LAST_FOUR_CHARACTERS}\n")
		}, "GET", "/queries/j", true},
		"fewer rows are allowed": {func(p *parts, _ *time.Time) {
			p.policy(strings.Replace(agedPolicy, "for: 10m", "for: 10m, max_rows: 5", 1))
		}, "GET", "/queries/j", true},
		"fewer bytes are allowed": {func(p *parts, _ *time.Time) {
			p.policy(strings.Replace(agedPolicy, "for: 10m", "for: 10m, max_result_bytes: 5B", 1))
		}, "GET", "/queries/j", true},
		"another policy, the same for it": {func(p *parts, _ *time.Time) { p.policy(agedPolicy + "# read again\n") }, "GET", "/queries/j",
			false},
		"now it needs approval": {func(p *parts, _ *time.Time) {
			p.policy(agedPolicy + "approvals:\n  - {name: a, when: 'true', reviewers: [agents]}\n")
		}, "GET", "/queries/j", true},
		"the table cannot be read": {func(p *parts, _ *time.Time) { p.s.Catalog = forAll(noCatalog{}) }, "GET", "/queries/j", true},
		"the project is closed": {func(p *parts, _ *time.Time) {
			p.policy(strings.Replace(agedPolicy, "credential: reader, for: 10m", "credential: reader, for: 10m, jobs_in: [q]", 1))
		}, "GET", "/queries/j", true},
		"the token has expired": {func(p *parts, clock *time.Time) { *clock = p.subject.Expiry.Add(61 * time.Second) }, "GET",
			"/queries/j", true},
		"of a job to be stopped": {func(p *parts, clock *time.Time) { *clock = clock.Add(24 * time.Hour); p.s.Sessions = nil }, "POST",
			"/jobs/j/cancel", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParts(t)
			p.policy(agedPolicy)
			p.s.Sessions = live{yes: true}
			p.subject.Session = "s"
			clock := time.Now()
			p.s.Now = func() time.Time { return clock }
			p.ran(t, "p")
			body := ""
			if c.path == "/queries" {
				body = plainQuery
			}
			out := p.check(t.Context(), c.method, "/bigquery/v2/projects/p"+c.path, body, bearer)
			f, err := verdict.Open(p.s.Keys, out.GetDynamicMetadata().GetFields()[verdict.Key].GetStringValue(), time.Now())
			if err != nil {
				t.Fatalf("%v: %s", err, text(out))
			}
			if err := p.s.Again(t.Context(), f); err != nil {
				t.Fatalf("before anything has changed: %v", err)
			}
			if c.change != nil {
				c.change(p, &clock)
			}
			if err := p.s.Again(t.Context(), f); (err != nil) != c.ends {
				t.Errorf("it ends: %v", err)
			}
		})
	}
}

// noCatalog is a BigQuery that does not answer.
type noCatalog struct{ googlesql.Catalog }

func (noCatalog) Table(context.Context, bigquery.TableID) (*bigquery.Table, error) {
	return nil, errors.New("timeout")
}
