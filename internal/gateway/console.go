package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/connections"
	"github.com/bqgate/bqgate/internal/console"
	"github.com/bqgate/bqgate/internal/operations"
)

// RunConsole serves the console as a process of its own, until ctx ends: whatever happens to its
// descriptors, memory or code harms no query (A40).
//
// It is to approvals what another replica is: it has a file of its own in the audit journal, reads
// the ledger before it changes a request, and each vote is claimed, durable and committed as
// everywhere (A12). So nothing new is believed by anybody. It has the keys that seal requests and
// records, and no credential of Google's, no SQL worker, and no socket that Envoy connects to.
func RunConsole(ctx context.Context, c *config.Config, log *slog.Logger) error {
	if c.Console.Process != config.ProcessSeparate {
		return fmt.Errorf("console.process is %q: `bqgate serve` runs the console; set it to %s", c.Console.Process, config.ProcessSeparate)
	}
	if err := enoughDescriptors(consoleDescriptors(c)); err != nil {
		return err
	}
	g := newGateway(c, log)
	defer g.close()
	listener, err := openConsole(c)
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what follows others ends before what it follows is closed
	activity := &console.Activity{}
	for _, step := range []func(context.Context) error{
		g.openStores,
		func(context.Context) error { return errors.Join(g.openIdentity(), g.readInForce()) },
		g.buildApprovals,
		func(ctx context.Context) error { return g.buildConsole(ctx, activity) },
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	g.follower.sees(activity.Saw)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.endWithJournal(ctx) })
	g.keep(ctx, group, "follower", g.follower.follow)
	g.keep(ctx, group, "issuers", func(ctx context.Context) error { g.who.verifier.Retry(ctx); return nil })
	g.keep(ctx, group, "reload", g.reloads)
	g.keep(ctx, group, "key-files", g.followKeys)
	g.keep(ctx, group, "policy", g.followPolicy)
	g.keepServing(ctx, group, "console", listener, g.console)
	log.Info("serving the console", "address", c.Console.Address, "policy_digest", g.policySet().Digest())
	return group.Wait()
}

func (g *gateway) buildConsole(ctx context.Context, activity *console.Activity) error {
	login, err := loginOf(g.config, g.who.verifier)
	if err != nil {
		return err
	}
	g.console, err = console.New(ctx, console.Options{
		Approvals: g.approvals, Verifier: g.who.verifier, Groups: g.groupsOf, Known: g.knownGroups,
		Audience: g.config.Identity.WithDefaults().ConsoleAudience, Log: g.log, Login: login, Policies: g.policySet, Redis: g.redis,
		Keys: g.keys, Bans: g.who.sessions, Activity: activity,
		Budgets: func(ctx context.Context) ([]budgets.Line, error) {
			return budgets.Read(ctx, g.redis, g.keys, g.policySet().Budgets(), time.Now())
		},
	})
	return err
}

// openConsole listens on the console's address.
func openConsole(c *config.Config) (*connections.Listener, error) {
	limits := connections.Limits{Total: c.Console.MaxConnections, PerAddress: c.Console.MaxPerAddress}
	l, err := connections.Open(limits, connections.TCP(c.Console.Address))
	if err != nil {
		return nil, fmt.Errorf("console.address: %w", err)
	}
	return l, nil
}

// policyEvery is how often the console asks which policy is in force.
const policyEvery = time.Second

// followPolicy loads the policy again when the gateway of the same host has, so that a reload of
// the gateway reaches its reviewers. What is on the disk and not in force there stays out of force
// here: a page says what the gateway does. Without a gateway to ask, SIGHUP does the same.
func (g *gateway) followPolicy(ctx context.Context) error {
	client := operations.Client(filepath.Join(g.config.Sockets.Dir, operationsSocket))
	tick := time.NewTicker(policyEvery)
	defer tick.Stop()
	tried := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s, err := operations.Ask(ctx, client, operations.LocalURL)
		if err != nil || s.Policy == "" || s.Policy == g.policySet().Digest() {
			tried = "" // an unreachable gateway is for others to report
			continue
		}
		if s.Policy == tried {
			continue
		}
		tried = s.Policy
		if err := g.reloadAs(s.Policy); err != nil {
			g.log.Error("the gateway decides by another policy than the console shows", "policy_digest", s.Policy, "error", err)
			continue
		}
		g.log.Info("the policy was loaded again, as the gateway has", "policy_digest", s.Policy)
	}
}
