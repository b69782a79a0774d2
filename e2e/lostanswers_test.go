//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
)

// inspector is the gateway's own account in the demo.
const inspector = "bqgate-inspection@demo.iam.gserviceaccount.com"

// One fault at one step, and a client that repeats its request as the stock ones do: the rows
// arrive, of one job, which the stand-in ran once.
func TestOneFaultLosesNoJob(t *testing.T) {
	d := startDemo(t)
	c := newRetrying(d, "agent")
	steps := map[string]struct {
		fault fakegoogle.Fault
		ways  []string
	}{
		"jobs.query":           {fakegoogle.Fault{Method: "jobs.query"}, []string{"query"}},
		"jobs.insert":          {fakegoogle.Fault{Method: "jobs.insert"}, []string{"insert"}},
		"jobs.get of our own":  {fakegoogle.Fault{Method: "jobs.get", Account: inspector}, []string{"query", "insert"}},
		"jobs.getQueryResults": {fakegoogle.Fault{Method: "jobs.getQueryResults"}, []string{"insert"}},
	}
	n := 0
	for where, step := range steps {
		for _, name := range passing(where) {
			for _, way := range step.ways {
				n++
				t.Run(fmt.Sprintf("%s/%s/%s", where, name, way), func(t *testing.T) {
					fault := step.fault
					fault.Name = name
					d.fake(t, "/_fake/faults", fault)
					defer d.disarm(t)
					d.oneJob(t, c, way, fmt.Sprintf("/* lost %d */", n), fmt.Sprintf("lost-%d-%s", n, way))
					if d.struck(t) != 1 {
						t.Error("the fault struck nothing")
					}
				})
			}
		}
	}
	c.keep()
	d.searchCanaries()
}

// passing are the faults that the libraries repeat a request after.
func passing(where string) []string {
	var names []string
	for _, name := range fakegoogle.FaultNames() {
		lasting := strings.Contains(name, "400") || strings.Contains(name, "403") || strings.Contains(name, "404") ||
			strings.Contains(name, "413")
		if !lasting || where == "jobs.get of our own" && strings.HasPrefix(name, "404-") {
			names = append(names, name)
		}
	}
	return names
}

// oneJob runs a query that bears the marker, and wants its rows, masked, of exactly one job.
func (d *demo) oneJob(t *testing.T, c *retrying, way, marker, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sql := "SELECT id, ssn FROM crm.customers WHERE ssn IS NOT NULL ORDER BY id LIMIT 3 " + marker
	run := c.byQuery
	if way == "insert" {
		run = c.byInsert
	}
	a, err := run(ctx, sql, id)
	if err != nil || a.Status != 200 {
		t.Fatalf("%d %s, %v", a.Status, a.Body, err)
	}
	rows := a.rows(t)
	if len(rows) != 3 || !maskedCell("ssn", rows[0][1]) {
		t.Errorf("rows %v", rows)
	}
	var ran []fakegoogle.JobRecord
	for _, j := range d.ran(t) {
		if strings.Contains(j.SQL, marker) {
			ran = append(ran, j)
		}
	}
	if len(ran) != 1 {
		t.Errorf("the stand-in ran %d jobs for it, want 1: %v", len(ran), ran)
	}
}
