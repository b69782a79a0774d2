package extproc

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/verdict"
)

// BigQuery answered from its cache and names no table. The agent reads why and what would pass; the
// rows come once an operator accepts it, by the same job, and never beside sensitive columns: of
// when the query ran, or of today.
func TestAJobThatCannotBeCompared(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { client.Close() })
	const name = "demo.crm.orders"
	cached := []jobs.Construct{jobs.CachedResult}
	for _, c := range []struct {
		name           string
		accept         []jobs.Construct
		then, today    bool // sensitive when it ran; today
		policies       bool
		says, saysNone string
		rows           bool
	}{
		{name: "nobody accepts it", says: "once an operator accepts it (checks.referenced_tables.cached_results)"},
		{name: "asked again", says: "BigQuery answered from its cache"},
		{name: "it is named", says: "reading job j1 again, or the same query"},
		{name: "something else is accepted", accept: []jobs.Construct{jobs.ManyTables}, says: "once an operator accepts it"},
		{name: "sensitive then", accept: cached, then: true, says: "without tables that have sensitive columns", saysNone: "operator"},
		{name: "sensitive today", accept: cached, today: true, says: "without tables that have sensitive columns", saysNone: "operator"},
		{name: "row access policies", accept: cached, policies: true, says: "or row access policies", saysNone: "operator"},
		{name: "accepted", accept: cached, rows: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t, &journal{})
			s.Jobs = jobs.NewStore(client, s.Keys)
			s.Jobs.Checks.Accept = c.accept
			s.Changed = func(context.Context, durable.Facts, map[string]string) ([]string, error) { return nil, nil }
			ref := bigquery.JobReference{ProjectID: "demo", JobID: "j1", Location: "US"}
			s.Upstream = upstream{bigquery.Job{
				Reference: ref, Labels: map[string]string{jobs.Label: "d-0"}, State: "DONE", StatementType: "SELECT", CacheHit: true,
			}}
			first := request(t, s, func(f *verdict.Forward) {
				f.Verified = false
				f.Record = jobs.Record{
					Job: ref, Owner: "o", Decision: "d-0", SQLDigest: jobs.Digest(""), Tables: []string{name}, Created: time.Now(),
					Reads:     jobs.Reads{Digests: map[string]string{name: "x"}},
					RowAccess: map[string]bigquery.RowAccess{name: bigquery.RowAccessNone},
					Plan:      masking.Plan{Sensitive: c.then},
				}
				if c.policies {
					f.Record.RowAccess = nil
				}
				f.Plan.Sensitive = c.today
			})
			sent, err := run(t, s, c.rows, first, responseHeadersOf("via_upstream", "200"), responseBodyOf(rowsBody, true))
			body, status := got(sent), int32(0)
			for _, r := range sent {
				status = max(status, int32(r.GetImmediateResponse().GetStatus().GetCode()))
				body += string(r.GetImmediateResponse().GetBody())
			}
			switch {
			case c.rows && (err != nil || status != 0 || !strings.Contains(body, `"XXXXX6789"`)):
				t.Errorf("status %d, %s, %v; want the rows", status, body, err)
			case !c.rows && (status != 403 || !strings.Contains(body, c.says) || !strings.Contains(body, "accessDenied")):
				t.Errorf("status %d, %s; want 403 with %q", status, body, c.says)
			case strings.Contains(body, name):
				t.Errorf("%s names a table", body)
			case !c.rows && c.saysNone != "" && strings.Contains(body, c.saysNone):
				t.Errorf("%s tells of a setting that lifts nothing", body)
			}
		})
	}
}
