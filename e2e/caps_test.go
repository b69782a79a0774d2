//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A35: what may be read may still not be carried away in bulk. The policy caps the rows of a result
// and the bytes that are read of it, over all pages and routes; and dry runs and reads of metadata
// are counted (A29).
func TestCaps(t *testing.T) {
	text, err := os.ReadFile("../policies/examples/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policy := strings.NewReplacer(
		"read: [demo.crm.*, demo.finance.*]\n", "read: [demo.crm.*, demo.finance.*]\n    max_rows: 10\n",
		"read: [demo.crm.*]\n", "read: [demo.crm.*]\n    max_result_bytes: 4KiB\n",
	).Replace(string(text))
	if strings.Count(policy, "max_r") != 2 {
		t.Fatal("the example policy has other rules than this test knows")
	}
	file := filepath.Join(t.TempDir(), "demo.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDemo(t, "--policy", file)

	refused := func(name string, a answer) {
		t.Helper()
		if a.Status != 403 || !strings.Contains(a.message(), "larger than the policy's cap") || strings.Contains(string(a.Body), `"rows"`) {
			t.Errorf("%s: status %d %s", name, a.Status, a.message())
		}
	}
	refused("24 rows of 10", d.query("agent", "SELECT id, name FROM crm.customers"))
	if a := d.query("agent", "SELECT id, name FROM crm.customers LIMIT 10"); a.Status != 200 || len(a.rows(t)) != 10 {
		t.Errorf("10 rows of 10: status %d %s", a.Status, a.message())
	}
	// Asking for them by small pages, without waiting and without totalRows, makes no difference.
	path := "/bigquery/v2/projects/demo/queries"
	for name, body := range map[string]map[string]any{
		"pages of one": {"query": "SELECT id FROM crm.customers", "useLegacySql": false, "maxResults": 1},
		"no rows yet":  {"query": "SELECT id FROM crm.customers", "useLegacySql": false, "maxResults": 0},
	} {
		refused(name, d.call("POST", path+"?fields=rows", d.token("agent"), body))
	}
	job := d.call("POST", "/bigquery/v2/projects/demo/jobs", d.token("agent"),
		map[string]any{"configuration": map[string]any{
			"query": map[string]any{"query": "SELECT id, name FROM crm.customers", "useLegacySql": false},
		}})
	id := job.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	for _, q := range []string{"?maxResults=1", "?startIndex=23", "?fields=rows", "?maxResults=5&fields=rows,pageToken"} {
		refused("page "+q, d.call("GET", path+"/"+id+q, d.token("agent"), nil))
	}

	a := d.query("analyst", "SELECT id, name FROM crm.customers")
	if a.Status != 200 {
		t.Fatalf("a small result: status %d %s", a.Status, a.message())
	}
	id = a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	read, got := len(a.Body), 0
	for got = range 20 {
		a = d.call("GET", fmt.Sprintf("%s/%s?maxResults=20", path, id), d.token("analyst"), nil)
		if a.Status != 200 {
			break
		}
		read += len(a.Body)
	}
	refused(fmt.Sprintf("page %d", got), a)
	if read > 4<<10 || got == 0 {
		t.Errorf("%d bytes of 4096 were read in %d pages", read, got)
	}
	refused("more than 4 KiB at once", d.query("analyst", "SELECT * FROM crm.orders"))

	limited := answer{}
	for range 700 {
		limited = d.call("POST", path, d.token("agent"), map[string]any{"query": "SELECT 1", "useLegacySql": false, "dryRun": true})
		if limited.Status != 200 {
			break
		}
	}
	if limited.Status != 403 || !strings.HasPrefix(limited.message(), "rateLimitExceeded: bqgate: ") {
		t.Errorf("700 dry runs at once: status %d %s", limited.Status, limited.message())
	}
	if a := d.query("agent", "SELECT 1"); a.Status != 200 {
		t.Errorf("a query after too many dry runs: status %d %s", a.Status, a.message())
	}
	d.searchCanaries()
}
