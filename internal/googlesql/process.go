package googlesql

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// startTimeout is how long a worker may take to be ready. It takes 40 ms; a loaded machine may need seconds.
const startTimeout = 20 * time.Second

// process is one SQL worker process, used by one goroutine at a time.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	hello wire.Hello
	asked int
	once  sync.Once
}

// startProcess starts a worker and waits until it is ready. The worker has no environment, no files but its two pipes, no more
// memory than the limit, and as few rights as the system can take from it; what it prints goes nowhere, since it may contain SQL.
func startProcess(ctx context.Context, command []string, memory int64) (*process, error) {
	var in io.WriteCloser
	var out io.ReadCloser
	var failed error
	cmd, apart, err := start(func() *exec.Cmd {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = []string{}
		cmd.Dir = "/"
		var e1, e2 error
		in, e1 = cmd.StdinPipe()
		out, e2 = cmd.StdoutPipe()
		failed = errors.Join(e1, e2)
		return cmd
	})
	if err = errors.Join(failed, err); err != nil {
		return nil, fmt.Errorf("starting the SQL worker %s: %w", command[0], err)
	}
	w := &process{cmd: cmd, in: in, out: bufio.NewReaderSize(out, 64<<10)}
	if err := limit(cmd.Process.Pid, memory); err != nil {
		w.kill()
		return nil, fmt.Errorf("limiting a SQL worker: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	err = wire.ReadFrame(w.out, &w.hello)
	w.hello.Confined = append(apart, w.hello.Confined...)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil && w.hello.Version != wire.Version {
		err = fmt.Errorf("it speaks %q, not %q", w.hello.Version, wire.Version)
	}
	if err != nil {
		w.kill()
		return nil, fmt.Errorf("starting the SQL worker %s: %w", command[0], err)
	}
	return w, nil
}

// exchange asks one question and reads one reply. Any error means that the worker must be killed, which ends what is still waiting for it here: the
// asker need not wait for the death of a process with much memory.
func (w *process) exchange(request *wire.Request, deadline time.Duration, closing <-chan struct{}) (*wire.Reply, error) {
	w.asked++
	request.ID = uint64(w.asked)
	type answer struct {
		reply *wire.Reply
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		if err := wire.WriteFrame(w.in, request); err != nil {
			answered <- answer{nil, err}
			return
		}
		reply := &wire.Reply{}
		err := wire.ReadFrame(w.out, reply)
		answered <- answer{reply, err}
	}()
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case a := <-answered:
		switch {
		case a.err != nil:
			return nil, &Error{Code: ErrorDeadline, Message: "the statement could not be analysed: it needs too much memory or nesting"}
		case a.reply.ID != request.ID:
			return nil, &Error{Code: ErrorUnavailable, Message: "the SQL analysis failed; try again"}
		}
		return a.reply, nil
	case <-timer.C:
		return nil, errLate
	case <-closing:
		return nil, &Error{Code: ErrorUnavailable, Message: "the SQL analysis is shutting down"}
	}
}

// kill ends the worker and reaps it. It may be called more than once and from several goroutines.
func (w *process) kill() {
	w.once.Do(func() {
		_ = w.cmd.Process.Kill() // fails only when it is dead already
		_ = w.in.Close()
		_ = w.cmd.Wait() // says how it died, which is by our own hand or of the statement
	})
}
