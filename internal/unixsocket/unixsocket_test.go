package unixsocket_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/unixsocket"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

const attackEnv = "UNIXSOCKET_TEST_ATTACK"

// listen takes a folder and listens on its socket "s"; closing the listener gives the folder back.
func listen(dir string, allow []int) (net.Listener, error) {
	folder, err := unixsocket.Open(dir, allow, quiet)
	if err != nil {
		return nil, err
	}
	l, err := folder.Listen("s")
	if err != nil {
		folder.Close()
		return nil, err
	}
	return &held{l, folder}, nil
}

type held struct {
	net.Listener
	folder *unixsocket.Folder
}

func (h *held) Close() error { return errors.Join(h.Listener.Close(), h.folder.Close()) }

// A second gateway with the same folder does not start, says who holds it, and leaves the sockets
// of the first as they are. When the first ends, the next one takes the folder, whatever the first
// left in it.
func TestOneGatewayAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "in")
	first, err := listen(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if second, err := listen(dir, nil); !errors.Is(err, unixsocket.ErrTaken) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		if err == nil {
			second.Close()
		}
		t.Fatalf("%v, want an error that names the process %d", err, os.Getpid())
	}
	go func() {
		if c, err := first.Accept(); err == nil {
			c.Write([]byte("first"))
			c.Close()
		}
	}()
	c, err := net.Dial("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatalf("the first gateway's socket is gone: %v", err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "first" {
		t.Fatalf("got %q, %v", got, err)
	}
	first.Close()
	if err := os.WriteFile(filepath.Join(dir, "s"), nil, 0o600); err != nil { // as a killed one leaves it
		t.Fatal(err)
	}
	next, err := listen(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
}

// TestMain is also the attacker's program: it connects, listens and expects to be hung up on.
func TestMain(m *testing.M) {
	path := os.Getenv(attackEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		fmt.Fprintln(os.Stderr, "still connected:", n, err)
		os.Exit(1)
	}
}

func TestListenRefusesAnOpenFolder(t *testing.T) {
	for _, mode := range []os.FileMode{0o755, 0o750, 0o701, 0o777} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		l, err := listen(dir, nil)
		if err == nil {
			l.Close()
			t.Fatalf("mode %o: a folder that others may enter was accepted", mode)
		}
		if !strings.Contains(err.Error(), "chmod 700") {
			t.Errorf("mode %o: %v: want the cure in the message", mode, err)
		}
	}
}

// What is no folder is not one that wants another mode.
func TestListenRefusesAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"Check": unixsocket.Check(file, nil), "Open": func() error {
		_, err := listen(file, nil)
		return err
	}()} {
		t.Run(name, func(t *testing.T) {
			if err == nil || !strings.Contains(err.Error(), "is not a folder") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestOwnUserIsServed(t *testing.T) {
	l, err := listen(filepath.Join(t.TempDir(), "in"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Write([]byte("hello"))
			c.Close()
		}
	}()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// An attacker on the same host, as another user, finds a socket that can be reached (the folder's
// mode was loosened after the start): the connection is closed before a word is read (A1).
func TestAnotherUserIsHungUpOn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user; TestPeers holds the refusal without")
	}
	dir, err := os.MkdirTemp("/tmp", "unixsocket")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := listen(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan struct{}, 1)
	go func() {
		if _, err := l.Accept(); err == nil {
			accepted <- struct{}{}
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(l.Addr().String(), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := asUser(t, dir, 65534, l.Addr().String()); err != nil {
		t.Fatalf("attacker was not hung up on: %v\n%s", err, out)
	}
	select {
	case <-accepted:
		t.Fatal("the attacker's connection reached the service")
	case <-time.After(200 * time.Millisecond):
	}
}

// Where Envoy runs as another user, that user passes through the folder and is served; nobody else
// may list it, and a folder that it cannot pass is an error at start, not a gateway that answers
// nothing.
func TestAnotherUserThatIsAllowed(t *testing.T) {
	const other = 65534
	base, err := os.MkdirTemp("/tmp", "unixsocket")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{0o700: "cannot pass through it", 0o755: "must. Make it 0711: chmod 711",
		0o731: "chmod 711"} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			dir := filepath.Join(base, fmt.Sprintf("%o", mode))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
			l, err := listen(dir, []int{other})
			if err == nil {
				l.Close()
				t.Errorf("mode %o was accepted", mode)
			} else if !strings.Contains(err.Error(), want) {
				t.Errorf("mode %o: %v, want %q", mode, err, want)
			}
		})
	}
	dir := filepath.Join(base, "made")
	l, err := listen(dir, []int{other})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o711 {
		t.Fatalf("folder: %v, %v", info.Mode(), err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can become another user; TestPeers holds that it is served")
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Write([]byte("x"))
			c.Close()
		}
	}()
	out, err := asUser(t, base, other, l.Addr().String())
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "still connected: 1") {
		t.Fatalf("the allowed user was not served: %v\n%s", err, out)
	}
}

// asUser runs this test's program as another user, who connects to a socket and expects to be hung
// up on: see TestMain.
func asUser(t *testing.T, dir string, uid uint32, socket string) ([]byte, error) {
	t.Helper()
	program := filepath.Join(dir, "visitor") // a copy, where the other user may read it
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, image, 0o755); err != nil {
		t.Fatal(err)
	}
	visit := exec.Command(program)
	visit.Dir = dir
	visit.Env = []string{attackEnv + "=" + socket}
	visit.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return visit.CombinedOutput()
}
