package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/enginetest"
)

const (
	smallSQL  = "SELECT name, ssn FROM crm.customers WHERE id = %d"
	mediumSQL = `WITH paid AS (SELECT customer_id, SUM(amount) AS total, COUNT(*) AS n, MAX(ordered) AS last FROM crm.orders WHERE status = 'paid' AND id > %d GROUP BY customer_id),
 ranked AS (SELECT customer_id, total, n, last, RANK() OVER (ORDER BY total DESC) AS place, SUM(total) OVER (ORDER BY total ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS near FROM paid),
 people AS (SELECT c.id, c.name, c.email, c.address.city, p.kind, p.number FROM crm.customers AS c LEFT JOIN UNNEST(c.phones) AS p ON p.kind = 'mobile' WHERE c.created > TIMESTAMP '2020-01-01 00:00:00+00'),
 seen AS (SELECT id, MIN(e.at) AS first, COUNT(DISTINCT payload) AS kinds FROM crm.events AS e GROUP BY id),
 cities AS (SELECT city, COUNT(*) AS n, APPROX_QUANTILES(id, 4) AS spread FROM people GROUP BY city HAVING COUNT(*) > 1)
SELECT people.id, people.name, people.city, UPPER(SUBSTR(people.email, 1, 3)) AS mail, people.number, ranked.total, ranked.place, ranked.near,
 CASE WHEN ranked.place < 10 THEN 'top' WHEN ranked.total > 100 THEN 'good' ELSE 'rest' END AS class, IFNULL(seen.kinds, 0) AS kinds, seen.first,
 LAG(ranked.total) OVER (PARTITION BY people.city ORDER BY ranked.place) AS before, cities.n AS neighbours, cities.spread[SAFE_OFFSET(1)] AS quarter,
 ARRAY(SELECT o.status FROM crm.orders AS o WHERE o.customer_id = people.id ORDER BY o.ordered DESC LIMIT 3) AS states,
 (SELECT STRING_AGG(e.payload, ',' ORDER BY e.at) FROM crm.events AS e WHERE e.id = people.id) AS trail
FROM people JOIN ranked ON ranked.customer_id = people.id LEFT JOIN seen ON seen.id = people.id LEFT JOIN cities ON cities.city = people.city
 LEFT JOIN crm.orders AS o2 ON o2.customer_id = people.id AND o2.ordered = ranked.last
WHERE people.id IN (SELECT customer_id FROM crm.orders GROUP BY customer_id HAVING SUM(amount) > 10) AND (o2.amount IS NULL OR o2.amount BETWEEN 1 AND 1000)
QUALIFY ROW_NUMBER() OVER (PARTITION BY people.id ORDER BY ranked.last DESC) = 1 ORDER BY ranked.place, people.name LIMIT 100`
)

// sqlWorkers is the analysis of SQL in worker processes, as the gateway runs it but without the
// gateway: every text is new, its tables are in memory.
func sqlWorkers(ctx context.Context, b *bench) error {
	const workers = 2
	s := &analyses{catalog: map[bigquery.TableID]*bigquery.Table{}}
	for _, name := range []string{"customers", "orders", "events"} {
		id := bigquery.TableID{Project: "demo", Dataset: "crm", Table: name}
		table, err := googlesql.Files{Folder: "policies/testdata/catalog"}.Table(ctx, id)
		if err != nil {
			return err
		}
		s.catalog[id] = table
	}
	if err := s.open(ctx, workers, 0); err != nil {
		return err
	}
	defer func() { _ = s.pool.Close() }()
	if _, _, err := s.run(ctx, workers, time.Second, s.small); err != nil { // to warm up
		return err
	}
	took, _, err := s.run(ctx, 1, 4*time.Second, s.small)
	if err != nil {
		return err
	}
	bare, err := goBench("./internal/googlesql/engine", "^BenchmarkBareAnalyzeStatement$", "1s")
	if err != nil {
		return err
	}
	base := bare[0].perOp()
	p50, p99 := median(took), percentile(took, 99)
	b.table.add(row{"SQL workers, small query, p50", ms(p50), ms(base), fmt.Sprintf("%.1f×", float64(p50)/float64(base)), "≤ 1.50 ms",
		p50 <= 1500*time.Microsecond})
	b.table.add(row{"SQL workers, small query, p99", ms(p99), "", "", "≤ 8.00 ms", p99 <= 8*time.Millisecond})
	for _, load := range []struct {
		what   string
		ask    func(context.Context, string) error
		budget float64
	}{{"small queries", s.small, 1500}, {"9 small and 1 of 2 kB", s.mixed, 700}} {
		took, elapsed, err := s.run(ctx, 2*workers, 5*time.Second, load.ask)
		if err != nil {
			return err
		}
		rate := float64(len(took)) / elapsed.Seconds()
		b.table.add(row{fmt.Sprintf("SQL workers, %s, %d callers", load.what, 2*workers), fmt.Sprintf("%.0f/s", rate), "", "",
			fmt.Sprintf("≥ %.0f/s", load.budget), rate >= load.budget})
		b.table.note("p50, p99", ms(median(took))+", "+ms(percentile(took, 99)), "")
	}
	largest, err := s.memory()
	if err != nil {
		return err
	}
	b.table.add(row{"SQL worker, memory after these", mebibytes(largest), "", "", "≤ 128.0 MiB", largest <= 128<<20})
	hit, err := s.hit(ctx)
	if err != nil {
		return err
	}
	b.table.add(row{"SQL analysis that is remembered, p50", fmt.Sprintf("%.1f µs", float64(hit)/1e3), "", "", "≤ 50.0 µs",
		hit <= 50*time.Microsecond})
	if err := s.bombs(ctx, b); err != nil {
		return err
	}
	again, err := respawn(ctx, s.catalog)
	if err != nil {
		return err
	}
	b.table.add(row{"SQL worker killed, until the next answers", ms(again), "", "", "≤ 60.00 ms", again <= 60*time.Millisecond})
	return nil
}

// analyses asks an analyzer for what it has not seen.
type analyses struct {
	catalog  memoryCatalog
	pool     *googlesql.Pool
	analyzer *googlesql.Analyzer
	asked    atomic.Int64
}

func (s *analyses) open(ctx context.Context, workers int, deadline time.Duration) error {
	var err error
	s.pool, err = googlesql.NewPool(ctx, googlesql.PoolOptions{Command: []string{"build/bin/bqgate-demo", "sql-worker"}, Workers: workers,
		Deadline: deadline})
	if err != nil {
		return err
	}
	s.analyzer = googlesql.New(s.pool, googlesql.Limits{Cache: 1000})
	return nil
}

// memoryCatalog is a catalog in memory: what a lookup at Google takes is not measured here.
type memoryCatalog map[bigquery.TableID]*bigquery.Table

func (m memoryCatalog) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	if t := m[id]; t != nil {
		return t, nil
	}
	return nil, googlesql.ErrNotFound
}

func (s *analyses) ask(ctx context.Context, caller, sql string) (*googlesql.Analysis, error) {
	return s.analyzer.Analyze(ctx, googlesql.Query{SQL: sql, Project: "demo", Catalog: s.catalog, Caller: caller})
}

func (s *analyses) understood(ctx context.Context, caller, sql string) error {
	a, err := s.ask(ctx, caller, sql)
	if err == nil && a.Error != nil {
		err = fmt.Errorf("%s: %w", sql, a.Error)
	}
	return err
}

func (s *analyses) small(ctx context.Context, caller string) error {
	return s.understood(ctx, caller, fmt.Sprintf(smallSQL, s.asked.Add(1)))
}

func (s *analyses) mixed(ctx context.Context, caller string) error {
	n := s.asked.Add(1)
	if n%10 == 0 {
		return s.understood(ctx, caller, fmt.Sprintf(mediumSQL, n))
	}
	return s.understood(ctx, caller, fmt.Sprintf(smallSQL, n))
}

// run has callers ask, each one question after the other, and returns what each question took and
// what all of them did.
func (s *analyses) run(ctx context.Context, callers int, length time.Duration,
	ask func(ctx context.Context, caller string) error) ([]time.Duration, time.Duration, error) {
	took, failed := make([][]time.Duration, callers), make([]error, callers)
	begin := time.Now()
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for time.Since(begin) < length && ctx.Err() == nil {
				at := time.Now()
				if failed[c] = ask(ctx, fmt.Sprint("caller-", c)); failed[c] != nil {
					return
				}
				took[c] = append(took[c], time.Since(at))
			}
		})
	}
	group.Wait()
	return slices.Concat(took...), time.Since(begin), errors.Join(append(failed, ctx.Err())...)
}

// hit is what an analysis takes that the analyzer has made before.
func (s *analyses) hit(ctx context.Context) (time.Duration, error) {
	var took []time.Duration
	for range 20_000 {
		at := time.Now()
		if err := s.understood(ctx, "caller", fmt.Sprintf(smallSQL, 0)); err != nil {
			return 0, err
		}
		took = append(took, time.Since(at))
	}
	return median(took), nil
}

// memory is what the largest of the workers has of the machine's.
func (s *analyses) memory() (int64, error) {
	pids, err := sqlWorkerProcesses()
	if err != nil {
		return 0, err
	}
	var largest int64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue // it was replaced
		}
		fields := strings.Fields(string(text))
		pages, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("memory of the SQL worker %d: %w", pid, err)
		}
		largest = max(largest, pages*int64(os.Getpagesize()))
	}
	if largest == 0 {
		return 0, errors.New("no SQL worker is there to be measured")
	}
	return largest, nil
}

// sqlWorkerProcesses are this process's own children that analyse SQL.
func sqlWorkerProcesses() ([]int, error) {
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil, fmt.Errorf("list the SQL workers: %w", err)
	}
	var all []int
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("list the SQL workers: %w", err)
			}
			if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(line), "sql-worker") {
				all = append(all, pid)
			}
		}
	}
	return all, nil
}

// bombs has one caller ask what no analyser answers in time, while another's small queries are
// measured.
func (s *analyses) bombs(ctx context.Context, b *bench) error {
	const deadline, callers = 500 * time.Millisecond, 1
	bombed := &analyses{catalog: s.catalog}
	if err := bombed.open(ctx, 2, deadline); err != nil {
		return err
	}
	defer func() { _ = bombed.pool.Close() }()
	quiet, _, err := bombed.run(ctx, callers, 5*time.Second, bombed.small)
	if err != nil {
		return err
	}
	attack, stop := context.WithCancel(ctx)
	defer stop()
	var latest time.Duration
	var slowest string
	var refused int
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		all := enginetest.Bombs()
		for _, name := range slices.Sorted(maps.Keys(all)) {
			at := time.Now()
			a, err := bombed.ask(attack, "attacker", all[name])
			if err != nil {
				failed = fmt.Errorf("the bomb %s: %w", name, err)
				return
			}
			if took := time.Since(at); took > latest {
				latest, slowest = took, name
			}
			if a.Error != nil {
				refused++
			}
		}
	}()
	var during []time.Duration
	for over := false; !over; {
		took, _, err := bombed.run(ctx, callers, 200*time.Millisecond, bombed.small)
		if err != nil {
			return err
		}
		during = append(during, took...)
		select {
		case <-done:
			over = true
		default:
		}
	}
	if failed != nil {
		return failed
	}
	limit := deadline + 100*time.Millisecond
	b.table.add(row{fmt.Sprintf("SQL bombs, %d of %d refused, slowest answer", refused, len(enginetest.Bombs())), ms(latest), "", "",
		"≤ " + ms(limit), latest <= limit})
	b.table.note("by", slowest, "")
	b.table.atMost("SQL workers, small query under bombs, p99", percentile(during, 99), percentile(quiet, 99), 2)
	b.table.note("p50", ms(median(during)), ms(median(quiet)))
	return nil
}

// respawn is the time from the death of the worker that answers to the next answer.
func respawn(ctx context.Context, catalog memoryCatalog) (time.Duration, error) {
	s := &analyses{catalog: catalog}
	before, err := sqlWorkerProcesses()
	if err != nil {
		return 0, err
	}
	if err := s.open(ctx, 1, 0); err != nil {
		return 0, err
	}
	defer func() { _ = s.pool.Close() }()
	var took []time.Duration
	for range 9 {
		time.Sleep(500 * time.Millisecond) // the spare one is ready then
		pids, err := sqlWorkerProcesses()
		if err != nil {
			return 0, err
		}
		worked := map[int]int64{}
		for _, pid := range pids {
			worked[pid] = -processorTime(pid)
		}
		for range 20 {
			if err := s.small(ctx, "caller"); err != nil {
				return 0, err
			}
		}
		for pid := range worked {
			worked[pid] += processorTime(pid)
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return slices.Contains(before, pid) })
		if len(pids) != 2 {
			return 0, fmt.Errorf("there are %d SQL workers, want one and a spare", len(pids))
		}
		at := time.Now()
		_ = syscall.Kill(slices.MaxFunc(pids, func(a, b int) int { return cmp.Compare(worked[a], worked[b]) }), syscall.SIGKILL)
		for s.small(ctx, "caller") != nil { // the first one after the kill may learn of it
			if err := ctx.Err(); err != nil {
				return 0, err
			}
		}
		took = append(took, time.Since(at))
	}
	return median(took), nil
}

// processorTime is what a process has used so far, in nanoseconds.
func processorTime(pid int) int64 {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well formed
	var all int64
	for _, f := range files {
		text, _ := os.ReadFile(f) // a thread that has ended counts nothing
		var used int64
		if _, err := fmt.Sscan(string(text), &used); err == nil {
			all += used
		}
	}
	return all
}
