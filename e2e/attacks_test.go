//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
)

// Each attack is written as the attacker would: through the listeners, with an agent's token,
// knowing the source.
func TestAttacks(t *testing.T) {
	d := startDemo(t)
	t.Run("A1 inner services", func(t *testing.T) { attackInnerServices(t, d) })
	t.Run("A1 ext_authz", func(t *testing.T) { attackCheckAsAnotherUser(t, d) })
	t.Run("A5 shared cache", func(t *testing.T) { attackSharedCache(t, d) })
	t.Run("A6 job from another life", func(t *testing.T) { attackOldJob(t, d) })
	t.Run("A7 shared sub", func(t *testing.T) { attackSharedSub(t, d) })
	t.Run("A13 local replies", func(t *testing.T) { attackLocalReplies(t, d) })
	t.Run("A16 headers", func(t *testing.T) { attackHeaders(t, d) })
	t.Run("A19 fields", func(t *testing.T) { attackFields(t, d) })
	t.Run("A14 credentials", func(t *testing.T) { attackCredentials(t, d) })
	d.searchCanaries()
}

// fake changes how the stand-ins for Google behave.
func (d *demo) fake(t *testing.T, path string, body any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(d.Fake+path, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("%s: status %d", path, resp.StatusCode)
	}
}

// A1: a plan of the attacker's own making, sent to ext_proc's socket by a process of the same user.
// (Other users do not get that far: internal/unixsocket.)
func attackInnerServices(t *testing.T, d *demo) {
	conn, err := grpc.NewClient("unix:"+filepath.Join(d.Sockets, "ext_proc.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := contextTimeout(30 * time.Second)
	defer cancel()
	stream, err := procv3.NewExternalProcessorClient(conn).Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := structpb.NewStruct(map[string]any{"bqgate": `{"decision":"d-1","expires":"2099-01-01T00:00:00Z",` +
		`"plan":{"columns":[{"name":"ssn","type":"STRING","mask":"CLEAR"}]}}`})
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&procv3.ProcessingRequest{
		MetadataContext: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"envoy.filters.http.ext_authz": forged}},
		Request: &procv3.ProcessingRequest_RequestHeaders{
			RequestHeaders: &procv3.HttpHeaders{EndOfStream: true, Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
				{Key: ":method", RawValue: []byte("GET")}, {Key: ":path", RawValue: []byte("/bigquery/v2/projects/demo/queries/x")},
			}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := stream.Recv()
	if err == nil && reply.GetImmediateResponse() == nil {
		t.Fatalf("a forged plan was accepted: %v", reply)
	}
	// The token endpoint's listener leads nowhere else, and the console is not behind the agents'
	// listener.
	for _, path := range []string{"/bigquery/v2/projects/demo/queries", "/api/v1/requests"} {
		base := strings.TrimSuffix(d.TokenURL, "/v1/token")
		if path == "/api/v1/requests" {
			base = d.REST
		}
		a, err := d.do(ctx, "POST", base+path, d.token("agent"), nil, map[string]any{"query": "SELECT 1", "useLegacySql": false})
		if err != nil || a.Status < 400 {
			t.Errorf("%s%s: status %d, %v: want it refused", base, path, a.Status, err)
		}
	}
}

// A5: two subjects run the same SQL under one account; each reads under their own plan, and nobody
// reads the other's job.
func attackSharedCache(t *testing.T, d *demo) {
	const sql = `SELECT email FROM crm.customers WHERE id < 4`
	analyst := d.query("analyst", sql)
	d.exempt()
	agent := d.query("agent", sql)
	if analyst.Status != 200 || agent.Status != 200 {
		t.Fatalf("status %d and %d", analyst.Status, agent.Status)
	}
	for _, r := range agent.rows(t) {
		if !maskedCell("email", r[0]) {
			t.Errorf("agent sees %v after the analyst ran the same SQL", r)
		}
	}
	id := analyst.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	for _, path := range []string{"/queries/" + id, "/jobs/" + id} {
		if a := d.call("GET", "/bigquery/v2/projects/demo"+path, d.token("agent"), nil); a.Status != 403 ||
			strings.Contains(a.message(), "analyst") {
			t.Errorf("%s of somebody else: status %d %s", path, a.Status, a.message())
		}
	}
	for _, r := range d.arrived() {
		if r.Method == "POST" && strings.Contains(r.Body, sql) && !strings.Contains(r.Body, `"useQueryCache":false`) &&
			!strings.Contains(r.Body, `"dryRun":true`) {
			t.Errorf("a query went upstream with the shared cache on: %s", r.Body)
		}
	}
}

// A6: a job with raw rows exists upstream from another life. Inserting a harmless query under its
// id, or under its requestId, must not open it.
func attackOldJob(t *testing.T, d *demo) {
	d.fake(t, "/_fake/plant", map[string]any{
		"account": "crm-reader@demo.iam.gserviceaccount.com", "job_id": "old_job", "request_id": "old-request",
		"sql": "SELECT ssn AS id FROM crm.customers",
	})
	token := d.token("agent")
	harmless := map[string]any{
		"jobReference":  map[string]any{"projectId": "demo", "jobId": "old_job", "location": "US"},
		"configuration": map[string]any{"query": map[string]any{"query": "SELECT name AS id FROM crm.customers", "useLegacySql": false}},
	}
	if a := d.call("POST", "/bigquery/v2/projects/demo/jobs", token, harmless); a.Status != 409 {
		t.Errorf("insert under a taken id: status %d %s, want 409", a.Status, a.message())
	}
	for _, path := range []string{"/queries/old_job?location=US", "/queries/old_job", "/jobs/old_job?location=US"} {
		if a := d.call("GET", "/bigquery/v2/projects/demo"+path, token, nil); a.Status != 403 {
			t.Errorf("%s: status %d, want 403: a 409 leaves no plan", path, a.Status)
		}
	}
	a := d.call("POST", "/bigquery/v2/projects/demo/queries", token,
		map[string]any{"query": "SELECT name AS id FROM crm.customers", "useLegacySql": false, "requestId": "old-request"})
	if a.Status != 200 || a.json(t)["jobReference"].(map[string]any)["jobId"] == "old_job" {
		t.Errorf("the requestId of another life: status %d, job %v", a.Status, a.json(t)["jobReference"])
	}
}

// A7: all pull requests of a repository share one `sub`; another run is another owner, and a
// workload never decides.
func attackSharedSub(t *testing.T, d *demo) {
	claims := func(run string) map[string]any {
		return map[string]any{
			"repository_id": "42", "repository": "org/app", "run_id": run, "run_attempt": "1",
			"workflow_ref": "org/app/.github/workflows/ci.yml@refs/pull/1/merge", "ref": "refs/pull/1/merge",
			"actor": "alice", "actor_id": "7",
		}
	}
	mint := func(run, audience string, groups ...string) string {
		return d.mint(map[string]any{"subject": "repo:org/app:pull_request", "groups": groups, "claims": claims(run), "audience": audience})
	}
	const path = "/bigquery/v2/projects/demo/queries"
	a := d.call("POST", path, mint("1", "bqgate", "ai-agents"), map[string]any{"query": "SELECT id FROM crm.orders", "useLegacySql": false})
	if a.Status != 200 {
		t.Fatalf("run 1: status %d %s", a.Status, a.message())
	}
	id := a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	if a := d.call("GET", path+"/"+id, mint("2", "bqgate", "ai-agents"), nil); a.Status != 403 {
		t.Errorf("another run of the same sub reads the job: status %d", a.Status)
	}
	// The same workload, in the reviewers' group, decides on a request of its own and on somebody
	// else's.
	held := d.call("POST", path, mint("1", "bqgate", "ai-agents"), map[string]any{"query": payroll, "useLegacySql": false})
	if held.Status != 200 {
		t.Fatalf("held: status %d %s", held.Status, held.message())
	}
	r := d.request(t, "reviewer", held.json(t)["jobReference"].(map[string]any)["jobId"].(string))
	ctx, cancel := contextTimeout(30 * time.Second)
	defer cancel()
	for _, run := range []string{"1", "9"} {
		a, err := d.do(ctx, "POST", d.Console+"/api/v1/requests/"+r["id"].(string)+"/approve", mint(run, "bqgate-console", "data-owners"),
			nil, map[string]any{"reason": "ci"})
		if err != nil || a.Status != 403 && a.Status != 404 {
			t.Errorf("a workload approved: status %d, %v", a.Status, err)
		}
	}
	// Nobody knows who is behind an unmapped workload: one reviewer is not enough.
	path2 := "/api/v1/requests/" + r["id"].(string) + "/approve"
	if a := d.console("reviewer", "POST", path2, map[string]any{"reason": "ok"}); a.Status != 200 || a.json(t)["state"] != "pending" {
		t.Errorf("first vote on an unmapped workload: status %d, state %v, want still pending", a.Status, a.json(t)["state"])
	}
	if a := d.console("lead", "POST", path2, map[string]any{"reason": "ok"}); a.Status != 200 || a.json(t)["state"] != "approved" {
		t.Errorf("second vote: status %d %s", a.Status, a.Body)
	}
}

// A13: what Envoy and ext_authz answer themselves keeps its status and BigQuery's error shape, and
// an upstream answer without a plan is never one of them.
func attackLocalReplies(t *testing.T, d *demo) {
	token := d.token("agent")
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
	}{
		"413":           {"POST", "/bigquery/v2/projects/demo/queries", bytes.Repeat([]byte("x"), 3<<20), 413},
		"unknown path":  {"GET", "/somewhere", nil, 403},
		"escaped slash": {"GET", "/bigquery/v2/projects/demo%2f..%2fx/queries/y", nil, 400},
		"not a route":   {"GET", "/bigquery/v2/projects/demo/unknown/x", nil, 403},
		"refused route": {"GET", "/bigquery/v2/projects/demo/datasets/crm/tables/customers/data", nil, 403},
		"batch":         {"POST", "/batch/bigquery/v2", "{}", 403},
		"upload":        {"POST", "/upload/bigquery/v2/projects/demo/jobs", "{}", 403},
		"bad JSON": {"POST", "/bigquery/v2/projects/demo/queries", `{"query":"SELECT 1","query":"SELECT ssn FROM crm.customers"}`,
			400},
		"snake case": {"POST", "/bigquery/v2/projects/demo/queries", `{"query":"SELECT 1","use_legacy_sql":true}`, 400},
	} {
		before := len(d.rowRequests())
		a := d.call(c.method, c.path, token, c.body)
		if a.Status != c.status {
			t.Errorf("%s: status %d (%s), want %d", name, a.Status, a.message(), c.status)
		}
		if a.message() == "" {
			t.Errorf("%s: body %q is not BigQuery's error JSON", name, tail(a.Body, 300))
		}
		if len(d.rowRequests()) != before {
			t.Errorf("%s: something arrived upstream", name)
		}
	}
}

// A16: unknown headers stay behind, and nothing comes back in headers or trailers.
func attackHeaders(t *testing.T, d *demo) {
	d.fake(t, "/_fake/options", map[string]any{"noise": true})
	defer d.fake(t, "/_fake/options", map[string]any{"noise": false})
	ctx, cancel := contextTimeout(60 * time.Second)
	defer cancel()
	header := http.Header{}
	for _, name := range []string{"X-Goog-User-Project", "X-Goog-Api-Key", "X-Goog-FieldMask", "X-Goog-Anything-New",
		"X-Envoy-Upstream-Rq-Timeout-Ms", "X-Forwarded-Host", "Cookie", "Accept", "X-Envoy-Original-Path"} {
		header.Set(name, "smuggled")
	}
	a, err := d.do(ctx, "POST", d.REST+"/bigquery/v2/projects/demo/queries?fields=rows,jobReference", d.token("agent"), header,
		map[string]any{"query": "SELECT ssn, email FROM crm.customers", "useLegacySql": false})
	if err != nil || a.Status != 200 {
		t.Fatalf("status %d %s %v", a.Status, a.message(), err)
	}
	for name := range a.Header {
		switch name {
		case "Content-Type", "Cache-Control", "Date", "Server", "Content-Length", "Transfer-Encoding":
		default:
			t.Errorf("response header %s: %v came through", name, a.Header[name])
		}
	}
	for _, r := range d.arrived() {
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, " "), "smuggled") {
				t.Errorf("header %s arrived upstream", name)
			}
		}
	}
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		a, err := d.do(ctx, "POST", d.REST+"/bigquery/v2/projects/demo/queries", d.token("agent"), http.Header{name: {"DELETE"}},
			map[string]any{"query": "SELECT 1", "useLegacySql": false})
		if err != nil || a.Status != 403 {
			t.Errorf("%s: status %d, %v, want 403", name, a.Status, err)
		}
	}
	for _, query := range []string{"access_token=x", "key=x", "alt=proto", "callback=f", "$.xgafv=1", "oauth_token=x", "quotaUser=x",
		"uploadType=media"} {
		a := d.call("POST", "/bigquery/v2/projects/demo/queries?"+query, d.token("agent"),
			map[string]any{"query": "SELECT 1", "useLegacySql": false})
		if a.Status != 400 && a.Status != 403 {
			t.Errorf("?%s: status %d, want a refusal", query, a.Status)
		}
	}
}

// A19: `fields=` hides the job id or the schema; pages carry neither; the plan masks all the same,
// and `fields=` never goes upstream.
func attackFields(t *testing.T, d *demo) {
	for _, fields := range []string{"rows", "rows,totalRows", "rows(f(v))", "rows/f/v", "jobReference,totalRows,pageToken,rows"} {
		a := d.call("POST", "/bigquery/v2/projects/demo/queries?fields="+fields, d.token("agent"),
			map[string]any{"query": "SELECT ssn, id FROM crm.customers", "useLegacySql": false})
		if a.Status != 200 {
			t.Errorf("fields=%s: status %d %s", fields, a.Status, a.message())
			continue
		}
		if v := a.json(t); v["schema"] != nil || !strings.Contains(fields, "jobReference") && v["jobReference"] != nil {
			t.Errorf("fields=%s: the answer has more than was asked: %s", fields, tail(a.Body, 200))
		}
		for _, r := range a.rows(t) {
			if !maskedCell("ssn", r[0]) {
				t.Errorf("fields=%s: row %v is not masked", fields, r)
			}
		}
	}
	a := d.call("POST", "/bigquery/v2/projects/demo/queries", d.token("agent"),
		map[string]any{"query": "SELECT ssn, id FROM crm.customers ORDER BY id", "useLegacySql": false, "maxResults": 5})
	v := a.json(t)
	id := v["jobReference"].(map[string]any)["jobId"].(string)
	pages := 0
	for token, _ := v["pageToken"].(string); token != ""; pages++ {
		page := d.call("GET", fmt.Sprintf("/bigquery/v2/projects/demo/queries/%s?fields=rows,pageToken&maxResults=5&pageToken=%s", id,
			token), d.token("agent"), nil)
		if page.Status != 200 {
			t.Fatalf("page %d: status %d %s", pages, page.Status, page.message())
		}
		for _, r := range page.rows(t) {
			if !maskedCell("ssn", r[0]) {
				t.Errorf("page %d: row %v is not masked", pages, r)
			}
		}
		token, _ = page.json(t)["pageToken"].(string)
	}
	if pages < 3 {
		t.Errorf("%d further pages of 5 rows, want at least 3", pages)
	}
	for _, r := range d.arrived() {
		if strings.Contains(r.Query, "fields=") {
			t.Errorf("fields went upstream: %s?%s", r.Path, r.Query)
		}
	}
}

// A14: no Google token in anything that was written, and nothing of the agent's upstream.
func attackCredentials(t *testing.T, d *demo) {
	agent := d.token("agent")
	minted := map[string]bool{}
	for _, r := range d.arrived() {
		if r.Service == "bigquery" {
			minted[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] = true
		}
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, " "), agent) {
				t.Errorf("the agent's token arrived at %s in header %s", r.Service, name)
			}
		}
		if strings.Contains(r.Body, agent) {
			t.Errorf("the agent's token arrived at %s in a body", r.Service)
		}
	}
	if len(minted) == 0 || minted[""] {
		t.Fatal("requests arrived without a token")
	}
	for place, text := range d.written() {
		for token := range minted {
			if bytes.Contains(text, []byte(token)) {
				t.Errorf("a minted token is in %s", place)
			}
		}
		if bytes.Contains(text, []byte(agent)) && !strings.Contains(place, "tokens/") {
			t.Errorf("the agent's token is in %s", place)
		}
	}
}
