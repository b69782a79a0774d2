package extauthz

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
)

const namedPolicy = `version: bqgate/v1
groups:
  agents: {issuer: ci, when: 'true'}
rules:
  - {name: r, groups: [agents], read: [p.finance.*], credential: reader, row_access_policies: [p.finance.payroll]}
`

// A34: whatever comes of the question whether a table has row access policies, only a plain no lets
// the query through, and nothing was minted or sent otherwise. A dry run, which tells of a table's
// size, is decided as the run.
func TestRowAccessPolicies(t *testing.T) {
	for name, c := range map[string]struct {
		access bigquery.RowAccess
		err    error
		policy string
		status int // 0: forwarded
		says   string
	}{
		"none":     {access: bigquery.RowAccessNone},
		"policies": {access: bigquery.RowAccessPolicies, status: 403, says: "p.finance.payroll"},
		"denied": {
			err: fmt.Errorf("x: %w", bigquery.ErrRowAccessDenied), status: 403,
			says: "the gateway's inspection account lacks the permission bigquery.rowAccessPolicies.list",
		},
		"the table is gone": {err: fmt.Errorf("x: %w", bigquery.ErrNotFound), status: 403, says: "does not exist any more"},
		"rate limit": {
			err: &bigquery.APIError{Status: http.StatusForbidden, Reason: "rateLimitExceeded", Message: "CANARY-4711"}, status: 503,
		},
		"BigQuery is down":        {err: errors.New("CANARY-4711"), status: 503},
		"no answer and no error":  {status: 503},
		"another word":            {access: "SOME", status: 503},
		"named":                   {access: bigquery.RowAccessPolicies, policy: namedPolicy},
		"named, and nobody knows": {err: bigquery.ErrRowAccessDenied, policy: namedPolicy},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParts(t)
			p.access, p.denied = c.access, c.err
			if c.policy != "" {
				p.policy(c.policy)
			}
			bodies := []string{plainQuery}
			if c.status != 0 {
				bodies = append(bodies, strings.Replace(plainQuery, "{", `{"dryRun": true, `, 1))
			}
			for _, body := range bodies {
				out := p.check(t.Context(), "POST", queriesPath, body, bearer)
				status, text := int(out.GetDeniedResponse().GetStatus().GetCode()), out.GetDeniedResponse().GetBody()
				if e := out.GetErrorResponse(); e != nil {
					status, text = int(e.GetStatus().GetCode()), e.GetBody()
				}
				if (out.GetOkResponse() != nil) != (c.status == 0) || status != c.status || !strings.Contains(text, c.says) ||
					strings.Contains(text, "CANARY") {
					t.Errorf("%s: status %d %s", body, status, text)
				}
			}
			if minted := p.mints + strings.Count(strings.Join(p.order, " "), "mint"); (minted > 0) != (c.status == 0) {
				t.Errorf("%v", p.order)
			}
			if asked := p.accessAsked > 0; asked != (c.policy == "") {
				t.Errorf("asked %d times", p.accessAsked)
			}
		})
	}
}

// A held query is approved, and its table gets row access policies meanwhile: the release is judged
// anew.
func TestRowAccessPoliciesAreAskedAgainAtRelease(t *testing.T) {
	w := newBoundWorld(t)
	job := jobOf(t, w.ask(boundQuery()))
	list, err := w.s.Approvals.List(t.Context(), approvals.Filter{State: approvals.StatePending})
	if err != nil || len(list.Requests) != 1 {
		t.Fatalf("%d pending, %v", len(list.Requests), err)
	}
	w.approve(list.Requests[0].ID)
	w.access = bigquery.RowAccessPolicies
	o := w.call("GET", "/bigquery/v2/projects/p/queries/"+job, nil)
	if o.forward != nil || o.status != 403 || !strings.Contains(string(o.body), "has row access policies") || w.inserts+w.mints != 0 {
		t.Errorf("%d %s, %d jobs, %d tokens", o.status, o.body, w.inserts, w.mints)
	}
}

// A job that ran stays readable when its table gets row access policies later: its rows are those
// of when it ran. Nothing is asked for that. What it rested on is still asked of today's policy:
// who takes a table out of row_access_policies closes the results too.
func TestReadsKeepWhatWasKnownOfRowAccess(t *testing.T) {
	p := newParts(t)
	run := func(id string, access map[string]bigquery.RowAccess) {
		t.Helper()
		record := jobs.Record{
			Job: bigquery.JobReference{ProjectID: "p", Location: "US", JobID: id}, Owner: p.subject.Owner, Decision: "d-1",
			Query: bigquery.QueryRequest{SQL: "SELECT employee FROM finance.payroll"}, Analysis: *p.boundWorld.analysis(),
			Tables:     []string{"p.finance.payroll"},
			Credential: "reader", Principal: "reader@p.iam", RowAccess: access, Estimate: new(int64),
		}
		record.SQLDigest = jobs.Digest(record.Query.SQL)
		record.Plan.Columns = []masking.Column{{Name: "employee", Type: "STRING", Mask: masking.Clear}}
		if err := p.s.Jobs.Create(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	read := func(id string) (bool, string) {
		t.Helper()
		out := p.check(t.Context(), "GET", queriesPath+"/"+id, "", bearer)
		return out.GetOkResponse() != nil, out.GetDeniedResponse().GetBody()
	}
	run("open", map[string]bigquery.RowAccess{"p.finance.payroll": bigquery.RowAccessNone})
	run("named", nil)
	p.access = bigquery.RowAccessPolicies
	if ok, text := read("open"); !ok {
		t.Errorf("a job that ran before: %s", text)
	}
	if ok, text := read("named"); ok || !strings.Contains(text, "row access policies") {
		t.Errorf("a job whose table is not named any more: %s", text)
	}
	p.policy(namedPolicy)
	for _, id := range []string{"open", "named"} {
		if ok, text := read(id); !ok {
			t.Errorf("%s, and the table is named: %s", id, text)
		}
	}
	if p.accessAsked != 0 {
		t.Errorf("reads asked BigQuery %d times", p.accessAsked)
	}
}
