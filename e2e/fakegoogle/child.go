package fakegoogle

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// restartDelay is how long a dead child stays dead.
const restartDelay = time.Second

// child runs a process and starts it again when it dies. It dies with this process, even by
// SIGKILL: the kernel signals it (Pdeathsig).
type child struct {
	log     *slog.Logger
	command []string
	env     []string
	// started and stopped are called for each life of the process, one after the other.
	started func(stdin io.WriteCloser, stdout io.ReadCloser)
	stopped func(error)

	mu     sync.Mutex
	cmd    *exec.Cmd
	closed bool
	ended  chan struct{}
}

func newChild(log *slog.Logger, command ...string) *child {
	return &child{log: log, command: command, ended: make(chan struct{})}
}

// start runs the process and supervises it until close.
func (c *child) start() error {
	first := make(chan error, 1)
	go func() {
		// Pdeathsig fires when the thread that started the child ends, so the thread must live as
		// long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.ended)
		ran := false
		for {
			err := c.live(func() {
				if !ran {
					ran = true
					first <- nil
				}
			})
			c.mu.Lock()
			closed := c.closed
			c.mu.Unlock()
			if closed {
				return
			}
			if !ran {
				first <- err
				return
			}
			c.log.Warn("a child ended, it is started again", "command", c.command[0], "error", err)
			time.Sleep(restartDelay)
		}
	}()
	return <-first
}

// live is one life of the process.
func (c *child) live(running func()) error {
	cmd := exec.Command(c.command[0], c.command[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("make a pipe to %s: %w", c.command[0], err)
	}
	stdout, stdoutW, err := os.Pipe() // a pipe of our own: what was read late is not lost when the child ends
	if err != nil {
		return fmt.Errorf("make a pipe from %s: %w", c.command[0], err)
	}
	cmd.Stdout = stdoutW
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		stdout.Close()
		stdoutW.Close()
		return errors.New("closed")
	}
	err = cmd.Start()
	if err == nil {
		c.cmd = cmd
	}
	c.mu.Unlock()
	stdoutW.Close()
	if err != nil {
		stdout.Close()
		return fmt.Errorf("start %s: %w", c.command[0], err)
	}
	defer stdout.Close()
	running()
	c.started(stdin, stdout)
	err = cmd.Wait()
	if err == nil {
		err = errors.New("it ended by itself")
	}
	c.mu.Lock()
	c.cmd = nil
	c.mu.Unlock()
	c.stopped(err)
	return err
}

func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

// kill ends this life of the process; the next begins after restartDelay.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		c.cmd.Process.Kill()
	}
}

// close ends the process for good and waits for it.
func (c *child) close() error {
	c.mu.Lock()
	c.closed = true
	if c.cmd != nil {
		c.cmd.Process.Kill()
	}
	c.mu.Unlock()
	select {
	case <-c.ended:
		return nil
	case <-time.After(5 * time.Second):
		return fmt.Errorf("%s did not end within 5 s of being killed", c.command[0])
	}
}
