package extauthz

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/policies"
)

// closedWorld remembers with which reach SQL is analysed, and what the catalog is asked about.
type closedWorld struct {
	*boundWorld
	reach func(string) bool
	asked []string
}

func (w *closedWorld) Analyze(ctx context.Context, r googlesql.Query) (*googlesql.Analysis, error) {
	w.reach = r.Reach
	return w.boundWorld.Analyze(ctx, r)
}

func (w *closedWorld) Table(ctx context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	w.asked = append(w.asked, id.String())
	return w.boundWorld.Table(ctx, id)
}

func newClosedWorld(t *testing.T) *closedWorld {
	w := &closedWorld{boundWorld: newBoundWorld(t)}
	w.policy(openPolicy)
	w.s.Analyzer, w.s.Catalog = w, forAll(w)
	return w
}

// The analysis of a text knows what its author may know of, for a run and for a dry run.
func TestSQLIsAnalysedWithinReach(t *testing.T) {
	for _, dry := range []bool{false, true} {
		w := newClosedWorld(t)
		w.ask(map[string]any{"query": "SELECT employee FROM finance.payroll", "useLegacySql": false, "dryRun": dry})
		if w.reach == nil {
			t.Fatalf("dry run %t: the SQL was analysed with everything within reach", dry)
		}
		for name, want := range map[string]bool{"p.finance.payroll": true, "p.finance.pay*": true, "p.finance.f()": true,
			"p.hr.reviews": false, "p.hr.f()": false, "p.hr.r*": false, "p._h.x": false, "x": false, "": false} {
			t.Run(name, func(t *testing.T) {
				if got := w.reach(name); got != want {
					t.Errorf("dry run %t: %s is within reach: %t", dry, name, got)
				}
			})
		}
	}
}

// A finished job whose table the policy has closed since is not read, and nothing is asked of
// BigQuery about what the reader may not know any more. Only the names that the reader's own text
// had are said.
func TestAJobOfAClosedTable(t *testing.T) {
	w := newClosedWorld(t)
	a := w.analysis()
	a.Statements[0].Named = []string{"p.finance.report"}
	a.Statements[0].Tables = []string{"p.finance.payroll", "p.finance.report"}
	record := jobs.Record{
		Job: bigquery.JobReference{ProjectID: "p", JobID: "j", Location: "US"}, Owner: w.subject.Owner, Decision: "d",
		Query:    bigquery.QueryRequest{SQL: "SELECT employee FROM finance.report"},
		Analysis: *a, Named: named(a), Tables: tables(a), Credential: "reader",
	}
	if err := w.s.Jobs.Create(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	read := func() outcome {
		return w.call(http.MethodGet, "/bigquery/v2/projects/p/queries/j", nil)
	}
	w.policy(strings.Replace(openPolicy, "p.finance.*", "p.sales.*", 1))
	o := read()
	if o.status != 403 || !strings.Contains(string(o.body), "finance.report does not exist or no policy lets you read it") ||
		strings.Contains(string(o.body), "payroll") {
		t.Errorf("status %d %s", o.status, o.body)
	}
	if len(w.asked) > 0 {
		t.Errorf("BigQuery was asked about %q", w.asked)
	}
	w.policy(openPolicy)
	if read(); !slices.Contains(w.asked, "p.finance.payroll") {
		t.Errorf("with the table open again, BigQuery was asked about %q", w.asked)
	}
	var none *policies.Set
	if _, closed := none.Closed(policies.Input{}); !closed {
		t.Error("without a policy something is open")
	}
}

// What is wrong with the policy is told to its operators, once, and not to the agent.
func TestAFaultOfThePolicyIsTold(t *testing.T) {
	w := newClosedWorld(t)
	var log bytes.Buffer
	w.s.Log = slog.New(slog.NewTextHandler(&log, nil))
	faulty := openPolicy + "columns:\n  - {match: p.finance.payroll.employe, mask: ALWAYS_NULL}\ntables:\n  - {match: p.finance.*, " +
		"unlisted: clear}\n"
	w.policy(faulty)
	for range 3 {
		o := w.ask(map[string]any{"query": "SELECT employee FROM finance.payroll", "useLegacySql": false})
		if o.status != 403 || !strings.Contains(string(o.body), "until its policy is mended") ||
			strings.Contains(string(o.body), "employe") {
			t.Errorf("status %d %s", o.status, o.body)
		}
	}
	const cause = `cause="finance.yaml:7: columns entry p.finance.payroll.employe: p.finance.payroll has no column employe (did you mean ` +
		`employee?)"`
	if got := strings.Count(log.String(), cause); got != 1 {
		t.Errorf("the log says it %d times, want once:\n%s", got, log.String())
	}
	w.policy(faulty + "# another\n")
	w.ask(map[string]any{"query": "SELECT employee FROM finance.payroll", "useLegacySql": false})
	if got := strings.Count(log.String(), cause); got != 2 {
		t.Errorf("under another policy the log says it %d times, want twice", got)
	}
}
