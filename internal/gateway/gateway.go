// Package gateway wires the parts of `bqgate serve` together: every part a value, one group of goroutines, nothing global.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/extauthz"
	"github.com/bqgate/bqgate/extproc"
	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/console"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/notify"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/policies"
)

// Run serves until ctx ends or a part fails. It returns nil after an orderly stop.
//
// Its listeners come first: a second gateway of the same configuration ends there, and has touched nothing of the first.
func Run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	listeners, err := openListeners(c, log)
	if err != nil {
		return err
	}
	defer listeners.close()
	keys, err := sealed.Load(c.SealingKeyFile)
	if err != nil {
		return err
	}
	store, err := connect(ctx, c.Redis)
	if err != nil {
		return err
	}
	defer store.Close()
	auditKey, err := audit.LoadKey(c.Audit.KeyFile)
	if err != nil {
		return err
	}
	journal, err := audit.Open(c.Audit.Dir, auditKey, audit.Options{})
	if err != nil {
		return err
	}
	defer journal.Close()

	who, err := newIdentityServices(c.Identity, store, keys, log)
	if err != nil {
		return err
	}
	defer who.verifier.Close()
	broker, err := credentials.New(ctx, c.Credentials)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	defer broker.Close()
	upstream, err := dialUpstream(c.Upstream, broker)
	if err != nil {
		return err
	}
	catalog, err := bigquery.NewCatalog(upstream, bigquery.MaxCatalogTTL)
	if err != nil {
		return err
	}
	set, err := loadPolicies(c)
	if err != nil {
		return err
	}
	targets, err := notify.Load(c.Notifications)
	if err != nil {
		return err
	}
	holds, err := approvals.New(approvals.Options{
		Redis: store, Keys: keys, Journal: approvalJournal{journal}, ConsoleURL: c.Console.URL, Log: log, Notify: targets.Of, Told: told(who.sessions),
		MaxWaiting: c.Approvals.MaxWaiting, MaxPerOwner: c.Approvals.MaxPerClient,
	})
	if err != nil {
		return err
	}
	defer holds.Close()
	if err := approvals.CheckRedis(ctx, store, !c.Redis.Embedded); err != nil {
		return err
	}
	who.sessions.Journal = sessionJournal{journal, holds, log}
	who.sessions.Access = set.AccessUntil
	follower, err := followJournals(ctx, c, auditKey, holds, who.sessions, log)
	if err != nil {
		return err
	}
	pool, err := startWorkers(ctx, c.SQL)
	if err != nil {
		return err
	}
	defer pool.Close()
	log.Info("SQL workers are ready", "confined", pool.Confined())
	records := jobs.NewStore(store, keys)
	activity := &console.Activity{}

	authz := &extauthz.Service{
		Identity: who.authenticator, Analyzer: googlesql.New(pool, googlesql.Limits{}), Catalog: catalog,
		Policies: func() *policies.Set { return set }, Approvals: holds, Jobs: records, Credentials: broker, Upstream: upstream, Metadata: upstream, Journal: console.Seen{Journal: journal, Activity: activity},
		Keys: keys, Log: log, Sessions: who.sessions, Asks: extauthz.Rate{AtOnce: c.Limits.AsksAtOnce, PerSecond: c.Limits.AsksPerSecond}, Location: c.Upstream.Location, LongPoll: c.Approvals.LongPoll, Prices: extauthz.Prices{Default: c.Approvals.PricePerTiB, ByLocation: c.Approvals.PriceByLocation},
	}
	proc := &extproc.Service{Keys: keys, Journal: journal, Jobs: records, Upstream: upstream, Log: log,
		Cancel: func(ctx context.Context, r jobs.Record) error {
			token, err := broker.Mint(ctx, r.Credential, r.Owner)
			if err != nil {
				return err
			}
			_, err = upstream.CancelJob(ctx, token.Bearer(), r.Job)
			return err
		},
		Changed: func(ctx context.Context, digests map[string]string) ([]string, error) {
			changed, err := googlesql.Changed(ctx, bigquery.Uncached{Source: upstream}, digests)
			if len(changed) > 0 {
				catalog.Forget() // the client is told to ask again, and that must be decided by what is there now
			}
			return changed, err
		},
	}
	proc.Again = authz.Again
	who.sessions.Revoked = proc.DecideAgain
	login, err := loginOf(c, who.verifier)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	pages, err := console.New(ctx, console.Options{
		Approvals: holds, Verifier: who.verifier, Groups: set.Groups, Known: set.Known, Audience: c.Identity.WithDefaults().ConsoleAudience, Log: log,
		Login: login, Policies: func() *policies.Set { return set }, Redis: store, Keys: keys,
		Bans: who.sessions, Activity: activity,
	})
	if err != nil {
		return err
	}
	g.Go(func() error { return follower.follow(ctx) })
	g.Go(func() error { closeUnfinished(ctx, c.Audit.Dir, auditKey, journal, log); return nil })
	g.Go(func() error { return notify.New(targets, holds, log).Run(ctx) })
	if err := listeners.serve(ctx, g, authz, proc, who.tokens, pages); err != nil {
		return err
	}
	log.Info("serving", "sockets", c.Sockets.Dir, "console", c.Console.Address, "policies", len(c.Policies), "policy_digest", set.Digest())
	g.Go(func() error { logAbsentTables(ctx, set, upstream, log); return nil })
	return g.Wait()
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
	return policies.Load(c.Policies, policies.Options{Issuers: issuerNames(c.Identity), Credentials: c.Credentials.Runs(), Projects: c.Credentials.Projects()})
}

func openJournal(c config.Audit) (*audit.Journal, error) {
	key, err := audit.LoadKey(c.KeyFile)
	if err != nil {
		return nil, err
	}
	return audit.Open(c.Dir, key, audit.Options{})
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
