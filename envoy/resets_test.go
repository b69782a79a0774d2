package envoy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestResetRequestsAreNotAskedAbout has a client reset its requests as soon as it has made them, all
// in one write (CVE-2023-44487). ext_authz hears of a few at most, the connection ends, and others
// are served.
func TestResetRequestsAreNotAskedAbout(t *testing.T) {
	const made = 400
	var asked atomic.Int64
	w := start(t, &world{check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		asked.Add(1)
		return allow(ctx, in)
	}})
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
	if n := asked.Load(); n > made/10 {
		t.Errorf("ext_authz was asked about %d of %d requests that were taken back", n, made)
	}
	if code, _, body := get(t, "http://"+w.rest+queries+"/x"); code != 200 {
		t.Errorf("another client was answered by %d %s", code, body)
	}
}
