package envoy

import (
	"io"
	"net"
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

	// What cannot be an exchange takes nothing from those that can, at the same address too.
	const form = "application/x-www-form-urlencoded"
	send := func(n int, kind, body string) (limited int) {
		var wg sync.WaitGroup
		var count atomic.Int64
		for range n {
			wg.Go(func() {
				res, err := http.Post(url+"/v1/token", kind, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				io.Copy(io.Discard, res.Body)
				if res.StatusCode == 429 {
					if wait := res.Header.Get("retry-after"); wait != "1" {
						t.Errorf("Retry-After %q", wait)
					}
					count.Add(1)
				}
			})
		}
		wg.Wait()
		return int(count.Load())
	}
	long := strings.Repeat("x", 500)
	if n := send(900, form, "x=1"); n == 0 {
		t.Error("900 short requests at once were all let through, with 100 a second allowed")
	}
	if n := send(90, form, long); n != 0 {
		t.Errorf("%d of 90 exchanges are refused beside them, with 100 at once allowed", n)
	}
	if n := send(500, "text/plain", long); n == 0 {
		t.Error("500 requests of another type at once were all let through, with 100 a second allowed")
	}
	if n := send(500, form, long); n == 0 {
		t.Error("500 exchanges at once were all let through, with 50 a second allowed")
	}
	// Another address has a budget of its own.
	from := &http.Client{
		Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext},
	}
	res, err := from.Post(url+"/v1/token", form, strings.NewReader(long))
	if err != nil || res.StatusCode != 400 {
		t.Errorf("from another address: %v %v", res, err)
	}
}
