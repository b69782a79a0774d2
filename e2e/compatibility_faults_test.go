//go:build e2e && clients

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
)

// runner is the account that the demo's queries run under.
const runner = "crm-reader@demo.iam.gserviceaccount.com"

// clientFaults are a fault of each kind: of the request that runs the query, and of the gateway's
// own look at its job.
var clientFaults = []fakegoogle.Fault{
	{Name: "503-json"}, {Name: "502-html"}, {Name: "429-json"}, {Name: "500-json-empty"}, {Name: "drop"}, {Name: "empty"}, {Name: "slow"},
	{Name: "trickle"},
	{Name: "done-503-json"}, {Name: "done-502-html"}, {Name: "done-504-html-empty"}, {Name: "done-drop"}, {Name: "done-empty"},
	{Name: "half"}, {Name: "repeated"}, {Name: "replayed"},
	{Name: "503-json", Method: "jobs.get", Account: inspector}, {Name: "404-json", Method: "jobs.get", Account: inspector},
	{Name: "502-html", Method: "jobs.get", Account: inspector}, {Name: "drop", Method: "jobs.get", Account: inspector},
}

// Every client, by its ways of jobs.query and of jobs.insert, meets a fault that passes: its rows
// arrive, of one job, billed once; or, where the client does not look for a job that is there
// already, or does not repeat a request by itself, that it is told so, of one job at most.
func TestClientsThroughFaults(t *testing.T) {
	b := startBench(t)
	n := 0
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			ready(t, c.name)
			for _, way := range c.reads[:2] {
				for _, f := range clientFaults {
					n++
					marker := fmt.Sprintf("/* client %d */", n)
					if f.Method == "" { // of the first request that carries the query to where it runs
						f.Account, f.Contains = runner, marker
					}
					f.DelayMs = 300
					t.Run(strings.Join([]string{way, f.Method, f.Name}, "/"), func(t *testing.T) {
						b.fake(t, "/_fake/faults", f)
						defer b.disarm(t)
						s := b.run(t, c, way, "SELECT id, ssn FROM crm.customers WHERE ssn IS NOT NULL ORDER BY id LIMIT 3 "+marker)
						// Go's own repetition of a jobs.insert whose answer was lost meets "Already
						// Exists", and Go tells its user.
						told := strings.Contains(s.Error, "there is a job of this id already") && f.Method == ""
						// Java repeats no 5xx and no 429, whoever answers them:
						// https://github.com/googleapis/google-cloud-java/issues/12885
						alone := c.name == "java" && f.Method == "" && strings.Contains(strings.ToLower(s.Error), "try again")
						told = told || alone
						if !told && (s.Error != "" || len(s.Rows) != 3 || !maskedCell("ssn", s.Rows[0][1])) {
							t.Errorf("rows %v, error %q", s.Rows, s.Error)
						}
						if b.struck(t) != 1 {
							t.Error("the fault struck nothing")
						}
						ran := 0
						for _, j := range b.ran(t) {
							if strings.Contains(j.SQL, marker) {
								ran++
							}
						}
						if ran != 1 && !(alone && ran == 0) {
							t.Errorf("the stand-in ran %d jobs for it, want 1", ran)
						}
					})
				}
			}
		})
	}
	b.searchCanaries()
}
