//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/e2e/canaries"
)

// A34: BigQuery applies row access policies to the account that a query runs under, and every agent
// runs under the same one. An agent asks for the account's rows on every way that leads to them.
func attackRowAccess(t *testing.T, d *demo) {
	const (
		queries = "/bigquery/v2/projects/demo/queries"
		jobs    = "/bigquery/v2/projects/demo/jobs"
		literal = "kestrel-zone-88" // of the policies' predicates
	)
	// All requests but those that ask for row access policies and schemas: what ran.
	ran := func(name string) (n int) {
		for _, r := range d.arrived() {
			if r.Service == "bigquery" && r.Method == http.MethodPost && strings.Contains(r.Body, name) {
				n++
			}
		}
		return n
	}
	for _, sql := range []string{
		"SELECT id, region FROM crm.regional",
		"SELECT r.region FROM crm.people p JOIN crm.regional r USING (id)",
		"SELECT name FROM crm.people WHERE EXISTS (SELECT 1 FROM crm.regional WHERE region = 'north')",
		"SELECT COUNT(*) AS n FROM demo.crm.regional",
		"SELECT COUNT(DISTINCT ssn) AS n FROM crm.regional", // runs on masked values, were it not for the policies
		"SELECT region FROM crm.regions",
		"SELECT label FROM crm.regions_again",
		"SELECT lib.first_region() AS r",
		"SELECT region FROM lib.regions_after(0)",
		"SELECT region FROM crm.regional FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)",
		"SELECT id FROM crm.people UNION ALL SELECT id FROM crm.regional",
	} {
		config := map[string]any{"query": sql, "useLegacySql": false}
		for form, a := range map[string]answer{
			"query":  d.query("agent", sql),
			"insert": d.call("POST", jobs, d.token("agent"), map[string]any{"configuration": map[string]any{"query": config}}),
			"dry run": d.call("POST", queries, d.token("agent"), map[string]any{
				"query": sql, "useLegacySql": false, "dryRun": true,
			}),
		} {
			if a.Status != 403 || !strings.Contains(a.message(), "crm.regional has row access policies") ||
				!strings.Contains(a.message(), `row_access_policies: ["demo.crm.regional"]`) {
				t.Errorf("%s: %s: status %d %s", form, sql, a.Status, a.message())
			}
		}
	}
	for _, sql := range []string{"SELECT id FROM `crm.sales_*`", "SELECT id FROM `crm.sales_*` WHERE _TABLE_SUFFIX = '1'"} {
		if a := d.query("agent", sql); a.Status != 403 ||
			!strings.Contains(a.message(), "crm.sales_* takes in a table that has row access policies") {
			t.Errorf("%s: status %d %s", sql, a.Status, a.message())
		}
	}
	for sql, want := range map[string]string{
		"SELECT filter_predicate FROM crm.INFORMATION_SCHEMA.ROW_ACCESS_POLICIES": "the values by which row " +
			"access policies choose rows",
		"CREATE OR REPLACE ROW ACCESS POLICY mine ON crm.regional GRANT TO ('allUsers') FILTER USING (TRUE)": "CREATE_ROW_ACCESS_POLICY " +
			"is not allowed",
		"DROP ALL ROW ACCESS POLICIES ON crm.regional": "is not allowed",
	} {
		if a := d.query("agent", sql); a.Status != 403 || !strings.Contains(a.message(), want) {
			t.Errorf("%s: status %d %s, want 403 with %q", sql, a.Status, a.message(), want)
		}
	}
	if a := d.call("GET", "/bigquery/v2/projects/demo/datasets/crm/tables/regional/rowAccessPolicies", d.token("agent"),
		nil); a.Status != 403 {
		t.Errorf("the list itself: status %d", a.Status)
	}
	if n := ran("regional") + ran("regions") + ran("sales_"); n != 0 {
		t.Errorf("%d requests for the rows went upstream", n)
	}
	if a := d.query("agent", "SELECT id FROM crm.sales_1"); a.Status != 200 {
		t.Errorf("a table without policies beside one that has some: status %d %s", a.Status, a.message())
	}
	// A rule names the table for the analysts: the operator has said that they may see what the
	// account sees.
	for sql, want := range map[string]string{
		"SELECT id, region, ssn FROM crm.regional ORDER BY id": "[[1 north <nil>] [2 south <nil>]]",
		"SELECT region FROM crm.regions ORDER BY region":       "[[north] [south]]",
	} {
		if a := d.query("analyst", sql); a.Status != 200 || fmt.Sprint(a.rows(t)) != want {
			t.Errorf("analyst: %s: status %d %s %s", sql, a.Status, a.message(), a.Body)
		}
	}
	// Asked with the inspection account, of each table once, and never when a result is read.
	asked := func(table string) (n int) {
		for _, r := range d.arrived() {
			if strings.HasSuffix(r.Path, "/tables/"+table+"/rowAccessPolicies") {
				n++
				if r.Account != "bqgate-inspection@demo.iam.gserviceaccount.com" || r.Method != http.MethodGet {
					t.Errorf("%s asks %s %s", r.Account, r.Method, r.Path)
				}
			}
		}
		return n
	}
	late := d.query("agent", "SELECT id FROM crm.later")
	if late.Status != 200 {
		t.Fatalf("later: status %d %s", late.Status, late.message())
	}
	seed(t, d, `CREATE ROW ACCESS POLICY late ON crm.later GRANT TO ("user:ada@demo.example") FILTER USING (id = 1 OR '`+literal+`' = '')`)
	job := late.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	if a := d.call("GET", queries+"/"+job, d.token("agent"), nil); a.Status != 200 || fmt.Sprint(a.rows(t)) != "[[7]]" {
		t.Errorf("a result of before the policy: status %d %s", a.Status, a.message())
	}
	for table, want := range map[string]int{"later": 1, "regional": 1, "sales_1": 1, "sales_2": 1} {
		if n := asked(table); n != want {
			t.Errorf("row access policies of %s: asked %d times, want %d", table, n, want)
		}
	}
	// An inspection account that may not ask closes the tables that it has not asked of.
	d.fake(t, "/_fake/options", map[string]any{"withhold_row_access": true})
	if a := d.query("agent", "SELECT id FROM crm.unasked"); a.Status != 403 ||
		!strings.Contains(a.message(), "lacks the permission bigquery.rowAccessPolicies.list") || ran("unasked") != 0 {
		t.Errorf("without the permission: status %d %s", a.Status, a.message())
	}
	if a := d.query("analyst", "SELECT id FROM crm.regional"); a.Status != 200 {
		t.Errorf("what is named needs no permission: status %d %s", a.Status, a.message())
	}
	d.fake(t, "/_fake/options", map[string]any{"withhold_row_access": false})
	if a := d.query("agent", "SELECT id FROM crm.unasked"); a.Status != 200 {
		t.Errorf("with the permission again: status %d %s", a.Status, a.message())
	}
	// What the policies say is nowhere: not in answers and logs, not in the journal once it is
	// opened, not in what went to Google.
	places := d.written()
	journal, err := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "audit", "list", "--dir", d.AuditDir,
		"--key-file", d.AuditKeyFile, "--json").Output()
	if err != nil || !bytes.Contains(journal, []byte("demo.crm.regional")) {
		t.Errorf("the journal does not tell of the refusals: %v", err)
	}
	places["journal"] = journal
	for _, r := range d.arrived() {
		places["upstream"] = append(places["upstream"], fmt.Sprintln(r.Path, r.Query, r.Header, r.Body)...)
	}
	for form, v := range canaries.Forms(literal) {
		for place, text := range places {
			if bytes.Contains(text, []byte(v)) {
				t.Errorf("a policy's predicate (%s) is in %s", form, place)
			}
		}
	}
}

// seed runs SQL past the gateway.
func seed(t *testing.T, d *demo, sql string) {
	t.Helper()
	resp, err := http.Post(d.Fake+"/_fake/seed", "text/plain", strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("seed: status %d", resp.StatusCode)
	}
}
