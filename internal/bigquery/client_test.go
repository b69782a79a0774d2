package bigquery

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/durable"
)

// server answers one path and records what arrived.
type server struct {
	status int
	body   string
	header http.Header
	seen   []*http.Request
	bodies []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.seen = append(s.seen, r)
	s.bodies = append(s.bodies, string(body))
	for name, v := range s.header {
		w.Header()[name] = v
	}
	w.WriteHeader(s.status)
	io.WriteString(w, s.body)
}

func start(t *testing.T, s *server) *Client {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	c, err := NewClient(ClientOptions{BaseURL: h.URL, HTTPClient: h.Client(), Token: func(context.Context, durable.Facts) (string, error) {
		return "inspection", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewClientRefuses(t *testing.T) {
	token := func(context.Context, durable.Facts) (string, error) { return "x", nil }
	for _, base := range []string{
		"", "bigquery.googleapis.com", "http://bigquery.googleapis.com", "http://10.0.0.1", "http://localhost.example.com",
		"https://user:pass@bigquery.googleapis.com",
		"https://bigquery.googleapis.com/x", "https://bigquery.googleapis.com?x=1", "https://bigquery.googleapis.com#x", "ftp://localhost",
		"https://",
	} {
		if _, err := NewClient(ClientOptions{BaseURL: base, HTTPClient: http.DefaultClient, Token: token}); err == nil {
			t.Errorf("%q accepted", base)
		}
	}
	for _, base := range []string{"https://bigquery.googleapis.com", "https://bigquery.googleapis.com/", "http://127.0.0.1:8080",
		"http://localhost:1", "http://[::1]:1"} {
		if _, err := NewClient(ClientOptions{BaseURL: base, HTTPClient: http.DefaultClient, Token: token}); err != nil {
			t.Errorf("%q: %v", base, err)
		}
	}
	if _, err := NewClient(ClientOptions{BaseURL: "https://bigquery.googleapis.com", Token: token}); err == nil {
		t.Error("no HTTP client accepted")
	}
	if _, err := NewClient(ClientOptions{BaseURL: "https://bigquery.googleapis.com", HTTPClient: http.DefaultClient}); err == nil {
		t.Error("no token accepted")
	}
}

func TestClientGetTable(t *testing.T) {
	s := &server{status: 200,
		body: `{"kind":"bigquery#table","etag":"e","tableReference":{"projectId":"demo","datasetId":"crm","tableId":"v 1"},"type":"VIEW","location":"US","numRows":"3",
		"schema":{"fields":[{"name":"id","type":"INTEGER","mode":"REQUIRED"},{"name":"a","type":"RECORD","fields":[{"name":"b","type":"STRING","policyTags":{}}]}]},"view":{"query":"SELECT 1","useLegacySql":false}}`}
	c := start(t, s)
	id := TableID{"demo", "crm", "v 1"}
	table, err := c.GetTable(t.Context(), decided(t), id)
	if err != nil {
		t.Fatal(err)
	}
	if table.Type != "VIEW" || table.Schema.Fields[1].Fields[0].Name != "b" || table.View.Query != "SELECT 1" || *table.View.UseLegacySQL ||
		table.Etag != "e" {
		t.Errorf("%+v", table)
	}
	r := s.seen[0]
	if r.Method != "GET" || r.RequestURI != "/bigquery/v2/projects/demo/datasets/crm/tables/v%201?alt=json&prettyPrint=false" ||
		r.Header.Get("Authorization") != "Bearer inspection" || r.Header.Get("X-Goog-Request-Reason") != "d-1" {
		t.Errorf("%s %s %v", r.Method, r.RequestURI, r.Header)
	}
	if _, err := c.GetTable(t.Context(), decided(t), TableID{"demo", "crm", "other"}); err == nil {
		t.Error("an answer about another table was believed")
	}
	before := len(s.seen)
	for _, bad := range []TableID{
		{}, {"demo", "crm", ""}, {"demo", "crm", ".."}, {"demo", "crm", "t$20260101"}, {"demo", "crm", "t@0"}, {"demo", "crm", "t_*"},
		{"demo", "a/b", "t"}, {"x.y:z", "d", "t"}, {"demo", "crm", "t:getIamPolicy"},
	} {
		if _, err := c.GetTable(t.Context(), decided(t), bad); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if len(s.seen) != before {
		t.Error("a request went out for the name of no table")
	}
}

func TestClientErrors(t *testing.T) {
	notFound := `{"error":{"code":404,"message":"Not found: ` + canary + `","errors":[{"reason":"notFound"}]}}`
	for name, c := range map[string]struct {
		server server
		check  func(error) bool
	}{
		"not found": {server{status: 404, body: notFound}, func(err error) bool {
			var a *APIError
			return errors.Is(err, ErrNotFound) && errors.As(err, &a) && a.Status == 404 && a.Reason == "notFound" &&
				strings.Contains(a.Message, canary)
		}},
		"duplicate": {server{status: 409, body: `{"error":{"errors":[{"reason":"duplicate"}]}}`}, func(err error) bool {
			var a *APIError
			return errors.As(err, &a) && a.Status == 409 && a.Reason == "duplicate" && !errors.Is(err, ErrNotFound)
		}},
		"html": {server{status: 503, body: "<html>"}, func(err error) bool {
			var a *APIError
			return errors.As(err, &a) && a.Status == 503 && a.Reason == "backendError" && a.Message == ""
		}},
		"redirect": {server{status: 302, header: http.Header{"Location": {"/elsewhere"}}}, func(err error) bool {
			return err != nil && !errors.As(err, new(*APIError))
		}},
		"no body": {server{status: 200}, func(err error) bool { return err != nil }},
		"not 200": {server{status: 206, body: upstreamJob(t)}, func(err error) bool { return err != nil }},
		"too long": {server{status: 200, body: `{"x":"` + strings.Repeat("x", maxAnswer) + `"}`}, func(err error) bool {
			return err != nil && strings.Contains(err.Error(), "larger")
		}},
		"other job": {server{status: 200, body: strings.Replace(upstreamJob(t), `"jobId": "j1"`, `"jobId": "j2"`, 1)},
			func(err error) bool {
				return err != nil && strings.Contains(err.Error(), "j2")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			client := start(t, &c.server)
			wait := time.Second // a fault that passes is waited out
			if name == "too long" {
				wait = time.Minute // a whole answer is read, however slow the machine is
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			_, err := client.GetJob(ctx, decided(t), JobReference{"demo", "j1", "US"})
			if !c.check(err) {
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("BigQuery's words in an error that may be logged: %v", err)
			}
			again := name == "html" || name == "no body"
			if n := len(c.server.seen); n == 0 || n > 1 != again {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestClientGetJob(t *testing.T) {
	s := &server{status: 200, body: upstreamJob(t)}
	j, err := start(t, s).GetJob(t.Context(), decided(t), JobReference{"demo", "j1", "US"})
	if err != nil || j.Labels[DecisionLabel] != "d-1" {
		t.Fatalf("%+v, %v", j, err)
	}
	if got := s.seen[0].RequestURI; got != "/bigquery/v2/projects/demo/jobs/j1?alt=json&location=US&prettyPrint=false" {
		t.Error(got)
	}
	if _, err := start(t, s).GetJob(t.Context(), decided(t), JobReference{"demo", "../j1", "US"}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestClientDryRun(t *testing.T) {
	op := Operation{Method: MethodQuery, Job: JobReference{ProjectID: "demo", Location: "EU"},
		Query: &QueryRequest{SQL: "SELECT 1", Labels: map[string]string{"a": "b"}}}
	answer := `{"kind":"bigquery#job","jobReference":{"projectId":"demo","location":"EU"},"configuration":{"jobType":"QUERY","dryRun":true,"query":{"query":"SELECT 1"}},"status":{"state":"DONE"},
		"statistics":{"totalBytesProcessed":"77","query":{"statementType":"SELECT","totalBytesProcessedAccuracy":"UPPER_BOUND","referencedTables":[{"projectId":"demo","datasetId":"crm","tableId":"t"}],
		"schema":{"fields":[{"name":"f0_","type":"INTEGER"}]}}}}`
	s := &server{status: 200, body: answer}
	run, err := start(t, s).DryRun(t.Context(), decided(t), op)
	if err != nil || run.TotalBytesProcessed != 77 || run.Accuracy != "UPPER_BOUND" || run.StatementType != "SELECT" ||
		run.ReferencedTables[0].Table != "t" || run.Schema.Fields[0].Name != "f0_" {
		t.Fatalf("%+v, %v", run, err)
	}
	if want := `{"jobReference":{"projectId":"demo","location":"EU"},"configuration":{"jobType":"QUERY","query":{"query":"SELECT ` +
		`1","useLegacySql":false,"useQueryCache":false},"dryRun":true}}`; s.bodies[0] != want {
		t.Errorf("sent %s, want %s", s.bodies[0], want)
	}
	for name, c := range map[string]struct{ old, new string }{
		"it ran":        {`"dryRun":true`, `"dryRun":false`},
		"other project": {`"projectId":"demo","location"`, `"projectId":"other","location"`},
		"not JSON":      {`{"kind"`, `{kind`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{status: 200, body: strings.Replace(answer, c.old, c.new, 1)}
			if run, err := start(t, s).DryRun(t.Context(), decided(t), op); err == nil {
				t.Errorf("%s: %+v", name, run)
			}
		})
	}
	// No estimate is not an estimate of nothing.
	for _, value := range []string{``, `"totalBytesProcessed":"-1",`, `"totalBytesProcessed":null,`} {
		s := &server{status: 200, body: strings.Replace(answer, `"totalBytesProcessed":"77",`, value, 1)}
		if run, err := start(t, s).DryRun(t.Context(), decided(t), op); !errors.Is(err, ErrNoEstimate) {
			t.Errorf("%s: %+v, %v", value, run, err)
		}
	}
	s = &server{status: 200, body: strings.Replace(answer, `"state":"DONE"`, `"state":"DONE","errorResult":{"reason":"invalidQuery",`+
		`"message":"x"}`, 1)}
	var api *APIError
	if _, err := start(t, s).DryRun(t.Context(), decided(t), op); !errors.As(err, &api) || api.Status != 400 ||
		api.Reason != "invalidQuery" {
		t.Error(err)
	}
}

func TestClientInsertAndCancel(t *testing.T) {
	s := &server{status: 200, body: upstreamJob(t)}
	c := start(t, s)
	j, err := c.InsertJob(t.Context(), decided(t), "minted", "demo", []byte(`{"a":1}`))
	if err != nil || j.Reference.JobID != "j1" {
		t.Fatal(err)
	}
	r := s.seen[0]
	if r.Method != "POST" || r.URL.Path != "/bigquery/v2/projects/demo/jobs" || r.Header.Get("Authorization") != "Bearer minted" ||
		r.Header.Get("Content-Type") != "application/json" || s.bodies[0] != `{"a":1}` {
		t.Errorf("%s %s %v %s", r.Method, r.URL, r.Header, s.bodies[0])
	}
	if _, err := c.InsertJob(t.Context(), decided(t), "", "demo", []byte(`{}`)); err == nil {
		t.Error("a job was inserted without a token")
	}
	if _, err := c.InsertJob(t.Context(), decided(t), "minted", "a/b", []byte(`{}`)); err == nil {
		t.Error("a job was inserted into no project")
	}
	if _, err := c.InsertJob(t.Context(), decided(t), "minted", "other", []byte(`{}`)); err == nil {
		t.Error("an answer about another project was believed")
	}
	s.body = `{"kind":"bigquery#jobCancelResponse","job":` + upstreamJob(t) + `}`
	if _, err := c.CancelJob(t.Context(), decided(t), "minted", JobReference{"demo", "j1", "US"}); err != nil {
		t.Error(err)
	}
	r = s.seen[len(s.seen)-1]
	if r.Method != "POST" || r.URL.Path != "/bigquery/v2/projects/demo/jobs/j1/cancel" || r.URL.Query().Get("location") != "US" ||
		r.Header.Get("Authorization") != "Bearer minted" {
		t.Errorf("%s %s", r.Method, r.URL)
	}
}

func TestClientDeadlineAndToken(t *testing.T) {
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hang.Close()
	c, err := NewClient(ClientOptions{BaseURL: hang.URL, HTTPClient: hang.Client(),
		Token: func(context.Context, durable.Facts) (string, error) {
			return "x", nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.GetJob(ctx, decided(t), JobReference{"demo", "j1", ""}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	c, err = NewClient(ClientOptions{BaseURL: hang.URL, HTTPClient: hang.Client(),
		Token: func(context.Context, durable.Facts) (string, error) {
			return "", os.ErrPermission
		}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetTable(t.Context(), decided(t), TableID{"demo", "crm", "t"}); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}
