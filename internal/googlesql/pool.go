package googlesql

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// PoolOptions are the limits of a Pool. Zero fields take the defaults that are named beside them.
type PoolOptions struct {
	Command     []string      // the worker's command line: the gateway's own binary with "sql-worker"; required
	Workers     int           // processes that work at the same time; 2
	Spare       int           // processes beside them that stand ready to take the place of one that is gone; 1. Negative for none
	Deadline    time.Duration // for all that workers do for one text; 2 s
	MemoryLimit int64         // bytes of data a worker may allocate (RLIMIT_DATA); 768 MiB
	Recycle     int           // questions after which a worker is replaced; 10,000
	QueueLimit  int           // questions waiting for a worker, over all callers; 256
	QueueWait   time.Duration // how long a question waits for a worker; 5 s
}

func (o PoolOptions) withDefaults() PoolOptions {
	set(&o.Workers, 2)
	set(&o.Spare, 1)
	set(&o.Deadline, 2*time.Second)
	set(&o.MemoryLimit, 768<<20)
	set(&o.Recycle, 10_000)
	set(&o.QueueLimit, 256)
	set(&o.QueueWait, 5*time.Second)
	return o
}

func set[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Pool keeps SQL worker processes and hands them questions, one at a time each. Questions of
// different callers take turns, and no caller holds all workers of several, so that one caller's
// flood, or questions of its that run into the deadline, do not keep the others waiting. It is safe
// for concurrent use.
//
// A question needs one of as many places as there are workers, and a process. There are more
// processes than places: when one is killed, a spare one stands in for it at once, and another is
// started. Only while there are fewer processes than places does a place stay with the caller whose
// question broke its process.
type Pool struct {
	options PoolOptions
	command []string
	engine  string // of the workers' Hello; one binary, so one engine

	confined []string

	life context.Context //nolint:containedctx // ends with Close: processes outlive the callers who need them
	end  context.CancelFunc
	wait sync.WaitGroup // processes being started, asked or stopped

	mu      sync.Mutex
	alive   map[*process]bool
	idle    []*process // the one used last is the last
	queue   turns
	taken   int            // places
	running map[string]int // places, by caller
	broken  []string       // callers who have a place without a process, oldest first
	closed  bool
}

// NewPool starts the workers and returns when all of them are ready.
func NewPool(ctx context.Context, options PoolOptions) (*Pool, error) {
	options = options.withDefaults()
	if len(options.Command) == 0 {
		return nil, errors.New("starting SQL workers: no command is configured")
	}
	path, err := exec.LookPath(options.Command[0])
	if err != nil {
		return nil, fmt.Errorf("starting SQL workers: %w", err)
	}
	// Workers run in another directory. /proc/self/exe stays as it is: it names the new process's
	// own image.
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("starting SQL workers: %w", err)
	}
	p := &Pool{options: options, alive: map[*process]bool{}, running: map[string]int{}}
	p.life, p.end = context.WithCancel(context.Background())
	p.command = append([]string{path}, options.Command[1:]...)
	p.queue.limit = options.QueueLimit

	started, failed := make(chan *process), make(chan error)
	for range options.Workers {
		go func() {
			w, err := startProcess(ctx, p.command, options.MemoryLimit)
			if err != nil {
				failed <- err
				return
			}
			started <- w
		}()
	}
	var first error
	for range options.Workers {
		select {
		case w := <-started:
			p.engine, p.confined = w.hello.Engine, w.hello.Confined
			p.welcome(w)
		case err := <-failed:
			first = errors.Join(first, err)
		}
	}
	if first != nil {
		_ = p.Close()
		return nil, fmt.Errorf("starting %d SQL workers: %w", options.Workers, first)
	}
	for range max(0, options.Spare) {
		p.replenish()
	}
	return p, nil
}

// Engine names the GoogleSQL engine and its version.
func (p *Pool) Engine() string { return p.engine }

// Confined says what was taken from the workers, as far as the system allowed: "namespaces" (no
// network, no user of the machine), "no-new-privileges", "seccomp" (no files, sockets, programs).
// Their memory and environment are always limited.
func (p *Pool) Confined() []string { return p.confined }

// Close kills the workers and waits for them. Questions under way and later ones end with
// ErrorUnavailable.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.wait.Wait()
		return nil
	}
	p.closed = true
	p.end()
	for w := range p.alive {
		w.kill()
	}
	for _, w := range p.idle {
		p.lose(w)
	}
	p.idle = nil
	waiting := p.queue.drain()
	p.mu.Unlock()
	for _, t := range waiting {
		close(t.ready)
	}
	p.wait.Wait()
	return nil
}

func tooLate(deadline time.Duration) *Error {
	return &Error{Code: ErrorDeadline, Message: fmt.Sprintf("the statement could not be analysed within %s; make it simpler", deadline)}
}

func errClosed() *Error {
	return &Error{Code: ErrorUnavailable, Message: "the SQL analysis is shutting down"}
}

func errFailed() *Error {
	return &Error{Code: ErrorUnavailable, Message: "the SQL analysis failed; try again"}
}

func errBusy() *Error {
	return &Error{Code: ErrorUnavailable, Message: "the SQL analysis is busy; try again"}
}

// answer is what a worker said to a question: its reply and, where another one followed that, ahead
// or why there is none after all.
type answer struct {
	reply  *wire.Reply
	ahead  *wire.Reply
	failed error
}

// ask puts a question to a worker. It returns the worker's answer, an *Error when there is none to
// be had (the deadline passed, the worker died, the queue is full, the pool is closed), or ctx's
// error. What workers have spent on the text before counts towards its deadline, and what this
// question took is added to it.
func (p *Pool) ask(ctx context.Context, caller string, question *wire.Question, spent *time.Duration) (answer, error) {
	left := p.options.Deadline - *spent
	if left <= 0 {
		return answer{}, tooLate(p.options.Deadline)
	}
	w, err := p.acquire(ctx, caller)
	if err != nil {
		return answer{}, err
	}
	// From here on no reply may be left in the worker's pipe, so the exchange runs to its end: the
	// last reply, or the deadline and a kill. A context that ends meanwhile is looked at
	// afterwards.
	begin := time.Now()
	a, err := p.exchange(w, caller, question, begin.Add(left))
	*spent += time.Since(begin)
	if ctx.Err() != nil {
		return answer{}, ctx.Err()
	}
	return a, err
}

// exchange has a worker answer a question, and gives the worker back.
func (p *Pool) exchange(w *process, caller string, question *wire.Question, deadline time.Time) (a answer, err error) {
	defer p.wait.Done()
	last := &a.reply
	if a.reply, err = w.ask(question, deadline); err == nil && a.reply.More {
		last = &a.ahead
		if a.ahead, err = w.next(question); err == nil && a.ahead.More { // there are two at the most
			err = errFailed()
		}
	}
	if err == nil && !(*last).Retire && w.asked < p.options.Recycle {
		p.release(w, caller)
	} else {
		p.replace(w, caller)
	}
	if err != nil {
		*last, err = nil, p.said(err)
	}
	if a.reply != nil {
		a.failed, err = err, nil
	}
	return a, err
}

// said is what the author of a text is told of an error of its worker.
func (p *Pool) said(err error) error {
	switch {
	case err == nil:
		return nil
	case p.life.Err() != nil:
		return errClosed()
	case errors.Is(err, errLate):
		return tooLate(p.options.Deadline)
	}
	return err
}

// acquire takes a worker, waiting for the caller's turn. The wait group then counts one exchange
// for it.
func (p *Pool) acquire(ctx context.Context, caller string) (*process, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed()
	}
	if len(p.idle) > 0 && p.mayRun(caller) {
		w := p.take(caller)
		p.mu.Unlock()
		return w, nil
	}
	ticket, evicted := p.queue.push(caller)
	p.mu.Unlock()
	if evicted != nil {
		close(evicted.ready)
	}
	if ticket == nil {
		return nil, errBusy()
	}
	timer := time.NewTimer(p.options.QueueWait)
	defer timer.Stop()
	var err error
	select {
	case w, ok := <-ticket.ready:
		if !ok {
			return nil, errBusy()
		}
		return w, nil
	case <-timer.C:
		err = errBusy()
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	p.queue.remove(ticket)
	p.mu.Unlock()
	// A worker may have been handed over in the meantime.
	select {
	case w, ok := <-ticket.ready:
		if ok {
			p.wait.Done()
			p.release(w, caller)
		}
	default:
	}
	return nil, err
}
