package googlesql

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// startTimeout is how long a worker may take to be ready. It takes 40 ms; a loaded machine may need
// seconds.
const startTimeout = 20 * time.Second

// process is one SQL worker process, asked by one goroutine at a time.
type process struct {
	cmd   *exec.Cmd
	in    *os.File
	out   *os.File
	from  *bufio.Reader // of out
	hello wire.Hello
	asked int
	told  map[string]bool // digests of the tables whose columns it knows
	gone  chan struct{}   // closed when it has ended and was reaped
}

// startProcess starts a worker and waits until it is ready. The worker has no environment, no files
// but its two pipes, no more memory than the limit, and as few rights as the system can take from
// it; what it prints goes nowhere, since it may contain SQL.
func (l *lane) startProcess(ctx context.Context) (*process, error) {
	command := l.options.Command
	w, apart, err := spawn(command)
	if err != nil {
		return nil, fmt.Errorf("starting the SQL worker %s: %w", command[0], err)
	}
	if err := limit(w.cmd.Process.Pid, l.options.MemoryLimit); err != nil {
		w.end()
		return nil, fmt.Errorf("limiting a SQL worker: %w", err)
	}
	if err := l.putBehind(w, true); err != nil { // its start is not in anybody's way either
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, w.kill)
	err = wire.ReadFrame(w.from, &w.hello)
	w.hello.Confined = append(apart, w.hello.Confined...)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil && w.hello.Version != wire.Version {
		err = fmt.Errorf("it speaks %q, not %q", w.hello.Version, wire.Version)
	}
	if err != nil {
		w.end()
		return nil, fmt.Errorf("starting the SQL worker %s: %w", command[0], err)
	}
	if err := l.putBehind(w, false); err != nil { // with the threads that it has now; later ones take after them
		return nil, err
	}
	return w, nil
}

// putBehind makes a worker of the slow lane one that gets what nobody else wants of the machine.
func (l *lane) putBehind(w *process, starts bool) error {
	if !l.slow {
		return nil
	}
	if err := behindAll(w.cmd.Process.Pid, starts); err != nil {
		w.end()
		return fmt.Errorf("putting a SQL worker behind all others: %w", err)
	}
	return nil
}

// spawn starts the program between two pipes, and says what was taken from it.
func spawn(command []string) (*process, []string, error) {
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, stdin.Close(), in.Close())
	}
	cmd, apart, err := start(func() *exec.Cmd {
		cmd := exec.Command(command[0], command[1:]...) //nolint:gosec // G204: the gateway's own binary
		cmd.Env, cmd.Dir = []string{}, "/"
		cmd.Stdin, cmd.Stdout = stdin, stdout
		return cmd
	})
	_, _ = stdin.Close(), stdout.Close() // the worker has them
	if err != nil {
		return nil, nil, errors.Join(err, in.Close(), out.Close())
	}
	w := &process{cmd: cmd, in: in, out: out, from: bufio.NewReaderSize(out, 64<<10), told: map[string]bool{}, gone: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // says how it died, which is by our own hand or of the statement; what it said before can still be read
		close(w.gone)
	}()
	return w, apart, nil
}

// hangUp closes the pipes, when nobody has anything to ask any more.
func (w *process) hangUp() { _, _ = w.in.Close(), w.out.Close() }

// kill ends the worker, without waiting until it has ended: a process with much memory takes its
// time. It may be called more than once and from several goroutines.
func (w *process) kill() {
	_ = w.cmd.Process.Kill() // fails only when it is dead already
}

// end kills a worker that nobody asks, and waits for its end.
func (w *process) end() {
	w.kill()
	<-w.gone
	w.hangUp()
}

// ended reports whether the worker is known to have ended.
func (w *process) ended() bool {
	select {
	case <-w.gone:
		return true
	default:
		return false
	}
}

// watch lets a question, with both replies, take so much. Stop ends that, and tells what was taken.
func (w *process) watch(left bounds) (stop func() bounds) {
	begin := time.Now()
	_, _ = w.in.SetWriteDeadline(
		begin.Add(left.clock),
	), w.out.SetReadDeadline(
		begin.Add(left.clock),
	) // closed ones say so when they are used
	before, known := processor(w.cmd.Process.Pid)
	taken := func() bounds {
		b := bounds{clock: time.Since(begin)}
		b.processor = b.clock
		if now, ok := processor(w.cmd.Process.Pid); known && ok {
			b.processor = now - before
		}
		return b
	}
	var mu sync.Mutex
	var over bool
	var last bounds
	var look *time.Timer
	mu.Lock()
	defer mu.Unlock()
	look = time.AfterFunc(left.processor, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		if last = taken(); last.processor < left.processor {
			look.Reset(max(time.Millisecond, left.processor-last.processor))
			return
		}
		_, _ = w.in.SetWriteDeadline(begin), w.out.SetReadDeadline(begin)
	})
	return func() bounds {
		mu.Lock()
		defer mu.Unlock()
		over = true
		look.Stop()
		now := taken()
		now.processor = max(now.processor, last.processor)
		return now
	}
}

// ask puts one question and reads the reply, or the first of two. Any error means that the worker
// must be killed.
func (w *process) ask(question *wire.Question) (*wire.Reply, error) {
	w.asked++
	question.ID = uint64(w.asked) //nolint:gosec // G115: it counts up from 0
	if err := wire.WriteFrame(w.in, w.abridged(question)); err != nil {
		return nil, w.broken(err)
	}
	return w.next(question)
}

// next reads a reply to the question under way.
func (w *process) next(question *wire.Question) (*wire.Reply, error) {
	reply := &wire.Reply{}
	if err := wire.ReadFrame(w.from, reply); err != nil {
		return nil, w.broken(err)
	}
	if reply.ID != question.ID {
		return nil, errFailed()
	}
	if reply.Error == nil && reply.Analysis != nil && reply.Analysis.Missing == "" {
		w.learnt(question, reply)
	}
	return reply, nil
}

// errLate is the word for a deadline that passed.
var errLate = errors.New("the worker did not answer in time")

// broken is why there is no reply.
func (w *process) broken(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errLate
	case w.killed(err):
		return errKilled
	}
	return &Error{Code: ErrorDeadline, Message: "the statement could not be analysed: it needs too much memory or nesting"}
}

// abridged leaves out the columns that this worker has been told before.
func (w *process) abridged(question *wire.Question) *wire.Question {
	known := func(tables []wire.Table) []wire.Table {
		short := make([]wire.Table, len(tables))
		for i, t := range tables {
			if short[i] = t; w.told[t.Digest] {
				short[i].Known, short[i].Columns = true, nil
			}
		}
		return short
	}
	made := *question
	if made.Analyze != nil && len(made.Analyze.Tables) > 0 {
		ask := *made.Analyze
		ask.Tables = known(ask.Tables)
		made.Analyze = &ask
	}
	if made.Parse != nil && made.Parse.Ahead != nil {
		parse, ahead := *made.Parse, *made.Parse.Ahead
		ahead.Tables = known(ahead.Tables)
		parse.Ahead = &ahead
		made.Parse = &parse
	}
	return &made
}

// learnt notes the tables that the worker has used for an answer.
func (w *process) learnt(question *wire.Question, reply *wire.Reply) {
	if question.Analyze != nil {
		for i := range question.Analyze.Tables {
			w.told[question.Analyze.Tables[i].Digest] = true
		}
	}
	if question.Parse != nil && question.Parse.Ahead != nil {
		for i := range question.Parse.Ahead.Tables {
			t := &question.Parse.Ahead.Tables[i]
			if slices.Contains(reply.Given, t.Name) {
				w.told[t.Digest] = true
			}
		}
	}
}
