package envoy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

const queries = "/bigquery/v2/projects/demo/queries"

// get and post return status, content type and body.
func get(t *testing.T, url string) (int, string, string) {
	t.Helper()
	return do(t, http.DefaultClient, http.MethodGet, url, nil, nil)
}

func do(t *testing.T, client *http.Client, method, url string, header http.Header, body io.Reader) (int, string, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: read body: %v (got %q)", method, url, err, text)
	}
	return res.StatusCode, res.Header.Get("content-type"), string(text)
}

// wantBigQueryError checks BigQuery's error shape.
func wantBigQueryError(t *testing.T, code int, contentType, body string, want int, reason string) {
	t.Helper()
	var e struct {
		Error struct {
			Code    int
			Message string
			Errors  []struct{ Reason, Message, Domain string }
		}
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("status %d, body %q is not JSON: %v", code, body, err)
	}
	if code != want || e.Error.Code != want || !strings.HasPrefix(contentType, "application/json") || len(e.Error.Errors) != 1 ||
		e.Error.Errors[0].Reason != reason || !strings.HasPrefix(e.Error.Message, "bqgate: ") {
		t.Errorf("status %d, content-type %q, body %s\nwant %d with BigQuery's error JSON, reason %s", code, contentType, body, want,
			reason)
	}
}

func TestForward(t *testing.T) {
	var seen atomic.Pointer[authv3.CheckRequest]
	var processed atomic.Pointer[procv3.ProcessingRequest]
	w := start(t, &world{
		check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			seen.Store(in)
			return allow(ctx, in)
		},
		process: func(s procv3.ExternalProcessor_ProcessServer) error {
			return each(s, func(in *procv3.ProcessingRequest) (*procv3.ProcessingResponse, error) {
				if in.GetRequestHeaders() != nil {
					processed.Store(in)
				}
				return pass(in)
			})
		},
		upstream: func(out http.ResponseWriter, in *http.Request) {
			out.Header().Set("content-type", "application/json")
			out.Header().Set("set-cookie", "upstream=1")
			out.Header().Set("authorization", "Bearer echoed")
			out.Header().Set("x-envoy-upstream-service-time", "9")
			io.WriteString(out, `{"ok":true}`)
		},
	})
	plain := http.DefaultClient
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.ca.pool(), ServerName: "localhost"},
		ForceAttemptHTTP2: true}}
	for name, via := range map[string]struct {
		client *http.Client
		url    string
	}{"plain": {plain, "http://" + w.rest}, "TLS, HTTP/2": {secure, "https://" + w.restTLS}} {
		t.Run(name, func(t *testing.T) {
			body := "{\"query\":\"SELECT '\xff'\"}" // not UTF-8: must arrive as it is
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, via.url+queries+"?prettyPrint=false",
				strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{
				"Authorization": "Bearer of-the-agent", "Content-Type": "application/json", "Cookie": "a=b", "X-Kept": "yes",
				"Accept-Encoding": "gzip", "X-Forwarded-For": "9.9.9.9", "X-Request-Id": "mine", "X-Other": "no",
				"X-Envoy-Retry-On": "5xx", "X-Envoy-Upstream-Alt-Stat-Name": "x", "X-Envoy-Original-Path": "/admin",
			} {
				req.Header.Set(name, value)
			}
			res, err := via.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 200 || string(text) != `{"ok":true}` {
				t.Fatalf("status %d, body %q, error %v", res.StatusCode, text, err)
			}
			for _, name := range []string{"set-cookie", "authorization", "x-envoy-upstream-service-time"} {
				t.Run(name, func(t *testing.T) {
					if v := res.Header.Get(name); v != "" {
						t.Errorf("the client got %s: %s", name, v)
					}
				})
			}
			if got := res.Header.Get("server"); got != "bqgate" {
				t.Errorf("server: %q", got)
			}

			http := seen.Load().GetAttributes().GetRequest().GetHttp()
			if string(http.GetRawBody()) != body || http.GetBody() != "" {
				t.Errorf("ext_authz saw body %q and raw body %q", http.GetBody(), http.GetRawBody())
			}
			if http.GetPath() != queries+"?prettyPrint=false" {
				t.Errorf("ext_authz saw path %q", http.GetPath())
			}
			for _, h := range http.GetHeaderMap().GetHeaders() {
				if h.GetKey() == "x-envoy-retry-on" || h.GetKey() == "x-request-id" && string(h.GetRawValue()) == "mine" {
					t.Errorf("ext_authz saw %s: %s", h.GetKey(), h.GetRawValue())
				}
			}

			p := processed.Load()
			if got := p.GetMetadataContext().GetFilterMetadata()[filterExtAuthz].GetFields()["bqgate"].GetStringValue(); got != "sealed" {
				t.Errorf("ext_proc got the verdict %q", got)
			}
			for _, h := range p.GetRequestHeaders().GetHeaders().GetHeaders() {
				if h.GetKey() == "authorization" || strings.Contains(string(h.GetRawValue()), "minted") {
					t.Errorf("ext_proc saw %s: %s", h.GetKey(), h.GetRawValue()) // A14
				}
			}

			all := w.requests()
			up := all[len(all)-1]
			if up.Host != BigQueryHost || up.RequestURI != queries+"?prettyPrint=false" || w.bodies[len(all)-1] != body {
				t.Errorf("upstream got host %q, URI %q, body %q", up.Host, up.RequestURI, w.bodies[len(all)-1])
			}
			if up.TLS.ServerName != BigQueryHost || up.ProtoMajor != 2 {
				t.Errorf("upstream got SNI %q and protocol %s", up.TLS.ServerName, up.Proto)
			}
			want := map[string]string{"Authorization": mintedToken, "Content-Type": "application/json", "X-Kept": "yes"}
			for name := range up.Header {
				if name != "Content-Length" && up.Header.Get(name) != want[name] {
					t.Errorf("upstream got %s: %s", name, up.Header.Get(name))
				}
			}
			for name := range want {
				t.Run(name, func(t *testing.T) {
					if up.Header.Get(name) == "" {
						t.Errorf("upstream got no %s", name)
					}
				})
			}
		})
	}
}

func TestServicesDown(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		noExtAuthz, noExtProc bool
	}{
		{"ext_authz", true, false}, {"ext_proc", false, true}, {"both", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, &world{noExtAuthz: tt.noExtAuthz, noExtProc: tt.noExtProc})
			code, contentType, body := get(t, "http://"+w.rest+queries+"/x")
			wantBigQueryError(t, code, contentType, body, 503, "backendError")
			if n := len(w.requests()); n != 0 {
				t.Errorf("%d requests arrived upstream", n)
			}
		})
	}
}

func TestOwnRepliesStayAsTheyAre(t *testing.T) {
	pending := `{"jobComplete":false}`
	t.Run("ext_authz", func(t *testing.T) {
		for _, code := range []int{200, 400, 401, 403, 503} {
			t.Run(fmt.Sprint(code), func(t *testing.T) {
				w := start(t, &world{check: deny(code, pending)})
				if got, contentType, body := get(t, "http://"+w.rest+queries+"/x"); got != code || body != pending ||
					contentType != jsonContentType {
					t.Errorf("status %d, content-type %q, body %q; want %d %q", got, contentType, body, code, pending)
				}
				if n := len(w.requests()); n != 0 {
					t.Errorf("%d requests arrived upstream", n)
				}
			})
		}
	})
	t.Run("ext_authz error response", func(t *testing.T) {
		w := start(t, &world{check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			denied, err := deny(503, pending)(ctx, in)
			return &authv3.CheckResponse{Status: denied.GetStatus(),
				HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: denied.GetDeniedResponse()}}, err
		}})
		if got, contentType, body := get(t, "http://"+w.rest+queries+"/x"); got != 503 || body != pending ||
			contentType != jsonContentType {
			t.Errorf("status %d, content-type %q, body %q", got, contentType, body)
		}
	})
}

func TestErrorsOfEnvoyHaveBigQueryShape(t *testing.T) {
	w := start(t, &world{
		config: func(c *Config) { c.Limits.MaxRequestBytes = 1000 },
		upstream: func(out http.ResponseWriter, in *http.Request) {
			panic(http.ErrAbortHandler) // the connection breaks
		},
	})
	for _, tt := range []struct {
		name    string
		request string
		code    int
		reason  string
	}{
		{"escaped slash", "GET /bigquery/v2/projects/..%2fdatasets HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid"},
		{"escaped backslash", "GET /bigquery/v2/projects/..%5Cdatasets HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid"},
		{"fragment", "GET /bigquery/v2/projects#/../x HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid"},
		{"NUL", "GET /bigquery/v2/projects/%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid"},
		{"upgrade", "GET /bigquery/v2/projects/x HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 403,
			"accessDenied"},
		{"CONNECT", "CONNECT bigquery.googleapis.com:443 HTTP/1.1\r\nHost: bigquery.googleapis.com:443\r\n\r\n", 403, "accessDenied"},
		{"too large", "POST " + queries + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" + strings.Repeat("x", 1001), 413,
			"invalid"},
		{"upstream breaks", "GET " + queries + "/x HTTP/1.1\r\nHost: x\r\n\r\n", 503, "backendError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, contentType, body := raw(t, w.rest, tt.request)
			wantBigQueryError(t, code, contentType, body, tt.code, tt.reason)
		})
	}
	for _, r := range w.requests() {
		if r.RequestURI != queries+"/x" {
			t.Errorf("%s %s arrived upstream", r.Method, r.RequestURI)
		}
	}
	if n := len(w.requests()); n != 1 { // no retry
		t.Errorf("%d requests arrived upstream, want 1", n)
	}
}

// TestBrokenFramingIsCutOff has requests that Envoy's codec refuses. Its reply would have to go
// through ext_proc, and the connection is closed before that: the client gets nothing.
func TestBrokenFramingIsCutOff(t *testing.T) {
	w := start(t, &world{})
	for name, request := range map[string]string{
		"underscore header": "GET " + queries + "/x HTTP/1.1\r\nHost: x\r\nx_goog_user: y\r\n\r\n",
		"HTTP/1.0":          "GET " + queries + "/x HTTP/1.0\r\nHost: x\r\n\r\n",
		"headers too large": "GET " + queries + "/x HTTP/1.1\r\nHost: x\r\nx-large: " + strings.Repeat("x", 40<<10) + "\r\n\r\n",
		"too many headers":  "GET " + queries + "/x HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("x-a: b\r\n", 70) + "\r\n",
		"two lengths":       "POST " + queries + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"length and chunked": "POST " + queries +
			" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"no host": "GET " + queries + "/x HTTP/1.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.DialTimeout("tcp", w.rest, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if err != nil || strings.Contains(string(got), " 200 ") {
				t.Errorf("%s: got %q, error %v; want a closed connection", name, got, err)
			}
			conn.Close()
		})
	}
	if all := w.requests(); len(all) != 0 {
		t.Errorf("%s arrived upstream", all[0].RequestURI)
	}
}

// raw sends bytes and reads one HTTP/1 response.
func raw(t *testing.T, address, request string) (int, string, string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("read response: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	return res.StatusCode, res.Header.Get("content-type"), string(body)
}

func TestNothingElseLeadsUpstream(t *testing.T) {
	w := start(t, &world{}) // an ext_authz that would let everything through
	for _, path := range []string{
		"/", "/bigquery/v2", "/bigquery/v3/projects/x", "/upload/bigquery/v2/projects/demo/jobs", "/batch/bigquery/v2",
		"/resumable/upload/bigquery/v2/projects/p/jobs",
		"/bigquery/v2/../v3/x", "/bigquery/v2/%2e%2e/admin", "/bigquery/v2/..;a=b/admin", "//bigquery/../v2/x", "/v1/token", "/console",
		"/healthz/x",
		"/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows", "http://bigquery.googleapis.com/bigquery/v2/projects/x",
	} {
		t.Run(path, func(t *testing.T) {
			code, contentType, body := raw(t, w.rest, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path))
			if code == 200 || code >= 500 {
				t.Errorf("%s: status %d %s %s", path, code, contentType, body)
			}
		})
	}
	if all := w.requests(); len(all) != 0 {
		t.Errorf("%s arrived upstream", all[0].RequestURI)
	}
	w.becomes(t, 200)
}

func TestUnknownHost(t *testing.T) {
	w := start(t, &world{config: func(c *Config) { c.Domains = []string{"bigquery.internal.example"} }})
	for host, want := range map[string]int{"bigquery.internal.example": 200, "other.example": 403, "x": 403} {
		t.Run(host, func(t *testing.T) {
			code, contentType, body := raw(t, w.rest, "GET "+queries+"/x HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
			if code != want {
				t.Errorf("host %s: status %d, want %d", host, code, want)
			}
			if want != 200 {
				wantBigQueryError(t, code, contentType, body, 403, "accessDenied")
			}
		})
	}
	if n := len(w.requests()); n != 1 {
		t.Errorf("%d requests arrived upstream, want 1", n)
	}
}

func TestUpstreamNameIsChecked(t *testing.T) {
	for name, want := range map[string]int{BigQueryHost: 200, "*.googleapis.com": 200, "bigquery.evil.example": 503, "*.com": 503} {
		t.Run(name, func(t *testing.T) {
			w := start(t, &world{upstreamName: name})
			if code, _, body := get(t, "http://"+w.rest+queries+"/x"); code != want {
				t.Errorf("certificate for %s: status %d %s, want %d", name, code, body, want)
			}
		})
	}
}

// TestMutationsAreHeldToTheRules has services that overstep what the filters let them do.
func TestMutationsAreHeldToTheRules(t *testing.T) {
	t.Run("ext_proc sets authorization", func(t *testing.T) {
		w := start(t, &world{process: func(s procv3.ExternalProcessor_ProcessServer) error {
			return each(s, func(in *procv3.ProcessingRequest) (*procv3.ProcessingResponse, error) {
				out, err := pass(in)
				if h := out.GetRequestHeaders(); h != nil {
					v := headerValue("authorization", "")
					v.Header.RawValue = []byte("Bearer stolen")
					h.Response.HeaderMutation = &procv3.HeaderMutation{SetHeaders: append(h.Response.HeaderMutation.GetSetHeaders(), v)}
				}
				return out, err
			})
		}})
		code, contentType, body := get(t, "http://"+w.rest+queries+"/x")
		wantBigQueryError(t, code, contentType, body, 503, "backendError")
		if n := len(w.requests()); n != 0 {
			t.Errorf("%d requests arrived upstream", n)
		}
	})
	for _, name := range []string{":authority", ":method", ":scheme", "host"} {
		t.Run("ext_proc sets "+name, func(t *testing.T) {
			w := start(t, &world{process: setting(name, "evil.example")})
			code, contentType, body := get(t, "http://"+w.rest+queries+"/x")
			wantBigQueryError(t, code, contentType, body, 503, "backendError")
			if n := len(w.requests()); n != 0 {
				t.Errorf("%d requests arrived upstream", n)
			}
		})
	}
	t.Run("ext_authz sets host", func(t *testing.T) {
		w := start(t, &world{check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			out, err := allow(ctx, in)
			ok := out.GetOkResponse()
			ok.Headers = append(ok.Headers, headerValue("host", "evil.example"))
			return out, err
		}})
		code, contentType, body := get(t, "http://"+w.rest+queries+"/x")
		wantBigQueryError(t, code, contentType, body, 500, "backendError")
		if n := len(w.requests()); n != 0 {
			t.Errorf("%d requests arrived upstream", n)
		}
	})
}

// TestRequestTrailers sends trailers by HTTP/1.1, where Envoy drops them, and HTTP/2, where
// ext_proc gets to refuse them (A32).
func TestRequestTrailers(t *testing.T) {
	w := start(t, &world{})
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.ca.pool(), ServerName: "localhost"},
		ForceAttemptHTTP2: true}}
	for url, client := range map[string]*http.Client{"http://" + w.rest: http.DefaultClient, "https://" + w.restTLS: secure} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+queries, io.NopCloser(strings.NewReader("{}")))
		if err != nil {
			t.Fatal(err)
		}
		req.Trailer = http.Header{"X-Goog-Impersonate": {"somebody"}}
		before := len(w.requests())
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		// Over HTTP/1.1 Envoy drops trailers, and the request goes on without them; over HTTP/2 it
		// gives them to ext_proc, which refuses them, and the request does not leave.
		want, arrived := 200, 1
		if client == secure {
			want, arrived = 503, 0
		}
		if got := len(w.requests()) - before; res.StatusCode != want || got != arrived {
			t.Errorf("%s: status %d, %d requests arrived; want %d and %d", url, res.StatusCode, got, want, arrived)
		}
	}
	for i := range w.requests() {
		if len(w.trailers[i]) != 0 {
			t.Errorf("trailers %v arrived upstream", w.trailers[i])
		}
	}
}

// TestProcessErrorBreaksOff has an ext_proc that fails in the middle: the client must see a broken
// response and not the rest of it.
func TestProcessErrorBreaksOff(t *testing.T) {
	w := start(t, &world{
		process: func(s procv3.ExternalProcessor_ProcessServer) error {
			return each(s, func(in *procv3.ProcessingRequest) (*procv3.ProcessingResponse, error) {
				if strings.Contains(string(in.GetResponseBody().GetBody()), "SECRET") {
					return nil, grpcstatus.Error(codes.Internal, "no")
				}
				return pass(in)
			})
		},
		upstream: func(out http.ResponseWriter, in *http.Request) {
			out.Header().Set("content-type", "application/json")
			for i := range 20 {
				fmt.Fprintf(out, "row %d\n", i)
				if i == 10 {
					io.WriteString(out, "SECRET\n")
				}
				out.(http.Flusher).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		},
	})
	res, err := http.Get("http://" + w.rest + queries + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil || strings.Contains(string(body), "SECRET") {
		t.Errorf("error %v, body %q; want a response that breaks off before the secret", err, body)
	}
}

// setting is an ext_proc that sets one header of the request.
func setting(name, value string) func(procv3.ExternalProcessor_ProcessServer) error {
	return func(s procv3.ExternalProcessor_ProcessServer) error {
		return each(s, func(in *procv3.ProcessingRequest) (*procv3.ProcessingResponse, error) {
			out, err := pass(in)
			if h := out.GetRequestHeaders(); h != nil {
				v := headerValue(name, "")
				v.Header.RawValue = []byte(value)
				h.Response.HeaderMutation = &procv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{v}}
			}
			return out, err
		})
	}
}

// TestTheQueryArrivesAsExtProcWritesIt has ext_proc write values that a query parameter of
// ext_authz could not hold (`Field 'query_parameters_to_set' contained invalid header`), whether
// escaped or not.
func TestTheQueryArrivesAsExtProcWritesIt(t *testing.T) {
	values := map[string]string{
		"padding": "BEGX===", "slash": "a/b", "colon": "a:b", "tilde": "a~b", "plus": "a+b", "percent": "100%", "space": "a b",
		"ampersand":     "a&alt=proto",
		"question mark": "a?b", "comma and brackets": "rows(f,v)", "every printable byte": printable(),
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			query := url.Values{"alt": {"json"}, "pageToken": {value}}.Encode()
			w := start(t, &world{process: setting(":path", queries+"/x?"+query)})
			if code, _, body := get(t, "http://"+w.rest+queries+"/x?pageToken=theirs&fields=rows"); code != http.StatusOK {
				t.Fatalf("status %d %s", code, body)
			}
			got := w.requests()
			if len(got) != 1 || got[0].URL.RawQuery != query || got[0].URL.Query().Get("pageToken") != value ||
				got[0].URL.Path != queries+"/x" {
				t.Errorf("%d arrived: %v", len(got), got)
			}
		})
	}
}

func printable() string {
	var b []byte
	for c := byte('!'); c <= '~'; c++ {
		b = append(b, c)
	}
	return string(b)
}
