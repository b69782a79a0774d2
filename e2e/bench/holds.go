package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bqgate/bqgate/e2e/system"
	"golang.org/x/sync/errgroup"
)

// holdCycles is how often queries are held and withdrawn again. Between, before and after, none is
// on hold.
const holdCycles = 6

// holds is what queries that wait for a person cost those that do not. Each waits as a client does:
// with a poll that is held for up to ten seconds. The speed of a shared machine drifts by more
// within minutes than is to be seen here, so short windows take turns on one system, none on hold,
// all on hold, none, …, and each window with queries on hold is compared with its two neighbours.
func holds(ctx context.Context, b *bench) error {
	if err := b.up(ctx); err != nil {
		return err
	}
	p, err := b.pair(ctx, shortQuery)
	if err != nil {
		return err
	}
	agents := make([]string, b.options.holds)
	for i := range agents {
		if agents[i], err = b.Mint(ctx, fmt.Sprintf("agent-%d@bench.example", i)); err != nil {
			return err
		}
	}
	free, err := b.window(ctx, p)
	if err != nil {
		return err
	}
	before, err := system.Resident(b.Info.PIDs["bqgate"])
	if err != nil {
		return err
	}
	none, held := []window{free}, []window(nil)
	var growth, polls int64
	for range holdCycles {
		c, err := b.crowd(ctx, agents)
		if err != nil {
			return err
		}
		most, answered := watch(b.Info.PIDs["bqgate"]), c.answered.Load()
		w, err := b.window(ctx, p)
		growth, polls = max(growth, most()-before), polls+c.answered.Load()-answered
		if err := errors.Join(err, c.leave(ctx)); err != nil {
			return err
		}
		held = append(held, w)
		if w, err = b.window(ctx, p); err != nil {
			return err
		}
		none = append(none, w)
	}
	b.table.add(row{fmt.Sprintf("memory growth with %d queries on hold", b.options.holds), mebibytes(growth),
		"at rest " + mebibytes(before), "", "≤ 100.0 MiB", growth <= 100<<20})
	with, without := together(held), together(none)
	ratios := besides(held, none, func(w window) []time.Duration { return w.bqgate })
	ratio := middle(ratios)
	b.table.add(row{"other queries meanwhile, p50, beside none on hold", ms(median(with.bqgate)), ms(median(without.bqgate)),
		fmt.Sprintf("%.2f×", ratio), "≤ 1.05×", ratio <= 1.05})
	b.table.note(fmt.Sprintf("lowest and highest of %d windows", holdCycles),
		fmt.Sprintf("%.2f× to %.2f×", slices.Min(ratios), slices.Max(ratios)), "")
	// What the clients that poll and their Envoy take from the machine, they take from the echo as
	// well.
	b.table.add(row{what: "  queries through the echo meanwhile", measured: ms(median(with.echo)), baseline: ms(median(without.echo)),
		ratio: fmt.Sprintf("%.2f×", middle(besides(held, none, func(w window) []time.Duration { return w.echo })))})
	b.table.note("polls answered meanwhile", fmt.Sprintf("%.0f/s", float64(polls)/with.length.Seconds()), "")
	for _, name := range []string{"bqgate", "envoy"} {
		b.table.note("CPU of "+name+", of one core", percent(with.cpu[name], with.length), percent(without.cpu[name], without.length))
	}
	return nil
}

// window is what was measured without a break: queries on both ways, and the CPU time that
// processes took meanwhile.
type window struct {
	bqgate, echo []time.Duration
	cpu          map[string]time.Duration
	length       time.Duration
}

func (b *bench) window(ctx context.Context, p *pair) (window, error) {
	w, begin := window{cpu: map[string]time.Duration{}}, time.Now()
	for _, name := range []string{"bqgate", "envoy"} {
		took, err := system.CPUTime(b.Info.PIDs[name])
		if err != nil {
			return window{}, err
		}
		w.cpu[name] = -took
	}
	var err error
	if w.bqgate, w.echo, err = p.turns(ctx, max(b.requests/4, 10)); err != nil {
		return window{}, err
	}
	for name := range w.cpu {
		took, err := system.CPUTime(b.Info.PIDs[name])
		if err != nil {
			return window{}, err
		}
		w.cpu[name] += took
	}
	w.length = time.Since(begin)
	return w, nil
}

// together is all windows as one.
func together(windows []window) window {
	all := window{cpu: map[string]time.Duration{}}
	for _, w := range windows {
		all.bqgate, all.echo, all.length = append(all.bqgate, w.bqgate...), append(all.echo, w.echo...), all.length+w.length
		for name, took := range w.cpu {
			all.cpu[name] += took
		}
	}
	return all
}

// besides is the median of each window with queries on hold, beside the mean of the medians right
// before and after it: none has one window more than held.
func besides(held, none []window, of func(window) []time.Duration) []float64 {
	out := make([]float64, len(held))
	for i := range held {
		out[i] = float64(median(of(held[i]))) / (float64(median(of(none[i]))+median(of(none[i+1]))) / 2)
	}
	return out
}

// middle is the median of a few figures: of an even number the mean of the two in the middle.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// crowd is clients whose queries wait for a person, and who poll.
type crowd struct {
	system   *system.System
	answered atomic.Int64 // polls
	broken   atomic.Pointer[error]
	stop     context.CancelFunc
	pollers  sync.WaitGroup
	mu       sync.Mutex
	waiting  []heldJob
}

type heldJob struct{ bearer, job, location string }

// crowd holds one query of each agent. Their first polls end one after the other within ten
// seconds, as those of clients do that came at different times.
func (b *bench) crowd(ctx context.Context, agents []string) (*crowd, error) {
	waiting, stop := context.WithCancel(ctx)
	c := &crowd{system: b.System, stop: stop}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, bearer := range agents {
		g.Go(func() error {
			h, err := b.hold(gctx, bearer)
			if err != nil {
				return err
			}
			c.mu.Lock()
			c.waiting = append(c.waiting, h)
			c.mu.Unlock()
			c.pollers.Go(func() { c.poll(waiting, h, longPoll*time.Duration(i+1)/time.Duration(len(agents))) })
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		stop()
		c.pollers.Wait()
		return nil, err
	}
	return c, nil
}

const longPoll = 10 * time.Second

// poll asks for the result until ctx ends. Any other answer than that it still waits is an error.
func (c *crowd) poll(ctx context.Context, h heldJob, first time.Duration) {
	for wait := first; ; wait = longPoll {
		var text bytes.Buffer
		_, err := c.system.Send(ctx, http.MethodGet,
			fmt.Sprintf("%s/bigquery/v2/projects/%s/queries/%s?location=%s&timeoutMs=%d&prettyPrint=false", c.system.Info.REST,
				c.system.Info.Project, h.job, h.location,
				wait.Milliseconds()), h.bearer, nil, &text)
		if ctx.Err() != nil {
			return
		}
		if err == nil && !bytes.Contains(text.Bytes(), []byte(`"jobComplete":false`)) {
			err = fmt.Errorf("it does not wait any more: %s", text.Bytes())
		}
		if err != nil {
			c.broken.Store(&err)
			return
		}
		c.answered.Add(1)
	}
}

// leave ends all polls and withdraws the queries. It returns what went wrong with a poll.
func (c *crowd) leave(ctx context.Context) error {
	c.stop()
	c.pollers.Wait()
	if err := c.broken.Load(); err != nil {
		return fmt.Errorf("a poll of a held query: %w", *err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, h := range c.waiting {
		g.Go(func() error {
			_, err := c.system.Send(gctx, http.MethodPost,
				fmt.Sprintf("%s/bigquery/v2/projects/%s/jobs/%s/cancel?location=%s&prettyPrint=false", c.system.Info.REST,
					c.system.Info.Project, h.job, h.location),
				h.bearer, nil, nil)
			return err
		})
	}
	return g.Wait()
}

func percent(part, whole time.Duration) string {
	return fmt.Sprintf("%.0f %%", 100*part.Seconds()/whole.Seconds())
}

// hold asks for payroll, which waits for a person.
func (b *bench) hold(ctx context.Context, bearer string) (heldJob, error) {
	var text bytes.Buffer
	if _, err := b.Ask(ctx, bearer, "SELECT employee FROM finance.payroll", &text); err != nil {
		return heldJob{}, err
	}
	var out struct {
		JobComplete  bool `json:"jobComplete"`
		JobReference struct {
			JobID    string `json:"jobId"`
			Location string `json:"location"`
		} `json:"jobReference"`
	}
	if err := json.Unmarshal(text.Bytes(), &out); err != nil {
		return heldJob{}, err
	}
	if out.JobComplete || out.JobReference.JobID == "" {
		return heldJob{}, fmt.Errorf("a query of payroll was not held: %s", text.Bytes())
	}
	return heldJob{bearer, out.JobReference.JobID, out.JobReference.Location}, nil
}
