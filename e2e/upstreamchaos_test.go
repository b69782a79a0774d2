//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
)

var chaosMarker = regexp.MustCompile(`/\* chaos [0-9]+ \*/`)

var (
	chaosQueries = flag.Int("upstream-chaos", 150, "how many queries the test with a fault of the upstream at a random step makes")
	chaosSeed    = flag.Uint64("upstream-chaos-seed", 1, "where its faults come from")
)

// chaosStep is where a fault may strike. One that is aimed strikes the query that it was made for,
// whatever it is; the others strike who comes next, and say nothing for good.
type chaosStep struct {
	fault fakegoogle.Fault
	ways  string // of the queries that come to it
	aimed bool
}

var chaosSteps = []chaosStep{
	{fakegoogle.Fault{Method: "jobs.query"}, "query", true},
	{fakegoogle.Fault{Method: "jobs.insert"}, "insert", true},
	{fakegoogle.Fault{Method: "jobs.getQueryResults"}, "insert", true},
	{fakegoogle.Fault{Method: "jobs.get"}, "insert", true},
	{fakegoogle.Fault{Method: "jobs.get", Nth: 2}, "insert", true},
	{fakegoogle.Fault{Method: "jobs.get", Account: inspector}, "query", false},
	{fakegoogle.Fault{Method: "jobs.get", Account: inspector, Times: 2}, "query", false},
	{fakegoogle.Fault{Method: "tables.get"}, "query", false},
	{fakegoogle.Fault{Method: "dryRun"}, "query", false},
	{fakegoogle.Fault{Method: "rowAccessPolicies.list"}, "insert", false},
}

// Chaos at the upstream: queries of several clients at once, each with a random fault at a random
// step, and clients that repeat what the stock ones repeat. No query is lost, none runs twice, and
// none waits longer than its client does: it ends with its rows, or, where the fault is one that
// says never, with a refusal that the client does not repeat.
func TestChaosAtTheUpstream(t *testing.T) {
	d := startDemo(t)
	const workers = 6
	type outcome struct {
		marker, fault string
		lasting       bool
		answer        answer
		err           error
		took          time.Duration
	}
	queries := make(chan int)
	outcomes := make(chan outcome, *chaosQueries)
	var group sync.WaitGroup
	all := make([]*retrying, workers)
	for w := range workers {
		c := newRetrying(d, "agent")
		all[w] = c
		r := rand.New(rand.NewPCG(*chaosSeed, uint64(w)))
		group.Go(func() {
			for n := range queries {
				at := chaosSteps[r.IntN(len(chaosSteps))]
				f, id := at.fault, fmt.Sprintf("chaos-%d-%d", *chaosSeed, n)
				o := outcome{marker: fmt.Sprintf("/* chaos %d */", n)}
				sql := "SELECT id, ssn FROM crm.customers WHERE ssn IS NOT NULL ORDER BY id LIMIT 3 " + o.marker
				names := passing(f.Method)
				if at.aimed {
					names, f.Contains = fakegoogle.FaultNames(), id
				}
				f.Name, f.DelayMs = names[r.IntN(len(names))], 300
				o.fault, o.lasting = fmt.Sprintf("%s %s %s", f.Method, f.Account, f.Name), saysNever(f)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				if o.err = c.arm(ctx, f); o.err == nil {
					began := time.Now()
					if at.ways == "query" {
						o.answer, o.err = c.byQuery(ctx, sql+" -- "+id, id)
					} else {
						o.answer, o.err = c.byInsert(ctx, sql, id)
					}
					o.took = time.Since(began)
				}
				cancel()
				outcomes <- o
			}
		})
	}
	for n := range *chaosQueries {
		queries <- n
	}
	close(queries)
	group.Wait()
	close(outcomes)
	struck := d.struck(t)
	d.disarm(t)

	ran := map[string]int{}
	for _, j := range d.ran(t) {
		ran[chaosMarker.FindString(j.SQL)]++
	}
	rows, refused, longest := 0, 0, time.Duration(0)
	for o := range outcomes {
		longest = max(longest, o.took)
		switch {
		case o.err != nil:
			t.Errorf("%s: %v", o.fault, o.err)
		case o.answer.Status == 200:
			rows++
			if got := o.answer.rows(t); len(got) != 3 || !maskedCell("ssn", got[0][1]) {
				t.Errorf("%s: rows %v", o.fault, got)
			}
			if ran[o.marker] != 1 {
				t.Errorf("%s: the rows are there, and the stand-in ran %d jobs for them", o.fault, ran[o.marker])
			}
		default:
			refused++
			if !o.lasting {
				t.Errorf("%s: a fault that passes ends with %d %s", o.fault, o.answer.Status, o.answer.Body)
			}
			if ran[o.marker] > 1 {
				t.Errorf("%s: refused, and the stand-in ran %d jobs", o.fault, ran[o.marker])
			}
			if !strings.Contains(string(o.answer.Body), `"error"`) {
				t.Errorf("%s: %d %q is no error of BigQuery's", o.fault, o.answer.Status, o.answer.Body)
			}
		}
	}
	t.Logf("%d queries, %d requests struck: %d with rows, %d refused; the longest took %s", *chaosQueries, struck, rows, refused,
		longest.Round(time.Millisecond))
	if struck < *chaosQueries/4 {
		t.Errorf("only %d requests of %d queries were struck", struck, *chaosQueries)
	}
	for _, c := range all {
		c.keep()
	}
	d.searchCanaries()
}

// saysNever says whether a client is told by a fault not to try again.
func saysNever(f fakegoogle.Fault) bool {
	for _, status := range []string{"400", "403", "404", "413"} {
		if strings.Contains(f.Name, status+"-") {
			return true
		}
	}
	return false
}
