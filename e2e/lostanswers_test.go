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

// BigQuery may take each request of a SELECT for another one, whatever its requestId is. Then a job
// whose answer was lost has run for nothing; the rows that arrive are those of one job all the
// same.
func TestALostAnswerWhereRequestIDsDoNotCount(t *testing.T) {
	d := startDemo(t)
	c := newRetrying(d, "agent")
	d.fake(t, "/_fake/options", map[string]any{"request_ids_ignored": true})
	for i, name := range []string{"done-502-html", "done-503-json", "done-drop", "done-empty"} {
		t.Run(name, func(t *testing.T) {
			d.fake(t, "/_fake/faults", fakegoogle.Fault{Name: name, Method: "jobs.query"})
			defer d.disarm(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			marker := fmt.Sprintf("/* uncounted %d */", i)
			a, err := c.byQuery(ctx, "SELECT id, ssn FROM crm.customers WHERE ssn IS NOT NULL ORDER BY id LIMIT 3 "+marker,
				fmt.Sprintf("uncounted-%d", i))
			if err != nil || a.Status != 200 {
				t.Fatalf("%d %s, %v", a.Status, a.Body, err)
			}
			if rows := a.rows(t); len(rows) != 3 || !maskedCell("ssn", rows[0][1]) {
				t.Errorf("rows %v", rows)
			}
			ran := 0
			for _, j := range d.ran(t) {
				if strings.Contains(j.SQL, marker) {
					ran++
				}
			}
			if ran != 2 {
				t.Errorf("the stand-in ran %d jobs, want the lost one and another", ran)
			}
		})
	}
	c.keep()
	d.searchCanaries()
}

// A call too many, of the gateway's own account, at each of its own calls: BigQuery says so with
// 403.
func TestARateLimitLosesNoJob(t *testing.T) {
	d := startDemo(t)
	c := newRetrying(d, "agent")
	n := 0
	for _, method := range []string{"jobs.get", "tables.get", "rowAccessPolicies.list", "datasets.get"} {
		for _, reason := range []string{"rateLimitExceeded", "quotaExceeded", "userRateLimitExceeded"} {
			for _, way := range []string{"query", "insert"} {
				n++
				t.Run(method+"/"+reason+"/"+way, func(t *testing.T) {
					d.fake(t, "/_fake/faults", fakegoogle.Fault{
						Name: "403-json", Method: method, Account: inspector, Reason: reason,
						Message: "Exceeded rate limits: too many api requests per user per method for this user_method.",
					})
					defer d.disarm(t)
					d.oneJob(t, c, way, fmt.Sprintf("/* limited %d */", n), fmt.Sprintf("limited-%d", n))
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

// A fault in the middle of a release: the rows arrive by the polls of a client that goes on asking,
// of one job, and the approval is not used up by the fault.
func TestAFaultInTheMiddleOfARelease(t *testing.T) {
	d := startDemo(t)
	c := newRetrying(d, "agent")
	n := 0
	for where, fault := range map[string]fakegoogle.Fault{
		"the insert": {Method: "jobs.insert"}, "jobs.get of our own": {Method: "jobs.get", Account: inspector},
	} {
		for _, name := range passing(where) {
			n++
			t.Run(where+"/"+name, func(t *testing.T) {
				sql := fmt.Sprintf("SELECT employee, salary FROM finance.payroll ORDER BY employee LIMIT 3 /* release %d */", n)
				job := d.hold(t, "agent", sql)
				d.approve(t, job)
				fault.Name, fault.DelayMs = name, 300
				d.fake(t, "/_fake/faults", fault)
				defer d.disarm(t)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				a, err := c.send(ctx, "GET", "/queries/"+job, nil)
				if err == nil && a.Status == 200 {
					a, err = c.results(ctx, a)
				}
				if err != nil || a.Status != 200 || len(a.rows(t)) != 3 {
					t.Fatalf("%d %s, %v", a.Status, a.Body, err)
				}
				if d.struck(t) != 1 {
					t.Error("the fault struck nothing")
				}
				ran := 0
				for _, j := range d.ran(t) {
					if strings.Contains(j.SQL, fmt.Sprintf("/* release %d */", n)) {
						ran++
					}
				}
				if ran != 1 {
					t.Errorf("the stand-in ran %d jobs for it, want 1", ran)
				}
			})
		}
	}
	c.keep()
	d.searchCanaries()
}

// jobs.cancel that BigQuery answers with a status alone is a whole answer to its client.
func TestACancelWithoutABodyIsAnswered(t *testing.T) {
	d := startDemo(t)
	c := newRetrying(d, "agent")
	for _, name := range []string{"empty", "done-empty"} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if a, err := c.byInsert(ctx, "SELECT id FROM crm.customers", "cancel-"+name); err != nil || a.Status != 200 {
				t.Fatalf("%d %s, %v", a.Status, a.Body, err)
			}
			d.fake(t, "/_fake/faults", fakegoogle.Fault{Name: name, Method: "jobs.cancel"})
			defer d.disarm(t)
			a, err := c.once(ctx, "POST", "/jobs/cancel-"+name+"/cancel?projection=full", nil)
			job, ok := a.json(t)["job"].(map[string]any)
			if err != nil || a.Status != 200 || !ok || job["status"].(map[string]any)["state"] != "DONE" {
				t.Errorf("%d %s, %v", a.Status, a.Body, err)
			}
			if ref, ok := job["jobReference"].(map[string]any); !ok || ref["jobId"] != "cancel-"+name || d.struck(t) != 1 {
				t.Errorf("the answer is about %v", job["jobReference"])
			}
		})
	}
	c.keep()
	d.searchCanaries()
}
