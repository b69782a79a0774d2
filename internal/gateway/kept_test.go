package gateway

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/internal/config"
)

// What decides about no request may fail, or panic: the group goes on, the part is named, and it is
// begun again. (A40)
func TestKept(t *testing.T) {
	for name, fail := range map[string]func() error{
		"an error": func() error { return errors.New("too many open files") },
		"a panic":  func() error { panic("nil map") },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(&config.Config{}, quiet) // it listens for signals, which no bubble holds
			defer g.close()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				group, grouped := errgroup.WithContext(ctx)
				var begun atomic.Int32
				g.keep(grouped, group, "follower", func(ctx context.Context) error {
					if begun.Add(1) < 3 {
						return fail()
					}
					<-ctx.Done()
					return ctx.Err()
				})
				time.Sleep(keepPause / 2)
				if faults := g.parts.Report().Faults(); len(faults) != 1 || faults[0].Name != "kept/follower" || !g.parts.Report().Ready {
					t.Errorf("faults: %+v, want kept/follower alone, and ready", faults)
				}
				time.Sleep(2 * keepPause)
				if grouped.Err() != nil || begun.Load() != 3 {
					t.Errorf("the group has ended (%v), or it was begun %d times, want 3", grouped.Err(), begun.Load())
				}
				time.Sleep(mendedAfter + time.Second)
				if faults := g.parts.Report().Faults(); len(faults) != 0 {
					t.Errorf("it runs, and is still faulty: %+v", faults)
				}
				cancel()
				if err := group.Wait(); err != nil {
					t.Errorf("the group ends with %v", err)
				}
			})
		})
	}
}

func TestDescriptorsFit(t *testing.T) {
	within := &config.Config{Console: config.Console{Process: config.ProcessServe, MaxConnections: 1000}}
	apart := &config.Config{Console: config.Console{Process: config.ProcessSeparate, MaxConnections: 1000}}
	for name, c := range map[string]struct {
		limit  uint64
		needed int
		fits   bool
	}{
		"a console within, and few": {1024, serveDescriptors(within), false},
		"a console within":          {2048, serveDescriptors(within), true},
		"a console apart, and few":  {1024, serveDescriptors(apart), true},
		"the console itself":        {1024, consoleDescriptors(apart), false},
		"nearly none":               {256, serveDescriptors(apart), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := fits(c.limit, c.needed); (err == nil) != c.fits {
				t.Errorf("%d of %d: %v, want fits %v", c.needed, c.limit, err, c.fits)
			}
		})
	}
}
