package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/bqgate/bqgate/e2e/system"
)

// http2conn is an HTTP/2 connection of somebody who does not keep to good manners: who asks for one
// path on as many streams as they like.
type http2conn struct {
	*http2.Framer
	path, bearer string
	asked        *tally
	headers      *hpack.Encoder
	block        bytes.Buffer
	next         uint32 // stream
}

// connect opens a connection to the API; nil where that fails, which is counted, a second later.
func (a attacker) connect(ctx context.Context, t *tally) net.Conn {
	c, err := net.DialTimeout("tcp", a.REST, 5*time.Second)
	if err != nil {
		t.add(system.Shortened(err).Error())
		wait(ctx, time.Second)
		return nil
	}
	return c
}

// converse asks for a path of the API on n streams of one connection, and gives each frame that
// comes to heard, until the connection or ctx ends. Of a connection's own frames it answers those
// without which the other side would end it.
func (a attacker) converse(ctx context.Context, t *tally, path string, n int, heard func(*http2conn, http2.Frame)) {
	c := a.connect(ctx, t)
	if c == nil {
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	h := a.http2conn(c, c, t, path)
	if _, err := io.WriteString(c, http2.ClientPreface); errors.Join(err, h.WriteSettings()) != nil {
		return
	}
	for range n {
		h.ask()
	}
	for ctx.Err() == nil {
		f, err := h.ReadFrame()
		if err != nil {
			if ctx.Err() == nil {
				t.add("connections closed by the other side")
				wait(ctx, 100*time.Millisecond)
			}
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				h.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				h.WritePing(true, f.Data)
			}
		default:
			heard(h, f)
		}
	}
}

// http2conn is a connection to the API that is written to out and read from in.
func (a attacker) http2conn(out io.Writer, in io.Reader, t *tally, path string) *http2conn {
	h := &http2conn{
		Framer: http2.NewFramer(out, in),
		path:   "/bigquery/v2/projects/" + a.Project + path,
		bearer: a.Bearer,
		asked:  t,
		next:   1,
	}
	h.headers, h.ReadMetaHeaders = hpack.NewEncoder(&h.block), hpack.NewDecoder(4096, nil)
	return h
}

// ask opens one more stream. That the connection is gone shows where it is read.
func (h *http2conn) ask() { h.begin("GET", true) }

// begin opens one more stream, with a body or without.
func (h *http2conn) begin(method string, whole bool) {
	h.block.Reset()
	for _, f := range [][2]string{{":method", method}, {":scheme", "http"}, {":authority", "neighbours"}, {":path", h.path},
		{"authorization", "Bearer " + h.bearer}} {
		h.headers.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	h.WriteHeaders(http2.HeadersFrameParam{StreamID: h.next, BlockFragment: h.block.Bytes(), EndStream: whole, EndHeaders: true})
	h.next += 2
	h.asked.add("asked")
}
