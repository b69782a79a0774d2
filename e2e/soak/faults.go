package soak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
)

// Fault is a cell of the table in docs/invariants.md.
type Fault struct {
	Part  string        // the row: "Envoy"
	Kind  string        // the column: "killed", "frozen", "slow", "cut off", "full", "garbage"; or what else there is
	Lasts time.Duration // from the strike to its end
	Well  time.Duration // so long after its end all must be well again
	// strike brings it about. heal, where it is not nil, ends it, also after an error.
	strike func(ctx context.Context, w *world) (heal func() error, err error)
	disk   bool // it needs the journal's own disk
	ends   bool // a process of the product, or Redis, is another one after it
}

// Name names the cell: "Envoy/killed".
func (f Fault) Name() string { return f.Part + "/" + f.Kind }

// Times of faults. A process that was killed is started again by the demo after a second, as a
// service manager would; then it reads its configuration, policies and journal.
const (
	brief  = time.Second
	felt   = 4 * time.Second // longer than the two seconds in which Envoy misses the answer to a ping
	soon   = 5 * time.Second
	awhile = 10 * time.Second
)

// faults are all of them. Where STS, IAM or the issuer are broken, the gateway is started again
// beneath that, since it would do without them for as long as it knows their last answers.
var faults = slices.Concat(
	processFaults("Envoy", "envoy"),
	processFaults("serve", "bqgate"),
	processFaults("console", "console"),
	processFaults("SQL worker", "sql worker"),
	[]Fault{
		{Part: "Envoy", Kind: "cut off", Well: soon, strike: func(_ context.Context, w *world) (func() error, error) {
			w.conns.reset() // by the callers' side
			return nil, nil
		}},
		{Part: "Redis", Kind: "killed", Lasts: felt, Well: awhile, ends: true,
			strike: func(_ context.Context, w *world) (func() error, error) {
				w.redis.kill()
				return w.redis.begin, nil
			}},
		{Part: "Redis", Kind: "frozen", Lasts: felt, Well: awhile, strike: frozen("redis")},
		{Part: "Redis", Kind: "full", Lasts: felt, Well: awhile, strike: func(ctx context.Context, w *world) (func() error, error) {
			heal := func() error { return w.redis.full(context.WithoutCancel(ctx), "0") }
			return heal, w.redis.full(ctx, "1")
		}},
		{Part: "Redis", Kind: "flushed", Lasts: felt, Well: awhile, strike: func(ctx context.Context, w *world) (func() error, error) {
			return w.reopen, w.redis.flush(ctx)
		}},
		linkFault("slow", outage.Slow), linkFault("cut off", outage.CutOff), linkFault("unreachable", outage.Frozen),
		linkFault("garbage", outage.Garbage),
		{Part: "disk", Kind: "full", Lasts: felt, Well: awhile, disk: true, ends: true,
			strike: func(_ context.Context, w *world) (func() error, error) { return w.roomy, w.fill() }},
	},
	serviceFaults("STS", "sts", true),
	serviceFaults("IAM", "iam", true),
	serviceFaults("issuer", "issuer", true),
	serviceFaults("BigQuery", "bigquery", false),
)

// processFaults are those of a process.
func processFaults(part, process string) []Fault {
	return []Fault{
		{Part: part, Kind: "killed", Well: awhile, ends: true, strike: func(_ context.Context, w *world) (func() error, error) {
			return nil, w.signal(process, syscall.SIGKILL)
		}},
		{Part: part, Kind: "frozen", Lasts: felt, Well: awhile, strike: frozen(process)},
		{Part: part, Kind: "slow", Lasts: felt, Well: awhile, strike: slow(process)},
	}
}

// frozen stops a process, and the same one goes on later.
func frozen(part string) func(context.Context, *world) (func() error, error) {
	return func(_ context.Context, w *world) (func() error, error) {
		pids := w.processes()[part]
		return func() error { return send(part, pids, syscall.SIGCONT) }, send(part, pids, syscall.SIGSTOP)
	}
}

// slow lets a process run for a tenth of the time.
func slow(part string) func(context.Context, *world) (func() error, error) {
	return func(_ context.Context, w *world) (func() error, error) {
		pids := w.processes()[part]
		if len(pids) == 0 {
			return nil, fmt.Errorf("no process of %s runs", part)
		}
		end, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			var err error
			for {
				err = errors.Join(err, send(part, pids, syscall.SIGSTOP))
				select {
				case <-end:
					ended <- errors.Join(err, send(part, pids, syscall.SIGCONT))
					return
				case <-time.After(90 * time.Millisecond):
				}
				err = errors.Join(err, send(part, pids, syscall.SIGCONT))
				time.Sleep(10 * time.Millisecond)
			}
		}()
		return func() error {
			close(end)
			return <-ended
		}, nil
	}
}

// linkFault is one of the link to Redis.
func linkFault(kind string, m outage.Mode) Fault {
	return Fault{Part: "Redis", Kind: kind, Lasts: felt, Well: awhile, strike: func(_ context.Context, w *world) (func() error, error) {
		return func() error { return w.redis.link.Set(outage.Well) }, w.redis.link.Set(m)
	}}
}

// serviceFaults are those of a service that is asked over HTTP. anew starts the gateway again
// beneath them.
func serviceFaults(part, service string, anew bool) []Fault {
	var all []Fault
	for kind, mode := range map[string]outage.Mode{
		"killed": outage.Down, "frozen": outage.Frozen, "slow": outage.Slow, "cut off": outage.CutOff, "full": outage.Full,
		"garbage": outage.Garbage, "nonsense": outage.Nonsense,
	} {
		strike := func(_ context.Context, w *world) (func() error, error) {
			err := w.broken(service, mode)
			if err == nil && anew {
				err = w.signal("bqgate", syscall.SIGKILL)
			}
			return func() error { return w.broken(service, outage.Well) }, err
		}
		all = append(all, Fault{Part: part, Kind: kind, Lasts: felt, Well: awhile, ends: anew, strike: strike})
	}
	slices.SortFunc(all, func(a, b Fault) int { return strings.Compare(a.Kind, b.Kind) })
	return all
}

// FaultNames are the names of all faults.
func FaultNames() []string {
	var names []string
	for _, f := range faults {
		names = append(names, f.Name())
	}
	return names
}

// Faults are those that are wanted and possible here; not says which are not possible, and why.
func (s *Soak) Faults() (all []Fault, not []string, err error) {
	for _, name := range s.Only {
		if !slices.Contains(FaultNames(), name) {
			return nil, nil, fmt.Errorf("no fault %q: want some of %s", name, strings.Join(FaultNames(), ", "))
		}
	}
	separate := len(s.processes()["console"]) > 0
	for _, f := range faults {
		switch {
		case len(s.Only) > 0 && !slices.Contains(s.Only, f.Name()):
		case f.disk && s.disk == "":
			not = append(not, f.Name()+": "+s.noDisk)
		case f.Part == "console" && !separate:
			not = append(not, f.Name()+": it is a part of serve here")
		default:
			if s.Untimed && f.Lasts > 0 {
				f.Lasts = brief
			}
			all = append(all, f)
		}
	}
	return all, not, nil
}
