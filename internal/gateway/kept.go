package gateway

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/internal/health"
)

const (
	keepPause   = 2 * time.Second  // how long what has failed is left alone before it is begun again
	mendedAfter = 20 * time.Second // how long it must run to be called well
)

// keep runs what decides about no request: what follows the journals, tells reviewers, shows and
// watches. Its error, or its panic, is logged and makes the part of this name faulty; it is begun
// again after a pause, and ends with ctx or when it returns nil.
func (g *gateway) keep(ctx context.Context, group *errgroup.Group, name string, run func(context.Context) error) {
	var part *health.Part // of what has failed once
	group.Go(func() error {
		for {
			mended := time.AfterFunc(mendedAfter, part.Well)
			err := contained(ctx, run)
			mended.Stop()
			if ctx.Err() != nil || err == nil {
				part.Well()
				return nil
			}
			g.log.Error("a part of the gateway that decides about no request has failed; it is begun again", "part", name, "error", err)
			part = g.parts.Part("kept/"+name, health.Some)
			part.Fault("it has failed and is begun again; the log says more")
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(keepPause):
			}
		}
	})
}

// contained makes an error of a panic: in a goroutine of its own it would end the process.
func contained(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run(ctx)
}
