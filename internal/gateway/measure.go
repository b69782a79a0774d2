package gateway

import (
	"context"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/connections"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/metrics"
	"github.com/bqgate/bqgate/internal/operations"
)

// measuredJournal counts how long records take to become durable.
type measuredJournal struct {
	*audit.Journal
	took *metrics.Histogram
}

func (m measuredJournal) Append(ctx context.Context, r audit.Record) (audit.Position, error) {
	return m.AppendAll(ctx, r)
}

func (m measuredJournal) AppendAll(ctx context.Context, records ...audit.Record) (audit.Position, error) {
	began := time.Now()
	at, err := m.Journal.AppendAll(ctx, records...)
	m.took.Took(time.Since(began))
	return at, err
}

// measure makes the metrics of what is not measured where it happens.
func (g *gateway) measure(l *listeners) {
	r := g.counted
	b := build()
	r.Info("build_info", "The build of this binary.", map[string]string{"version": b.version, "commit": b.commit, "go": b.goVersion})
	operations.Count(g.parts, r, kinds)
	r.CounterFunc("journal_bytes_total", "Bytes that this process has written to its audit journal.", func() float64 {
		written, _ := g.journal.Counts()
		return float64(written)
	})
	r.GaugeFunc("journal_waiting_records", "Records that wait for the disk.", func() float64 {
		_, waiting := g.journal.Counts()
		return float64(waiting)
	})
	r.GaugeFunc("journal_room_bytes", "Bytes that may be written to the journal's disk before nothing new begins.",
		func() float64 { return float64(g.journal.Room()) })
	r.GaugeFunc("approvals_waiting", "Requests that wait for a person, of all replicas.", func() float64 {
		n, _ := g.approvals.Waiting(time.Now())
		return float64(n)
	})
	r.GaugeFunc("approvals_oldest_seconds", "How long the oldest of them has waited, 0 without one.", func() float64 {
		now := time.Now()
		if n, oldest := g.approvals.Waiting(now); n > 0 {
			return max(0, now.Sub(oldest).Seconds())
		}
		return 0
	})
	r.GaugeFunc("sql_workers", "SQL worker processes that live.", func() float64 { return float64(g.pool.Staff().Alive) })
	r.GaugeFunc("sql_workers_busy", "SQL workers that are asked something.", func() float64 { return float64(g.pool.Staff().Busy) })
	r.GaugeFunc("sql_waiting", "Statements that wait for a SQL worker.", func() float64 { return float64(g.pool.Staff().Waiting) })
	r.GaugeFunc("sql_slow_workers", "SQL workers that live for statements that take long.",
		func() float64 { return float64(g.pool.SlowStaff().Alive) })
	r.GaugeFunc("sql_slow_waiting", "Statements that take long and wait for one of those.",
		func() float64 { return float64(g.pool.SlowStaff().Waiting) })
	pool := g.redis.PoolStats
	r.GaugeFunc("redis_connections", "Connections to Redis.", func() float64 { return float64(pool().TotalConns) })
	r.CounterFunc(
		"redis_timeouts_total",
		"Times that no connection to Redis was free in time.",
		func() float64 { return float64(pool().Timeouts) },
	)
	if l.console != nil {
		measureConnections(r, "console", l.console)
	}
	if l.operations != nil {
		measureConnections(r, "operations", l.operations)
	}
}

// countLimits counts what is beyond a limit of its owner, by what is limited and never by whom.
func countLimits(r *metrics.Registry) func(limits.Kind) {
	keys := make([]string, len(limits.Kinds))
	for i, k := range limits.Kinds {
		keys[i] = k.Key
	}
	met := r.Counter("limited_total", "What was beyond a limit of its owner, by the limit.", metrics.Label{Name: "kind", Values: keys})
	return func(k limits.Kind) { met.Inc(k.String()) }
}

func measureConnections(r *metrics.Registry, name string, l *connections.Listener) {
	r.GaugeFunc(name+"_connections", "Connections that are open.", func() float64 { return float64(l.Counts().Open) })
	r.CounterFunc(name+"_connections_evicted_total", "Silent connections that made room for others.",
		func() float64 { return float64(l.Counts().Evicted) })
	r.CounterFunc(name+"_connections_refused_total", "Connections for which there was no room.",
		func() float64 { return float64(l.Counts().Refused) })
}
