package envoy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
)

// TestWithoutARoute has what never becomes a request answered by Envoy alone, in BigQuery's form: a
// flood of it is no flood of calls of ext_proc. Everything that has a route goes through ext_proc,
// and nothing of it is answered while that is away.
func TestWithoutARoute(t *testing.T) {
	var calls atomic.Int64
	w := start(t, &world{process: func(s procv3.ExternalProcessor_ProcessServer) error {
		calls.Add(1)
		return echo(s)
	}})
	for _, tt := range []struct {
		name, says string
		status     int
		calls      int64
	}{
		{"headers that do not end", "GET /bigquery/v2/x HTTP/1.1\r\nHost: x\r\nX-A: ", 408, 0},
		{"a header with an underscore", "GET /bigquery/v2/x HTTP/1.1\r\nHost: x\r\na_b: c\r\n\r\n", 400, 0},
		{"an escaped slash", "GET /bigquery%2fv2/x HTTP/1.1\r\nHost: x\r\n\r\n", 400, 0},
		{"a request", "GET /bigquery/v2/projects/demo/jobs HTTP/1.1\r\nHost: x\r\n\r\n", 200, 1},
		{"a path that leads nowhere", "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 403, 1},
		{"health", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls.Store(0)
			const n = 20
			var open []net.Conn
			for range n {
				c := dial(t, w.rest)
				go io.WriteString(c, tt.says)
				open = append(open, c)
			}
			for _, c := range open {
				c.SetReadDeadline(time.Now().Add(30 * time.Second))
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil || res.StatusCode != tt.status {
					t.Fatalf("%v %v, want %d", res, err, tt.status)
				}
				body, err := io.ReadAll(res.Body)
				if err != nil || tt.status >= 400 && !strings.Contains(string(body), `"error"`) {
					t.Errorf("%s %v, want BigQuery's error", body, err)
				}
			}
			if got := calls.Load(); got != n*tt.calls {
				t.Errorf("%d calls of ext_proc for %d connections, want %d", got, n, n*tt.calls)
			}
		})
	}
}
