package main

import (
	"context"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
	"golang.org/x/net/http2"
)

// readers ask for pages of nine megabytes and read little of them, or nothing (A37).
var readers = []flood{
	{"stalled-streams", "4 HTTP/2 connections with 16 result streams each, never read",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			page, err := a.bigPage(ctx, wide)
			if err != nil {
				return err
			}
			ready()
			crowd(ctx, 4, func(ctx context.Context, _ int) { a.stalledStreams(ctx, t, page, 16) })
			return nil
		}},
	{"stalled-sockets", "100 HTTP/1.1 sockets that ask for a page and never read",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			return a.slowSockets(ctx, t, ready, 100, func(ctx context.Context, c net.Conn) error { return waitForEnd(ctx, c) })
		}},
	{"trickle", "64 sockets that read 512 bytes of a page every second",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			return a.slowSockets(ctx, t, ready, 64, func(ctx context.Context, c net.Conn) error {
				buf := make([]byte, 512)
				for ctx.Err() == nil {
					if _, err := c.Read(buf); err != nil {
						return err
					}
					wait(ctx, time.Second)
				}
				return nil
			})
		}},
}

// slowSockets asks for a page on n sockets, and again when one is closed.
func (a attacker) slowSockets(ctx context.Context, t *tally, ready func(), n int, read func(context.Context, net.Conn) error) error {
	page, err := a.bigPage(ctx, wide)
	if err != nil {
		return err
	}
	ready()
	dialer := net.Dialer{Timeout: 5 * time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048) })
	}}
	crowd(ctx, n, func(ctx context.Context, i int) {
		wait(ctx, time.Duration(i)*10*time.Millisecond)
		c, err := dialer.DialContext(ctx, "tcp", a.REST)
		if err != nil {
			t.add(system.Shortened(err).Error())
			return
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		if _, err := c.Write(a.request("GET", page)); err != nil {
			return
		}
		t.add("asked")
		if err := read(ctx, c); err != nil && ctx.Err() == nil {
			t.add("closed by the other side")
		}
	})
	return nil
}

// waitForEnd returns when the other side has closed the connection. It looks without reading.
func waitForEnd(ctx context.Context, c net.Conn) error {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		var ended error
		raw.Control(func(fd uintptr) {
			info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
			const established = 1 // the first byte of struct tcp_info is the state
			if err != nil || info&0xff != established {
				ended = io.EOF
			}
		})
		if ended != nil {
			return ended
		}
		wait(ctx, time.Second)
	}
	return nil
}

// stalledStreams asks for a page on each stream of one connection, and never opens a window.
func (a attacker) stalledStreams(ctx context.Context, t *tally, page string, streams int) {
	a.converse(ctx, t, page, streams, func(h *http2conn, f http2.Frame) {
		if _, reset := f.(*http2.RSTStreamFrame); reset {
			t.add("streams reset")
			h.ask()
		}
	})
}
