package extauthz

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/redistest"
)

// freePolicy lets the query run without approval.
var freePolicy = strings.Replace(boundPolicy, "when: 'true', reviewers", "when: 'false', reviewers", 1)

// A client sends a request again, since it got no answer: what leaves is the first request, under
// the first decision's label, and each of the two has a decision of its own.
func TestARequestIsSentAgainAsItWas(t *testing.T) {
	for name, send := range map[string]func(w *gatewayWorld) outcome{
		"jobs.query": func(w *gatewayWorld) outcome {
			q := boundQuery()
			q["requestId"] = "0b8b2e1c-0000-4000-8000-000000000001"
			return w.ask(q)
		},
		"jobs.insert": func(w *gatewayWorld) outcome { return w.insert("mine", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newGatewayWorld(t, redistest.Start(t))
			w.policy(freePolicy)
			first, second := send(w), send(w)
			if first.forward == nil || second.forward == nil {
				t.Fatalf("%d %s, %d %s", first.status, first.body, second.status, second.body)
			}
			one, two := first.forward, second.forward
			if one.BodyDigest != two.BodyDigest || one.Record.Decision != two.Record.Decision ||
				!reflect.DeepEqual(one.Record.Mutation, two.Record.Mutation) {
				t.Errorf("sent %+v, then %+v", one.Record.Mutation, two.Record.Mutation)
			}
			if one.Decision == two.Decision || two.Decision == two.Record.Decision {
				t.Errorf("decisions %s and %s, the job's %s: want one of its own for each", one.Decision, two.Decision, two.Record.Decision)
			}
			w.policy(strings.Replace(freePolicy, "p.finance.*", "p.crm.*", 1))
			if third := send(w); third.forward != nil || third.status != 403 {
				t.Errorf("the table is closed, and the request left: %d %s", third.status, third.body)
			}
		})
	}
}

// What the policy bounds more tightly since is refused, with the way out.
func TestARequestThatIsBoundedMoreTightlyIsNotSentAgain(t *testing.T) {
	w := newGatewayWorld(t, redistest.Start(t))
	w.policy(freePolicy)
	if first := w.insert("mine", nil); first.forward == nil {
		t.Fatalf("%d %s", first.status, first.body)
	}
	w.principals["reader"] = "new@p.iam"
	out := w.insert("mine", nil)
	if out.status != 403 || !strings.Contains(string(out.body), "bqgate: refused: the request was sent to BigQuery before") ||
		!strings.Contains(string(out.body), "under a new job id or requestId") {
		t.Errorf("%d %s", out.status, out.body)
	}
	if out := w.insert("other", nil); out.forward == nil {
		t.Errorf("under a new job id: %d %s", out.status, out.body)
	}
}

// jobs.insert made the job, and its answer was lost: each read of the job finds it, in its owner's
// hand.
func TestAReadFindsTheJobWhoseAnswerWasLost(t *testing.T) {
	for name, read := range map[string]func(w *gatewayWorld) outcome{
		"jobs.get":             func(w *gatewayWorld) outcome { return w.call("GET", "/bigquery/v2/projects/p/jobs/mine", nil) },
		"jobs.getQueryResults": func(w *gatewayWorld) outcome { return w.poll("mine") },
		"jobs.cancel":          func(w *gatewayWorld) outcome { return w.call("POST", "/bigquery/v2/projects/p/jobs/mine/cancel", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newGatewayWorld(t, redistest.Start(t))
			w.policy(freePolicy)
			made := func(account string) {
				o := w.insert("mine", nil)
				if o.forward == nil {
					t.Fatalf("%d %s", o.status, o.body)
				}
				r := o.forward.Record
				body, err := bigquery.Encode(bigquery.Operation{Method: bigquery.MethodInsert, Job: r.Job, Query: &r.Query}, r.Mutation)
				if err != nil {
					t.Fatal(err)
				}
				w.upstream.jobs["p:."+r.Job.JobID] = jobMade(t, body, account)
				w.upstream.jobs["p:US."+r.Job.JobID] = w.upstream.jobs["p:."+r.Job.JobID]
			}
			if out := w.insert("mine", nil); out.forward == nil {
				t.Fatalf("%d %s", out.status, out.body)
			}
			// As BigQuery says it, and its libraries read it: they ask again for a while.
			if out := read(w); out.forward != nil || out.status != 404 || !strings.Contains(string(out.body), "Not found: Job p:mine") ||
				!strings.Contains(string(out.body), `"reason":"notFound"`) {
				t.Errorf("BigQuery does not know it yet: %d %s", out.status, out.body)
			}
			made("mallory@p.iam")
			if out := read(w); out.forward != nil || out.status != 403 {
				t.Errorf("the job is of another account: %v %d %s", out, out.status, out.body)
			}
			made("reader@p.iam")
			owner := w.subject.Owner
			w.subject.Owner = "run 2"
			if out := read(w); out.forward != nil || out.status != 403 {
				t.Errorf("another run: %v %d %s", out, out.status, out.body)
			}
			w.subject.Owner = owner
			if out := read(w); out.forward == nil || out.forward.Record.Job.JobID != "mine" {
				t.Errorf("%v %d %s", out, out.status, out.body)
			}
		})
	}
}

// A fault that passes, in the middle of a release, ends with the rows, by one run; the approval is
// not used up by it.
func TestAFaultInTheMiddleOfAReleaseEndsWithTheRows(t *testing.T) {
	taken := &bigquery.APIError{Status: 409, Reason: "duplicate", Again: true}
	for name, c := range map[string]struct {
		fail  []error
		polls int // until the rows are there
	}{
		"503":         {[]error{&bigquery.APIError{Status: 503, Reason: "backendError"}}, 2},
		"429":         {[]error{&bigquery.APIError{Status: 429, Reason: "rateLimitExceeded"}}, 2},
		"a rate":      {[]error{&bigquery.APIError{Status: 403, Reason: "rateLimitExceeded"}}, 2},
		"a quota":     {[]error{&bigquery.APIError{Status: 403, Reason: "quotaExceeded"}}, 2},
		"the network": {[]error{fmt.Errorf("connection reset")}, 2},
		"twice": {[]error{&bigquery.APIError{Status: 502, Reason: "backendError"}, &bigquery.APIError{Status: 429}},
			3},
		"its answer is lost":         {[]error{errLost}, 2},
		"lost, and asked once again": {[]error{errLostThen{taken}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newGatewayWorld(t, redistest.Start(t))
			id := jobOf(t, w.ask(boundQuery()))
			w.approve(w.requestOf(id))
			w.upstream.fail = c.fail
			for n := range c.polls {
				out := w.poll(id)
				switch last := n == c.polls-1; {
				case last && (out.forward == nil || out.forward.Record.Job.JobID != id):
					t.Fatalf("poll %d: %v %d %s", n+1, out, out.status, out.body)
				case !last && out.forward != nil:
					t.Fatalf("poll %d has the rows already", n+1)
				}
			}
			if runs := w.upstream.runs(); len(runs) != 1 || runs[0] != id {
				t.Errorf("ran %v, want %s once", runs, id)
			}
		})
	}
}

// A dry run that BigQuery puts off, when the query is decided on again for its release, is no
// reason for the approval to lapse.
func TestADryRunThatIsPutOffKeepsTheApproval(t *testing.T) {
	w := newGatewayWorld(t, redistest.Start(t))
	id := jobOf(t, w.ask(boundQuery()))
	w.approve(w.requestOf(id))
	w.host() // which remembers no estimate
	w.upstream.dry = []error{&bigquery.APIError{Status: 403, Reason: "rateLimitExceeded"}}
	if out := w.poll(id); out.forward != nil || len(w.upstream.dry) != 0 {
		t.Fatalf("the dry run was not put off: %v %d %s", out, out.status, out.body)
	}
	if out := w.poll(id); out.forward == nil || len(w.upstream.runs()) != 1 {
		t.Errorf("%v %d %s, ran %v; want the rows of one run", out, out.status, out.body, w.upstream.runs())
	}
}
