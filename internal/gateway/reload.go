package gateway

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/metrics"
)

// hangups are the SIGHUPs of this process from here on: the first comes after all that it changes
// is there, and must not end the process before.
func hangups() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// reloads loads the configuration again at each SIGHUP.
func (g *gateway) reloads(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.hangups:
			select {
			case g.keysNow <- struct{}{}:
			default:
			}
			g.reloadLogged(ctx)
		}
	}
}

func (g *gateway) reloadLogged(ctx context.Context) {
	before := g.policySet().Digest()
	if err := g.reload(); err != nil {
		now := time.Now().UTC()
		g.refused.Store(&now)
		g.reloaded.Inc("refused")
		g.log.Error("the configuration was not loaded again; what was in force stays", "policy_digest", before, "error", err)
		return
	}
	g.refused.Store(nil)
	g.reloaded.Inc("done")
	g.log.Info("the configuration was loaded again", "policy_digest", g.policySet().Digest(), "before", before)
	if g.proc != nil {
		g.proc.DecideAgain() // answers on their way are decided by the new policy
		go func() {
			_ = contained(ctx, func(ctx context.Context) error { // it only tells the log
				logAbsentTables(ctx, g.policySet(), g.upstream, g.log)
				return nil
			})
		}()
	}
}

// reload takes over policies, budgets, limits, notifications and prices: all of them, or nothing
// where anything is wrong or anything else has changed.
func (g *gateway) reload() error { return g.reloadAs("") }

// reloadAs is reload where the policy has this digest, and nothing where it has another; "" is any.
func (g *gateway) reloadAs(digest string) error {
	next, err := config.Load(g.config.Path)
	if err != nil {
		return err
	}
	if err := g.config.Reloadable(next); err != nil {
		return fmt.Errorf("%s: %w", g.config.Path, err)
	}
	now, err := readInForce(next)
	if err != nil {
		return err
	}
	if found := now.policies.Digest(); digest != "" && found != digest {
		return fmt.Errorf("the policy files here have the digest %s", found)
	}
	g.current.Store(now)
	if g.limits != nil { // the console has none
		g.limits.Set(next.Limits)
	}
	return nil
}

// countReloads makes the metric of reloads.
func countReloads(r *metrics.Registry) *metrics.Counter {
	return r.Counter("config_reloads_total", "Times that the configuration was loaded again by SIGHUP, by whether it was taken over.",
		metrics.Label{Name: "result", Values: []string{"done", "refused"}})
}
