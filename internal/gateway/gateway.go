// Package gateway wires the parts of `bqgate serve` together: every part a value, one group of
// goroutines, nothing global.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/envoy"
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
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/keyfile"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/metrics"
	"github.com/bqgate/bqgate/internal/notify"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/unauthenticated"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// Run builds the gateway, then serves until ctx ends or a part fails. It returns nil after an
// orderly stop.
//
// It listens first: a second gateway of the same configuration ends there, and has touched nothing
// of the first.
func Run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	if err := enoughDescriptors(serveDescriptors(c)); err != nil {
		return err
	}
	g := newGateway(c, log)
	listeners, err := openListeners(c, log)
	if err != nil {
		g.close()
		return err
	}
	defer listeners.close() // last: it frees the folder for the next gateway
	defer g.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what follows others ends before what it follows is closed
	group, ctx := errgroup.WithContext(ctx)
	g.parts.Part("sockets", health.Everybody).Fault("not served yet: the gateway is starting")
	err = listeners.serveOperations(ctx, group, g) // first: a start that waits says for what
	if err == nil {
		err = g.build(ctx)
	}
	if err != nil {
		cancel()
		return errors.Join(err, group.Wait())
	}
	g.measure(listeners)
	return g.serve(ctx, group, listeners)
}

// gateway is everything that serves. build fills it.
type gateway struct {
	config *config.Config
	log    *slog.Logger
	opened []func() // what close ends, in the order in which it was opened
	parts  *health.Registry

	counted  *metrics.Registry
	current  atomic.Pointer[inForce]
	refused  atomic.Pointer[time.Time] // when the last reload was, if it was
	hangups  <-chan os.Signal
	reloaded *metrics.Counter
	started  time.Time

	keys      *sealed.Keyring
	redis     redis.UniversalClient
	auditKey  *audit.Key
	keyFiles  []*keyFile
	wrappers  []keyfile.Wrapper // that open them; none or one
	keysNow   chan struct{}     // of capacity 1: look at the key files now
	journal   *audit.Journal
	who       identityServices
	broker    *credentials.Broker
	limits    *limits.Owners
	upstream  *bigquery.Client
	pool      *googlesql.Pool
	approvals *approvals.Store
	budgets   *budgets.Store
	follower  *journalFollower
	strangers *unauthenticated.Counter

	authz   *extauthz.Service
	proc    *extproc.Service
	endings *endings
	console http.Handler // nil where it is a process of its own
}

func newGateway(c *config.Config, log *slog.Logger) *gateway {
	g := &gateway{config: c, log: log, parts: health.New(log), counted: metrics.New(), started: time.Now(), keysNow: make(chan struct{}, 1)}
	g.reloaded = countReloads(g.counted)
	var end func()
	g.hangups, end = hangups()
	g.onClose(end)
	return g
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
	if err := g.openKeys(ctx); err != nil {
		return err
	}
	if g.redis, err = connect(ctx, c.Redis); err != nil {
		return err
	}
	g.onClose(func() { g.redis.Close() })
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
	g.limits.Met = countLimits(g.counted)
	if err := g.openIdentity(); err != nil {
		return err
	}
	if g.broker, err = credentials.New(ctx, c.Credentials); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	g.onClose(func() { g.broker.Close() })
	inspector := g.broker.Principal(c.Credentials.Inspection, identity.Requester{})
	if g.upstream, err = dialUpstream(c.Upstream, g.broker, inspector, g.log); err != nil {
		return err
	}
	return g.readInForce()
}

func (g *gateway) readInForce() error {
	now, err := readInForce(g.config)
	if err != nil {
		return err
	}
	g.current.Store(now)
	return nil
}

func (g *gateway) openIdentity() (err error) {
	c := g.config
	if g.who, err = newIdentityServices(c.Identity, g.redis, g.keys, g.limits, g.log); err != nil {
		return err
	}
	g.onClose(g.who.verifier.Close)
	return nil
}

// buildApprovals makes the approvals, and learns what the journals say of them and of sessions.
func (g *gateway) buildApprovals(ctx context.Context) (err error) {
	c := g.config
	g.approvals, err = approvals.New(approvals.Options{
		Redis: g.redis, Keys: g.keys, Journal: approvalJournal{g.journal}, ConsoleURL: c.Console.URL, Log: g.log,
		Notify: g.targetsOf, Told: told(g.who.sessions), Closed: approvalsClosed(g.parts.Part("approvals", health.Some)),
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
	g.who.sessions.Told = make(chan struct{}, 1)
	g.who.sessions.Access = func(s identity.Subject) (time.Time, bool) { return g.policySet().AccessUntil(s) }
	if g.upstream != nil { // the console counts nothing
		g.budgets, err = budgets.New(budgets.Options{
			Redis: g.redis, Keys: g.keys, Journal: g.journal, Upstream: g.upstream, Log: g.log, Alone: c.Redis.Embedded,
			Active: func() bool { return g.policySet().HasBudgets() }, Lent: verdict.Lifetime,
			Closed: func(why string) {
				if part := g.parts.Part("budgets", health.Some); why == "" {
					part.Well()
				} else {
					part.Fault("budgets are closed: " + why)
				}
			},
		})
		if err != nil {
			return err
		}
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
	if g.pool, err = startWorkers(ctx, c.SQL, habits{g.limits}); err != nil {
		return err
	}
	g.onClose(func() { g.pool.Close() })
	g.log.Info("SQL workers are ready", "confined", g.pool.Confined())
	journal := measuredJournal{
		g.journal,
		g.counted.Histogram("journal_seconds", "How long a record took to become durable.", metrics.Seconds),
	}
	records := jobs.NewStore(g.redis, g.keys)
	catalogFor := func(ask durable.Ask) googlesql.Catalog { return catalog.For(ask) }
	analyzer := googlesql.New(g.pool, googlesql.Limits{})
	records.Checks = jobChecks(c.Checks.ReferencedTables, catalogFor, analyzer)
	activity := &console.Activity{}

	g.authz, err = extauthz.New(extauthz.Parts{
		Identity: g.who.authenticator, Analyzer: analyzer, Catalog: catalogFor, Policies: g.policySet,
		Approvals: g.approvals, Jobs: records, Credentials: g.broker, Upstream: g.upstream, Metadata: g.upstream,
		Journal: console.Seen{Journal: journal, Activity: activity}, Keys: g.keys, Log: g.log, Sessions: g.who.sessions,
		Limits: g.limits, Budgets: g.budgets, Strangers: g.strangers,
		MaxBody:  maxBody(c),
		Location: c.Upstream.Location, LongPoll: c.Approvals.LongPoll,
		Prices: g.prices, Meter: extauthz.NewMeter(g.counted),
	})
	if err != nil {
		return err
	}
	g.proc, err = extproc.New(extproc.Parts{
		Keys: g.keys, Journal: journal, Jobs: records, Upstream: g.upstream, Log: g.log, Budgets: g.budgets,
		Cancel: g.stopJob, Changed: g.changedSince(catalog), Again: g.authz.Again, Limits: g.limits,
		Reading: extproc.Reading(c.Reading), MaxRequest: c.Envoy.Limits.MaxRequestBytes,
	})
	if err != nil {
		return err
	}
	g.onClose(func() { g.proc.Wait(cancelledWithin) })
	g.who.sessions.Revoked = g.proc.DecideAgain
	g.endings = &endings{
		sessions: g.who.sessions, tokens: g.broker, holds: g.approvals, jobs: records, cancel: g.cancelJob, journal: journal,
		reports: endingReports{g.redis, g.keys}, log: g.log,
	}
	if c.Console.Process == config.ProcessSeparate {
		return nil
	}
	return g.buildConsole(ctx, activity)
}

// maxBody is the longest body that Envoy shows, 0 where it is configured by other hands.
func maxBody(c *config.Config) int64 {
	if reflect.ValueOf(c.Envoy).IsZero() {
		return 0
	}
	limits, _ := envoy.Defaults()
	return int64(cmp.Or(c.Envoy.Limits.MaxRequestBytes, limits.MaxRequestBytes))
}

// stopsWithin bounds the token with which a job is stopped whose right to run is over.
const stopsWithin = credentials.MinLifetime

// stopJob cancels a job with the identity that it runs as.
func (g *gateway) stopJob(ctx context.Context, w durable.Stop, r jobs.Record) error {
	_, err := g.cancelJob(ctx, w, r)
	return err
}

// cancelJob is stopJob, and tells how the job stands then.
func (g *gateway) cancelJob(ctx context.Context, w durable.Stop, r jobs.Record) (bigquery.Job, error) {
	token, err := g.broker.Mint(ctx, w, credentials.Run{
		Account: r.Credential, Owner: r.Owner, Requester: r.Requester, Until: time.Now().Add(stopsWithin),
	})
	if err != nil {
		return bigquery.Job{}, err
	}
	return g.upstream.CancelJob(ctx, w, token.Bearer(), r.Job)
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

// serve runs every part until ctx ends or one fails without which nothing is decided: the sockets,
// and what serves them. What follows others, tells others and shows is kept (kept.go): whatever
// becomes of it harms no query (A40).
func (g *gateway) serve(ctx context.Context, group *errgroup.Group, listeners *listeners) error {
	c := g.config
	if os.Getenv("GOGC") == "" {
		g.keep(ctx, group, "collector", func(ctx context.Context) error { paceCollector(ctx); return nil })
	}
	group.Go(func() error { return g.endWithJournal(ctx) })
	sockets := g.parts.Part("sockets", health.Everybody)
	g.keep(ctx, group, "follower", g.follower.follow)
	g.keep(ctx, group, "key-files", g.followKeys)
	g.keep(ctx, group, "budgets", g.budgets.Run)
	g.keep(ctx, group, "revocations", g.endings.run)
	g.keep(ctx, group, "strangers", func(ctx context.Context) error { g.strangers.Run(ctx); return nil })
	g.keep(ctx, group, "unfinished", func(ctx context.Context) error {
		closeUnfinished(ctx, c.Audit.Dir, g.auditKey, g.journal, g.log)
		return nil
	})
	g.keep(ctx, group, "summaries", func(ctx context.Context) error { g.authz.Summarize(ctx); return nil })
	g.keep(ctx, group, "notifications", notify.New(g.targets, g.approvals, g.log).Run)
	g.keep(ctx, group, "issuers", func(ctx context.Context) error { g.who.verifier.Retry(ctx); return nil })
	if err := listeners.serve(ctx, group, g); err != nil {
		group.Go(func() error { return err }) // it ends the others
		return group.Wait()
	}
	sockets.Well()
	group.Go(func() error { <-ctx.Done(); sockets.Fault("stopping"); return nil })
	g.log.Info("serving", "sockets", c.Sockets.Dir, "console", c.Console.Address, "console_process", c.Console.Process, "operations",
		c.Operations.Address, "policies", len(c.Policies), "policy_digest", g.policySet().Digest())
	g.keep(ctx, group, "watch", func(ctx context.Context) error { return g.watch(ctx, listeners.missing) })
	g.keep(ctx, group, "reload", g.reloads)
	g.keep(ctx, group, "absent tables", func(ctx context.Context) error {
		logAbsentTables(ctx, g.policySet(), g.upstream, g.log)
		return nil
	})
	return group.Wait()
}

// loadPolicies loads the policies with everything that they may name.
func loadPolicies(c *config.Config) (*policies.Set, error) {
	return policies.Load(c.Policies, policies.Options{Issuers: issuerNames(c.Identity), Credentials: c.Credentials.Runs(),
		Projects: c.Credentials.Projects(), Federated: c.Credentials.Federated(), Budgets: c.Budgets, File: "bqgate.yaml"})
}

func startWorkers(ctx context.Context, c config.SQL, habits googlesql.Habits) (*googlesql.Pool, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	workers := c.Workers
	if workers == 0 {
		workers = runtime.NumCPU()
	}
	return googlesql.NewPool(ctx, googlesql.PoolOptions{
		Command: []string{self, "sql-worker"}, Workers: workers, Deadline: c.Deadline,
		Slow: cmp.Or(c.Slow, max(1, workers/2)), FirstDeadline: c.FirstDeadline, Habits: habits,
	})
}
