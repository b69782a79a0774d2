// Package connections bounds how many connections a listener of people and probes has at once, so
// that no number of them takes the descriptors that decisions need (A38, A40).
//
// What is beyond the bound is not simply refused: then whoever fills it first keeps everybody else
// out. A new connection takes the place of the one that has been silent longest, of its own
// address where that has too many, else of the address that has most. A connection is silent while
// no request of it is being served: before its first request is whole, and between two. So an idle
// or slow crowd makes room for who comes and asks, also at the crowd's own address.
package connections

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of a listener.
type Limits struct {
	Total      int // at once
	PerAddress int // at once, of one client address
}

// Listener accepts within Limits. It is made by Open or Bound.
type Listener struct {
	net.Listener
	TLS *tls.Config // of Secured; nil for plain connections

	limits Limits
	listen func() (net.Listener, error) // nil where it cannot be opened again

	mu      sync.Mutex
	open    map[*conn]struct{}
	of      map[string]int // by address
	evicted uint64
	refused uint64
}

// Bound bounds l. Its Handler and Context must serve what it accepts: a connection that is never
// said to be served is always silent.
func Bound(l net.Listener, limits Limits) *Listener {
	return &Listener{Listener: l, limits: limits, open: map[*conn]struct{}{}, of: map[string]int{}}
}

// Open bounds what listen opens, and can open it again.
func Open(limits Limits, listen func() (net.Listener, error)) (*Listener, error) {
	l, err := listen()
	if err != nil {
		return nil, err
	}
	b := Bound(l, limits)
	b.listen = listen
	return b, nil
}

// Reopen listens again, where a listener has broken.
func (l *Listener) Reopen() error {
	if l.listen == nil {
		return nil
	}
	_ = l.Close() // it is broken
	again, err := l.listen()
	if err != nil {
		return err
	}
	l.Listener = again
	return nil
}

// Secured is the listener with its TLS, if it has any.
func (l *Listener) Secured() net.Listener {
	if l.TLS == nil {
		return l
	}
	return tls.NewListener(l, l.TLS)
}

// TCP listens on an address, and on the same port again.
func TCP(address string) func() (net.Listener, error) {
	return func() (net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err == nil {
			address = l.Addr().String()
		}
		return l, err
	}
}

// Accept returns the next connection for which there is room.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, listener: l, address: host(raw), since: time.Now()}
		gone, ok := l.admit(c)
		if gone != nil {
			gone.Close()
		}
		if ok {
			return c, nil
		}
		raw.Close()
	}
}

// admit takes c in, in the place of another where there is no room. Where all are being served
// there is none to take.
func (l *Listener) admit(c *conn) (gone *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := ""
	switch {
	case l.of[c.address] >= l.limits.PerAddress:
		full = c.address
	case len(l.open) < l.limits.Total:
		l.add(c)
		return nil, true
	}
	if gone = l.silent(full); gone == nil {
		l.refused++
		return nil, false
	}
	l.evicted++
	l.drop(gone)
	l.add(c)
	return gone, true
}

// silent is the connection that has been silent longest: of an address, or of the one that has
// most connections among those with a silent one.
func (l *Listener) silent(address string) *conn {
	var found *conn
	for c := range l.open {
		switch {
		case c.serving > 0 || address != "" && c.address != address:
		case found == nil || l.of[c.address] > l.of[found.address],
			l.of[c.address] == l.of[found.address] && c.since.Before(found.since):
			found = c
		}
	}
	return found
}

func (l *Listener) add(c *conn) {
	l.open[c] = struct{}{}
	l.of[c.address]++
}

func (l *Listener) drop(c *conn) {
	if _, ok := l.open[c]; !ok {
		return
	}
	delete(l.open, c)
	if l.of[c.address]--; l.of[c.address] == 0 {
		delete(l.of, c.address)
	}
}

// Counts are of a listener: connections that are open, that made room for others, and that found
// none.
type Counts struct {
	Open             int
	Evicted, Refused uint64
}

// Counts returns the present ones.
func (l *Listener) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Counts{len(l.open), l.evicted, l.refused}
}

type contextKey struct{}

// Context is for http.Server.ConnContext: it tells Handler which connection a request came on.
func (l *Listener) Context(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, contextKey{}, c)
}

// Handler marks connections as served while h answers.
func (l *Listener) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(contextKey{}).(*conn); ok {
			c.serve(1)
			defer c.serve(-1)
		}
		h.ServeHTTP(w, r)
	})
}

type conn struct {
	net.Conn
	listener *Listener
	address  string

	// guarded by the listener's mutex
	serving int
	since   time.Time // when it fell silent
}

func (c *conn) serve(n int) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if c.serving += n; c.serving == 0 {
		c.since = time.Now()
	}
}

// Close may be called more than once.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.drop(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

func host(c net.Conn) string {
	address := c.RemoteAddr().String()
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}
