//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// columns are the names of the answer's schema.
func (a answer) columns(t testing.TB) []string {
	t.Helper()
	schema, _ := a.json(t)["schema"].(map[string]any)
	fields, _ := schema["fields"].([]any)
	var names []string
	for _, f := range fields {
		names = append(names, fmt.Sprint(f.(map[string]any)["name"]))
	}
	return names
}

// Names tell nothing of what is in a column: a view's list of names, a second column of one name,
// and the columns of metadata go by what they are, and what they are called is BigQuery's.
func TestNames(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--policy", "e2e/testdata/names/policy.yaml", "--seed", "e2e/testdata/names/data.sql")
	t.Run("views", func(t *testing.T) { namesOfViews(t, d) })
	t.Run("doubled", func(t *testing.T) { namesThatAreDoubled(t, d) })
	t.Run("pages", func(t *testing.T) { pagesOfDoubledNames(t, d) })
	t.Run("metadata", func(t *testing.T) { columnsOfMetadata(t, d) })
	d.searchCanaries()
}

type named struct{ sql, columns, rows string }

func (n named) try(t *testing.T, d *demo) {
	t.Helper()
	a := d.query("agent", n.sql)
	if a.Status != 200 {
		t.Fatalf("%s: status %d %s", n.sql, a.Status, a.message())
	}
	if got := fmt.Sprint(a.columns(t), a.rows(t)); got != n.columns+" "+n.rows {
		t.Errorf("%s: %s, want %s %s", n.sql, got, n.columns, n.rows)
	}
}

func namesOfViews(t *testing.T, d *demo) {
	for _, c := range []named{
		{"SELECT customer, tax_no FROM crm.named ORDER BY customer", "[customer tax_no]",
			"[[Ada XXXXX1001] [Bob XXXXX1002] [Cy XXXXX1003]]"},
		{"SELECT * FROM crm.named ORDER BY customer LIMIT 1", "[customer tax_no]", "[[Ada XXXXX1001]]"},
		{"SELECT name, ssn FROM crm.swapped ORDER BY ssn LIMIT 1", "[name ssn]", "[[XXXXX1001 Ada]]"},
		{"SELECT customer, tax_no FROM crm.over_named ORDER BY tax_no LIMIT 1", "[customer tax_no]", "[[XXXXX1001 Ada]]"},
		{"SELECT LENGTH(tax_no) AS l, customer FROM crm.named WHERE customer = 'Ada'", "[l customer]", "[[9 Ada]]"},
		{"SELECT COUNT(*) AS n FROM crm.named WHERE tax_no = '911-55-1001'", "[n]", "[[0]]"},
		{"SELECT COUNT(*) AS n FROM crm.swapped WHERE name = '911-55-1001'", "[n]", "[[0]]"},
		{"SELECT COUNT(*) AS n FROM crm.swapped WHERE ssn = 'Ada'", "[n]", "[[1]]"},
		{"SELECT COUNT(*) AS n FROM crm.over_named WHERE customer LIKE '911%'", "[n]", "[[0]]"},
		{"SELECT * FROM crm.star ORDER BY id", "[id ssn card]", "[[1 XXXXX2001 <nil>] [2 XXXXX2002 <nil>] [3 XXXXX2003 <nil>]]"},
		{"SELECT id, card, ssn FROM crm.star_of_star WHERE id = 3", "[id card ssn]", "[[3 <nil> XXXXX2003]]"},
		{"SELECT COUNT(card) AS n FROM crm.star", "[n]", "[[0]]"},
	} {
		c.try(t, d)
	}
	for sql, want := range map[string]string{
		"SELECT ssn FROM crm.named":       "Unrecognized name: ssn",
		"SELECT a FROM crm.star_named":    "CREATE OR REPLACE VIEW",
		"SELECT tail FROM crm.nameless":   "crm.nameless is a view",
		"SELECT card FROM crm.star_named": "made with 2 columns, and its query has 3 now",
	} {
		if a := d.query("agent", sql); a.Status != 403 && a.Status != 400 || !strings.Contains(a.message(), want) {
			t.Errorf("%s: status %d %s, want words with %q", sql, a.Status, a.message(), want)
		}
	}
}

func namesThatAreDoubled(t *testing.T, d *demo) {
	for _, c := range []named{
		{"SELECT 1 a, 2 a", "[a a_1]", "[[1 2]]"},
		{"SELECT id AS a, ssn AS a FROM crm.people WHERE id = 1", "[a a_1]", "[[1 XXXXX1001]]"},
		{"SELECT ssn AS a, id AS a, name AS A FROM crm.people WHERE id = 1", "[a a_1 A_2]", "[[XXXXX1001 1 Ada]]"},
		{"SELECT ssn, ssn FROM crm.people WHERE id = 1", "[ssn ssn_1]", "[[XXXXX1001 XXXXX1001]]"},
		{"SELECT * FROM crm.people AS p JOIN crm.people AS q USING (id) WHERE id = 1", "[id name ssn name_1 ssn_1]",
			"[[1 Ada XXXXX1001 Ada XXXXX1001]]"},
		{"SELECT * FROM crm.people AS p JOIN crm.swapped AS q ON p.name = q.ssn WHERE id = 1", "[id name ssn name_1 ssn_1]",
			"[[1 Ada XXXXX1001 XXXXX1001 Ada]]"},
		// A50: names that BigQuery would give, written by hand before.
		{"SELECT ssn AS a_1, id AS a, name AS a FROM crm.people WHERE id = 1", "[a_1 a a_2]", "[[XXXXX1001 1 Ada]]"},
		{"SELECT id AS a, ssn AS a, name AS a_1 FROM crm.people WHERE id = 1", "[a a_2 a_1]", "[[1 XXXXX1001 Ada]]"},
		{"SELECT name AS f0_, COUNT(ssn), ssn FROM crm.people WHERE id = 1 GROUP BY name, ssn", "[f0_ f0__1 ssn]", "[[Ada 1 XXXXX1001]]"},
		{"SELECT ssn AS f0_, UPPER(name) FROM crm.people WHERE id = 1", "[f0_ f0__1]", "[[XXXXX1001 ADA]]"},
		{"SELECT * FROM (SELECT ssn AS a, name AS a FROM crm.people WHERE id = 1)", "[a a_1]", "[[XXXXX1001 Ada]]"},
		{"SELECT UPPER(ssn) AS a, name AS a FROM crm.people WHERE id = 1", "[a a_1]", "[[XXXXX1001 Ada]]"}, // masked before it is computed
	} {
		c.try(t, d)
	}
	for sql, want := range map[string]string{
		"SELECT a_1 FROM (SELECT 1 AS a, ssn AS a FROM crm.people)":             "Unrecognized name: a_1",
		"SELECT a FROM (SELECT 1 AS a, ssn AS a FROM crm.people)":               "ambiguous",
		"SELECT f0_ FROM (SELECT UPPER(ssn) FROM crm.people)":                   "Unrecognized name: f0_",
		"SELECT ssn AS a, name AS a FROM crm.people ORDER BY a":                 "ambiguous",
		"SELECT * EXCEPT (a_1) FROM (SELECT ssn AS a, id AS a FROM crm.people)": "a_1",
	} {
		if a := d.query("agent", sql); a.Status != 400 || !strings.Contains(a.message(), want) {
			t.Errorf("%s: status %d %s, want 400 with %q", sql, a.Status, a.message(), want)
		}
	}
}

// Answers without a schema (pages by tabledata.list) go by the places, and tables.get of the result
// shows the names that the result has.
func pagesOfDoubledNames(t *testing.T, d *demo) {
	const sql = "SELECT ssn AS a_1, id AS a, name AS a FROM crm.people ORDER BY id"
	bearer, base := d.token("agent"), "/bigquery/v2/projects/demo/"
	a := d.call("POST", base+"jobs", bearer,
		map[string]any{"configuration": map[string]any{"query": map[string]any{"query": sql, "useLegacySql": false}}})
	id := fmt.Sprint(a.json(t)["jobReference"].(map[string]any)["jobId"])
	page := d.call("GET", base+"queries/"+id+"?maxResults=1", bearer, nil)
	if got := fmt.Sprint(page.columns(t), page.rows(t)); got != "[a_1 a a_2] [[XXXXX1001 1 Ada]]" {
		t.Fatalf("the first page: %d %s %s", page.Status, got, page.message())
	}
	next := d.call("GET", base+"queries/"+id+"?fields=rows,pageToken&pageToken="+url.QueryEscape(fmt.Sprint(page.json(t)["pageToken"])),
		bearer, nil)
	if got := fmt.Sprint(next.rows(t)); !strings.HasPrefix(got, "[[XXXXX1002 2 Bob]") {
		t.Errorf("the next page: %d %s %s", next.Status, got, next.message())
	}
	job := d.call("GET", base+"jobs/"+id, bearer, nil).json(t)
	table := job["configuration"].(map[string]any)["query"].(map[string]any)["destinationTable"].(map[string]any)
	path := fmt.Sprintf("%sdatasets/%v/tables/%v", base, table["datasetId"], table["tableId"])
	rows := d.call("GET", path+"/data", bearer, nil)
	if got := fmt.Sprint(rows.rows(t)); got != "[[XXXXX1001 1 Ada] [XXXXX1002 2 Bob] [XXXXX1003 3 Cy]]" {
		t.Errorf("tabledata.list: %d %s %s", rows.Status, got, rows.message())
	}
	if shown := d.call("GET", path, bearer, nil); !slices.Equal(shown.columns(t), []string{"a_1", "a", "a_2"}) {
		t.Errorf("tables.get: %d %s %s", shown.Status, shown.Body, shown.message())
	}
	for _, selection := range []string{path + "/data?selectedFields=a_1", path + "?selectedFields=a_1"} {
		if a := d.call("GET", selection, bearer, nil); a.Status != 403 && a.Status != 400 || strings.Contains(string(a.Body), "XXXXX") {
			t.Errorf("%s: status %d %s", selection, a.Status, a.Body)
		}
	}
	dry := d.call("POST", base+"queries", bearer, map[string]any{"query": "SELECT 1 a, 2 a", "useLegacySql": false, "dryRun": true})
	if got := dry.columns(t); !slices.Equal(got, []string{"a", "a_1"}) {
		t.Errorf("a dry run: %v %s", got, dry.message())
	}
}

func columnsOfMetadata(t *testing.T, d *demo) {
	for sql, want := range map[string]string{
		"SELECT * FROM crm.INFORMATION_SCHEMA.COLUMNS":                      "async_generation_status",
		"SELECT * FROM crm.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS":           "field_path",
		"SELECT * FROM crm.INFORMATION_SCHEMA.TABLE_OPTIONS":                "option_name",
		"SELECT * FROM crm.INFORMATION_SCHEMA.PARTITIONS":                   "total_billable_bytes",
		"SELECT * EXCEPT (ddl) FROM crm.INFORMATION_SCHEMA.TABLES":          "sync_status",
		"SELECT * EXCEPT (ddl) FROM INFORMATION_SCHEMA.SCHEMATA":            "sync_status",
		"SELECT column_name FROM crm.INFORMATION_SCHEMA.COLUMNS ORDER BY 1": "column_name",
		// What BigQuery has had, or may have.
		"SELECT * FROM crm.INFORMATION_SCHEMA.COLUMNS -- " +
			"fake:columns=-data_policies,-policy_tags,>async_generation_status": "async_generation_status",
		"SELECT * FROM crm.INFORMATION_SCHEMA.COLUMNS -- fake:columns=-data_policies,-async_generation_status": "policy_tags",
	} {
		a := d.query("agent", sql)
		if a.Status != 200 || !slices.Contains(a.columns(t), want) ||
			strings.HasPrefix(sql, "SELECT * FROM crm.INFORMATION_SCHEMA.COLUMN") && len(a.rows(t)) == 0 {
			t.Errorf("%s: status %d %s %v", sql, a.Status, a.message(), a.columns(t))
		}
		for _, row := range a.rows(t) {
			if len(row) != len(a.columns(t)) {
				t.Errorf("%s: %d cells under %d columns", sql, len(row), len(a.columns(t)))
			}
		}
	}
	for _, sql := range []string{
		"SELECT * FROM crm.INFORMATION_SCHEMA.COLUMNS -- fake:columns=+brand_new",
		"SELECT * EXCEPT (ddl) FROM crm.INFORMATION_SCHEMA.TABLES -- fake:columns=-sync_status,+ddl",
		"SELECT table_name, column_name FROM crm.INFORMATION_SCHEMA.COLUMNS -- fake:columns=>table_name",
		"SELECT id, name FROM crm.people -- fake:columns=>id",
	} {
		a := d.query("agent", sql)
		if a.Status != 403 || !strings.HasPrefix(a.message(), "accessDenied: bqgate: refused: ") ||
			!strings.Contains(a.message(), "named in place of *") {
			t.Errorf("%s: status %d %s, want 403 that says to name the columns", sql, a.Status, a.message())
		}
	}
	if a := d.query("agent", "SELECT ddl FROM crm.INFORMATION_SCHEMA.TABLES"); a.Status != 403 {
		t.Errorf("ddl: status %d %s", a.Status, a.message())
	}
	// By tabledata.list no schema comes; it is the one that an answer told of.
	bearer, base := d.token("agent"), "/bigquery/v2/projects/demo/"
	a := d.call("POST", base+"jobs", bearer, map[string]any{"configuration": map[string]any{"query": map[string]any{
		"query":        "SELECT * FROM crm.INFORMATION_SCHEMA.COLUMNS -- fake:columns=-data_policies,>async_generation_status",
		"useLegacySql": false}}})
	id := fmt.Sprint(a.json(t)["jobReference"].(map[string]any)["jobId"])
	job := d.call("GET", base+"jobs/"+id, bearer, nil).json(t)
	for i := 0; i < 100 && job["status"].(map[string]any)["state"] != "DONE"; i++ {
		job = d.call("GET", base+"jobs/"+id, bearer, nil).json(t)
	}
	table := job["configuration"].(map[string]any)["query"].(map[string]any)["destinationTable"].(map[string]any)
	path := fmt.Sprintf("%sdatasets/%v/tables/%v", base, table["datasetId"], table["tableId"])
	for _, early := range []string{path, path + "/data"} {
		if a := d.call("GET", early, bearer, nil); a.Status != 403 || !strings.Contains(a.message(), "jobs.getQueryResults first") {
			t.Errorf("%s: status %d %s, want 403", early, a.Status, a.Body)
		}
	}
	first := d.call("GET", base+"queries/"+id+"?maxResults=0", bearer, nil)
	rows := d.call("GET", path+"/data", bearer, nil)
	shown := d.call("GET", path, bearer, nil)
	if first.Status != 200 || rows.Status != 200 || len(rows.rows(t)) == 0 || len(rows.rows(t)[0]) != len(first.columns(t)) ||
		!slices.Equal(shown.columns(t), first.columns(t)) || shown.columns(t)[len(shown.columns(t))-1] != "async_generation_status" {
		t.Errorf("with a schema told: %d %v, %d, %v", first.Status, first.columns(t), rows.Status, shown.columns(t))
	}
}
