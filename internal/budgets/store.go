package budgets

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/needed"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/policies"
)

// ErrClosed says that what is left of the budgets is not known for sure now. It passes by itself,
// once every replica has told again what it has counted.
var ErrClosed = errors.New("budgets are closed")

// Exceeded says that something does not fit what is left of a budget.
type Exceeded struct {
	Budget policies.Budget
	Left   policies.Left
}

func (e *Exceeded) Error() string {
	return fmt.Sprintf("of the budget of %s %d are left", e.Budget, e.Left.Amount)
}

// Journal is the audit journal: Append returns when the record is durable.
type Journal interface {
	Append(ctx context.Context, r audit.Record) (audit.Position, error)
}

// Upstream tells what a job was billed.
type Upstream interface {
	GetJob(ctx context.Context, w durable.Facts, ref bigquery.JobReference) (bigquery.Job, error)
}

// Options of a Store. All are needed, but where a default is named.
type Options struct {
	Redis    redis.UniversalClient
	Keys     *sealed.Keyring
	Journal  Journal
	Upstream Upstream
	Log      *slog.Logger
	Active   func() bool // whether anything is counted at all; until then nothing is written to Redis

	// Closed is told why budgets are closed, "" when they are open. Default: nobody is told.
	Closed func(reason string)
	// Alone says that no other gateway shares this Redis: the demo's own.
	Alone bool
	Now   func() time.Time // default time.Now

	Every   time.Duration // between two beats; default 250 ms
	Silence time.Duration // from when on a replica without a beat is taken for dead; default 3 s
	Wait    time.Duration // how long a reservation waits where budgets are closed; default 4 s
	// Lent is how long a reservation waits for what it was made for to begin: as long as a verdict
	// may be begun with. Default a minute.
	Lent time.Duration
}

// Store counts. It is safe for concurrent use, and by any number of processes that share Redis and
// the Keyring.
type Store struct {
	Options
	me      string        // this process among the replicas
	turn    chan struct{} // whoever talks to Redis
	kick    chan struct{} // there is something to settle
	started time.Time

	settling sync.Mutex
	mu       sync.Mutex // of all below
	parts    map[string]*part
	ids      string               // the fields of the hash of beats, as they were seen last
	unsure   map[string]bool      // own slots that may not be in Redis as they are here
	open     map[string]*claim    // reservations that are not settled, by decision
	freed    []*claim             // reservations in whose place there is another one, to be given back
	ran      map[string]time.Time // those that were, of jobs that ran, until their windows are over
	late     map[string]time.Time // decisions that did not begin in time, until when that is remembered
	closed   string               // why; "" while open
	opened   chan struct{}        // closed when budgets are opened
	loss     loss
}

// New makes a Store. Run must run beside whatever uses it.
func New(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Closed == nil {
		o.Closed = func(string) {}
	}
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&o.Every, 250 * time.Millisecond}, {&o.Silence, 3 * time.Second}, {&o.Wait, 4 * time.Second},
		{&o.Lent, time.Minute}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if err := needed.Parts("budgets", o); err != nil {
		return nil, err
	}
	var id [12]byte
	rand.Read(id[:]) // never fails: crypto/rand
	s := &Store{
		Options: o, me: hex.EncodeToString(id[:]), turn: make(chan struct{}, 1), kick: make(chan struct{}, 1), started: o.Now(),
		parts: map[string]*part{}, unsure: map[string]bool{}, open: map[string]*claim{}, ran: map[string]time.Time{},
		late: map[string]time.Time{}, opened: make(chan struct{}),
		closed: starting,
	}
	s.parts[s.me] = newPart()
	return s, nil
}

const starting = "what the other replicas have counted is being read"

// Replica is the name of this process among the counters.
func (s *Store) Replica() string { return s.me }

// Err is why budgets are closed, nil while they are open.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err()
}

func (s *Store) err() error {
	if s.closed == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrClosed, s.closed)
}

// isOpen waits a little where budgets are closed: what closes them mostly passes within a second.
func (s *Store) isOpen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.Wait)
	defer cancel()
	for {
		s.mu.Lock()
		err, opened := s.err(), s.opened
		s.mu.Unlock()
		if err == nil {
			return nil
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return err
		}
	}
}

// Left is what is left of each of the budgets, as far as this replica has been told. Reserve looks
// again.
func (s *Store) Left(ctx context.Context, all []policies.Budget) ([]policies.Left, error) {
	if err := s.isOpen(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	left := make([]policies.Left, len(all))
	for i, b := range all {
		left[i] = s.left(b, s.Now())
	}
	return left, nil
}

func (s *Store) left(b policies.Budget, now time.Time) policies.Left {
	zero := s.zero(b, now)
	return policies.Left{Amount: b.Limit - s.spent(zero.Slot), Free: zero.Until}
}

// Wanted is what a query asks of its budgets.
type Wanted struct {
	Decision string    // that it is reserved under
	By       string    // the decision by which the query is sent, where it is another one
	Job      audit.Job // where it is known already
	Budgets  []policies.Budget
	Least    int64 // below it the query cannot run
	Most     int64 // what it may bill at most, 0 for as much as there is
	// Beyond says that somebody has let it go beyond the budgets that hold.
	Beyond bool

	counted bool // another process has reserved it already
}

// Reserve takes from every budget of bytes what a query may bill at most, and returns how much that
// is. When it returns, the reservation is durable, and waits for Begin. *Exceeded says that there
// is less than the query needs.
func (s *Store) Reserve(ctx context.Context, w Wanted) (int64, error) {
	bytes := of(policies.UnitBytes, w.Budgets)
	if len(bytes) == 0 {
		return w.Most, nil
	}
	c, granted, err := s.count(ctx, bytes, w)
	if err != nil {
		return 0, err
	}
	by := cmp.Or(w.By, w.Decision)
	kept := s.keep(c, by)
	err = s.record(ctx, audit.BudgetReserved, c, granted)
	if !kept {
		s.free(c)
	}
	if err != nil {
		s.NeverRan(w.Decision, by)
		return 0, err
	}
	return granted, nil
}

// Spend counts rows that are about to be released: as many as w.Most says. When it returns, they
// are counted durably.
func (s *Store) Spend(ctx context.Context, w Wanted) error {
	all, rows := of(policies.UnitRows, w.Budgets), w.Most
	if len(all) == 0 || rows <= 0 {
		return nil
	}
	w.Least = rows
	c, _, err := s.count(ctx, all, w)
	if err != nil {
		return err
	}
	return s.record(ctx, audit.BudgetSpent, c, rows)
}

func of(unit policies.Unit, all []policies.Budget) (some []policies.Budget) {
	for _, b := range all {
		if b.Unit == unit {
			some = append(some, b)
		}
	}
	return some
}

// record makes what was counted durable.
func (s *Store) record(ctx context.Context, event string, c *claim, amount int64) error {
	r := audit.Budget{Event: event, Replica: s.me, Decision: c.decision, Amount: amount, Job: c.job}
	for _, one := range c.counters {
		r.Counters = append(r.Counters, one.BudgetCounter)
	}
	if _, err := s.Journal.Append(ctx, r); err != nil {
		return fmt.Errorf("record what is counted against the budgets: %w", err)
	}
	return nil
}

// tries bounds how often a counter is written anew because another replica was first.
const tries = 200

// count adds to the own counters of the budgets, if it fits all of them by what every replica has
// counted at that moment.
func (s *Store) count(ctx context.Context, all []policies.Budget, w Wanted) (*claim, int64, error) {
	waiting, cancel := context.WithTimeout(ctx, s.Wait)
	defer cancel()
	if err := s.take(ctx); err != nil {
		return nil, 0, err
	}
	defer s.give()
	for range tries {
		changes, granted, err := s.fit(all, w)
		if errors.Is(err, ErrClosed) && waiting.Err() == nil {
			s.give() // to what opens them again
			err = s.isOpen(waiting)
			s.turn <- struct{}{}
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, 0, err
		}
		word, err := s.write(ctx, changes, true)
		switch {
		case err != nil:
			return nil, 0, err
		case word == written:
			c := &claim{decision: w.Decision, job: w.Job, replica: s.me, amount: granted}
			c.counters = append(c.counters, changes...)
			return c, granted, nil
		case word == news:
			if err := s.look(ctx); err != nil {
				return nil, 0, err
			}
		}
	}
	return nil, 0, fmt.Errorf("count against a budget: other replicas were first %d times", tries)
}

// fit says what the own counters would be.
func (s *Store) fit(all []policies.Budget, w Wanted) ([]counter, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.err(); err != nil {
		return nil, 0, err
	}
	now, granted := s.Now(), w.Most
	for _, b := range all {
		left := s.left(b, now)
		beyond := w.counted || w.Beyond && b.Holds
		switch {
		case beyond && granted == 0:
			granted = max(left.Amount, b.Limit) // nobody said how much: the budget once more
		case beyond:
		case left.Amount < w.Least || left.Amount <= 0:
			return nil, 0, &Exceeded{b, left}
		case granted == 0 || granted > left.Amount:
			granted = left.Amount
		}
	}
	mine := s.parts[s.me]
	if len(mine.counters) >= maxCounters {
		return nil, 0, fmt.Errorf("%w: more than %d budgets are in use", ErrClosed, maxCounters)
	}
	var changes []counter
	for _, b := range all {
		c := s.zero(b, now)
		if e := mine.counters[c.Slot]; e != nil {
			c = e.counter
		}
		c.Version++
		c.Reserved += granted
		if b.Unit == policies.UnitBytes {
			c.Open += granted
		}
		changes = append(changes, c)
	}
	return changes, granted, nil
}

// take is the turn to talk to Redis.
func (s *Store) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) give() { <-s.turn }
