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
	Command     []string      // the worker's command line, normally {"/proc/self/exe", "worker"}; required
	Workers     int           // processes; 2
	Deadline    time.Duration // for all that workers do for one text; 2 s
	MemoryLimit int64         // bytes of data a worker may allocate (RLIMIT_DATA); 768 MiB
	Recycle     int           // questions after which a worker is replaced; 10,000
	QueueLimit  int           // questions waiting for a worker, over all callers; 256
	QueueWait   time.Duration // how long a question waits for a worker; 5 s
}

func (o PoolOptions) withDefaults() PoolOptions {
	set(&o.Workers, 2)
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

// Pool keeps SQL worker processes and hands them questions, one at a time each. Questions of different callers take turns, and no caller holds
// all workers of several, so that one caller's flood, or questions of its that run into the deadline, do not keep the others waiting. It is safe
// for concurrent use.
type Pool struct {
	options PoolOptions
	command []string
	engine  string // of the workers' Hello; one binary, so one engine

	confined []string

	life context.Context // ends with Close
	end  context.CancelFunc
	wait sync.WaitGroup // processes being started, asked or stopped

	mu      sync.Mutex
	idle    []*process
	queue   turns
	running map[string]int // questions that workers have, by caller
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
	// Workers run in another directory. /proc/self/exe stays as it is: it names the new process's own image.
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("starting SQL workers: %w", err)
	}
	p := &Pool{options: options, running: map[string]int{}}
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
			p.idle = append(p.idle, w)
		case err := <-failed:
			first = errors.Join(first, err)
		}
	}
	if first != nil {
		_ = p.Close()
		return nil, fmt.Errorf("starting %d SQL workers: %w", options.Workers, first)
	}
	return p, nil
}

// Engine names the SQL engine and its version.
func (p *Pool) Engine() string { return p.engine }

// Confined says what was taken from the workers, as far as the system allowed: "namespaces" (no network, no user of the machine), "no-new-privileges", "seccomp" (no files,
// sockets, programs). Their memory and environment are always limited.
func (p *Pool) Confined() []string { return p.confined }

// Close kills the workers and waits for them. Questions under way and later ones end with ErrorUnavailable.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.wait.Wait()
		return nil
	}
	p.closed = true
	p.end()
	idle := p.idle
	p.idle = nil
	waiting := p.queue.drain()
	p.mu.Unlock()
	for _, t := range waiting {
		close(t.ready)
	}
	for _, w := range idle {
		w.kill()
	}
	p.wait.Wait()
	return nil
}

// errLate is exchange's word for a deadline that passed.
var errLate = errors.New("the worker did not answer in time")

func tooLate(deadline time.Duration) *Error {
	return &Error{Code: ErrorDeadline, Message: fmt.Sprintf("the statement could not be analysed within %s; make it simpler", deadline)}
}

func errBusy() *Error {
	return &Error{Code: ErrorUnavailable, Message: "the SQL analysis is busy; try again"}
}

// ask puts a question to a worker. It returns the worker's reply, an *Error when there is none to be had (the deadline passed, the
// worker died, the queue is full, the pool is closed), or ctx's error. What workers have spent on the text before counts towards its deadline, and
// what this question took is added to it.
func (p *Pool) ask(ctx context.Context, caller string, request *wire.Request, spent *time.Duration) (*wire.Reply, error) {
	left := p.options.Deadline - *spent
	if left <= 0 {
		return nil, tooLate(p.options.Deadline)
	}
	w, err := p.acquire(ctx, caller)
	if err != nil {
		return nil, err
	}
	// The worker is in our hands; whoever stops waiting for it must not leave a reply behind in its pipe, so the exchange always runs
	// to its end: the reply, or the deadline and a kill.
	type outcome struct {
		reply *wire.Reply
		err   error
		took  time.Duration
	}
	done := make(chan outcome, 1)
	go func() {
		defer p.wait.Done()
		begin := time.Now()
		reply, err := w.exchange(request, left, p.life.Done())
		if errors.Is(err, errLate) {
			err = tooLate(p.options.Deadline)
		}
		took := time.Since(begin)
		healthy := err == nil && !reply.Retire && w.asked < p.options.Recycle
		if healthy {
			p.release(w, caller)
		}
		done <- outcome{reply, err, took}
		if !healthy {
			p.replace(w, caller)
		}
	}()
	select {
	case o := <-done:
		*spent += o.took
		return o.reply, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// acquire takes a worker, waiting for the caller's turn. The wait group then counts one exchange for it.
func (p *Pool) acquire(ctx context.Context, caller string) (*process, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, &Error{Code: ErrorUnavailable, Message: "the SQL analysis is shutting down"}
	}
	if n := len(p.idle); n > 0 && p.mayRun(caller) {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.begun(caller)
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

// mayRun reports whether a worker may be given to a caller: one of several workers is always left to the others.
func (p *Pool) mayRun(caller string) bool { return p.running[caller] < max(1, p.options.Workers-1) }

// begun counts a question that a worker takes.
func (p *Pool) begun(caller string) {
	p.wait.Add(1)
	p.running[caller]++
}

// dispatch hands idle workers to the next in turn.
func (p *Pool) dispatch() {
	for len(p.idle) > 0 && !p.closed {
		t := p.queue.pop(p.mayRun)
		if t == nil {
			return
		}
		n := len(p.idle) - 1
		p.begun(t.caller)
		t.ready <- p.idle[n] // buffered
		p.idle = p.idle[:n]
	}
}

// release takes back the worker that a caller's question had, or the one in its place, for the next in turn.
func (p *Pool) release(w *process, caller string) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		w.kill()
		return
	}
	if p.running[caller]--; p.running[caller] <= 0 {
		delete(p.running, caller)
	}
	p.idle = append(p.idle, w)
	p.dispatch()
	p.mu.Unlock()
}

// replace kills a worker and starts another in its place, again and again until one starts or the pool closes. Until then the caller whose
// question it had is counted as having it: who breaks workers may not take those of the others meanwhile.
func (p *Pool) replace(w *process, caller string) {
	w.kill()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.wait.Add(1)
	p.mu.Unlock()
	go func() {
		defer p.wait.Done()
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
			fresh, err := startProcess(p.life, p.command, p.options.MemoryLimit)
			if err == nil {
				p.release(fresh, caller)
				return
			}
			select {
			case <-p.life.Done():
				return
			case <-time.After(pause):
			}
		}
	}()
}
