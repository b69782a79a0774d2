// Package soak runs the whole of bqgate under a mixed load while its parts break one after the
// other, and says what was not as it should be.
//
// The load (actions.go) is what agents and reviewers do. The faults (faults.go) are the cells of
// the table in docs/invariants.md that can be brought about from outside. All the time, whatever is
// broken: no byte that anybody gets holds a canary, what is not served is a refusal or a fault in
// the form of the API, and nobody hangs. Beyond a fault and the time that its row states, everybody
// is served. At the end each answer that somebody got whole is in the journal as they got it, each
// vote that was acknowledged too, the journal verifies, nothing that was written holds a canary,
// and nothing has grown that should not (growth.go).
//
// `make soak` runs it for half an hour; TestFaultTable of ./e2e takes each fault once.
package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options says how a soak is run.
type Options struct {
	Root    string        // of the repository, whose build/bin has the binaries
	Dir     string        // for everything that is written; "" for one that is removed
	Length  time.Duration // of Run
	Every   time.Duration // from one fault to the next
	Seed    uint64        // of the faults and of what each caller does
	Callers int           // agents, each of them a subject of its own
	Pause   time.Duration // between two requests of one agent
	Only    []string      // names of faults; nil for all
	Out     io.Writer     // what happens, line by line; nil for nothing
	// Untimed asks nothing that depends on how fast the machine is: neither how long a fault is
	// felt, nor what grows.
	Untimed bool
}

// Soak is a running one.
type Soak struct {
	Options
	*world
	notes   notes
	growth  growth
	random  *rand.Rand
	struck  []Struck
	busy    busy
	stop    context.CancelFunc
	running sync.WaitGroup
	remove  bool
	journal string // what was read in it, in words
}

// Start starts the whole and lets the callers begin.
func Start(ctx context.Context, o Options) (_ *Soak, err error) {
	s := &Soak{Options: o, random: rand.New(rand.NewPCG(o.Seed, 0))}
	if s.Dir == "" {
		s.remove = true
		if s.Dir, err = os.MkdirTemp("", "bqgate-soak"); err != nil {
			return nil, fmt.Errorf("make a folder for the run: %w", err)
		}
	}
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return nil, err
	}
	if s.world, err = start(ctx, o.Root, s.Dir); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.notes.looked = s.looked
	callers, err := s.callers(ctx)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.well(ctx, time.Minute); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	ctx, s.stop = context.WithCancel(ctx)
	for _, c := range callers {
		s.running.Go(func() { c.live(ctx) })
	}
	s.running.Go(func() { s.growth.watch(ctx, s.world, &s.notes, s.Callers) })
	s.running.Go(func() { s.forget(ctx) })
	s.running.Go(func() { s.busy.watch(ctx) })
	return s, nil
}

// Run runs a whole soak: faults at even distances, chosen by the seed so that each has had its turn
// before one comes again. In the first half are those that end a process, in the second the others:
// whether a process grows is seen in one that lives for long.
func Run(ctx context.Context, o Options) (*Report, error) {
	s, err := Start(ctx, o)
	if err != nil {
		return nil, err
	}
	faults, not, err := s.Faults()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	for _, why := range not {
		s.say("left out: %s", why)
	}
	if len(faults) == 0 {
		return nil, errors.Join(errors.New("none of the faults that are wanted can be brought about here"), s.Close())
	}
	begin := time.Now()
	end := begin.Add(o.Length)
	var turn []Fault
	first := true
	for next := time.Now().Add(o.Every); next.Before(end) && ctx.Err() == nil; next = next.Add(o.Every) {
		pause(ctx, time.Until(next))
		if time.Now().After(end) {
			break
		}
		if half := time.Since(begin) < o.Length/2; half != first {
			first, turn = half, nil
		}
		if len(turn) == 0 {
			turn = s.turn(faults, first)
		}
		if _, err := s.Strike(ctx, turn[0]); err != nil && ctx.Err() == nil {
			s.notes.find("%s: %v", turn[0].Name(), err)
		}
		turn = turn[1:]
	}
	pause(ctx, time.Until(end))
	report, err := s.Finish(context.WithoutCancel(ctx))
	return report, errors.Join(err, s.Close())
}

// turn are the faults of a half of the run, in an order of chance; all of them where they are of
// one kind.
func (s *Soak) turn(faults []Fault, ends bool) []Fault {
	var turn []Fault
	for _, i := range s.random.Perm(len(faults)) {
		if faults[i].ends == ends {
			turn = append(turn, faults[i])
		}
	}
	if len(turn) == 0 {
		return s.turn(faults, !ends)
	}
	return turn
}

// Struck is a fault that was, and what came of it.
type Struck struct {
	Fault      Fault
	From, Till time.Time     // it lasted
	Took       time.Duration // from its end until a query passed
	Before     time.Duration // that a query took before it: how slow all is without a fault
}

// Strike lets a fault strike, ends it, and waits until a query passes.
func (s *Soak) Strike(ctx context.Context, f Fault) (struck Struck, err error) {
	before := time.Now()
	if err := s.well(ctx, time.Minute); err != nil {
		s.notes.find("before %s: %v", f.Name(), err)
	}
	struck = Struck{Fault: f, From: time.Now(), Before: time.Since(before)}
	heal, err := f.strike(ctx, s.world)
	if err == nil {
		pause(ctx, f.Lasts)
	}
	if heal != nil {
		err = errors.Join(err, heal())
	}
	struck.Till = time.Now()
	if err == nil {
		err = s.well(ctx, time.Minute)
	}
	struck.Took = time.Since(struck.Till)
	s.struck = append(s.struck, struck)
	s.say("%s for %s, well %s later, before it %s%s", f.Name(), struck.Till.Sub(struck.From).Round(100*time.Millisecond),
		struck.Took.Round(10*time.Millisecond), struck.Before.Round(10*time.Millisecond), failed(err))
	if err == nil && !s.Untimed && struck.Took > f.Well+struck.Before {
		s.notes.find("%s: well only %s after its end; %s is stated, and a query took %s before it", f.Name(),
			struck.Took.Round(time.Millisecond), f.Well, struck.Before.Round(time.Millisecond))
	}
	return struck, err
}

func failed(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// Finish lets the callers end, stops everything, and looks at what is left.
func (s *Soak) Finish(ctx context.Context) (*Report, error) {
	s.stop()
	s.running.Wait()
	s.say("the load has ended; reading what was written")
	r := s.report()
	s.world.end()
	if err := s.readJournal(); err != nil {
		return r, err
	}
	if err := s.search(); err != nil {
		return r, err
	}
	s.conclude(r)
	return r, ctx.Err()
}

// Close stops what still runs, and removes what was written.
func (s *Soak) Close() error {
	if s.stop != nil {
		s.stop()
		s.running.Wait()
	}
	var err error
	if s.world != nil {
		err = s.close()
	}
	if s.remove {
		err = errors.Join(err, os.RemoveAll(s.Dir))
	}
	return err
}

func (s *Soak) say(format string, args ...any) {
	if s.Out != nil {
		fmt.Fprintf(s.Out, time.Now().Format("15:04:05 ")+format+"\n", args...)
	}
}

// forget empties the stand-in's recorder now and then: it keeps each request whole.
func (s *Soak) forget(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, 10*time.Second)
		s.Forget(ctx)
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
