package envoy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"
)

// TestFrozenExtProcIsBrokenOff freezes ext_proc in the middle of a response (A15).
func TestFrozenExtProcIsBrokenOff(t *testing.T) {
	w := start(t, &world{
		noExtProc: true,
		upstream: func(out http.ResponseWriter, in *http.Request) {
			out.Header().Set("content-type", "application/json")
			for in.Context().Err() == nil {
				if _, err := io.WriteString(out, strings.Repeat("row ", 1000)); err != nil {
					return
				}
				out.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
	})
	service := exec.Command(os.Args[0])
	service.Env = append(os.Environ(), echoSocketVariable+"="+w.path("ext_proc.sock"))
	service.Stderr = os.Stderr
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		service.Process.Kill()
		service.Wait()
	})
	for range 100 {
		if _, err := os.Stat(w.path("ext_proc.sock")); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	res, err := http.Get("http://" + w.rest + queries + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 10_000)); err != nil {
		t.Fatalf("status %d, no response before the freeze: %v", res.StatusCode, err)
	}
	if err := service.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	_, err = io.Copy(io.Discard, res.Body)
	took := time.Since(frozen)
	if err == nil {
		t.Error("the response ended as if it were whole")
	}
	if took > 20*time.Second {
		t.Errorf("broken off %s after the freeze, want within about 10 s", took)
	}
	t.Logf("broken off %s after the freeze", took.Round(10*time.Millisecond))

	// And new requests get a refusal, not a hang.
	begin := time.Now()
	code, contentType, body := get(t, "http://"+w.rest+queries+"/x")
	wantBigQueryError(t, code, contentType, body, 503, "backendError")
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("refused after %s, want within 10 s", took)
	}
}

// TestFrozenCheckIsRefused has an ext_authz that accepts the call and never answers.
func TestFrozenCheckIsRefused(t *testing.T) {
	w := start(t, &world{
		config: func(c *Config) { c.Timeouts.Check = time.Second },
		check: func(ctx context.Context, _ *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	begin := time.Now()
	code, contentType, body := get(t, "http://"+w.rest+queries+"/x")
	wantBigQueryError(t, code, contentType, body, 503, "backendError")
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("refused after %s", took)
	}
	if n := len(w.requests()); n != 0 {
		t.Errorf("%d requests arrived upstream", n)
	}
}

// TestManyHolds keeps more checks waiting than Envoy's default circuit breaker allows, and other
// requests pass meanwhile.
func TestManyHolds(t *testing.T) {
	const holds = 1200
	release := make(chan struct{})
	var waiting atomic.Int64
	w := start(t, &world{check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		if strings.HasSuffix(in.GetAttributes().GetRequest().GetHttp().GetPath(), "/held") {
			waiting.Add(1)
			select {
			case <-release:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return allow(ctx, in)
	}})
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 0}, Timeout: 60 * time.Second}
	results := make(chan error, holds)
	for range holds {
		go func() {
			res, err := client.Get("http://" + w.rest + queries + "/held")
			if err != nil {
				results <- err
				return
			}
			res.Body.Close()
			if res.StatusCode != 200 {
				results <- fmt.Errorf("status %d", res.StatusCode)
				return
			}
			results <- nil
		}()
	}
	for deadline := time.Now().Add(20 * time.Second); waiting.Load() < holds; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d checks wait after 20 s, want %d", waiting.Load(), holds)
		}
	}
	if code, _, body := get(t, "http://"+w.rest+queries+"/x"); code != 200 {
		t.Errorf("beside %d holds: status %d %s", holds, code, body)
	}
	close(release)
	for range holds {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargeBodies sends a body of exactly the limit and streams 20 MiB back.
func TestLargeBodies(t *testing.T) {
	const answer = 20 << 20
	w := start(t, &world{upstream: func(out http.ResponseWriter, in *http.Request) {
		out.Header().Set("content-type", "application/json")
		row := strings.Repeat("x", 1<<20)
		for range answer >> 20 {
			io.WriteString(out, row)
		}
	}})
	limits, _ := Defaults()
	body := strings.Repeat("S", int(limits.MaxRequestBytes))
	code, _, got := do(t, http.DefaultClient, http.MethodPost, "http://"+w.rest+queries, nil, strings.NewReader(body))
	if code != 200 || len(got) != answer || strings.Trim(got, "x") != "" {
		t.Fatalf("status %d, %d bytes", code, len(got))
	}
	if w.bodies[0] != body {
		t.Errorf("upstream got %d bytes, want %d", len(w.bodies[0]), len(body))
	}
}

// A body that is larger than the limit never arrives at BigQuery, however it comes. Envoy refuses
// it while it buffers; but of what comes in one piece with the end of the request it shows
// ext_authz as much as the limit, and says so: ext_authz refuses it (extauthz
// TestABodyBeyondTheLimit).
func TestBodiesBeyondTheLimit(t *testing.T) {
	limits, _ := Defaults()
	limit := int(limits.MaxRequestBytes)
	var cut atomic.Int64
	w := start(t, &world{check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		for _, h := range in.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
			if h.GetKey() == "x-envoy-auth-partial-body" && h.GetValue()+string(h.GetRawValue()) != "false" {
				cut.Add(1)
				return deny(413, `{"error":{"errors":[{"reason":"invalid"}]}}`)(ctx, in)
			}
		}
		return allow(ctx, in)
	}})
	for name, c := range map[string]struct {
		send func(c net.Conn) error // after the head of the request
		head string
		code int
	}{
		"exactly the limit":  {func(c net.Conn) error { return pieces(c, limit) }, fmt.Sprintf("content-length: %d", limit), 200},
		"a byte more":        {func(c net.Conn) error { return pieces(c, limit+1) }, fmt.Sprintf("content-length: %d", limit+1), 413},
		"a byte more, alone": {func(c net.Conn) error { return pieces(c, limit, 1) }, fmt.Sprintf("content-length: %d", limit+1), 413},
		"much at the end": {
			func(c net.Conn) error { return pieces(c, limit-10, 8000) }, fmt.Sprintf("content-length: %d", limit+7990), 413,
		},
		"chunked, exactly": {func(c net.Conn) error { return chunks(c, limit) }, "transfer-encoding: chunked", 200},
		"chunked":          {func(c net.Conn) error { return chunks(c, limit-10, 11) }, "transfer-encoding: chunked", 413},
		"chunked, much":    {func(c net.Conn) error { return chunks(c, limit-10, 12000) }, "transfer-encoding: chunked", 413},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.requests())
			conn := dial(t, w.rest)
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nhost: x\r\n%s\r\n\r\n", queries, c.head)
			sent := make(chan error, 1)
			go func() { sent <- c.send(conn) }()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != c.code || len(w.requests())-before != map[int]int{200: 1, 413: 0}[c.code] {
				t.Errorf("status %d, %d requests upstream, want %d", res.StatusCode, len(w.requests())-before, c.code)
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		before := len(w.requests())
		h2 := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
		h2.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
		for range 10 {
			code, _, _ := do(t, h2, http.MethodPost, "http://"+w.rest+queries, nil, strings.NewReader(strings.Repeat("S", limit+1)))
			if code != 413 || len(w.requests()) != before {
				t.Errorf("status %d, %d requests upstream", code, len(w.requests())-before)
			}
		}
	})
	if cut.Load() == 0 {
		t.Error("Envoy refuses all of them itself: the check in ext_authz is not needed any more")
	}
}

// pieces writes so many bytes, each piece at once.
func pieces(c net.Conn, sizes ...int) error {
	for _, n := range sizes {
		if _, err := io.WriteString(c, strings.Repeat("S", n)); err != nil {
			return err
		}
	}
	return nil
}

// chunks writes chunks of so many bytes, the last with the end of the body in one piece.
func chunks(c net.Conn, sizes ...int) error {
	for i, n := range sizes {
		chunk := fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("S", n))
		if i == len(sizes)-1 {
			chunk += "0\r\n\r\n"
		}
		if _, err := io.WriteString(c, chunk); err != nil {
			return err
		}
	}
	return nil
}

// TestGRPCListener has denials and dead services arrive as gRPC statuses, and nothing but the
// Storage Read API lead upstream.
func TestGRPCListener(t *testing.T) {
	call := func(t *testing.T, w *world, method string) error {
		conn, err := grpc.NewClient(w.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return conn.Invoke(ctx, method, &grpc_health_v1.HealthCheckRequest{Service: "x"}, &grpc_health_v1.HealthCheckResponse{})
	}
	const read = "/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession"
	for _, tt := range []struct {
		name   string
		world  *world
		method string
		want   codes.Code
		sent   int
	}{
		{"denied", &world{check: deny(403, `{"error":{}}`)}, read, codes.PermissionDenied, 0},
		{"ext_authz down", &world{noExtAuthz: true}, read, codes.Unavailable, 0},
		{"another API", &world{}, "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows", codes.PermissionDenied, 0},
		{"wrong upstream name", &world{}, read, codes.Unavailable, 0}, // the test upstream's certificate is for the REST host
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, tt.world)
			if err := call(t, w, tt.method); grpcstatus.Code(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if n := len(w.requests()); n != tt.sent {
				t.Errorf("%d requests arrived upstream, want %d", n, tt.sent)
			}
		})
	}
	t.Run("allowed", func(t *testing.T) {
		w := start(t, &world{upstreamName: StorageReadHost, upstream: func(out http.ResponseWriter, in *http.Request) {
			out.Header().Set("content-type", "application/grpc")
			out.Header().Set("trailer", "grpc-status")
			out.Write([]byte{0, 0, 0, 0, 2, 8, 1})
			out.Header().Set("grpc-status", "0")
		}})
		if err := call(t, w, read); err != nil {
			t.Fatal(err)
		}
		up := w.requests()[0]
		if up.Host != StorageReadHost || up.URL.Path != read || up.Header.Get("authorization") != mintedToken ||
			up.TLS.ServerName != StorageReadHost {
			t.Errorf("upstream got %s %s %v", up.Host, up.URL.Path, up.Header)
		}
	})
}
