package outage_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
)

// echo is a service that sends back each line.
func echo(t *testing.T, s *outage.Switch) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	broken := s.Listener(l)
	go func() {
		for {
			c, err := broken.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				lines := bufio.NewReader(c)
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					if _, err := io.WriteString(c, line); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func ask(c net.Conn, wait time.Duration) (string, error) {
	c.SetDeadline(time.Now().Add(wait))
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

func TestModes(t *testing.T) {
	isReset := func(err error) bool {
		return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF)
	}
	isTimeout := func(err error) bool {
		var timeout net.Error
		return errors.As(err, &timeout) && timeout.Timeout()
	}
	for mode, want := range map[outage.Mode]struct{ old, fresh func(string, error) bool }{
		outage.Down: {func(_ string, err error) bool { return isReset(err) }, func(_ string, err error) bool { return isReset(err) }},
		outage.CutOff: {func(_ string, err error) bool { return isReset(err) },
			func(s string, err error) bool { return s == "hello\n" && err == nil }},
		outage.Frozen: {func(_ string, err error) bool { return isTimeout(err) },
			func(_ string, err error) bool { return isTimeout(err) }},
		outage.Slow:    {func(s string, _ error) bool { return s == "hello\n" }, func(s string, _ error) bool { return s == "hello\n" }},
		outage.Garbage: {func(s string, _ error) bool { return s == "+OK\r\n" }, func(s string, _ error) bool { return s == "+OK\r\n" }},
	} {
		t.Run(string(mode), func(t *testing.T) {
			var s outage.Switch
			address := echo(t, &s)
			dial := func() net.Conn {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			old := dial()
			if got, err := ask(old, 5*time.Second); got != "hello\n" {
				t.Fatalf("before: %q, %v", got, err)
			}
			if err := s.Set(mode); err != nil {
				t.Fatal(err)
			}
			wait := 5 * time.Second
			if mode == outage.Frozen {
				wait = 50 * time.Millisecond
			}
			if got, err := ask(old, wait); !want.old(got, err) {
				t.Errorf("a connection that was there: %q, %v", got, err)
			}
			anew := func() (string, error) {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return "", err // the reset came before the dial was through
				}
				t.Cleanup(func() { c.Close() })
				return ask(c, wait)
			}
			if got, err := anew(); !want.fresh(got, err) {
				t.Errorf("a new connection: %q, %v", got, err)
			}
			if err := s.Set(outage.Well); err != nil {
				t.Fatal(err)
			}
			if got, err := ask(dial(), 5*time.Second); got != "hello\n" {
				t.Errorf("after: %q, %v", got, err)
			}
		})
	}
}

func TestHandler(t *testing.T) {
	var s outage.Switch
	h := s.Handler(http.NotFoundHandler())
	for mode, want := range map[outage.Mode]int{outage.Full: 429, outage.Nonsense: 200, outage.Well: 404, outage.Slow: 404} {
		if err := s.Set(mode); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", mode, w.Code, want)
		}
	}
	if s.Set("broken") == nil {
		t.Error("an unknown mode is taken")
	}
}
