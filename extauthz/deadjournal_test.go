package extauthz

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/unauthenticated"
)

// google counts everything that reaches it, by whatever way.
type google struct {
	*boundWorld
	calls atomic.Int64
}

func (g *google) GetTable(_ context.Context, _ durable.Facts, id bigquery.TableID) (*bigquery.Table, error) {
	g.calls.Add(1)
	table := g.table
	table.TableReference = id
	return &table, nil
}

func (g *google) GetDataset(_ context.Context, _ durable.Facts, ref bigquery.DatasetReference) (bigquery.ListedDataset, error) {
	g.calls.Add(1)
	return bigquery.ListedDataset{Reference: ref}, nil
}

func (g *google) ListDatasets(context.Context, durable.Facts, string) ([]bigquery.ListedDataset, error) {
	g.calls.Add(1)
	return nil, nil
}

func (g *google) ListTables(context.Context, durable.Facts, bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	g.calls.Add(1)
	return nil, nil
}

func (g *google) RowAccess(context.Context, durable.Facts, bigquery.TableID) (bigquery.RowAccess, error) {
	g.calls.Add(1)
	return bigquery.RowAccessNone, nil
}

func (g *google) Mint(ctx context.Context, w durable.Runs, run credentials.Run) (credentials.Credential, error) {
	g.calls.Add(1)
	return g.boundWorld.Mint(ctx, w, run)
}

func (g *google) DryRun(ctx context.Context, w durable.Text, op bigquery.Operation) (bigquery.DryRun, error) {
	g.calls.Add(1)
	return g.boundWorld.DryRun(ctx, w, op)
}

func (g *google) InsertJob(ctx context.Context, w durable.Decided, bearer, project string, body []byte) (bigquery.Job, error) {
	g.calls.Add(1)
	return g.boundWorld.InsertJob(ctx, w, bearer, project, body)
}

func (g *google) GetJob(ctx context.Context, w durable.Facts, ref bigquery.JobReference) (bigquery.Job, error) {
	g.calls.Add(1)
	return g.boundWorld.GetJob(ctx, w, ref)
}

// Analyze looks up the table that every text reads here.
func (g *google) Analyze(ctx context.Context, r googlesql.Query) (*googlesql.Analysis, error) {
	if _, err := googlesql.ReadTable(ctx, r.Catalog, "p.finance.payroll"); err != nil {
		return &googlesql.Analysis{Error: &googlesql.Error{Code: googlesql.ErrorUnavailable, Message: err.Error()}}, nil
	}
	return g.boundWorld.Analyze(ctx, r)
}

// A43: with a journal that is full, failing or frozen, every request gets a fault, and nothing of
// it reaches Google.
func TestNothingLeavesWithADeadJournal(t *testing.T) {
	query := func(sql, more string) string { return `{"query": "` + sql + `", "useLegacySql": false` + more + `}` }
	insert := func(more string) string {
		return `{"configuration": {"query": {"query": "SELECT employee FROM finance.payroll", "useLegacySql": false}` + more + `}}`
	}
	ways := map[string]struct {
		verb, path, body string
		open             bool // to be allowed, but for the journal
	}{
		"query":                     {"POST", "/queries", query("SELECT employee FROM finance.payroll -- new", ""), true},
		"query that waits":          {"POST", "/queries", query("SELECT employee FROM finance.payroll -- held", ""), false},
		"query without an identity": {"POST", "/queries", "", false},
		"dry run": {"POST", "/queries", query("SELECT employee FROM finance.payroll -- dry", `, "dryRun": true`),
			true},
		"insert":                        {"POST", "/jobs", insert(""), true},
		"dry run by insert":             {"POST", "/jobs", insert(`, "dryRun": true`), true},
		"datasets.list":                 {"GET", "/datasets", "", false},
		"datasets.get":                  {"GET", "/datasets/finance", "", false},
		"tables.list":                   {"GET", "/datasets/finance/tables", "", false},
		"tables.get":                    {"GET", "/datasets/finance/tables/payroll", "", false},
		"tables.get of a closed table":  {"GET", "/datasets/hr/tables/reviews", "", false},
		"tabledata.list":                {"GET", "/datasets/finance/tables/payroll/data", "", false},
		"jobs.list":                     {"GET", "/jobs", "", false},
		"jobs.get":                      {"GET", "/jobs/done", "", true},
		"getQueryResults":               {"GET", "/queries/done", "", true},
		"cancel":                        {"POST", "/jobs/done/cancel", "", true},
		"jobs.get of a held job":        {"GET", "/jobs/HELD", "", false},
		"getQueryResults of a held job": {"GET", "/queries/HELD?timeoutMs=0", "", false},
		"cancel of a held job":          {"POST", "/jobs/HELD/cancel", "", false},
		"jobs.get of an approved job":   {"GET", "/jobs/APPROVED", "", false},
		"results of an approved job":    {"GET", "/queries/APPROVED", "", false},
		"somebody's job":                {"GET", "/jobs/unknown", "", false},
		"a route that is not served":    {"GET", "/models", "", false},
	}
	deaths := map[string]func(context.Context) error{
		"full":    func(context.Context) error { return errors.New("write journal: no space left on device") },
		"failing": func(context.Context) error { return errors.New("sync: input/output error") },
		"frozen": func(ctx context.Context) error {
			select { // longer than the caller waits; what nobody waits for may end
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
				return context.DeadlineExceeded
			}
		},
	}
	for death, dies := range deaths {
		for way, r := range ways {
			t.Run(death+"/"+way, func(t *testing.T) {
				t.Parallel()
				p, journal := newParts(t), &audittest.Journal{}
				g := &google{boundWorld: p.boundWorld}
				catalog, err := bigquery.NewCatalog(g, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				p.s.Catalog = func(ask durable.Ask) googlesql.Catalog { return catalog.For(ask) }
				p.s.Upstream, p.s.Metadata, p.s.Credentials, p.s.Journal = g, g, g, journal
				p.s.Strangers = unauthenticated.New(journal, p.s.Log)
				p.s.Analyzer, p.s.Identity = g, p.boundWorld // whom nobody asks for a credential
				p.policy(boundPolicy)
				held := jobOf(t, p.ask(boundQuery()))
				other := boundQuery()
				other["query"] = "SELECT employee FROM payroll -- another"
				delete(other, "queryParameters")
				delete(other, "parameterMode")
				approved := jobOf(t, p.ask(other))
				listing, err := p.s.Approvals.List(t.Context(), approvals.Filter{})
				if err != nil {
					t.Fatal(err)
				}
				for _, request := range listing.Requests {
					if request.JobID == approved {
						p.approve(request.ID)
					}
				}
				if r.open {
					p.policy(openPolicy)
				}
				if err := p.s.Jobs.Create(t.Context(), jobs.Record{
					Job: bigquery.JobReference{ProjectID: "p", JobID: "done", Location: "US"}, Owner: p.subject.Owner, Decision: "d",
					Query: bigquery.QueryRequest{SQL: "SELECT employee FROM finance.payroll"}, Analysis: *p.boundWorld.analysis(),
					Tables: []string{"p.finance.payroll"}, Credential: "reader", Created: time.Now(),
				}); err != nil {
					t.Fatal(err)
				}
				catalog.Forget()
				forgetEstimates(p.s)
				p.s.pulse = durable.Pulse{} // what it took a moment ago answers for a second
				journal.Refuse, p.s.Identity = func(ctx context.Context, _ audit.Record) error { return dies(ctx) }, p
				g.calls.Store(0)

				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				path := "/bigquery/v2/projects/p" + strings.NewReplacer("HELD", held, "APPROVED", approved).Replace(r.path)
				auth := []string{bearer}
				if way == "query without an identity" {
					auth = nil
				}
				out := p.check(ctx, r.verb, path, r.body, auth...)
				if out.GetErrorResponse().GetStatus().GetCode() != http.StatusServiceUnavailable || out.GetDeniedResponse() != nil ||
					out.GetOkResponse() != nil {
					t.Errorf("the agent gets %v", out)
				}
				if n := g.calls.Load(); n != 0 {
					t.Errorf("%d calls of Google", n)
				}
			})
		}
	}
}
