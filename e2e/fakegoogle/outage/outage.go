// Package outage breaks the connections of a service, as a dead host, a stuck one or a bad network
// does. What the service itself says wrong is not its matter, but for two answers that any HTTP
// service may give: that it is full, and nonsense.
package outage

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Mode is how a service's connections are broken.
type Mode string

// The modes.
const (
	Well     Mode = "well"     // they are not
	Down     Mode = "down"     // those that are there end, and new ones end at once (reset)
	CutOff   Mode = "cut off"  // those that are there end once, and new ones are well
	Frozen   Mode = "frozen"   // they stay and new ones are taken, and no byte comes or goes
	Slow     Mode = "slow"     // each piece waits for SlowBy
	Garbage  Mode = "garbage"  // what is sent is answered by bytes that are of no protocol
	Full     Mode = "full"     // HTTP: 429 to each request
	Nonsense Mode = "nonsense" // HTTP: 200 to each request, with a page that is not what was asked for
)

// Modes are all of them.
var Modes = []Mode{Well, Down, CutOff, Frozen, Slow, Garbage, Full, Nonsense}

// SlowBy is how long a piece waits, each way, in Slow.
const SlowBy = 150 * time.Millisecond

// noise begins as answers of Redis do that are of other types than was asked for.
const noise = "+OK\r\n:7\r\n$3\r\nabc\r\n*1\r\n:1\r\n\x00\xff\xfe\x16\x03\x03 noise, noise, noise\r\n"

// Switch breaks the connections of the listeners and handlers that were made of it. The zero value
// is ready, and well.
type Switch struct {
	mu      sync.Mutex
	mode    Mode
	changed chan struct{} // closed when mode changes
	conns   map[*conn]struct{}
}

// Set changes the mode from now on, for the connections that are there too.
func (s *Switch) Set(m Mode) error {
	if !slices.Contains(Modes, m) {
		return fmt.Errorf("outage %q: want one of %q", m, Modes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	if m == Down || m == CutOff {
		for c := range s.conns {
			c.reset()
		}
	}
	return nil
}

// state is the mode, and what is closed when it changes.
func (s *Switch) state() (Mode, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.mode, s.changed
}

// Listener breaks the connections of a listener.
func (s *Switch) Listener(l net.Listener) net.Listener { return &listener{l, s} }

type listener struct {
	net.Listener
	s *Switch
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: inner, s: l.s, closed: make(chan struct{})}
		l.s.mu.Lock()
		down := l.s.mode == Down
		if !down {
			if l.s.conns == nil {
				l.s.conns = map[*conn]struct{}{}
			}
			l.s.conns[c] = struct{}{}
		}
		l.s.mu.Unlock()
		if !down {
			return c, nil
		}
		c.reset()
	}
}

type conn struct {
	net.Conn
	s      *Switch
	once   sync.Once
	closed chan struct{}
}

// reset ends a connection so that the other side reads "connection reset by peer".
func (c *conn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.once.Do(func() { close(c.closed) })
	c.Conn.Close()
}

func (c *conn) Close() error {
	c.s.mu.Lock()
	delete(c.s.conns, c)
	c.s.mu.Unlock()
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Read holds back what has come while that is so.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.pass() {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.pass() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// pass waits until a piece may go on, and says false where the connection ends instead.
func (c *conn) pass() bool {
	for waited := false; ; {
		mode, changed := c.s.state()
		var until <-chan time.Time
		switch {
		case mode == Garbage:
			c.Conn.SetWriteDeadline(time.Now().Add(time.Second))
			io.WriteString(c.Conn, noise)
			c.Close()
			return false
		case mode == Slow && !waited:
			until = time.After(SlowBy)
		case mode != Frozen:
			return true
		}
		select {
		case <-until:
			waited = true
		case <-changed:
		case <-c.closed:
			return false
		}
	}
}

// Handler answers in place of h where the mode is one of HTTP.
func (s *Switch) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch mode, _ := s.state(); mode {
		case Full:
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusTooManyRequests)
			io.WriteString(w, "full\n")
		case Nonsense:
			w.Header().Set("Content-Type", "application/json; charset=UTF-8")
			io.WriteString(w, `{"kind": 7, "keys": "none", "access_token": {"<html>": [`)
		default:
			h.ServeHTTP(w, r)
		}
	})
}
