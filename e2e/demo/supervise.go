//go:build demo

package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// child is a process that is started again a second after it died, and that dies with the
// supervisor, even by kill -9.
type child struct {
	name    string
	command func() *exec.Cmd
	log     io.Writer
	slog    *slog.Logger
	pid     atomic.Int64
}

// PID is the process's current id, 0 while it is down.
func (c *child) PID() int { return int(c.pid.Load()) }

// run keeps the child alive until ctx ends. started is called after every start, with the new
// process id.
func (c *child) run(ctx context.Context, started func()) {
	// The kernel sends Pdeathsig when the thread that forked ends, so this goroutine keeps its
	// thread for as long as it watches the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for ctx.Err() == nil {
		cmd := c.command()
		cmd.Stdout, cmd.Stderr = c.log, c.log
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
		cmd.SysProcAttr.Setpgid = true // Ctrl-C reaches the supervisor alone, which then stops its children in order
		if err := cmd.Start(); err != nil {
			c.slog.Error("child does not start", "child", c.name, "error", err)
		} else {
			c.pid.Store(int64(cmd.Process.Pid))
			started()
			c.wait(ctx, cmd)
			c.pid.Store(0)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (c *child) wait(ctx context.Context, cmd *exec.Cmd) {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if ctx.Err() == nil {
			c.slog.Warn("child died; starting it again in a second", "child", c.name, "error", err)
		}
	case <-ctx.Done():
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
			<-done
		}
	}
}

// logFile opens a child's log in the demo's folder.
func logFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}
