package envoy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// Process says how to run Envoy.
type Process struct {
	Binary      string // from Find
	Bootstrap   string // path of the YAML that Render wrote
	Concurrency int    // worker threads; 0 means one for each CPU
	Stdout      io.Writer
	Stderr      io.Writer
}

// Within are the limits l with as few connections as this process and its children have file
// descriptors for, and at least 1024.
func Within(l Limits) Limits {
	l = Config{Limits: l}.withDefaults().Limits
	if have := raiseDescriptors(); have > 0 && have < l.Descriptors() {
		l.MaxConnections = uint32(max(1024, int64(have)-int64(l.Descriptors()-uint64(l.MaxConnections)))) //nolint:gosec // G115: below l's
	}
	return l
}

// Command prepares Envoy as a child process. It ends when ctx does: first it is asked to, five
// seconds later it is killed. On Linux it also dies with the thread of its parent that started it,
// so start it from a goroutine that lives as long as Envoy shall.
//
// The log level is fixed to warning. At debug, Envoy logs headers, and with them the tokens of
// agents and of Google.
func Command(ctx context.Context, p Process) *exec.Cmd {
	args := []string{
		"--config-path", p.Bootstrap,
		"--log-level", "warning",
		// Without shared memory between a process and its successor, any number of Envoys run on
		// one host.
		"--disable-hot-restart",
	}
	if p.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(p.Concurrency))
	}
	cmd := exec.CommandContext(ctx, p.Binary, args...) //nolint:gosec // G204: the operator names the binary
	cmd.Stdout, cmd.Stderr = p.Stdout, p.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	raiseDescriptors()
	dieWithParent(cmd)
	return cmd
}

// Ready waits until the Envoy whose admin socket is at path serves, or ctx ends.
func Ready(ctx context.Context, path string) error {
	client := http.Client{
		Timeout: 2 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			},
		},
	}
	var last error
	for {
		last = ready(ctx, &client)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for Envoy at %s: %w (%w)", path, last, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ready(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/ready", nil)
	if err != nil {
		return fmt.Errorf("make request for /ready: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask /ready: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("/ready answers %s", res.Status)
	}
	return nil
}
