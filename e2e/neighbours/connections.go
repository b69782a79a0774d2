package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
)

// connections are opened by anybody, with no credential (A38, A40).
var connections = []flood{
	{"idle", "20,000 connections that say nothing",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			a.sockets(ctx, t, a.REST, 20_000, nil)
			return nil
		}},
	{"idle-console", "21,000 connections to the console that ask once and stay",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			a.sockets(ctx, t, a.Console, 21_000, func(ctx context.Context, c net.Conn) error {
				_, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
				return err
			})
			return nil
		}},
	{"idle-token", "4,200 connections to the token endpoint that say nothing",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			a.sockets(ctx, t, a.Token, 4200, nil)
			return nil
		}},
	{"dribble", "4,200 requests whose headers come at a byte a second",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			a.sockets(ctx, t, a.REST, 4200, func(ctx context.Context, c net.Conn) error {
				_, err := fmt.Fprintf(c, "POST /bigquery/v2/projects/%s/queries HTTP/1.1\r\nHost: x\r\nX-A: ", a.Project)
				for err == nil && ctx.Err() == nil {
					wait(ctx, time.Second)
					_, err = c.Write([]byte("x"))
				}
				return err
			})
			return nil
		}},
	{"bodies", "2,000 bodies of 1.1 MB without a token that never end",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			head := fmt.Appendf(nil, "POST /bigquery/v2/projects/%s/queries HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
				"Content-Length: 1170000\r\n\r\n", a.Project)
			request := append(head, bytes.Repeat([]byte("x"), 1_150_000)...)
			a.sockets(ctx, t, a.REST, 2000, func(ctx context.Context, c net.Conn) error {
				_, err := c.Write(request)
				return err
			})
			return nil
		}},
	{"forged-bodies", "2,000 such bodies with a token that nobody signed",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			head := fmt.Appendf(nil, "POST /bigquery/v2/projects/%s/queries HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
				"Authorization: Bearer x\r\nContent-Length: 1170000\r\n\r\n", a.Project)
			request := append(head, bytes.Repeat([]byte("x"), 1_150_000)...)
			a.sockets(ctx, t, a.REST, 2000, func(ctx context.Context, c net.Conn) error {
				_, err := c.Write(request)
				return err
			})
			return nil
		}},
}

// sockets keeps n connections open, each of which does something and then reads until it is closed.
// One that is closed is opened again after a second.
func (a attacker) sockets(ctx context.Context, t *tally, address string, n int, do func(context.Context, net.Conn) error) {
	opening := make(chan struct{}, 64)
	crowd(ctx, n, func(ctx context.Context, _ int) {
		select {
		case opening <- struct{}{}:
		case <-ctx.Done():
			return
		}
		c, err := net.DialTimeout("tcp", address, 5*time.Second)
		<-opening
		if err != nil {
			t.add(system.Shortened(err).Error())
			wait(ctx, time.Second)
			return
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		t.add("opened")
		if do != nil {
			err = do(ctx, c)
		}
		var buf [512]byte
		for err == nil {
			_, err = c.Read(buf[:])
		}
		if ctx.Err() == nil {
			t.add("closed by the other side")
			wait(ctx, time.Second)
		}
	})
}
