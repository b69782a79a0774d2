// Package gateway wires the parts of `bqgate serve` together: every part a value, one group of
// goroutines, nothing global.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/extauthz"
	"github.com/bqgate/bqgate/extproc"
	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/console"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/health"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/notify"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/unauthenticated"
	"github.com/bqgate/bqgate/policies"
)

// Run builds the gateway, then serves until ctx ends or a part fails. It returns nil after an
// orderly stop.
//
// It listens first: a second gateway of the same configuration ends there, and has touched nothing
// of the first.
func Run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	listeners, err := openListeners(c, log)
	if err != nil {
		return err
	}
	defer listeners.close()
	ctx, cancel := context.WithCancel(ctx)
	g := &gateway{config: c, log: log, parts: health.New(log)}
	defer g.close()
	defer cancel() // what follows others ends before what it follows is closed
	if err := g.build(ctx); err != nil {
		return err
	}
	return g.serve(ctx, listeners)
}

// gateway is everything that serves. build fills it.
type gateway struct {
	config *config.Config
	log    *slog.Logger
	opened []func() // what close ends, in the order in which it was opened
	parts  *health.Registry

	keys      *sealed.Keyring
	redis     redis.UniversalClient
	auditKey  *audit.Key
	journal   *audit.Journal
	who       identityServices
	broker    *credentials.Broker
	limits    *limits.Owners
	upstream  *bigquery.Client
	policies  *policies.Set
	notify    *notify.Targets
	approvals *approvals.Store
	budgets   *budgets.Store
	follower  *journalFollower
	strangers *unauthenticated.Counter

	authz   *extauthz.Service
	proc    *extproc.Service
	console http.Handler
}

func (g *gateway) onClose(end func()) { g.opened = append(g.opened, end) }

// close ends what was opened, the last first.
func (g *gateway) close() {
	for _, end := range slices.Backward(g.opened) {
		end()
	}
}

// build makes every part, and knows what the journals say when it returns. Nothing is served yet.
func (g *gateway) build(ctx context.Context) error {
	for _, step := range []func(context.Context) error{g.openStores, g.readConfiguration, g.buildApprovals, g.buildServices} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openStores opens where the gateway keeps and finds things: its keys, Redis and the audit journal.
func (g *gateway) openStores(ctx context.Context) (err error) {
	c := g.config
	if g.keys, err = sealed.Load(c.SealingKeyFile); err != nil {
		return err
	}
	if g.redis, err = connect(ctx, c.Redis); err != nil {
		return err
	}
	g.onClose(func() { g.redis.Close() })
	if g.auditKey, err = audit.LoadKey(c.Audit.KeyFile); err != nil {
		return err
	}
	if err := g.openJournal(ctx); err != nil {
		return err
	}
	g.strangers = unauthenticated.New(g.journal, g.log)
	g.onClose(g.strangers.Close)
	return nil
}

// readConfiguration makes what the configuration describes: who is known, with which credentials
// BigQuery is asked, by which policies, and who is told.
func (g *gateway) readConfiguration(ctx context.Context) (err error) {
	c := g.config
	g.limits = limits.New(c.Limits)
	if g.who, err = newIdentityServices(c.Identity, g.redis, g.keys, g.limits, g.log); err != nil {
		return err
	}
	g.onClose(g.who.verifier.Close)
	if g.broker, err = credentials.New(ctx, c.Credentials); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	g.onClose(func() { g.broker.Close() })
	if g.upstream, err = dialUpstream(c.Upstream, g.broker); err != nil {
		return err
	}
	if g.policies, err = loadPolicies(c); err != nil {
		return err
	}
	g.notify, err = notify.Load(c.Notifications)
	return err
}

// buildApprovals makes the approvals, and learns what the journals say of them and of sessions.
func (g *gateway) buildApprovals(ctx context.Context) (err error) {
	c := g.config
	g.approvals, err = approvals.New(approvals.Options{
		Redis: g.redis, Keys: g.keys, Journal: approvalJournal{g.journal}, ConsoleURL: c.Console.URL, Log: g.log,
		Notify: g.notify.Of, Told: told(g.who.sessions),
		MaxWaiting: c.Approvals.MaxWaiting, MaxPerOwner: c.Approvals.MaxPerClient, MaxOwnerRequests: c.Approvals.MaxPerClientHour,
		MaxOwnerBytes: c.Approvals.MaxBytesPerClient, MaxTotalBytes: c.Approvals.MaxBytes, MaxRequestBytes: c.Approvals.MaxRequestBytes,
	})
	if err != nil {
		return err
	}
	g.onClose(g.approvals.Close)
	if err := approvals.CheckRedis(ctx, g.redis, !c.Redis.Embedded); err != nil {
		return err
	}
	g.who.sessions.Journal = &sessionJournal{journal: g.journal, holds: g.approvals, log: g.log}
	g.who.sessions.Access = g.policies.AccessUntil
	g.budgets, err = budgets.New(budgets.Options{
		Redis: g.redis, Keys: g.keys, Journal: g.journal, Upstream: g.upstream, Log: g.log, Alone: c.Redis.Embedded,
		Active: func() bool { return g.policies.HasBudgets() },
	})
	if err != nil {
		return err
	}
	g.follower, err = followJournals(ctx, c, g.auditKey, g.approvals, g.who.sessions, g.budgets, g.log)
	if err != nil {
		return err
	}
	g.follower.report(g.parts.Part("journal-folder", health.Some))
	return nil
}

// buildServices makes what Envoy and reviewers talk to.
func (g *gateway) buildServices(ctx context.Context) error {
	c := g.config
	catalog, err := bigquery.NewCatalog(g.upstream, bigquery.MaxCatalogTTL)
	if err != nil {
		return err
	}
	pool, err := startWorkers(ctx, c.SQL)
	if err != nil {
		return err
	}
	g.onClose(func() { pool.Close() })
	g.log.Info("SQL workers are ready", "confined", pool.Confined())
	records := jobs.NewStore(g.redis, g.keys)
	catalogFor := func(ask durable.Ask) googlesql.Catalog { return catalog.For(ask) }
	analyzer := googlesql.New(pool, googlesql.Limits{})
	records.Checks = jobChecks(c.Checks.ReferencedTables, catalogFor, analyzer)
	activity := &console.Activity{}
	current := func() *policies.Set { return g.policies }

	g.authz, err = extauthz.New(extauthz.Parts{
		Identity: g.who.authenticator, Analyzer: analyzer, Catalog: catalogFor, Policies: current,
		Approvals: g.approvals, Jobs: records, Credentials: g.broker, Upstream: g.upstream, Metadata: g.upstream,
		Journal: console.Seen{Journal: g.journal, Activity: activity}, Keys: g.keys, Log: g.log, Sessions: g.who.sessions,
		Limits: g.limits, Budgets: g.budgets, Strangers: g.strangers,
		Location: c.Upstream.Location, LongPoll: c.Approvals.LongPoll,
		Prices: extauthz.Prices{Default: c.Approvals.PricePerTiB, ByLocation: c.Approvals.PriceByLocation},
	})
	if err != nil {
		return err
	}
	g.proc, err = extproc.New(extproc.Parts{
		Keys: g.keys, Journal: g.journal, Jobs: records, Upstream: g.upstream, Log: g.log, Budgets: g.budgets,
		Cancel: g.cancelJob, Changed: g.changedSince(catalog), Again: g.authz.Again, Limits: g.limits,
		Reading: extproc.Reading(c.Reading),
	})
	if err != nil {
		return err
	}
	g.onClose(func() { g.proc.Wait(cancelledWithin) })
	g.who.sessions.Revoked = g.proc.DecideAgain
	login, err := loginOf(c, g.who.verifier)
	if err != nil {
		return err
	}
	g.console, err = console.New(ctx, console.Options{
		Approvals: g.approvals, Verifier: g.who.verifier, Groups: g.policies.Groups, Known: g.policies.Known,
		Audience: c.Identity.WithDefaults().ConsoleAudience, Log: g.log, Login: login, Policies: current, Redis: g.redis, Keys: g.keys,
		Bans: g.who.sessions, Activity: activity,
		Budgets: func(ctx context.Context) ([]budgets.Line, error) {
			return budgets.Read(ctx, g.redis, g.keys, g.policies.Budgets(), time.Now())
		},
	})
	return err
}

// cancelJob cancels a job with the identity that it runs as.
func (g *gateway) cancelJob(ctx context.Context, w durable.Stop, r jobs.Record) error {
	token, err := g.broker.Mint(ctx, w, r.Credential, r.Owner)
	if err != nil {
		return err
	}
	_, err = g.upstream.CancelJob(ctx, w, token.Bearer(), r.Job)
	return err
}

// changedSince asks BigQuery itself which tables, views and functions of a decision have changed
// since.
func (g *gateway) changedSince(catalog *bigquery.Catalog) func(context.Context, durable.Facts, map[string]string) ([]string, error) {
	return func(ctx context.Context, w durable.Facts, digests map[string]string) ([]string, error) {
		changed, err := googlesql.Changed(ctx, bigquery.Uncached{Source: g.upstream, Witness: w}, digests)
		if len(changed) > 0 {
			catalog.Forget() // the client is told to ask again, and that must be decided by what is there now
		}
		return changed, err
	}
}

// serve runs every part until ctx ends or one fails.
func (g *gateway) serve(ctx context.Context, listeners *listeners) error {
	c := g.config
	group, ctx := errgroup.WithContext(ctx)
	if os.Getenv("GOGC") == "" {
		group.Go(func() error { paceCollector(ctx); return nil })
	}
	group.Go(func() error { return g.endWithJournal(ctx) })
	group.Go(func() error { return g.follower.follow(ctx) })
	group.Go(func() error { return g.budgets.Run(ctx) })
	group.Go(func() error { g.strangers.Run(ctx); return nil })
	group.Go(func() error { closeUnfinished(ctx, c.Audit.Dir, g.auditKey, g.journal, g.log); return nil })
	group.Go(func() error { g.authz.Summarize(ctx); return nil })
	group.Go(func() error { return notify.New(g.notify, g.approvals, g.log).Run(ctx) })
	if err := listeners.serve(ctx, group, g.authz, g.proc, g.who.tokens, g.console); err != nil {
		group.Go(func() error { return err }) // it ends the others
		return group.Wait()
	}
	g.log.Info("serving", "sockets", c.Sockets.Dir, "console", c.Console.Address, "policies", len(c.Policies), "policy_digest",
		g.policies.Digest())
	group.Go(func() error { logAbsentTables(ctx, g.policies, g.upstream, g.log); return nil })
	return group.Wait()
}

func connect(ctx context.Context, c config.Redis) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	if c.PasswordFile != "" {
		secret, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("redis.password_file: %w", err)
		}
		o.Password = strings.TrimSpace(string(secret))
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = 2*time.Second, 2*time.Second, 2*time.Second
	o.ContextTimeoutEnabled = true
	client := redis.NewClient(o)
	ping, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		if err = client.Ping(ping).Err(); err == nil {
			return client, nil
		}
		select {
		case <-ping.Done():
			client.Close()
			return nil, fmt.Errorf("redis at %s does not answer: %w", o.Addr, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// loadPolicies loads the policies with everything that they may name.
func loadPolicies(c *config.Config) (*policies.Set, error) {
	return policies.Load(c.Policies, policies.Options{Issuers: issuerNames(c.Identity), Credentials: c.Credentials.Runs(),
		Projects: c.Credentials.Projects(), Budgets: c.Budgets, File: "bqgate.yaml"})
}

func startWorkers(ctx context.Context, c config.SQL) (*googlesql.Pool, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	workers := c.Workers
	if workers == 0 {
		workers = runtime.NumCPU()
	}
	return googlesql.NewPool(ctx, googlesql.PoolOptions{Command: []string{self, "sql-worker"}, Workers: workers, Deadline: c.Deadline})
}
