package envoy

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTokenListener shows that only POST /v1/token gets through, and only to the token endpoint
// (A30).
func TestTokenListener(t *testing.T) {
	var got atomic.Int64
	w := start(t, &world{
		config: func(c *Config) { c.Limits.MaxTokenRate = 50 },
		token: func(out http.ResponseWriter, in *http.Request) {
			got.Add(1)
			out.Header().Set("content-type", "application/json")
			out.WriteHeader(400)
			io.Copy(io.Discard, in.Body)
			io.WriteString(out, `{"error":"invalid_grant"}`)
		},
	})
	url := "http://" + w.tokenAddr
	for _, tt := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"POST", "/v1/token", "grant_type=x", 400, `{"error":"invalid_grant"}`},
		{"POST", "/v1/token?x=y", "grant_type=x", 400, `{"error":"invalid_grant"}`},
		{"GET", "/v1/token", "", 404, `{"error":"invalid_request"`},
		{"POST", "/v1/token/", "", 404, `{"error":"invalid_request"`},
		{"POST", "/v1/tokens", "", 404, `{"error":"invalid_request"`},
		{"POST", queries, "{}", 404, `{"error":"invalid_request"`},
		{"POST", "/v1/token/..%2f..%2fbigquery", "", 400, `{"error":"invalid_request"`},
		{"POST", "/v1/token", strings.Repeat("x", 65<<10), 413, `{"error":"invalid_request"`},
	} {
		t.Run(tt.method, func(t *testing.T) {
			code, contentType, body := do(t, http.DefaultClient, tt.method, url+tt.path, nil, strings.NewReader(tt.body))
			if code != tt.code || !strings.HasPrefix(body, tt.want) || !strings.HasPrefix(contentType, "application/json") {
				t.Errorf("%s %s: %d %s %s; want %d %s", tt.method, tt.path, code, contentType, body, tt.code, tt.want)
			}
		})
	}
	if n := got.Load(); n != 2 {
		t.Errorf("%d requests arrived at the token endpoint, want 2", n)
	}
	if n := len(w.requests()); n != 0 {
		t.Errorf("%d requests arrived at BigQuery", n)
	}
	// The data listener knows no such path, whatever ext_authz says.
	if code, _, _ := do(t, http.DefaultClient, "POST", "http://"+w.rest+"/v1/token", nil, strings.NewReader("x")); code != 403 ||
		got.Load() != 2 {
		t.Errorf("POST /v1/token on the data listener: %d", code)
	}

	var wg sync.WaitGroup
	var limited atomic.Int64
	for range 300 {
		wg.Go(func() {
			res, err := http.Post(url+"/v1/token", "application/x-www-form-urlencoded", strings.NewReader("x"))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if res.StatusCode == 429 {
				limited.Add(1)
			}
		})
	}
	wg.Wait()
	if limited.Load() == 0 {
		t.Error("300 requests at once were all let through, with 50 a second allowed")
	}
}
