package bigquery

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/durable"
)

// failing answers each call with the next of its faults, and the rest with body.
type failing struct {
	mu     sync.Mutex
	faults []func(http.ResponseWriter)
	body   string
	calls  int
	bodies []string
}

func (f *failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.bodies = append(f.bodies, string(text))
	n := f.calls
	f.calls++
	f.mu.Unlock()
	if n < len(f.faults) {
		f.faults[n](w)
		return
	}
	io.WriteString(w, f.body)
}

func (f *failing) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

const html = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error (Server Error)!!1</title>\n"

// fault answers with a status and a body.
func fault(status int, contentType, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// cut hangs up: before the answer, or in its middle.
func cut(part string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		buffered.WriteString(part)
		buffered.Flush()
		conn.Close()
	}
}

func errorJSON(reason string) string {
	return `{"error":{"message":"m","errors":[{"message":"m","reason":"` + reason + `"}]}}`
}

var passing = map[string]func(http.ResponseWriter){
	"500":                    fault(500, "application/json", errorJSON("internalError")),
	"502 as HTML":            fault(502, "text/html; charset=UTF-8", html),
	"503":                    fault(503, "application/json", errorJSON("backendError")),
	"503 without a body":     fault(503, "application/json", ""),
	"504":                    fault(504, "text/html", html),
	"429":                    fault(429, "application/json", errorJSON("rateLimitExceeded")),
	"403 of a rate":          fault(403, "application/json", errorJSON("rateLimitExceeded")),
	"403 of a user's rate":   fault(403, "application/json", errorJSON("userRateLimitExceeded")),
	"403 of calls at once":   fault(403, "application/json", errorJSON("quotaExceeded")),
	"429 as HTML":            fault(429, "text/html", html),
	"cut before the answer":  cut(""),
	"cut in the headers":     cut("HTTP/1.1 200 OK\r\nContent-Type: appl"),
	"cut in the body":        cut("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"kind\":"),
	"200 with half the JSON": fault(200, "application/json", `{"kind":"bigquery#job","jobRef`),
	"200 as HTML":            fault(200, "text/html", html),
	"200 without a body":     fault(200, "application/json", ""),
}

var lasting = map[string]func(http.ResponseWriter){
	"400":         fault(400, "application/json", errorJSON("invalid")),
	"400 as HTML": fault(400, "text/html", html),
	"401":         fault(401, "application/json", errorJSON("authError")),
	"403":         fault(403, "application/json", errorJSON("accessDenied")),
	"404":         fault(404, "application/json", errorJSON("notFound")),
	"404 as HTML": fault(404, "text/html", html),
	"409":         fault(409, "application/json", errorJSON("duplicate")),
	"413 as HTML": fault(413, "text/html", html),
	"302":         fault(302, "text/html", html),
}

// Each of the gateway's own calls, with an answer that it takes.
func calls(t *testing.T) map[string]struct {
	body string
	call func(context.Context, *Client) error
} {
	job := upstreamJob(t)
	ref := JobReference{"demo", "j1", "US"}
	return map[string]struct {
		body string
		call func(context.Context, *Client) error
	}{
		"jobs.get": {job, func(ctx context.Context, c *Client) error { _, err := c.GetJob(ctx, decided(t), ref); return err }},
		"tables.get": {`{"kind":"bigquery#table","tableReference":{"projectId":"demo","datasetId":"crm","tableId":"t"},"type":"TABLE",` +
			`"schema":{"fields":[{"name":"id","type":"INTEGER"}]}}`,
			func(ctx context.Context, c *Client) error {
				_, err := c.GetTable(ctx, decided(t), TableID{"demo", "crm", "t"})
				return err
			}},
		"a dry run": {`{"kind":"bigquery#job","jobReference":{"projectId":"demo"},"configuration":{"dryRun":true,` +
			`"query":{"query":"SELECT 1"}},"status":{"state":"DONE"},"statistics":{"totalBytesProcessed":"1"}}`,
			func(ctx context.Context, c *Client) error {
				_, err := c.DryRun(ctx, decided(t), Operation{Job: JobReference{ProjectID: "demo"}, Query: &QueryRequest{SQL: "SELECT 1"}})
				return err
			}},
		"jobs.insert": {job, func(ctx context.Context, c *Client) error {
			_, err := c.InsertJob(ctx, decided(t), "minted", "demo", []byte(`{"jobReference":{"projectId":"demo","jobId":"j1"}}`))
			return err
		}},
		"jobs.cancel": {`{"kind":"bigquery#jobCancelResponse","job":` + job + `}`,
			func(ctx context.Context, c *Client) error {
				_, err := c.CancelJob(ctx, decided(t), "minted", ref)
				return err
			}},
	}
}

func TestOwnCallsAreMadeAgain(t *testing.T) {
	for method, c := range calls(t) {
		for name, f := range passing {
			t.Run(method+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := &failing{faults: []func(http.ResponseWriter){f}, body: c.body}
				if err := c.call(t.Context(), connect(t, s)); err != nil {
					t.Errorf("one fault, and it failed: %v", err)
				}
				want := 2
				if method == "jobs.cancel" && name == "200 without a body" {
					want = 1 // this is an answer
				}
				if s.count() != want {
					t.Errorf("%d requests, want %d", s.count(), want)
				}
			})
		}
		for name, f := range lasting {
			t.Run(method+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := &failing{faults: []func(http.ResponseWriter){f}, body: c.body}
				if err := c.call(t.Context(), connect(t, s)); err == nil || s.count() != 1 {
					t.Errorf("%v after %d requests, want an error after one", err, s.count())
				}
			})
		}
	}
}

// A fault that stays is an error within the caller's time: its own, not that the time is over.
func TestAFaultThatStaysIsTold(t *testing.T) {
	s := &failing{body: html}
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	s.faults = make([]func(http.ResponseWriter), 50)
	for i := range s.faults {
		s.faults[i] = fault(503, "text/html", html)
	}
	_, err := connect(t, s).GetJob(ctx, decided(t), JobReference{"demo", "j1", "US"})
	var api *APIError
	if !errors.As(err, &api) || api.Status != 503 || ctx.Err() != nil {
		t.Errorf("%v (the caller's time: %v), want BigQuery's 503 while there is time", err, ctx.Err())
	}
	if n := s.count(); n < 2 || n > maxTries {
		t.Errorf("%d requests, want some, and at most %d", n, maxTries)
	}
}

// A limit of the gateway's own calls says nothing of a table: not that it is not there.
func TestALimitIsNoMissingTable(t *testing.T) {
	for _, reason := range []string{"rateLimitExceeded", "quotaExceeded", "userRateLimitExceeded"} {
		s := &failing{faults: make([]func(http.ResponseWriter), 50)}
		for i := range s.faults {
			s.faults[i] = fault(403, "application/json", errorJSON(reason))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := connect(t, s).GetTable(ctx, decided(t), TableID{"demo", "crm", "t"})
		cancel()
		var api *APIError
		if errors.Is(err, ErrNotFound) || !errors.As(err, &api) || !api.Passes() {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// A second insert without an id would be a second job, billed twice.
func TestAnInsertWithoutAJobIDIsSentOnce(t *testing.T) {
	for _, body := range []string{`{"configuration":{}}`, `{"jobReference":{"projectId":"demo"}}`, `{"jobReference":{"jobId":""}}`,
		`not JSON`} {
		s := &failing{faults: []func(http.ResponseWriter){fault(503, "text/html", html)}, body: upstreamJob(t)}
		if _, err := connect(t, s).InsertJob(t.Context(), decided(t), "minted", "demo", []byte(body)); err == nil || s.count() != 1 {
			t.Errorf("%s: %v after %d requests, want an error after one", body, err, s.count())
		}
	}
}

// A 409 that an earlier try may have caused is told apart from one that it cannot have caused.
func TestAJobIDThatIsTakenSaysWhetherATryOfTheSameCallMayHaveTakenIt(t *testing.T) {
	taken := fault(409, "application/json", errorJSON("duplicate"))
	for name, c := range map[string]struct {
		before []func(http.ResponseWriter)
		again  bool
	}{
		"at once":            {nil, false},
		"after a 429":        {[]func(http.ResponseWriter){fault(429, "application/json", errorJSON("rateLimitExceeded"))}, true},
		"after HTML":         {[]func(http.ResponseWriter){fault(502, "text/html", html)}, true},
		"after a cut":        {[]func(http.ResponseWriter){cut("")}, true},
		"after half of it":   {[]func(http.ResponseWriter){fault(200, "application/json", `{"kind`)}, true},
		"after 503 and 429":  {[]func(http.ResponseWriter){fault(503, "", ""), fault(429, "", "")}, true},
		"after 429 and 503":  {[]func(http.ResponseWriter){fault(429, "", ""), fault(503, "", "")}, true},
		"after a backendErr": {[]func(http.ResponseWriter){fault(500, "application/json", errorJSON("backendError"))}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &failing{faults: append(c.before, taken)}
			_, err := connect(t, s).InsertJob(t.Context(), decided(t), "minted", "demo", []byte(`{"jobReference":{"jobId":"j1"}}`))
			var api *APIError
			if !errors.As(err, &api) || api.Status != 409 || api.Again != c.again {
				t.Errorf("%+v (%v), want a 409 with Again %v", api, err, c.again)
			}
			for _, body := range s.bodies {
				if body != s.bodies[0] {
					t.Errorf("another body was sent: %s, %s", body, s.bodies[0])
				}
			}
		})
	}
}

func connect(t *testing.T, h http.Handler) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := NewClient(ClientOptions{
		BaseURL: s.URL, HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Token: func(context.Context, durable.Facts) (string, error) { return strings.Repeat("i", 8), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
