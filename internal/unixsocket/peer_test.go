package unixsocket

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Whoever the kernel says has connected, or cannot say, is served or hung up on; no privilege is
// needed to see that here. (That the kernel says it rightly of another user is
// TestAnotherUserIsHungUpOn.)
func TestPeers(t *testing.T) {
	own := os.Getuid()
	for name, c := range map[string]struct {
		uid    int
		err    error
		allow  []int
		served bool
	}{
		"the own user":                    {uid: own, served: true},
		"another user":                    {uid: own + 1},
		"another user that is allowed":    {uid: own + 1, allow: []int{own + 1}, served: true},
		"a third user":                    {uid: own + 2, allow: []int{own + 1}},
		"root, unless it is the own user": {uid: 0, served: own == 0},
		"nobody knows":                    {uid: own, err: errors.New("no credentials")},
		"no user":                         {uid: -1},
	} {
		t.Run(name, func(t *testing.T) {
			folder, err := Open(filepath.Join(t.TempDir(), "in"), c.allow, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer folder.Close()
			l, err := folder.Listen("s")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			l.(*listener).peer = func(*net.UnixConn) (int, error) { return c.uid, c.err }
			go func() {
				if c, err := l.Accept(); err == nil {
					c.Write([]byte("x"))
					c.Close()
				}
			}()
			conn, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			got, err := io.ReadAll(conn)
			if served := string(got) == "x"; served != c.served || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("served: %v (%q, %v), want %v", served, got, err, c.served)
			}
		})
	}
}
