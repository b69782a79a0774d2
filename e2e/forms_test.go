//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
)

// formsPolicy is the demo's policy under which agents may read what INFORMATION_SCHEMA says of crm.
func formsPolicy(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repoRoot(t), "policies", "examples", "demo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const before = "read: [demo.crm.*, demo.finance.*]"
	if !strings.Contains(string(text), before) {
		t.Fatal("the demo's policy has another rule for agents")
	}
	path := filepath.Join(t.TempDir(), "forms.yaml")
	policy := strings.Replace(string(text), before,
		"read: [demo.crm.*, demo.finance.*, demo.crm.INFORMATION_SCHEMA.*, demo.INFORMATION_SCHEMA.SCHEMATA]", 1)
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What BigQuery answers in other forms than one expects is served or refused for what it is,
// through the whole gateway; and what its errors tell of Google's machines goes nowhere.
func TestForms(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--policy", formsPolicy(t))
	t.Run("INFORMATION_SCHEMA", func(t *testing.T) { formsOfInformationSchema(t, d) })
	t.Run("location", func(t *testing.T) { formsElsewhere(t, d) })
	t.Run("page tokens", func(t *testing.T) { formsOfPageTokens(t, d) })
	t.Run("errors", func(t *testing.T) { formsOfErrors(t, d) })
	d.searchCanaries()
}

// Each view that is served answers SELECT * with every column that BigQuery documents.
func formsOfInformationSchema(t *testing.T, d *demo) {
	for from, columns := range map[string]int{
		"crm.INFORMATION_SCHEMA.COLUMNS": 21, "crm.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS": 11, "crm.INFORMATION_SCHEMA.PARTITIONS": 9,
		"crm.INFORMATION_SCHEMA.TABLE_OPTIONS": 6, "crm.INFORMATION_SCHEMA.TABLE_CONSTRAINTS": 10,
		"crm.INFORMATION_SCHEMA.KEY_COLUMN_USAGE":        9,
		"crm.INFORMATION_SCHEMA.CONSTRAINT_COLUMN_USAGE": 7, "crm.INFORMATION_SCHEMA.TABLES": 0, "INFORMATION_SCHEMA.SCHEMATA": 0,
	} {
		a := d.query("agent", "SELECT * FROM "+from)
		if columns == 0 { // ddl shows SQL
			if a.Status != 403 || !strings.Contains(a.message(), "name the columns you need") {
				t.Errorf("%s: %d %s", from, a.Status, a.message())
			}
			if a = d.query("agent", "SELECT * EXCEPT (ddl) FROM "+from); a.Status != 200 || len(a.rows(t)) == 0 {
				t.Errorf("%s without ddl: %d %s", from, a.Status, a.message())
			}
			continue
		}
		if a.Status != 200 {
			t.Errorf("%s: %d %s", from, a.Status, a.message())
			continue
		}
		fields := a.json(t)["schema"].(map[string]any)["fields"].([]any)
		if len(fields) != columns {
			t.Errorf("%s: %d columns, want %d", from, len(fields), columns)
		}
	}
}

// Data outside of the US and EU multi-regions: the gateway names the job's location by itself.
func formsElsewhere(t *testing.T, d *demo) {
	d.fake(t, "/_fake/options", map[string]any{"location": "europe-west3"})
	defer d.fake(t, "/_fake/options", map[string]any{"location": "US"})
	a := d.query("agent", "SELECT id, ssn FROM crm.customers ORDER BY id LIMIT 1")
	if a.Status != 200 || len(a.rows(t)) != 1 {
		t.Fatalf("status %d %s", a.Status, a.message())
	}
	job := a.json(t)["jobReference"].(map[string]any)
	if job["location"] != "europe-west3" {
		t.Errorf("the job is in %v", job["location"])
	}
	id := job["jobId"].(string)
	for _, path := range []string{"/queries/%s", "/jobs/%s", "/queries/%s?location=europe-west3", "/jobs/%s?location=EUROPE-WEST3",
		"/jobs/demo:europe-west3.%s"} {
		if a := d.call("GET", "/bigquery/v2/projects/demo"+fmt.Sprintf(path, id), d.token("agent"), nil); a.Status != 200 {
			t.Errorf("%s: %d %s", path, a.Status, a.message())
		}
	}
	if a := d.call("GET", "/bigquery/v2/projects/demo/jobs/"+id+"?location=US", d.token("agent"), nil); a.Status == 200 {
		t.Error("the job is found in another location")
	}
	if a := d.call("POST", "/bigquery/v2/projects/demo/jobs/"+id+"/cancel", d.token("agent"), nil); a.Status != 200 {
		t.Errorf("cancel: %d %s", a.Status, a.message())
	}
}

// Tokens of any alphabet lead from page to page.
func formsOfPageTokens(t *testing.T, d *demo) {
	ids, token := map[string]bool{}, ""
	first := d.call("POST", "/bigquery/v2/projects/demo/queries", d.token("agent"),
		map[string]any{"query": "SELECT id FROM crm.customers", "useLegacySql": false, "maxResults": 7})
	id := ""
	for page := first; ; {
		if page.Status != 200 {
			t.Fatalf("status %d %s", page.Status, page.message())
		}
		for _, row := range page.rows(t) {
			ids[fmt.Sprint(row[0])] = true
		}
		answer := page.json(t)
		id = answer["jobReference"].(map[string]any)["jobId"].(string)
		next, more := answer["pageToken"].(string)
		if !more {
			break
		}
		token = next
		page = d.call("GET", "/bigquery/v2/projects/demo/queries/"+id+"?maxResults=7&pageToken="+url.QueryEscape(token), d.token("agent"),
			nil)
	}
	if len(ids) != 24 {
		t.Errorf("%d rows in all, want 24", len(ids))
	}
	padded := 0
	for _, r := range d.arrived() {
		if q, err := url.ParseQuery(r.Query); err == nil && strings.HasSuffix(r.Path, "/queries/"+id) &&
			strings.HasSuffix(q.Get("pageToken"), "=") {
			padded++
		}
	}
	if padded != 3 {
		t.Errorf("%d requests reached BigQuery with a padded token, want 3", padded)
	}
}

// The words and the debug info of an error stay inside, whatever the error is and whoever gets it.
func formsOfErrors(t *testing.T, d *demo) {
	for name, sql := range map[string]string{
		"while it runs":  "SELECT CAST(name AS INT64) AS n FROM crm.customers",
		"clear, by data": "SELECT CAST(status AS INT64) AS n FROM crm.orders",
		"by its reason":  "SELECT id FROM crm.orders -- fake:fail=resourcesExceeded",
	} {
		a := d.query("agent", sql)
		if a.Status != 400 && a.Status != 403 || strings.Contains(string(a.Body), fakegoogle.InternalsCanary) ||
			strings.Contains(string(a.Body), "ebugInfo") {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	inserted := d.call("POST", "/bigquery/v2/projects/demo/jobs", d.token("agent"), map[string]any{
		"jobReference": map[string]any{"projectId": "demo", "jobId": "forms_fails"},
		"configuration": map[string]any{
			"query": map[string]any{"query": "SELECT CAST(status AS INT64) AS n FROM crm.orders", "useLegacySql": false},
		},
	})
	if inserted.Status != 200 {
		t.Fatalf("insert: %d %s", inserted.Status, inserted.message())
	}
	for _, path := range []string{"/queries/forms_fails", "/jobs/forms_fails"} {
		a := d.call("GET", "/bigquery/v2/projects/demo"+path, d.token("agent"), nil)
		if !strings.Contains(string(a.Body), "invalidQuery") || strings.Contains(string(a.Body), "ebugInfo") {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	for _, method := range []string{"jobs.query", "jobs.get", "tables.get", "dryRun"} {
		for _, status := range []int{400, 403, 404, 429, 500, 503} {
			d.fake(t, "/_fake/faults", map[string]any{"name": fmt.Sprintf("%d-json", status), "method": method, "times": -1})
			a := d.query("agent", fmt.Sprintf("SELECT id, %d AS n, %q AS m FROM crm.orders", status, method))
			if a.Status == 200 && method == "jobs.query" || strings.Contains(string(a.Body), fakegoogle.InternalsCanary) {
				t.Errorf("%s answers %d: %d %s", method, status, a.Status, a.Body)
			}
			d.forgetFaults(t)
		}
	}
}

// forgetFaults disarms all faults of the stand-in.
func (d *demo) forgetFaults(t *testing.T) {
	t.Helper()
	req, err := http.NewRequest(http.MethodDelete, d.Fake+"/_fake/faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}
