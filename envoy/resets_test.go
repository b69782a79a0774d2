package envoy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestResetRequestsAreNotAskedAbout has a client reset its requests as soon as it has made them,
// all in one write (CVE-2023-44487). ext_authz hears of a few at most, the connection ends, and
// others are served.
func TestResetRequestsAreNotAskedAbout(t *testing.T) {
	const made = 400
	w := start(t, &world{})
	if code, _, body := get(t, "http://"+w.rest+queries+"/x"); code != 200 { // now there is a connection to ext_authz
		t.Fatalf("%d %s", code, body)
	}
	before := w.checksBegun(t)
	var block, out bytes.Buffer
	f, e := http2.NewFramer(&out, nil), hpack.NewEncoder(&block)
	io.WriteString(&out, http2.ClientPreface)
	f.WriteSettings()
	for i := range uint32(made) {
		block.Reset()
		for _, h := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}, {":path", queries + "/x"}} {
			e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
		f.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
	}
	c, err := net.Dial("tcp", w.rest)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v", err)
	}
	if n := w.checksBegun(t) - before; n > made/10 {
		t.Errorf("Envoy began to ask about %d of %d requests that were taken back", n, made)
	}
	if code, _, body := get(t, "http://"+w.rest+queries+"/x"); code != 200 {
		t.Errorf("another client was answered by %d %s", code, body)
	}
}

// checksBegun is how many calls of ext_authz Envoy has begun, those included that it gave up before
// they were sent.
func (w *world) checksBegun(t *testing.T) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.path("admin.sock"))
	}}}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://envoy/stats?filter=^cluster.ext_authz.upstream_rq_total$")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := strings.Cut(strings.TrimSpace(string(text)), ": ")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("Envoy's statistics: %q: %v", text, err)
	}
	return n
}
