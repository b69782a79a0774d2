package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"

	"github.com/bqgate/bqgate/e2e/system"
)

// frames cost the sender a few bytes each, and the other side more (CVE-2019-9511 to 9518,
// CVE-2023-44487). What keeps them in bounds is Envoy's; bqgate is asked about each request none
// the less.
var frames = []flood{
	{"rapid-reset", "16 HTTP/2 connections that reset each request as soon as it is made",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			crowd(ctx, 16, func(ctx context.Context, _ int) {
				a.talk(ctx, t, "/jobs/x", func(h *http2conn) error {
					h.ask()
					return h.WriteRSTStream(h.next-2, http2.ErrCodeCancel)
				})
			})
			return nil
		}},
	{"one-byte-frames", "16 HTTP/2 connections whose bodies come in frames of one byte",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			crowd(ctx, 16, func(ctx context.Context, _ int) {
				left := 0
				a.talk(ctx, t, "/queries", func(h *http2conn) error {
					if left == 0 {
						h.begin("POST", false)
						left = 5000 // fewer bytes than the window of a stream that nobody reads
					}
					left--
					return h.WriteData(h.next-2, left == 0, []byte("x"))
				})
			})
			return nil
		}},
	{"pings", "16 HTTP/2 connections that send pings",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			crowd(ctx, 16, func(ctx context.Context, _ int) {
				a.talk(ctx, t, "/jobs/x", func(h *http2conn) error { return h.WritePing(false, [8]byte{}) })
			})
			return nil
		}},
	{"unread-refusals", "100 sockets that send requests without end, and read no answer",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			many := bytes.Repeat(a.request("GET", "/jobs/x"), 64)
			a.sockets(ctx, t, a.REST, 100, func(ctx context.Context, c net.Conn) error {
				for ctx.Err() == nil {
					if _, err := c.Write(many); err != nil {
						return err
					}
				}
				return nil
			})
			return nil
		}},
	{"handshakes", "16 callers who make TLS connections and close them",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			crowd(ctx, 16, func(ctx context.Context, _ int) {
				d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{
					InsecureSkipVerify: true, // an attacker does not look whom it floods
				}}
				c, err := d.DialContext(ctx, "tcp", a.RESTTLS)
				if err != nil {
					if ctx.Err() == nil {
						t.add(system.Shortened(err).Error())
						wait(ctx, 10*time.Millisecond)
					}
					return
				}
				c.Close()
				t.add("handshakes")
			})
			return nil
		}},
}

// talk sends what say sends, again and again on one HTTP/2 connection, and reads away what comes.
func (a attacker) talk(ctx context.Context, t *tally, path string, say func(*http2conn) error) {
	c := a.connect(ctx, t)
	if c == nil {
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	var out bytes.Buffer
	h := a.http2conn(&out, nil, t, path)
	io.WriteString(&out, http2.ClientPreface)
	h.WriteSettings()
	h.WriteSettingsAck()
	go io.Copy(io.Discard, c)
	for ctx.Err() == nil {
		for range 64 {
			if err := say(h); err != nil { // the buffer takes all
				t.add(fmt.Sprint("not sent: ", err))
				return
			}
		}
		if _, err := c.Write(out.Bytes()); err != nil {
			if ctx.Err() == nil {
				t.add("connections closed by the other side")
				wait(ctx, 100*time.Millisecond)
			}
			return
		}
		out.Reset()
		t.add("bursts of 64 frames")
	}
}
