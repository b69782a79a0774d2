package googlesql

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// lane is workers with a queue before them. They are asked one question at a time each. Questions
// of different callers take turns, and no caller holds all workers of several, so that one caller's
// flood, or questions of its that run into the deadline, do not keep the others waiting. It is safe
// for concurrent use.
//
// A question needs one of as many places as there are workers, and a process. There are more
// processes than places: when one is killed, a spare one stands in for it at once, and another is
// started. Only while there are fewer processes than places does a place stay with the caller whose
// question broke its process.
type lane struct {
	options PoolOptions // of this lane
	within  bounds      // for one text
	slow    bool        // its workers get what the machine has left
	// aside says that a caller has to leave this lane: others of its texts took long while this one
	// waited. Nil keeps all.
	aside func(caller string) bool

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

func newLane(options PoolOptions, within bounds) *lane {
	l := &lane{options: options, within: within, alive: map[*process]bool{}, running: map[string]int{}}
	l.life, l.end = context.WithCancel(context.Background())
	l.queue.limit = options.QueueLimit
	return l
}

// open starts the workers, and returns what one of them says of itself when all are ready.
func (l *lane) open(ctx context.Context) (hello wire.Hello, err error) {
	started, failed := make(chan *process), make(chan error)
	for range l.options.Workers {
		go func() {
			w, err := l.startProcess(ctx)
			if err != nil {
				failed <- err
				return
			}
			started <- w
		}()
	}
	for range l.options.Workers {
		select {
		case w := <-started:
			hello = w.hello
			l.welcome(w)
		case e := <-failed:
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return hello, err
	}
	for range max(0, l.options.Spare) {
		l.replenish()
	}
	return hello, nil
}

// Close kills the workers and waits for them. Questions under way and later ones end with
// ErrorUnavailable.
func (l *lane) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.wait.Wait()
		return nil
	}
	l.closed = true
	l.end()
	for w := range l.alive {
		w.kill()
	}
	for _, w := range l.idle {
		l.lose(w)
	}
	l.idle = nil
	waiting := l.queue.drain()
	l.mu.Unlock()
	for _, t := range waiting {
		close(t.ready)
	}
	l.wait.Wait()
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

// errCrowded is the word for a caller that waits for itself, or for others whose texts take long.
func errCrowded(limit int) *Error {
	if limit == 0 {
		return &Error{Code: ErrorCrowded, Message: "too many of your statements are being analysed at once"}
	}
	return &Error{Code: ErrorCrowded, Message: fmt.Sprintf(
		"this statement takes long to analyse, or others of yours did, and such statements wait for each other, at most %d of one owner",
		limit,
	)}
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
	late   bool // it took what this lane gives to one text
	killed bool // its worker was killed from outside
	aside  bool // it was not asked: its caller has to leave this lane
}

// bounds are two measures of the time that a worker may take, or has taken.
type bounds struct {
	processor time.Duration // the worker's own, or the clock's where the system does not tell
	clock     time.Duration
}

func (b bounds) less(taken bounds) bounds {
	return bounds{b.processor - taken.processor, b.clock - taken.clock}
}

func (b bounds) over() bool { return b.processor <= 0 || b.clock <= 0 }

// ask is Pool.ask for this lane.
func (l *lane) ask(ctx context.Context, caller string, question *wire.Question, spent *bounds) (answer, error) {
	left := l.within.less(*spent)
	if left.over() {
		return answer{late: true}, tooLate(l.options.Deadline)
	}
	w, err := l.acquire(ctx, caller)
	if err != nil {
		return answer{}, err
	}
	if l.aside != nil && l.aside(caller) {
		l.wait.Done()
		l.release(w, caller)
		return answer{aside: true}, nil
	}
	// From here on no reply may be left in the worker's pipe, so the exchange runs to its end: the
	// last reply, or the deadline and a kill. A context that ends meanwhile is looked at
	// afterwards.
	a, taken, err := l.exchange(w, caller, question, left)
	spent.processor, spent.clock = spent.processor+taken.processor, spent.clock+taken.clock
	if ctx.Err() != nil {
		return answer{}, ctx.Err()
	}
	return a, err
}

// exchange has a worker answer a question, and gives the worker back.
func (l *lane) exchange(w *process, caller string, question *wire.Question, left bounds) (a answer, taken bounds, err error) {
	defer l.wait.Done()
	stop := w.watch(left)
	last := &a.reply
	if a.reply, err = w.ask(question); err == nil && a.reply.More {
		last = &a.ahead
		if a.ahead, err = w.next(question); err == nil && a.ahead.More { // there are two at the most
			err = errFailed()
		}
	}
	taken = stop()
	if err == nil && !(*last).Retire && w.asked < l.options.Recycle {
		l.release(w, caller)
	} else {
		l.replace(w, caller)
	}
	if err != nil {
		a.late, a.killed = errors.Is(err, errLate), errors.Is(err, errKilled)
		*last, err = nil, l.said(err)
	}
	if a.reply != nil {
		a.failed, err = err, nil
	}
	return a, taken, err
}

// said is what the author of a text is told of an error of its worker.
func (l *lane) said(err error) error {
	switch {
	case err == nil:
		return nil
	case l.life.Err() != nil:
		return errClosed()
	case errors.Is(err, errLate):
		return tooLate(l.options.Deadline)
	case errors.Is(err, errKilled):
		return errInterrupted()
	}
	return err
}

// acquire takes a worker, waiting for the caller's turn. The wait group then counts one exchange
// for it.
func (l *lane) acquire(ctx context.Context, caller string) (*process, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errClosed()
	}
	if len(l.idle) > 0 && l.mayRun(caller) {
		w := l.take(caller)
		l.mu.Unlock()
		return w, nil
	}
	ticket, evicted := l.queue.push(caller)
	full := l.busy(caller, 0)
	l.mu.Unlock()
	if evicted != nil {
		close(evicted.ready)
	}
	if ticket == nil {
		return nil, full
	}
	timer := time.NewTimer(l.options.QueueWait)
	defer timer.Stop()
	var err error
	select {
	case w, ok := <-ticket.ready:
		if !ok { // to a caller with fewer, or by Close
			return nil, l.evicted()
		}
		return w, nil
	case <-timer.C:
		l.mu.Lock()
		err = l.busy(caller, 1)
		l.mu.Unlock()
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	l.queue.remove(ticket)
	l.mu.Unlock()
	// A worker may have been handed over in the meantime.
	select {
	case w, ok := <-ticket.ready:
		if ok {
			l.wait.Done()
			l.release(w, caller)
		}
	default:
	}
	return nil, err
}

// busy is why a question is not answered in time: for others of its own caller, of which mine are
// in the queue for this question itself, or for the others'.
func (l *lane) busy(caller string, mine int) *Error {
	switch {
	case l.slow:
		return errCrowded(l.queue.each)
	case l.running[caller] > 0 || l.queue.of(caller) > mine:
		return errCrowded(0)
	default:
		return errBusy()
	}
}

// evicted is why a question has lost its place in the queue.
func (l *lane) evicted() *Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed()
	}
	return errCrowded(l.queue.each)
}
