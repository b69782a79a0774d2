package difftest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/enginetest"
)

var (
	number  = flag.Int("queries", 2000, "how many queries to generate")
	start   = flag.Int("first", 0, "the number of the first query")
	seed    = flag.Uint64("seed", 1, "where the random numbers begin")
	only    = flag.Int("only", -1, "make only the query of this number, and show it")
	atMost  = flag.Duration("for", 0, "stop after this time, however many queries were made by then; 0 for no limit")
	threads = flag.Int("threads", 2, "engines that run at the same time")
	tries   = flag.Int("changes", 2, "changes tried for a query, besides those that a suspicion asks for")
	verbose = flag.Bool("refusals", false, "show why queries were refused, most frequent first")
)

const (
	batchSize = 250 // queries between two rounds of changes
	renew     = 4   // batches after which an engine is made anew: it keeps something of every query, and ends when it has grown
	maxSmall  = 4   // findings that are made smaller
	maxShown  = 100 // findings that are shown
)

// lab is what one goroutine needs.
type lab struct {
	t        *testing.T
	name     string // as a caller of the analysis
	child    *child
	analyzer *googlesql.Analyzer
	values   rawValues
	known    map[string][]*cell
	report   *report
	standing *change // what is changed now
}

func (l *lab) rows(q *query) *response {
	return l.child.rows(l.t, q, l.standing)
}

func newLab(t *testing.T, name string, analyzer *googlesql.Analyzer, r *report) *lab {
	l := &lab{t: t, name: name, child: startChild(t), analyzer: analyzer, known: windows(), report: r}
	l.values = readValues(t, l.child)
	return l
}

func newAnalyzer(t *testing.T) *googlesql.Analyzer {
	pool, err := googlesql.NewPool(context.Background(), googlesql.PoolOptions{Command: enginetest.Worker(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return googlesql.New(pool, googlesql.Limits{Cache: -1})
}

// TestDifferential runs generated queries, and statements of the corpus as they are and changed.
func TestDifferential(t *testing.T) {
	if *only >= 0 {
		q := generate(*seed, uint64(*only))
		l := newLab(t, "difftest", newAnalyzer(t), newReport())
		l.batch([]*query{q}, rand.New(rand.NewPCG(*seed, 1)))
		t.Log(l.show(q))
		return
	}
	r, analyzer := newReport(), newAnalyzer(t)
	began := time.Now()
	var numbers, labs sync.WaitGroup
	batches := make(chan int)
	for i := range *threads {
		l := newLab(t, fmt.Sprint("difftest-", i), analyzer, r)
		labs.Go(func() {
			for n := 0; ; n++ {
				first, more := <-batches
				if !more {
					return
				}
				if n%renew == renew-1 {
					l.child.stop()
					l.child.start(t)
				}
				var queries []*query
				for i := first; i < min(first+batchSize, *start+*number); i++ {
					if i%10 == 9 {
						queries = append(queries, mutant(t, *seed, uint64(i)))
					} else {
						queries = append(queries, generate(*seed, uint64(i)))
					}
				}
				l.batch(queries, rand.New(rand.NewPCG(*seed, uint64(first))))
			}
		})
	}
	numbers.Go(func() {
		defer close(batches)
		for first := *start; first < *start+*number && !r.enough() && (*atMost == 0 || time.Since(began) < *atMost); first += batchSize {
			batches <- first
			if first > *start && (first-*start)%(10*batchSize) == 0 {
				made, found := r.soFar()
				t.Logf("%s: %d queries, %d findings", time.Since(began).Round(time.Second), made, found)
			}
		}
	})
	numbers.Wait()
	labs.Wait()
	t.Logf("seed %d, %s\n%s", *seed, time.Since(began).Round(time.Second), r.summary())
	if *verbose {
		t.Log(r.refusals())
	}
	r.check(t)
}

// batch analyses and runs queries, then makes one change after the other and runs those queries
// again that a change could matter to.
func (l *lab) batch(queries []*query, r *rand.Rand) {
	all := changes(r)
	wanted := make([][]*query, len(all))
	for _, q := range queries {
		if !l.first(q) || fickle(q) {
			continue
		}
		l.suspicions(q, r)
		if tied(q) {
			continue
		}
		for _, i := range l.relevant(q, all, r) {
			wanted[i] = append(wanted[i], q)
		}
	}
	for i, list := range wanted {
		if len(list) == 0 {
			continue
		}
		l.alter(&all[i], false)
		for _, q := range list {
			l.report.changed(q)
			changed := l.rows(q)
			changed.spread(q.analysis)
			if f := l.compare(q, &all[i], changed); f != nil {
				l.alter(&all[i], true)
				l.found(q, f)
				l.alter(&all[i], false)
			}
		}
		l.alter(&all[i], true)
	}
}

func (l *lab) alter(c *change, back bool) {
	l.t.Helper()
	sql := c.update(back)
	if r := l.child.must(l.t, request{Op: "rows", SQL: sql, Project: project}); r.Error != nil {
		l.t.Fatalf("%s: %s", sql, r.Error.Message)
	}
	if l.standing = c; back {
		l.standing = nil
	}
}

// fickle reports whether a query answers otherwise each time.
func fickle(q *query) bool {
	return slices.ContainsFunc(q.analysis.Functions, func(f string) bool {
		return f == "RAND" || f == "GENERATE_UUID" || f == "SESSION_USER" || strings.HasPrefix(f, "KEYS.") ||
			strings.HasPrefix(f, "CURRENT_") || strings.HasPrefix(f, "AEAD.")
	})
}

// tied reports whether the engine decides by chance which of equals an answer has. What it has must
// still name its sources.
func tied(q *query) bool {
	return slices.Contains(q.analysis.Functions, "APPROX_TOP_COUNT") || slices.Contains(q.analysis.Functions, "APPROX_TOP_SUM")
}

// look analyses and runs a query as it is; false where one of the two does not take it. What it
// finds is the query's own.
func (l *lab) look(q *query) (ok bool, why string, f *finding) {
	a, err := l.analyzer.Analyze(context.Background(), googlesql.Query{
		SQL: q.sql, Project: q.project, Catalog: catalog{}, Caller: l.name,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	if q.analysis, why = statement(a); q.analysis == nil {
		return false, "analysis: " + why, nil
	}
	q.base = l.rows(q)
	if e := q.base.Error; e != nil {
		if !runTime(e) {
			return false, "engine: " + e.Message, nil
		}
		return true, "", nil // it fails while it runs; whether it does must not depend on what the analysis does not say
	}
	q.base.spread(q.analysis)
	if len(q.base.Columns) < len(q.analysis.Columns) &&
		slices.ContainsFunc(q.analysis.Tables, func(t string) bool { return strings.Contains(t, ".INFORMATION_SCHEMA.") }) {
		return false, "engine: its INFORMATION_SCHEMA has fewer columns than BigQuery's", nil
	}
	if f := q.shape(); f != nil {
		return false, "shape: " + f.what, f
	}
	return true, "", q.direct(l.values)
}

// runTime tells an error of the data from one of an engine that does not know a function.
func runTime(f *failure) bool {
	for _, words := range []string{"no such", "syntax error", "not implemented", "unsupported", "unimplemented", "Unsupported",
		"unexpected", "not supported", "interrupted", "deadline", "INVALID_ARGUMENT", "misuse", "ambiguous", "nil pointer", "panic",
		"too many", "failed to"} {
		if strings.Contains(f.Message, words) {
			return false
		}
	}
	return f.RunTime
}

// first looks at a query and counts it.
func (l *lab) first(q *query) bool {
	ok, why, f := l.look(q)
	if f != nil {
		l.found(q, f)
		return false
	}
	if !ok {
		l.report.refused(why, q)
		return false
	}
	var nodes []string
	if q.number%3 == 0 { // which costs as much as running it
		nodes = l.child.must(l.t, request{Op: "nodes", SQL: q.sql, Project: q.project}).Nodes
	}
	l.report.accepted(q, nodes)
	return true
}

// relevant chooses the changes to try, a few of columns that the query does not say it uses.
// Columns that it carries come first, then those in the bodies of what it calls: one that is
// neither carried nor used is seldom read at all.
func (l *lab) relevant(q *query, all []change, r *rand.Rand) []int {
	var chosen, carried, read, rest []int
	text := q.reach()
	bodies := strings.TrimPrefix(text, q.sql)
	for _, i := range r.Perm(len(all)) {
		c := &all[i]
		switch {
		case !q.matters(c):
		case slices.ContainsFunc(c.columns(), q.carries):
			carried = append(carried, i)
		case strings.Contains(bodies, c.cell.column.name):
			read = append(read, i)
		case strings.Contains(text, c.cell.column.name) || strings.Contains(text, c.table.columns[c.top].name) ||
			strings.Contains(text, "*"):
			rest = append(rest, i)
		}
	}
	for i := 0; i < max(len(carried), len(read), len(rest)) && len(chosen) < *tries; i++ {
		for _, list := range [][]int{carried, read, rest} {
			if i < len(list) && len(chosen) < *tries {
				chosen = append(chosen, list[i])
			}
		}
	}
	return chosen
}

// suspicions looks for canaries in the answer, and makes sure of each.
func (l *lab) suspicions(q *query, r *rand.Rand) {
	if q.base.Error == nil {
		for _, s := range q.canaries(l.known) {
			l.confirm(q, s, r)
		}
	}
}

// confirm changes the cell of a suspicion: if its characters then still are where they were, they
// were there by chance.
func (l *lab) confirm(q *query, s suspect, r *rand.Rand) {
	for _, t := range tables {
		for row := range t.rows {
			for top, v := range t.rows[row] {
				if !slices.Contains(v.leaves(), s.cell) {
					continue
				}
				other := &cell{column: s.cell.column}
				other.set(r)
				c := change{table: t, row: row, top: top, cell: s.cell, how: "other", to: other.text}
				l.alter(&c, false)
				changed := l.rows(q)
				l.alter(&c, true)
				changed.spread(q.analysis)
				if changed.Error == nil {
					after := *q
					after.base = changed
					if slices.ContainsFunc(after.canaries(l.known), func(o suspect) bool {
						return o.cell == s.cell && o.output == s.output && o.window == s.window
					}) {
						return
					}
				}
				name := q.analysis.Columns[s.output].Name
				l.found(q, &finding{what: "canary", detail: fmt.Sprintf("%q of %s shows in column %q", s.window, s.cell.text, name),
					change: &c, changed: changed})
				return
			}
		}
	}
}

// found makes a failing query smaller and keeps it.
func (l *lab) found(q *query, f *finding) {
	text := fmt.Sprintf("query %d: %s: %s\n%s", q.number, f.what, f.detail, q.sql)
	if l.report.room() {
		text += "\nmade smaller:\n" + l.show(l.minimise(q, f))
	}
	l.report.failed(text)
	if testing.Verbose() {
		l.t.Logf("found: %s", text)
	}
}

// show prints a query with what both sides say, and what the change does to it.
func (l *lab) show(q *query) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", q.sql)
	_, why, f := l.look(q)
	if why != "" {
		fmt.Fprintf(&b, "refused: %s\n", why)
	}
	if q.analysis != nil {
		for _, c := range q.analysis.Columns {
			fmt.Fprintf(&b, "  column %q %s %+v\n", c.Name, c.Type, c.Sources)
		}
		for _, u := range q.analysis.Uses {
			fmt.Fprintf(&b, "  uses %s in %s\n", u.Column, u.In)
		}
	}
	if q.base != nil {
		fmt.Fprintf(&b, "  answer  %s\n", answer(q.base))
	}
	if f != nil {
		fmt.Fprintf(&b, "  %s: %s\n", f.what, f.detail)
	}
	if q.last != nil && q.last.change != nil {
		fmt.Fprintf(&b, "  with %s\n  answer  %s\n  %s: %s\n", q.last.change, answer(q.last.changed), q.last.what, q.last.detail)
	}
	return b.String()
}

func answer(r *response) string {
	if r.Error != nil {
		return "error: " + r.Error.Message
	}
	text := fmt.Sprint(r.Rows)
	if len(text) > 1500 {
		text = text[:1500] + " …"
	}
	return fmt.Sprintf("%d rows %s", len(r.Rows), text)
}
