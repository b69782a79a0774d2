package budgets

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
)

// claim is a reservation that is not settled.
type claim struct {
	decision string
	job      audit.Job
	replica  string // that made it
	amount   int64
	counters []counter
	users    map[string]use // decisions to send it of which it is not known that nothing came
	ran      bool           // its job is known
	billed   *int64         // known, and about to be settled
	next     time.Time
	waited   time.Duration
}

func (c *claim) until() (last time.Time) {
	for _, one := range c.counters {
		if one.Until.After(last) {
			last = one.Until
		}
	}
	return last
}

// Saw takes in what BigQuery says of the job that a reservation was made for: which it is, and once
// it is done what it was billed.
func (s *Store) Saw(ctx context.Context, decision string, job bigquery.Job) {
	if decision == "" {
		return
	}
	ref := audit.Job{ProjectID: job.Reference.ProjectID, JobID: job.Reference.JobID, Location: job.Reference.Location}
	s.mu.Lock()
	c := s.open[decision]
	if c == nil || !s.mine(c) || !c.ran && c.waits() {
		s.mu.Unlock()
		return // another process's, which asks itself
	}
	fresh := c.job != ref
	if billed, ok := bill(job); ok {
		c.billed = &billed
	} else if !c.ran || c.next.IsZero() {
		c.next = s.Now().Add(firstAsk)
	}
	c.job, c.ran = ref, true
	s.mu.Unlock()
	if fresh {
		r := audit.Budget{Event: audit.BudgetRan, Replica: c.replica, Decision: decision, Job: ref}
		if _, err := s.Journal.Append(ctx, r); err != nil {
			s.Log.Error("the job of a reservation is not recorded; it stays reserved if this process ends", "decision", decision,
				"error", err)
		}
	}
	s.wake()
}

// bill is what a job was billed, once that is known.
func bill(job bigquery.Job) (int64, bool) {
	if job.State != "DONE" || job.TotalBytesBilled == nil && !job.CacheHit {
		return 0, false
	}
	if job.TotalBytesBilled == nil {
		return 0, true // "Whether the query result was fetched from the query cache": it costs nothing
	}
	return max(0, *job.TotalBytesBilled), true
}

// named says that BigQuery can be asked for the job, and for no other one: an id is good once in a
// project and location. Without a location it may answer for an older job of the same id elsewhere.
func (c *claim) named() bool { return c.job.JobID != "" && (c.ran || c.job.Location != "") }

// mine says whether a reservation is this process's to settle: its own, or adopted.
func (s *Store) mine(c *claim) bool { return c.replica == s.me || !c.next.IsZero() }

func (s *Store) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// How often BigQuery is asked about jobs that have not been seen to end.
const (
	firstAsk    = 2 * time.Second
	lastAsk     = 5 * time.Minute
	asksAtOnce  = 5 // a second
	adoptAfter  = 15 * time.Second
	settleEvery = time.Second
)

// settleAll settles what is known, and asks about the rest, until ctx ends.
func (s *Store) settleAll(ctx context.Context) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		s.settleDue(ctx)
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
		case <-tick.C:
			asked = true
		}
		if asked && s.Active() {
			s.askDue(ctx)
		}
	}
}

// settleDue settles every reservation of which the bill is known.
func (s *Store) settleDue(ctx context.Context) {
	s.settling.Lock() // each of them once
	defer s.settling.Unlock()
	s.mu.Lock()
	now := s.Now()
	due := slices.Clone(s.freed)
	for id, c := range s.open {
		s.expire(c, now)
		switch {
		case !c.until().After(now):
			delete(s.open, id) // its windows are over
		case c.billed != nil:
			due = append(due, c)
		}
	}
	over := func(_ string, until time.Time) bool { return !until.After(now) }
	maps.DeleteFunc(s.ran, over)
	maps.DeleteFunc(s.late, over)
	s.mu.Unlock()
	for _, c := range due {
		if err := s.settle(ctx, c); err != nil {
			s.Log.Warn("a reservation stays as it is until the next try", "decision", c.decision, "error", err)
			return
		}
	}
}

// settle gives back what a job did not bill: first in the journal, so that nobody who comes after
// this process gives it back again, then in Redis.
func (s *Store) settle(ctx context.Context, c *claim) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	s.mu.Lock()
	var changes []counter
	now, mine := s.Now(), s.parts[s.me]
	for _, one := range c.counters {
		if !one.Until.After(now) {
			continue
		}
		to := counter{BudgetCounter: one.BudgetCounter}
		to.Version, to.Reserved, to.Released = 0, 0, 0
		if e := mine.counters[one.Slot]; e != nil {
			to = e.counter
		}
		to.Version++
		to.Open -= c.amount
		if rest := c.amount - *c.billed; rest >= 0 {
			to.Released += rest
		} else {
			to.Reserved -= rest // more than BigQuery was to bill at most
		}
		changes = append(changes, to)
	}
	s.mu.Unlock()
	done := *c
	done.counters = changes
	if err := s.record(ctx, audit.BudgetSettled, &done, *c.billed); err != nil {
		return err
	}
	s.mu.Lock()
	if s.open[c.decision] == c { // it may have been reserved again
		delete(s.open, c.decision)
	}
	s.freed = slices.DeleteFunc(s.freed, func(f *claim) bool { return f == c })
	if c.ran {
		s.ran[c.decision] = c.until()
	}
	for _, to := range changes {
		e := mine.counters[to.Slot]
		if e == nil {
			e = &entry{}
			mine.counters[to.Slot] = e
		}
		e.counter = to
		s.unsure[to.Slot] = true
	}
	s.mu.Unlock()
	_, err := s.write(ctx, nil, false)
	return err
}

// askDue asks BigQuery about a few of the jobs that are due.
func (s *Store) askDue(ctx context.Context) {
	s.adopt(ctx)
	s.mu.Lock()
	var due []*claim
	now := s.Now()
	for _, c := range s.open {
		if c.billed == nil && c.named() && !c.next.IsZero() && !c.next.After(now) {
			due = append(due, c)
		}
	}
	slices.SortFunc(due, func(a, b *claim) int { return a.next.Compare(b.next) })
	due = due[:min(len(due), asksAtOnce)]
	s.mu.Unlock()
	for _, c := range due {
		ref := bigquery.JobReference{ProjectID: c.job.ProjectID, JobID: c.job.JobID, Location: c.job.Location}
		job, err := s.Upstream.GetJob(ctx, durable.SettleJob(), ref)
		s.mu.Lock()
		c.waited = min(lastAsk, max(firstAsk, 2*c.waited))
		c.next = s.Now().Add(c.waited)
		if err == nil {
			c.ran = true
			if billed, ok := bill(job); ok {
				c.billed = &billed
			}
		}
		s.mu.Unlock()
	}
	s.settleDue(ctx)
}

// Learn takes in what a journal on this host says: of an earlier life of this process, or of
// another one. All that is there must be learnt before anything is served.
func (s *Store) Learn(r audit.Budget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	var current []counter
	for _, c := range r.Counters {
		if c.Until.After(now) && c.Version > 0 {
			current = append(current, counter{BudgetCounter: c})
		}
	}
	if r.Replica != s.me && len(current) > 0 {
		p := s.parts[r.Replica]
		if p == nil {
			p = newPart()
			s.parts[r.Replica] = p
		}
		for _, c := range current {
			p.take(c, "")
			p.told[c.Slot] = max(p.told[c.Slot], c.Version)
		}
	}
	switch c := s.open[r.Decision]; {
	case r.Decision == "" || r.Replica == s.me:
	case r.Event == audit.BudgetReserved && c == nil && len(current) > 0:
		s.open[r.Decision] = &claim{decision: r.Decision, job: r.Job, replica: r.Replica, amount: r.Amount, counters: current}
	case r.Event == audit.BudgetRan && c != nil:
		c.job, c.ran = r.Job, true
	case r.Event == audit.BudgetSettled && c != nil:
		delete(s.open, r.Decision)
	}
}

// adopt takes over the reservations of processes on this host that do not live any more, each of
// them once.
func (s *Store) adopt(ctx context.Context) {
	s.mu.Lock()
	var orphans []*claim
	now := s.Now()
	for _, c := range s.open {
		p := s.parts[c.replica]
		if c.replica != s.me && c.next.IsZero() && c.named() && (p == nil || !s.lives(p)) && now.Sub(s.started) > adoptAfter {
			orphans = append(orphans, c)
		}
	}
	s.mu.Unlock()
	for _, c := range orphans {
		sum := s.Keys.Name("budgets/adopted", c.decision)
		mine, err := s.Redis.SetNX(ctx, fmt.Sprintf("%sadopted:%s", keyPrefix, hex.EncodeToString(sum[:])), s.me, kept).Result()
		s.mu.Lock()
		switch {
		case err != nil:
		case mine:
			c.next = now
		default:
			delete(s.open, c.decision) // somebody else has it
		}
		s.mu.Unlock()
	}
}
