package extauthz

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// What a token sees, how much, and who must approve it all hang on the groups that it is in.
const seenPolicy = `version: bqgate/v1
groups:
  agents: {issuer: ci, when: '"agents" in claims.groups'}
  owners: {issuer: ci, when: '"owners" in claims.groups'}
  interns: {issuer: ci, when: '"interns" in claims.groups'}
  contractors: {issuer: ci, when: '"contractors" in claims.groups'}
  auditors: {issuer: ci, when: '"auditors" in claims.groups'}
  visitors: {issuer: ci, when: '"visitors" in claims.groups'}
  reviewers: {issuer: ci, when: 'false'}
  privacy: {issuer: ci, when: 'false'}
columns:
  - {match: p.finance.payroll.salary, mask: ALWAYS_NULL}
  - {match: p.finance.payroll.employee, clear: true}
rules:
  - {name: agents, groups: [agents], read: [p.finance.*], max_rows: 100, credential: reader}
  - {name: owners, groups: [owners], read: [p.finance.*], clear: [p.finance.payroll.salary], credential: reader}
  - {name: interns, groups: [interns], read: [p.finance.*], max_rows: 10, max_result_bytes: 1KiB, max_bytes: 2MiB, credential: reader}
approvals:
  - name: payroll
    when: estimate.bytes > 0
    reviewers: [reviewers]
    expires: 2h
    standing: {max_uses: 20, max_hours: 24}
  - {name: contractors, groups: [contractors], when: 'true', reviewers: [reviewers], quorum: 2, expires: 2h}
  - {name: auditors, groups: [auditors], when: 'true', reviewers: [privacy], expires: 2h}
  - {name: visitors, groups: [visitors], when: 'true', reviewers: [reviewers], max_auth_age: 10m, expires: 2h}
`

func newSeenWorld(t *testing.T) *boundWorld {
	t.Helper()
	w := newBoundWorld(t)
	w.estimate = 5 << 30
	w.column(bigquery.Field{Name: "salary", Type: "NUMERIC"})
	w.analysis = func() *googlesql.Analysis {
		table := w.table
		st := googlesql.Statement{Kind: "SELECT", Tables: []string{"p.finance.payroll"}}
		for _, c := range []googlesql.Column{{Name: "employee", Type: "STRING"}, {Name: "salary", Type: "NUMERIC"}} {
			c.Sources = []googlesql.Source{{Column: "p.finance.payroll." + c.Name, Carry: googlesql.CarryDirect}}
			st.Columns = append(st.Columns, c)
		}
		return &googlesql.Analysis{Statements: []googlesql.Statement{st}, Tables: map[string]*bigquery.Table{"p.finance.payroll": &table}}
	}
	set, err := policies.LoadBytes("finance.yaml", []byte(seenPolicy),
		policies.Options{Issuers: []string{"ci"}, Credentials: []string{"reader"}, Projects: map[string]string{"reader": "p"}})
	if err != nil {
		t.Fatal(err)
	}
	w.set = set
	w.in("agents")
	return w
}

// in puts whoever asks into groups.
func (w *boundWorld) in(groups ...string) {
	list := make([]any, len(groups))
	for i, g := range groups {
		list[i] = g
	}
	w.subject.Claims = map[string]any{"groups": list}
}

// say approves a request as a person of a group.
func (w *boundWorld) say(id, name, group string, terms ...approvals.Terms) {
	w.t.Helper()
	who := approvals.Decider{Subject: identity.Subject{Issuer: "h", Sub: name, People: []string{name}, Mapped: true},
		Groups: []string{group}}
	if _, err := w.s.Approvals.Vote(w.t.Context(), id, who, approvals.Approve, "fine", terms...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *boundWorld) pending() string {
	w.t.Helper()
	list, err := w.s.Approvals.List(w.t.Context(), approvals.Filter{State: approvals.StatePending})
	if err != nil || len(list.Requests) != 1 {
		w.t.Fatalf("%d pending, %v", len(list.Requests), err)
	}
	return list.Requests[0].ID
}

func (w *boundWorld) results(job string) outcome {
	return w.call("GET", "/bigquery/v2/projects/p/queries/"+job, nil)
}

// A path is how a query that one token asked for comes to run for another: ask is the query as it
// is tried, later makes the change in between.
type path func(w *boundWorld, ask func() map[string]any, later func()) outcome

func waiting(read func(*boundWorld, string) outcome) path {
	return func(w *boundWorld, ask func() map[string]any, later func()) outcome {
		job := jobOf(w.t, w.ask(ask()))
		w.say(w.pending(), "dana", "reviewers")
		later()
		return read(w, job)
	}
}

// secondTry asks again once the first request is approved, with given terms, and polls what comes
// of it. later stands before the try or before the poll.
func secondTry(noWait, beforePoll bool, terms ...approvals.Terms) path {
	return func(w *boundWorld, ask func() map[string]any, later func()) outcome {
		try := func() outcome {
			q := ask()
			if noWait {
				q["labels"] = map[string]any{"bqgate_wait": "no"}
			}
			return w.ask(q)
		}
		if first := try(); !noWait {
			jobOf(w.t, first)
		}
		w.say(w.pending(), "dana", "reviewers", terms...)
		w.subject.Owner, w.subject.People = "run 2", []string{"erin"} // somebody else's run of the same workflow
		if !beforePoll {
			later()
		}
		again := try()
		if again.status != 200 {
			return again
		}
		if beforePoll {
			later()
		}
		return w.results(jobOf(w.t, again))
	}
}

var week = approvals.Terms{Uses: 5, Hours: 24}

var paths = map[string]path{
	"getQueryResults": waiting((*boundWorld).results),
	"jobs.get": waiting(func(w *boundWorld, job string) outcome {
		return w.call("GET", "/bigquery/v2/projects/p/jobs/"+job, nil)
	}),
	"no wait, before the try":   secondTry(true, false),
	"no wait, before the poll":  secondTry(true, true),
	"standing, before the try":  secondTry(false, false, week),
	"standing, before the poll": secondTry(false, true, week),
	"standing, no wait":         secondTry(true, false, week),
}

// seen is what of a run can be compared with what its reviewers saw.
type seen struct {
	salary              masking.Rule
	rows, bytes, billed int64
	asksAgain           bool
}

// cap5GiB is what the estimate of 5 GiB leaves to be billed.
const cap5GiB = 5<<30 + 5<<30/10 + 20<<20

// A58: whatever changes about the token or the request, a run shows no more than was approved and
// no more than may be shown today, under the smaller caps; and who must approve it has.
var changes = map[string]struct {
	held   []string // groups that ask
	groups []string // groups that run it, where they differ
	then   func(*boundWorld)
	want   seen
}{
	"nothing": {held: []string{"agents"}, want: seen{salary: masking.AlwaysNull, rows: 100, billed: cap5GiB}},
	"a group that sees more": {
		held: []string{"agents"}, groups: []string{"agents", "owners"}, want: seen{salary: masking.AlwaysNull, rows: 100, billed: cap5GiB},
	},
	"another group, which sees more": {
		held: []string{"agents"}, groups: []string{"owners"}, want: seen{salary: masking.AlwaysNull, rows: 100, billed: cap5GiB},
	},
	"a group that sees less": {
		held: []string{"agents", "owners"}, groups: []string{"agents"}, want: seen{salary: masking.AlwaysNull, rows: 100, billed: cap5GiB},
	},
	"a group without a cap of rows": {
		held: []string{"agents"}, groups: []string{"owners"}, want: seen{salary: masking.AlwaysNull, rows: 100, billed: cap5GiB},
	},
	"a group with smaller caps": {
		held: []string{"agents"}, groups: []string{"agents", "interns"},
		want: seen{salary: masking.AlwaysNull, rows: 10, bytes: 1 << 10, billed: cap5GiB},
	},
	"a group with larger caps": {
		held: []string{"agents", "interns"}, groups: []string{"agents"},
		want: seen{salary: masking.AlwaysNull, rows: 10, bytes: 1 << 10, billed: cap5GiB},
	},
	"no group any more": {held: []string{"agents"}, groups: []string{}, want: seen{asksAgain: true}},
	"a group that needs two": {
		held: []string{"agents"}, groups: []string{"agents", "contractors"}, want: seen{asksAgain: true},
	},
	"a group that needs others": {
		held: []string{"agents"}, groups: []string{"agents", "auditors"}, want: seen{asksAgain: true},
	},
	"a group that needs a fresh login": {
		held: []string{"agents"}, groups: []string{"agents", "visitors"}, want: seen{asksAgain: true},
	},
	"more groups of both kinds": {
		held: []string{"agents"}, groups: []string{"agents", "owners", "contractors"}, want: seen{asksAgain: true},
	},
	"the approver is behind it": {
		held: []string{"agents"}, then: func(w *boundWorld) { w.subject.People = []string{"dana"} }, want: seen{asksAgain: true},
	},
	"the approver is behind it, in another case": {
		held: []string{"agents"}, then: func(w *boundWorld) { w.subject.People = []string{"carol", "DANA"} }, want: seen{asksAgain: true},
	},
	"nobody knows who is behind it": {
		held: []string{"agents"}, then: func(w *boundWorld) { w.subject.Mapped = false }, want: seen{asksAgain: true},
	},
	"an estimate that doubled": {
		held: []string{"agents"}, then: func(w *boundWorld) { w.estimate *= 2 }, want: seen{asksAgain: true},
	},
	"an estimate that grew a little": {
		held: []string{"agents"}, then: func(w *boundWorld) { w.estimate += 1 << 20 },
		want: seen{salary: masking.AlwaysNull, rows: 100, billed: cap5GiB},
	},
	"an estimate that nobody can make any more": {
		held: []string{"agents"}, then: func(w *boundWorld) { w.accuracy = "UNKNOWN" }, want: seen{asksAgain: true},
	},
	"an estimate that shrank": {
		held: []string{"agents"}, then: func(w *boundWorld) { w.estimate = 1 << 30 },
		want: seen{salary: masking.AlwaysNull, rows: 100, billed: (1030 + 103 + 20) << 20},
	},
}

func TestARunIsNoMoreThanWhatItsReviewersSaw(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		c := changes[name]
		for _, way := range slices.Sorted(maps.Keys(paths)) {
			t.Run(name+"/"+way, func(t *testing.T) {
				w := newSeenWorld(t)
				w.in(c.held...)
				o := paths[way](w, boundQuery, func() {
					if c.groups != nil {
						w.in(c.groups...)
					}
					if c.then != nil {
						c.then(w)
						forgetEstimates(w.s) // what a minute does
					}
				})
				if c.want.asksAgain {
					if o.forward != nil || w.inserts+w.mints != 0 || strings.Contains(string(o.body), `"rows"`) {
						t.Fatalf("it ran: %d jobs, %d tokens, %d %s", w.inserts, w.mints, o.status, o.body)
					}
					return
				}
				if o.forward == nil || w.inserts != 1 {
					t.Fatalf("it did not run: %d jobs, %d %s", w.inserts, o.status, o.body)
				}
				f := o.forward
				got := seen{salary: f.Plan.Columns[1].Mask, rows: f.MaxRows, bytes: f.MaxResultBytes, billed: w.billed}
				if got != c.want {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
				if r := f.Record; r.Plan.Columns[1].Mask != c.want.salary || r.MaxRows != c.want.rows || r.MaxResultBytes != c.want.bytes {
					t.Errorf("the record shows %+v, %d rows, %d bytes", r.Plan.Columns, r.MaxRows, r.MaxResultBytes)
				}
				// Whoever reads it later, with whatever token, is shown no more either.
				w.in("owners")
				if again := w.results(f.Record.Job.JobID); again.forward == nil || again.forward.Plan.Columns[1].Mask != c.want.salary {
					t.Errorf("a later read: %d %s", again.status, again.body)
				}
			})
		}
	}
}

// The client's own limit of bytes is a cap that reviewers see. A later try without it runs under
// it.
func TestALaterTryRunsUnderTheCapThatWasSeen(t *testing.T) {
	for name, c := range map[string]struct{ first, then, want int64 }{
		"none at first, one later": {0, 10 << 20, 10 << 20},
		"one at first, none later": {10 << 20, 0, 10 << 20},
		"raised":                   {10 << 20, 5 << 30, 10 << 20},
		"lowered":                  {5 << 30, 20 << 20, 20 << 20},
		"none":                     {0, 0, cap5GiB},
		"above the estimate's":     {1e12, 0, cap5GiB},
	} {
		for way, noWait := range map[string]bool{"standing": false, "no wait": true} {
			t.Run(name+"/"+way, func(t *testing.T) {
				w := newSeenWorld(t)
				limits := []int64{c.first, c.then}
				ask := func() map[string]any {
					q := boundQuery()
					if limits[0] > 0 {
						q["maximumBytesBilled"] = fmt.Sprint(limits[0])
					}
					limits = limits[1:]
					return q
				}
				terms := []approvals.Terms{week}
				if noWait {
					terms = nil
				}
				o := secondTry(noWait, false, terms...)(w, ask, func() {})
				if o.forward == nil || w.billed != c.want {
					t.Fatalf("billed %d, want %d: %d %s", w.billed, c.want, o.status, o.body)
				}
			})
		}
	}
}
