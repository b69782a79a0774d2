package extauthz

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cache"
	"github.com/bqgate/bqgate/policies"
)

// What BigQuery does not say for certain counts as above every bound: over max_bytes it is refused,
// where an approval asks for estimate.bytes it waits. A dry run of a table with row access policies
// may say 0 bytes, so that none is believed.
func TestAnEstimateThatIsNone(t *testing.T) {
	bounded := `version: bqgate/v1
groups:
  agents: {issuer: ci, when: 'true'}
  owners: {issuer: ci, when: 'false'}
rules:
  - {name: r, groups: [agents], read: [p.finance.*], max_bytes: 1GiB, credential: reader, row_access_policies: [%s]}
`
	held := bounded + `approvals:
  - {name: big, when: estimate.bytes > TiB(8000000), reviewers: [owners]}
`
	const table, other = "p.finance.payroll", "p.finance.other"
	for name, c := range map[string]struct {
		accuracy string
		none     error
		access   bigquery.RowAccess
		denied   error
		named    string
		known    bool
	}{
		"precise":                      {accuracy: "PRECISE", access: bigquery.RowAccessNone, named: other, known: true},
		"an upper bound":               {accuracy: "UPPER_BOUND", access: bigquery.RowAccessNone, named: other, known: true},
		"a lower bound":                {accuracy: "LOWER_BOUND", access: bigquery.RowAccessNone, named: other},
		"unknown":                      {accuracy: "UNKNOWN", access: bigquery.RowAccessNone, named: other},
		"another word":                 {accuracy: "ROUGHLY", access: bigquery.RowAccessNone, named: other},
		"no bytes":                     {none: fmt.Errorf("x: %w", bigquery.ErrNoEstimate), access: bigquery.RowAccessNone, named: other},
		"row access policies":          {accuracy: "PRECISE", access: bigquery.RowAccessPolicies, named: table},
		"row access policies, unknown": {accuracy: "PRECISE", denied: bigquery.ErrRowAccessDenied, named: table},
		"named, but without policies":  {accuracy: "PRECISE", access: bigquery.RowAccessNone, named: table, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBoundWorld(t)
			w.estimate, w.accuracy, w.noEstimate, w.access, w.denied = 0, c.accuracy, c.none, c.access, c.denied
			w.policy(fmt.Sprintf(bounded, c.named))
			o := w.ask(boundQuery())
			if c.known {
				if o.forward == nil || o.forward.Record.Mutation.MaximumBytesBilled != 20<<20 {
					t.Errorf("0 bytes that are believed: %d %s %+v", o.status, o.body, o.forward)
				}
			} else if o.status != 403 ||
				!strings.Contains(string(o.body), "does not say beforehand how much the query would read, and at most 1 GiB are allowed") {
				t.Errorf("over max_bytes: %d %s", o.status, o.body)
			}

			forgetEstimates(w.s)
			w.policy(fmt.Sprintf(held, c.named))
			o = w.ask(boundQuery())
			list, err := w.s.Approvals.List(t.Context(), approvals.Filter{State: approvals.StatePending})
			if err != nil || len(list.Requests) != map[bool]int{false: 1}[c.known] {
				t.Fatalf("%d wait, %v: %d %s", len(list.Requests), err, o.status, o.body)
			}
			if !c.known {
				r := list.Requests[0]
				if r.EstimatedBytes != nil || r.EstimatedCost != nil || r.MaximumBytes != 1<<30 ||
					!strings.Contains(r.Why, "may read any amount: BigQuery does not say") {
					t.Errorf("the reviewer reads %v bytes, %v, at most %d, %q", r.EstimatedBytes, r.EstimatedCost, r.MaximumBytes, r.Why)
				}
				job := jobOf(t, o)
				w.approve(r.ID)
				if o = w.results(job); o.forward == nil || w.inserts != 1 || w.billed != 1<<30 {
					t.Errorf("approved: %d %s, %d jobs, billed at most %d; want the rule's own cap", o.status, o.body, w.inserts, w.billed)
				}
				if !o.forward.Record.SizeUnknown {
					t.Error("the record takes the estimate for one")
				}
			}

			forgetEstimates(w.s)
			dry := boundQuery()
			dry["dryRun"] = true
			o = w.ask(dry)
			if o.status != 200 || !strings.Contains(string(o.body), `"totalBytesProcessed":"0"`) {
				t.Errorf("dry run: %d %s", o.status, o.body)
			}
			job := `{"configuration":{"dryRun":true,"query":{"query":"SELECT employee FROM p.finance.payroll","useLegacySql":false}}}`
			o = w.call("POST", "/bigquery/v2/projects/p/jobs", []byte(job))
			word := map[bool]string{true: "UPPER_BOUND", false: "UNKNOWN"}[c.known]
			if o.status != 200 || !strings.Contains(string(o.body), `"totalBytesProcessedAccuracy":"`+word+`"`) {
				t.Errorf("dry run, want %s: %d %s", word, o.status, o.body)
			}
		})
	}
}

// BigQuery's refusal of a dry run stays what it is: permanent, or worth another try. A client
// repeats a 5xx for minutes.
func TestADryRunThatBigQueryRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		reason string
		want   int
		shown  string
		says   string
	}{
		"no permission": {403, "accessDenied", 403, "accessDenied", "lacks a permission"},
		"no billing":    {403, "billingNotEnabled", 403, "billingNotEnabled", "no billing account"},
		"quota":         {403, "quotaExceeded", 403, "quotaExceeded", "a quota of BigQuery's is used up"},
		"too many":      {403, "rateLimitExceeded", 403, "rateLimitExceeded", "too many requests"},
		"gone":          {404, "notFound", 403, "accessDenied", "did not find"},
		"not valid":     {400, "invalidQuery", 400, "invalidQuery", "its dry run failed"},
		"credential":    {401, "authError", 0, "", ""},
		"down":          {503, "backendError", 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBoundWorld(t)
			w.noEstimate = fmt.Errorf("dry run: %w", &bigquery.APIError{Status: c.status, Reason: c.reason, Message: "CANARY-4711"})
			o := w.ask(boundQuery())
			body := string(o.body)
			says := strings.Contains(body, c.says) && strings.Contains(body, c.shown) && !strings.Contains(body, "CANARY")
			if o.fault != (c.want == 0) || o.status != c.want || !says {
				t.Errorf("fault %t, %d %s; want %d %s", o.fault, o.status, body, c.want, c.shown)
			}
		})
	}
}

// forgetEstimates does what a minute does. A dry run that nobody waits for any more may still be on
// its way.
func forgetEstimates(s *Service) {
	s.estimates.once.Do(func() { s.estimates.entries = cache.New[string, policies.Estimate](estimatesKept) })
	s.estimates.entries.Clear()
}
