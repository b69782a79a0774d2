package googlesql

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
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

	// Slow is how many processes work for texts that take long, beside the Workers and behind them.
	// 0 is none: then all texts have the Deadline with the Workers.
	Slow          int
	FirstDeadline time.Duration // for what Workers do for one text where there are Slow ones, of a processor's time; 300 ms
	SlowWait      time.Duration // how long a text waits for a slow worker; 10 s
	Habits        Habits        // nil: nobody has any
}

// Habits know whose texts have taken long of late. It is safe for concurrent use.
type Habits interface {
	// Long says that a caller's texts go to the slow workers at once.
	Long(caller string) bool
	// Ran is told of each text that took a worker long, and how much of a processor's time.
	Ran(caller string, took time.Duration)
}

// long is what a text takes of a processor's time to be told of to Habits. Most take a few
// milliseconds.
const long = 50 * time.Millisecond

// slowEach is how many questions of one caller wait for slow workers, and slowQueue of all callers.
const (
	slowEach  = 16
	slowQueue = 128
)

// wallOfSlow is how many times the deadline a text may stay with a slow worker, which gets only
// what the machine has left.
const wallOfSlow = 3

func (o PoolOptions) withDefaults() PoolOptions {
	set(&o.Workers, 2)
	set(&o.Spare, 1)
	set(&o.Deadline, 2*time.Second)
	set(&o.MemoryLimit, 768<<20)
	set(&o.Recycle, 10_000)
	set(&o.QueueLimit, 256)
	set(&o.QueueWait, 5*time.Second)
	set(&o.FirstDeadline, 300*time.Millisecond)
	set(&o.SlowWait, 10*time.Second)
	o.FirstDeadline = min(o.FirstDeadline, o.Deadline)
	return o
}

func set[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Pool keeps SQL worker processes and hands them questions. It has two lanes. Every text begins in
// the first, whose workers run as the gateway itself does. One that has taken a worker's processor
// for FirstDeadline goes to the slow lane and has Deadline there. The slow lane's workers get what
// nobody else on the machine wants (SCHED_IDLE), they are few, and a caller's texts that take long
// wait there for each other. Callers whose texts took long of late (Habits) begin there. It is safe
// for concurrent use.
type Pool struct {
	options    PoolOptions
	fast, slow *lane // slow is nil where there is none
	killers    killers
	engine     string // of the workers' Hello; one binary, so one engine
	confined   []string
}

// NewPool starts the workers and returns when all of them are ready. The slow ones and the spare
// ones may come later.
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
	options.Command = append([]string{path}, options.Command[1:]...)
	p := &Pool{options: options, killers: newKillers()}
	within := bounds{processor: options.Deadline, clock: options.Deadline}
	if options.Slow > 0 {
		within.processor = options.FirstDeadline
	}
	p.fast = newLane(options, within)
	if options.Slow > 0 {
		p.fast.aside = p.long
	}
	first, err := p.fast.open(ctx)
	if err != nil {
		_ = p.fast.Close()
		return nil, fmt.Errorf("starting %d SQL workers: %w", options.Workers, err)
	}
	p.engine, p.confined = first.Engine, first.Confined
	if options.Slow > 0 {
		slow := options
		slow.Workers, slow.QueueLimit, slow.QueueWait = options.Slow, slowQueue, options.SlowWait
		p.slow = newLane(slow, bounds{processor: options.Deadline, clock: wallOfSlow * options.Deadline})
		p.slow.slow, p.slow.queue.each = true, slowEach
		for range options.Slow {
			p.slow.replenish()
		}
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
	if p.slow == nil {
		return p.fast.Close()
	}
	return errors.Join(p.fast.Close(), p.slow.Close())
}

// effort is what workers have spent on a text.
type effort struct {
	fast, slow bounds        // what was taken of each lane's
	slowly     bool          // the text has gone to the slow lane
	told       time.Duration // what Habits were told of
}

// long says that a caller's texts go to the slow lane at once.
func (p *Pool) long(caller string) bool {
	return p.options.Habits != nil && p.options.Habits.Long(caller)
}

// ask puts a question to a worker. It returns the worker's answer, an *Error when there is none to
// be had (the deadline passed, the worker died, the queue is full, the pool is closed), or ctx's
// error. What workers have spent on the text before counts towards its deadline, and what this
// question took is added to it.
//
// A worker that was killed from outside is no answer: the question is put to another one, once.
func (p *Pool) ask(ctx context.Context, caller string, question *wire.Question, spent *effort) (a answer, err error) {
	text := textOf(question)
	for range tripsOfOneText {
		if p.killers.bomb(text) {
			return answer{}, errBomb()
		}
		if a, err = p.askOnce(ctx, caller, question, spent); !a.killed {
			return a, err
		}
		p.killers.note(text)
	}
	if p.options.Habits != nil { // whoever's texts do so, whatever their words, wait for each other
		p.options.Habits.Ran(caller, p.options.Deadline)
	}
	if p.killers.bomb(text) {
		return answer{}, errBomb()
	}
	return a, err
}

// askOnce puts a question to one worker, or to one of each lane.
func (p *Pool) askOnce(ctx context.Context, caller string, question *wire.Question, spent *effort) (answer, error) {
	if p.slow == nil {
		return p.fast.ask(ctx, caller, question, &spent.fast)
	}
	var early answer
	if !spent.slowly && !p.long(caller) {
		a, err := p.fast.ask(ctx, caller, question, &spent.fast)
		if took := spent.fast.processor; took >= long && p.options.Habits != nil {
			p.options.Habits.Ran(caller, took-spent.told)
			spent.told = took
		}
		if !a.aside && (!a.late || spent.fast.processor < p.options.FirstDeadline) { // frozen, say, where another lane would not help
			return a, err
		}
		early = a
	}
	spent.slowly = true
	a, err := p.slow.ask(ctx, caller, question, &spent.slow)
	var refused *Error
	if early.reply != nil && errors.As(err, &refused) { // what was known by then
		early.failed = err
		return early, nil
	}
	return a, err
}
