// Package redistest starts a real redis-server for a test.
//
// Redis coordinates bqgate's replicas, and its scripts, expiry and errors are what the product
// meets in operation: a test double agrees with itself. Packages that keep state in Redis run their
// tests on a real server, and beside it on miniredis, which the demo embeds.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is one running redis-server.
type Server struct {
	Addr string // host:port on loopback
	PID  int    // for tests that freeze or kill it
}

// Start starts an empty redis-server on a free loopback port and returns its address. It keeps
// nothing on disk and is killed when the test ends. redis-server must be in PATH
// (`apt-get install redis-server`); without it the test fails, since a skipped test proves nothing.
func Start(t testing.TB) (addr string) {
	t.Helper()
	return StartServer(t).Addr
}

// StartServer is Start for tests that also need the process. Extra arguments are redis-server's own
// ("--maxmemory-policy", "noeviction").
func StartServer(t testing.TB, args ...string) *Server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("redistest: %v; install it with `apt-get install redis-server`", err)
	}
	// Another process may take a free port before redis-server binds it, so a start that fails is
	// tried again on another port.
	var last error
	for range 5 {
		server, err := start(t, binary, args)
		if err == nil {
			return server
		}
		last = err
	}
	t.Fatalf("redistest: start redis-server: %v", last)
	return nil
}

func start(t testing.TB, binary string, args []string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args = append([]string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel",
		"warning",
		"--dir", t.TempDir(),
	}, args...)
	cmd := exec.Command(binary, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out

	// Pdeathsig is bound to the thread that forked, so one goroutine holds its thread from start to
	// end of the server.
	started, exited := make(chan error, 1), make(chan struct{})
	go run(cmd, started, exited)
	if err := <-started; err != nil {
		return nil, err
	}
	stop := func() {
		_ = cmd.Process.Kill() // already gone is as good
		<-exited
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := waitReady(addr, cmd.Process.Pid, exited); err != nil {
		stop()
		return nil, fmt.Errorf("%w; it said: %s", err, out.String())
	}
	t.Cleanup(stop)
	return &Server{Addr: addr, PID: cmd.Process.Pid}, nil
}

// waitReady waits until the server at addr answers as the process that was started: a foreign
// server on the same port must not pass for it.
func waitReady(addr string, pid int, exited <-chan struct{}) error {
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	want := []byte("process_id:" + strconv.Itoa(pid) + "\r\n")
	for {
		info, err := client.Info(ctx, "server").Bytes()
		if err == nil {
			if bytes.Contains(info, want) {
				return nil
			}
			return fmt.Errorf("port of %s belongs to another server", addr)
		}
		select {
		case <-exited:
			return fmt.Errorf("redis-server at %s ended before it was ready", addr)
		case <-ctx.Done():
			return fmt.Errorf("redis-server at %s not ready: %w", addr, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// output collects what the server prints, for the message of a failed start.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// run starts the command, reports how that went, waits for its end and closes exited.
func run(cmd *exec.Cmd, started chan<- error, exited chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = cmd.Wait() // killed at the test's end: its exit status says nothing
	close(exited)
}
