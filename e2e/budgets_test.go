//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// budgetPolicy is the example policy with a budget in the rules of agents and analysts.
func budgetPolicy(t *testing.T, agents, analysts string) string {
	t.Helper()
	text, err := os.ReadFile("../policies/examples/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policy := strings.NewReplacer(
		"read: [demo.crm.*, demo.finance.*]\n", "read: [demo.crm.*, demo.finance.*]\n    budget: "+agents+"\n",
		"read: [demo.crm.*]\n", "read: [demo.crm.*]\n    budget: "+analysts+"\n",
	).Replace(string(text))
	if strings.Count(policy, "budget: ") != 2 {
		t.Fatal("the example policy has other rules than this test knows")
	}
	file := filepath.Join(t.TempDir(), "demo.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// spentOf is what `bqgate budgets list` says of a rule's budget.
func (d *demo) spentOf(rule string) (used, reserved, left int64) {
	d.t.Helper()
	binary := filepath.Join(repoRoot(d.t), "build", "bin", "bqgate-demo")
	out, err := exec.Command(binary, "budgets", "list", "--config", filepath.Join(d.dir, "bqgate.yaml"), "--json").Output()
	if err != nil {
		d.t.Fatalf("budgets list: %v", err)
	}
	var list struct {
		Budgets []struct {
			Rule                 string
			Used, Reserved, Left int64
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		d.t.Fatal(err)
	}
	for _, l := range list.Budgets {
		if strings.HasSuffix(l.Rule, rule) {
			return l.Used, l.Reserved, l.Left
		}
	}
	return 0, 0, -1
}

const floor = 10 << 20 // what BigQuery bills at least for a table

// A35, A52: what may be spent in a day is spent once, by whatever run and however many at once, and
// a process that is killed gives nothing back.
func TestBudgets(t *testing.T) {
	d := startDemo(t, "--policy", budgetPolicy(t, "{bytes: 1GiB, per: day, by: group}", "[{bytes: 100MiB, per: day, by: group}]"))
	query := func(who string) answer {
		return d.call("POST", "/bigquery/v2/projects/demo/queries", d.token(who),
			map[string]any{"query": "SELECT name FROM crm.customers", "useLegacySql": false, "useQueryCache": false})
	}
	used, reserved, left := d.spentOf("analysts-read-crm")
	if left != -1 {
		t.Fatalf("before anything ran: %d %d %d", used, reserved, left)
	}

	// 64 callers at the edge: 100 MiB are ten times what a table is billed at least.
	var ran, refused atomic.Int64
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			switch a := query("analyst"); {
			case a.Status == 200:
				ran.Add(1)
			case a.Status == 403 && strings.HasPrefix(a.message(), "quotaExceeded: bqgate: refused: "):
				refused.Add(1)
			default:
				t.Errorf("status %d %s", a.Status, a.message())
			}
		})
	}
	group.Wait()
	if ran.Load() > 10 || ran.Load()+refused.Load() != 64 || ran.Load() < 1 {
		t.Errorf("%d ran and %d were refused; 10 fit", ran.Load(), refused.Load())
	}
	settled := func() bool {
		used, reserved, _ := d.spentOf("analysts-read-crm")
		return reserved == 0 && used == ran.Load()*floor
	}
	for end := time.Now().Add(30 * time.Second); !settled() && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	if used, reserved, left := d.spentOf("analysts-read-crm"); used != ran.Load()*floor || reserved != 0 || left != 100<<20-used {
		t.Errorf("%d used, %d reserved, %d left after %d queries", used, reserved, left, ran.Load())
	}
	for ran.Load() < 10 { // what was reserved beyond the bill is free again
		if a := query("analyst"); a.Status != 200 {
			t.Fatalf("query %d of 10: status %d %s", ran.Load(), a.Status, a.message())
		}
		ran.Add(1)
		for end := time.Now().Add(30 * time.Second); !settled() && time.Now().Before(end); {
			time.Sleep(100 * time.Millisecond)
		}
	}
	over := query("analyst")
	tomorrow := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Format(time.RFC3339)
	for _, says := range []string{"nothing is left", "100 MiB a day for each group", "free again at " + tomorrow, "\nRule "} {
		if over.Status != 403 || !strings.Contains(over.message(), says) {
			t.Errorf("the eleventh query: status %d %q, want %q", over.Status, over.message(), says)
		}
	}
	if a := query("agent"); a.Status != 200 {
		t.Errorf("another group: status %d %s", a.Status, a.message())
	}

	// The gateway is killed and begins anew.
	if err := syscall.Kill(d.pidsOf(t, "bqgate")[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		a := query("analyst")
		if strings.HasPrefix(a.message(), "quotaExceeded: ") {
			break
		}
		if a.Status == 200 || time.Now().After(end) {
			t.Fatalf("after a crash: status %d %s", a.Status, a.message())
		}
	}
	d.searchCanaries()
}

// Rows are counted before they leave, each time they leave; beyond the budget no row does.
func TestRowBudgets(t *testing.T) {
	d := startDemo(t, "--policy", budgetPolicy(t, "{rows: 30, per: day, by: owner}", "{rows: 100000, per: day, by: owner}"))
	page := func(n int) answer {
		return d.call("POST", "/bigquery/v2/projects/demo/queries", d.token("agent"),
			map[string]any{"query": fmt.Sprintf("SELECT id FROM crm.customers LIMIT %d", n), "useLegacySql": false})
	}
	a := page(20)
	if a.Status != 200 || len(a.rows(t)) != 20 {
		t.Fatalf("20 rows of 30: status %d %s", a.Status, a.message())
	}
	id := a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	again := d.call("GET", "/bigquery/v2/projects/demo/queries/"+id, d.token("agent"), nil)
	if again.Status != 403 || !strings.HasPrefix(again.message(), "quotaExceeded: ") || strings.Contains(string(again.Body), `"rows"`) {
		t.Errorf("the same 20 rows again: status %d %s", again.Status, again.message())
	}
	if a := page(10); a.Status != 200 {
		t.Errorf("10 more: status %d %s", a.Status, a.message())
	}
	if a := page(1); a.Status != 403 || !strings.Contains(a.message(), "would return rows") {
		t.Errorf("one more: status %d %s", a.Status, a.message())
	}
	d.searchCanaries()
}

// Many rows of a table in one of the result cost what they are worth.
func TestRowBudgetsOfPackedRows(t *testing.T) {
	d := startDemo(t, "--policy", budgetPolicy(t, "{rows: 30, per: day, by: owner}", "{rows: 100000, per: day, by: owner}"))
	ask := func(sql string) answer {
		return d.call("POST", "/bigquery/v2/projects/demo/queries", d.token("agent"), map[string]any{"query": sql, "useLegacySql": false})
	}
	if a := ask("SELECT ARRAY_AGG(id) AS ids FROM (SELECT id FROM crm.customers LIMIT 20)"); a.Status != 200 {
		t.Fatalf("20 members of 30: status %d %s", a.Status, a.message())
	}
	if a := ask("SELECT ARRAY_AGG(STRUCT(id, name)) AS all_of_them FROM (SELECT id, name FROM crm.customers LIMIT 20)"); a.Status != 403 ||
		!strings.HasPrefix(a.message(), "quotaExceeded: ") {
		t.Errorf("20 more: status %d %s", a.Status, a.message())
	}
	if a := ask("SELECT id FROM crm.customers LIMIT 10"); a.Status != 200 {
		t.Errorf("the 10 that are left: status %d %s", a.Status, a.message())
	}
	d.searchCanaries()
}

// Beyond a budget that holds, a reviewer decides.
func TestHeldBudget(t *testing.T) {
	d := startDemo(t, "--policy", budgetPolicy(t, "{bytes: 10MiB, per: day, by: owner, over: hold, reviewers: [data-owners]}",
		"{rows: 100000, per: day, by: owner}"))
	if a := d.query("agent", "SELECT id FROM crm.customers"); a.Status != 200 {
		t.Fatalf("within the budget: status %d %s", a.Status, a.message())
	}
	id := d.hold(t, "agent", "SELECT name FROM crm.customers")
	if why := fmt.Sprint(d.request(t, "lead", id)["why"]); !strings.Contains(why, "goes beyond the budget of 10 MiB a day") {
		t.Errorf("the reviewer reads %q", why)
	}
	d.approve(t, id)
	a := d.poll(t, d.token("agent"), id)
	if a.Status != 200 || len(a.rows(t)) == 0 {
		t.Errorf("approved: status %d %s", a.Status, a.message())
	}
}

// A query that BigQuery refused, or whose client went away, costs nothing; the same request, sent
// again, costs what it is billed.
func TestBudgetsOfWhatIsSentAgain(t *testing.T) {
	d := startDemo(t, "--policy", budgetPolicy(t, "{bytes: 60MiB, per: day, by: group}", "{bytes: 60MiB, per: day, by: group}"))
	body := func(i int) map[string]any {
		return map[string]any{
			"query": fmt.Sprintf("SELECT name FROM crm.customers WHERE id = %d", i), "useLegacySql": false,
			"requestId": fmt.Sprintf("again-%d", i),
		}
	}
	query := func(who string, i int) answer {
		return d.call("POST", "/bigquery/v2/projects/demo/queries", d.token(who), body(i))
	}
	reserved := func(rule string) func() bool {
		return func() bool { _, r, _ := d.spentOf(rule); return r == 0 }
	}
	ran := int64(0)
	for i := range 8 {
		d.fake(t, "/_fake/faults", map[string]any{"name": "403-json", "method": "jobs.query", "reason": "rateLimitExceeded"})
		query("analyst", i) // refused, by BigQuery or for the budget
		if a := query("analyst", i); a.Status == 200 {
			ran++
		}
		for end := time.Now().Add(30 * time.Second); !reserved("analysts-read-crm")() && time.Now().Before(end); {
			time.Sleep(100 * time.Millisecond)
		}
	}
	if used, _, _ := d.spentOf("analysts-read-crm"); ran < 1 || ran > 6 || used != ran*floor {
		t.Errorf("%d queries ran, and %d are counted", ran, used)
	}
}
