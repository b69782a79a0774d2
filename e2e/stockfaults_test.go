//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
)

// stockFaults has unmodified Python meet faults that pass, each by both of its ways to run a query,
// several at once: [step, fault, way, marker, rows or error].
const stockFaults = `
import concurrent.futures
fake = sys.argv[1]
def arm(fault):
    r = urllib.request.Request(fake + "/_fake/faults", data=json.dumps(fault).encode(), headers={"content-type": "application/json"})
    urllib.request.urlopen(r).read()
def one(case):
    step, fault, way, marker = case["step"], case["fault"], case["way"], case["marker"]
    arm(fault)
    sql = "SELECT id, ssn FROM crm.customers WHERE ssn IS NOT NULL ORDER BY id LIMIT 3 " + marker
    try:
        rows = client.query_and_wait(sql) if way == "query_and_wait" else client.query(sql).result()
        got = [[r["id"], r["ssn"]] for r in rows]
    except Exception as e:
        got = "%s: %s" % (type(e).__name__, e)
    return {"step": step, "fault": fault["name"], "way": way, "marker": marker, "got": got}
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for out in pool.map(one, json.load(open(sys.argv[2]))):
        print(json.dumps(out))
`

// Stock Python through every fault that passes: its rows arrive, of one job.
func TestStockPythonThroughEveryFaultThatPasses(t *testing.T) {
	d := startDemo(t)
	type stockCase struct {
		Step   string           `json:"step"`
		Fault  fakegoogle.Fault `json:"fault"`
		Way    string           `json:"way"`
		Marker string           `json:"marker"`
	}
	var cases []stockCase
	for _, step := range []string{"jobs.query", "jobs.insert", "jobs.get", "jobs.getQueryResults"} {
		for _, name := range passing(step) {
			for _, way := range []string{"query_and_wait", "query"} {
				c := stockCase{step, fakegoogle.Fault{Name: name, Method: step, DelayMs: 200}, way,
					fmt.Sprintf("/* stock %d */", len(cases))}
				switch step {
				case "jobs.query", "jobs.insert":
					if (step == "jobs.query") != (way == "query_and_wait") {
						continue
					}
					c.Fault.Contains = c.Marker
				case "jobs.get":
					if way == "query" {
						continue // the same of the gateway's own
					}
					c.Fault.Account = inspector
				default:
					if way == "query_and_wait" {
						continue // it has its rows by jobs.query
					}
				}
				cases = append(cases, c)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "cases.json")
	text, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out := d.script(t, "agent", stockFaults, d.Fake, file)
	ran := map[string]int{}
	for _, j := range d.ran(t) {
		if i := strings.Index(j.SQL, "/* stock "); i >= 0 {
			ran[j.SQL[i:]]++
		}
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines {
		var r struct {
			Step, Fault, Way, Marker string
			Got                      any
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		t.Run(fmt.Sprintf("%s/%s/%s", r.Step, r.Fault, r.Way), func(t *testing.T) {
			rows, ok := r.Got.([]any)
			if !ok || len(rows) != 3 || !maskedCell("ssn", rows[0].([]any)[1]) {
				t.Errorf("%v", r.Got)
			}
			if ran[r.Marker] != 1 {
				t.Errorf("the stand-in ran %d jobs for it, want 1", ran[r.Marker])
			}
		})
	}
	if len(lines) != len(cases) {
		t.Errorf("%d of %d queries ended", len(lines), len(cases))
	}
	t.Logf("%d queries, %d requests struck", len(cases), d.struck(t))
	d.searchCanaries()
}
