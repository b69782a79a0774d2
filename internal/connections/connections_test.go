package connections

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// site serves /wait, which answers once told to, and / at once.
type site struct {
	*Listener
	addr    string
	entered chan struct{}
	leave   chan struct{}
}

func serve(t *testing.T, limits Limits) *site {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Bound(raw, limits), raw.Addr().String(), make(chan struct{}), make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	mux.HandleFunc("/wait", func(w http.ResponseWriter, _ *http.Request) {
		s.entered <- struct{}{}
		<-s.leave
		io.WriteString(w, "waited")
	})
	server := &httptest.Server{Listener: s.Listener, Config: &http.Server{Handler: s.Handler(mux), ConnContext: s.Context}}
	server.Start()
	t.Cleanup(server.Close)
	return s
}

// from dials from an address of the loopback net.
func (s *site) from(t *testing.T, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func ask(t *testing.T, c net.Conn) string {
	t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err.Error()
	}
	return answer(c)
}

func answer(c net.Conn) string {
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return string(text)
}

// gone waits until the other side has closed.
func gone(c net.Conn) bool {
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// A crowd that says nothing, at the same address as who asks, does not keep them out.
func TestSilentCrowdMakesRoom(t *testing.T) {
	for name, limits := range map[string]Limits{"all together": {8, 100}, "of one address": {100, 8}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, limits)
			crowd := make([]net.Conn, 20)
			for i := range crowd {
				crowd[i] = s.from(t, "127.0.0.1")
				if i%2 == 0 { // some have been served before
					ask(t, crowd[i])
				}
			}
			if got := ask(t, s.from(t, "127.0.0.1")); got != "ok" {
				t.Errorf("who asks is told %q", got)
			}
			if !gone(crowd[0]) {
				t.Error("the connection that was silent longest is still there")
			}
			if c := s.Counts(); c.Open > 8 || c.Evicted == 0 {
				t.Errorf("%+v, want at most 8 open", c)
			}
		})
	}
}

// Who is being served is never sent away; where all are, who comes is.
func TestServedStay(t *testing.T) {
	s := serve(t, Limits{2, 2})
	var served []net.Conn
	for range 2 {
		c := s.from(t, "127.0.0.1")
		io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
		<-s.entered
		served = append(served, c)
	}
	if !gone(s.from(t, "127.0.0.2")) {
		t.Error("a third connection was taken in")
	}
	if c := s.Counts(); c.Open != 2 || c.Refused != 1 || c.Evicted != 0 {
		t.Errorf("%+v, want 2 open, 1 refused", c)
	}
	close(s.leave)
	for _, c := range served {
		if got := answer(c); got != "waited" {
			t.Errorf("who was being served is told %q", got)
		}
	}
}

// The address with most connections makes room for the others.
func TestTheFullestAddressMakesRoom(t *testing.T) {
	s := serve(t, Limits{6, 5})
	one := s.from(t, "127.0.0.3") // silent longest, but alone
	ask(t, one)
	for range 5 {
		ask(t, s.from(t, "127.0.0.2"))
	}
	if got := ask(t, s.from(t, "127.0.0.4")); got != "ok" {
		t.Errorf("who asks is told %q", got)
	}
	if got := ask(t, one); got != "ok" {
		t.Errorf("the only connection of an address made room: %s", got)
	}
}
