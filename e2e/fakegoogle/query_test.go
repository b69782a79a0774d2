package fakegoogle

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNamesAndCells(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	for _, q := range []struct {
		sql   string
		names string
		row   string // the first row as compact JSON
	}{
		{"SELECT 1, 'a' AS b, 2", "f0_ b f1_", `{"f":[{"v":"1"},{"v":"a"},{"v":"2"}]}`},
		{"SELECT AS STRUCT 1 AS a, 'x' AS b", "a b", `{"f":[{"v":"1"},{"v":"x"}]}`},
		{"SELECT AS VALUE STRUCT(1 AS a, NULL AS b)", "a b", `{"f":[{"v":"1"},{"v":null}]}`},
		{"SELECT AS VALUE 7", "f0_", `{"f":[{"v":"7"}]}`},
		{"SELECT STRUCT(1, 2 AS y)", "f0_", `{"f":[{"v":{"f":[{"v":"1"},{"v":"2"}]}}]}`},
		{"SELECT [1, 2] AS a, CAST([] AS ARRAY<STRING>) AS e", "a e", `{"f":[{"v":[{"v":"1"},{"v":"2"}]},{"v":[]}]}`},
		{"SELECT TRUE AS t, 1.5 AS f, NUMERIC '12.50' AS n, b'\\xff\\x00' AS b", "t f n b",
			`{"f":[{"v":"true"},{"v":"1.5"},{"v":"12.5"},{"v":"/wA="}]}`},
		{"SELECT DATE '2024-01-02' AS d, DATETIME '2024-01-02 03:04:05' AS dt, TIME '03:04:05' AS tm", "d dt tm",
			`{"f":[{"v":"2024-01-02"},{"v":"2024-01-02T03:04:05"},{"v":"03:04:05"}]}`},
		{"SELECT TIMESTAMP '2024-01-01 00:00:00.123456+00' AS ts", "ts", `{"f":[{"v":"1.704067200123456E9"}]}`},
		{"SELECT c.id, o.id FROM crm.customers c JOIN crm.orders o ON o.customer_id = c.id ORDER BY o.id LIMIT 1", "id id_1",
			`{"f":[{"v":"1"},{"v":"1001"}]}`},
		{"SELECT phones FROM crm.customers WHERE id = 21", "phones",
			`{"f":[{"v":[{"v":{"f":[{"v":"home"},{"v":null}]}},{"v":{"f":[{"v":"work"},{"v":"` + phoneOf21(t, s) + `"}]}}]}]}`},
		{"SELECT `demo.crm.customers`.id FROM `demo.crm.customers` ORDER BY 1 LIMIT 1", "id", `{"f":[{"v":"1"}]}`},
		{"FROM crm.customers |> WHERE id = 2 |> SELECT id, name AS who", "id who", `{"f":[{"v":"2"},{"v":"Boris Blumenthal"}]}`},
	} {
		t.Run(q.sql, func(t *testing.T) {
			r := c.query(q.sql, nil)
			if r.status != 200 {
				t.Errorf("%s: status %d: %s", q.sql, r.status, r.body)
				return
			}
			tree := r.tree(t)
			if got := strings.Join(names(t, tree), " "); got != q.names {
				t.Errorf("%s: names %s, want %s", q.sql, got, q.names)
			}
			row, err := json.Marshal(at(t, tree, "rows", 0))
			if err != nil {
				t.Fatal(err)
			}
			if string(row) != q.row {
				t.Errorf("%s:\n got %s\nwant %s", q.sql, row, q.row)
			}
		})
	}
}

func phoneOf21(t *testing.T, s *Server) string {
	values, err := s.Values(t.Context(), "crm.customers", "phones.number")
	if err != nil {
		t.Fatal(err)
	}
	r := as(t, s, reader).query("SELECT ARRAY_LENGTH(phones) FROM crm.customers WHERE id > 21 ORDER BY id", nil).tree(t)
	after := 0
	for i := range at(t, r, "rows").([]any) {
		n, _ := cell(t, r, i, 0).(string)
		after += int(n[0] - '0')
	}
	return values[len(values)-after-1]
}

func TestTimestampFormats(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	const sql = "SELECT TIMESTAMP '1969-12-31 23:59:59.5+00' AS ts"
	for _, f := range []struct {
		options map[string]any
		want    string
	}{
		{nil, "-5.0E-1"},
		{map[string]any{"useInt64Timestamp": true}, "-500000"},
		{map[string]any{"timestampOutputFormat": "ISO8601_STRING"}, "1969-12-31T23:59:59.5Z"},
	} {
		t.Run(fmt.Sprint(f.options), func(t *testing.T) {
			r := c.query(sql, map[string]any{"formatOptions": f.options}).tree(t)
			if got := cell(t, r, 0, 0); got != f.want {
				t.Errorf("%v: %v, want %s", f.options, got, f.want)
			}
		})
	}
}

func TestParameters(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	param := func(name, typ, value string) map[string]any {
		return map[string]any{"name": name, "parameterType": map[string]any{"type": typ}, "parameterValue": map[string]any{"value": value}}
	}
	r := c.query("SELECT @s AS s, @n + 1 AS n, '@s' AS lit, @d AS d FROM crm.orders LIMIT @n", map[string]any{
		"parameterMode":   "NAMED",
		"queryParameters": []any{param("s", "STRING", `it's "x" \ y`), param("n", "INT64", "2"), param("d", "DATE", "2024-02-03")},
	})
	if r.status != 200 {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	tree := r.tree(t)
	for i, want := range []string{`it's "x" \ y`, "3", "@s", "2024-02-03"} {
		if got := cell(t, tree, 0, i); got != want {
			t.Errorf("column %d: %v, want %s", i, got, want)
		}
	}
	if n := len(at(t, tree, "rows").([]any)); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	r = c.query("SELECT ? AS a, ? AS b", map[string]any{"parameterMode": "POSITIONAL", "queryParameters": []any{
		map[string]any{"parameterType": map[string]any{"type": "ARRAY", "arrayType": map[string]any{"type": "INT64"}},
			"parameterValue": map[string]any{"arrayValues": []any{map[string]any{"value": "4"}, map[string]any{"value": "5"}}}},
		map[string]any{"parameterType": map[string]any{"type": "BOOL"}, "parameterValue": map[string]any{"value": "true"}},
	}})
	if got := string(r.body); r.status != 200 || at(t, r.tree(t), "rows", 0, "f", 0, "v", 1, "v") != "5" ||
		cell(t, r.tree(t), 0, 1) != "true" {
		t.Errorf("positional: %s", got)
	}
}

func TestErrorsAreGooglesAndCarryValues(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	ssns, err := s.Values(t.Context(), "crm.customers", "ssn")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		sql     string
		status  int
		reason  string
		message string
	}{
		{"SELECT CAST(ssn AS INT64) FROM crm.customers WHERE id = 1", 400, "invalidQuery", "Bad int64 value: " + ssns[0]},
		{"SELECT ERROR(ssn) FROM crm.customers WHERE id = 1", 400, "invalidQuery", ssns[0]},
		{"SELECT id / 0 FROM crm.customers WHERE id = 1", 400, "invalidQuery", "division by zero: 1 / 0"},
		{"SELECT zzzzzz FROM crm.customers", 400, "invalidQuery", "Unrecognized name: zzzzzz at [1:8]"},
		{"SELECT FROM", 400, "invalidQuery", "Syntax error: SELECT list must not be empty at [1:8]"},
		{"SELECT 1 FROM crm.nope", 404, "notFound", "Not found: Table demo:crm.nope was not found in location US"},
		{"SELECT 1 FROM CRM.customers", 404, "notFound", "Not found: Dataset demo:CRM was not found in location US"},
		{"SELECT 1 FROM crm.Customers", 404, "notFound", "Not found: Table demo:crm.Customers was not found in location US"},
		{"SELECT 1 FROM customers", 400, "invalid", `Table "customers" must be qualified with a dataset (e.g. dataset.table).`},
		{"ALTER DATABASE x SET OPTIONS (a = 1)", 400, "invalidQuery", "Statement not supported: AlterDatabaseStatement"},
		{"CREATE TABLE crm.orders (id INT64)", 409, "duplicate", "Already Exists: Table demo:crm.orders"},
	} {
		t.Run(q.sql, func(t *testing.T) {
			r := c.query(q.sql, nil)
			got, _ := at(t, r.tree(t), "error").(map[string]any)
			if r.status != q.status || r.reason() != q.reason || got["message"] != q.message {
				t.Errorf("%s: %d %s %v", q.sql, r.status, r.reason(), got["message"])
			}
		})
	}
	// A failed job is a 200 of jobs.get with an errorResult, and an HTTP error of getQueryResults.
	id := "failing"
	c.insert(id, "SELECT CAST(ssn AS INT64) FROM crm.customers WHERE id = 1", false)
	if r := c.results(id, nil); r.status != 400 || r.reason() != "invalidQuery" {
		t.Errorf("getQueryResults: %d %s", r.status, r.body)
	}
	if r := c.do("GET", base+"/jobs/"+id, nil); r.status != 200 ||
		at(t, r.tree(t), "status", "errorResult", "message") != "Bad int64 value: "+ssns[0] {
		t.Errorf("jobs.get: %d %s", r.status, r.body)
	}
}

func TestLegacySQLIsTheDefault(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	for _, b := range []struct {
		body map[string]any
		ok   bool
	}{
		{map[string]any{"query": "SELECT 1"}, false},
		{map[string]any{"query": "SELECT 1", "useLegacySql": true}, false},
		{map[string]any{"query": "SELECT 1", "useLegacySql": false}, true},
		{map[string]any{"query": "SELECT 1", "use_legacy_sql": false}, true},
		{map[string]any{"query": "#legacySQL\nSELECT 1", "useLegacySql": false}, false},
		{map[string]any{"query": "#standardSQL\nSELECT 1"}, true},
	} {
		t.Run(fmt.Sprint(b.body), func(t *testing.T) {
			r := c.do("POST", base+"/queries", b.body)
			if (r.status == 200) != b.ok {
				t.Errorf("%v: %d %s", b.body, r.status, r.body)
			}
			if !b.ok && !strings.Contains(string(r.body), "legacy SQL") {
				t.Errorf("%v: %s", b.body, r.body)
			}
		})
	}
	if r := c.do("POST", base+"/queries", `{"useLegacySql":false,"query":"SELECT 1","query":"SELECT 2"}`); cell(t, r.tree(t), 0, 0) != "2" {
		t.Error("the last of two equal keys must win")
	}
}

func TestAsyncJob(t *testing.T) {
	s := start(t, func(o *Options) { o.JobDelay = 600 * time.Millisecond })
	c := as(t, s, reader)
	state := func() string { return at(t, c.do("GET", base+"/jobs/j1", nil).tree(t), "status", "state").(string) }
	if got := at(t, c.insert("j1", "SELECT 1 AS a", false).tree(t), "status", "state"); got != "PENDING" {
		t.Fatalf("first state %v", got)
	}
	if r := c.results("j1", url.Values{"timeoutMs": {"0"}}).tree(t); r["jobComplete"] != false || r["rows"] != nil {
		t.Fatalf("while pending: %v", r)
	}
	seen := []string{}
	for range 200 {
		if st := state(); len(seen) == 0 || seen[len(seen)-1] != st {
			seen = append(seen, st)
		}
		if seen[len(seen)-1] == "DONE" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if strings.Join(seen, " ") != "PENDING RUNNING DONE" {
		t.Fatalf("states %v", seen)
	}
	// jobs.query tells that it is not complete when timeoutMs passes, and gives a reference to wait
	// on.
	r := c.query("SELECT 2 -- fake:delay=300ms", map[string]any{"timeoutMs": 20}).tree(t)
	if r["jobComplete"] != false || r["schema"] != nil {
		t.Fatalf("jobs.query: %v", r)
	}
	id := at(t, r, "jobReference", "jobId").(string)
	begin := time.Now()
	if r := c.results(id, nil).tree(t); cell(t, r, 0, 0) != "2" || r["totalRows"] != "1" {
		t.Fatalf("long poll: %v", r)
	}
	if waited := time.Since(begin); waited > 3*time.Second {
		t.Fatalf("long poll took %s", waited)
	}
}

func TestCancel(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	c.insert("j", "SELECT 1 -- fake:delay=30s", false)
	if r := c.do("POST", base+"/jobs/j/cancel", nil); r.status != 200 ||
		at(t, r.tree(t), "job", "status", "errorResult", "reason") != "stopped" {
		t.Fatalf("cancel: %d %s", r.status, r.body)
	}
	if r := as(t, s, other).do("POST", base+"/jobs/j/cancel", nil); r.status != 403 {
		t.Fatalf("another account cancelled: %d", r.status)
	}
}

func TestPagingAndFields(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	r := c.query("SELECT id FROM crm.customers ORDER BY id", map[string]any{"maxResults": 10}).tree(t)
	id := at(t, r, "jobReference", "jobId").(string)
	var got []string
	pages := 0
	for token := any(nil); ; pages++ {
		if r["totalRows"] != "24" {
			t.Fatalf("totalRows %v", r["totalRows"])
		}
		for i := range at(t, r, "rows").([]any) {
			got = append(got, cell(t, r, i, 0).(string))
		}
		if token = r["pageToken"]; token == nil {
			break
		}
		r = c.results(id, url.Values{"pageToken": {token.(string)}, "maxResults": {"10"}, "fields": {"rows,pageToken,totalRows"}}).tree(t)
		if r["schema"] != nil || r["jobReference"] != nil || r["kind"] != nil {
			t.Fatalf("fields= kept more than asked: %v", slices.Sorted(mapKeys(r)))
		}
	}
	if pages != 2 || len(got) != 24 || got[23] != "24" {
		t.Fatalf("%d pages, rows %v", pages+1, got)
	}
	// A page token is good for its own job and nothing else.
	r2 := c.query("SELECT id FROM crm.orders", map[string]any{"maxResults": 1}).tree(t)
	foreign := c.results(id, url.Values{"pageToken": {r2["pageToken"].(string)}})
	if foreign.status != 400 {
		t.Errorf("a foreign page token: %d", foreign.status)
	}
	if r := c.results(id, url.Values{"maxResults": {"0"}}).tree(t); r["totalRows"] != "24" || r["rows"] != nil || r["jobComplete"] != true {
		t.Errorf("maxResults=0: %v", r)
	}
	if r := c.results(id, url.Values{"startIndex": {"23"}}).tree(t); cell(t, r, 0, 0) != "24" {
		t.Errorf("startIndex: %v", r)
	}
	for _, bad := range []string{"rows(", "a,,b", "rows)"} {
		if r := c.results(id, url.Values{"fields": {bad}}); r.status != 400 {
			t.Errorf("fields=%s: %d", bad, r.status)
		}
	}
	nested := c.results(id, url.Values{"fields": {"jobReference(jobId),schema/fields/name"}}).tree(t)
	want := `{"jobReference":{"jobId":"` + id + `"},"schema":{"fields":[{"name":"id"}]}}`
	if text, _ := json.Marshal(nested); string(text) != want {
		t.Errorf("nested fields: %s", text)
	}
}

func mapKeys(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestPageCap(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	sql := "SELECT REPEAT('x', 1000) AS a FROM crm.orders LIMIT 10 -- fake:rows=30000 fake:pages\n-- fake:pages"
	r := c.query(sql, nil)
	if len(r.body) > maxPageBytes+1<<20 {
		t.Fatalf("a page of %d bytes", len(r.body))
	}
	rows := 0
	tree := r.tree(t)
	id := at(t, tree, "jobReference", "jobId").(string)
	pages := 1
	for {
		rows += len(tree["rows"].([]any))
		token, ok := tree["pageToken"].(string)
		if !ok {
			break
		}
		pages++
		tree = c.results(id, url.Values{"pageToken": {token}}).tree(t)
	}
	if rows != 30000 || pages < 3 {
		t.Fatalf("%d rows on %d pages", rows, pages)
	}
}

func TestDuplicateJobIDs(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	if r := c.insert("same", "SELECT 1", false); r.status != 200 {
		t.Fatal(r.status)
	}
	for _, who := range []string{reader, other} {
		r := as(t, s, who).insert("same", "SELECT 2", false)
		if r.status != 409 || r.reason() != "duplicate" {
			t.Errorf("%s: %d %s", who, r.status, r.body)
		}
	}
	if err := s.PlantJob(t.Context(), PlantedJob{Account: reader, JobID: "old", SQL: "SELECT ssn FROM crm.customers", RequestID: "r-1",
		Labels: map[string]string{"team": "x"}}); err != nil {
		t.Fatal(err)
	}
	if r := c.insert("old", "SELECT 1", false); r.status != 409 {
		t.Errorf("a planted id: %d", r.status)
	}
	// requestId finds the planted job, whatever SQL comes with it, and its rows.
	r := c.query("SELECT 1", map[string]any{"requestId": "r-1"}).tree(t)
	if at(t, r, "jobReference", "jobId") != "old" || r["totalRows"] != "24" {
		t.Errorf("requestId: %v", r["jobReference"])
	}
	job := c.do("GET", base+"/jobs/old", nil).tree(t)
	if at(t, job, "configuration", "labels", "team") != "x" || at(t, job, "user_email") != reader {
		t.Errorf("planted job: %v", job)
	}
	for _, bad := range []string{"a b", "ä", ""} {
		body := map[string]any{"jobReference": map[string]any{"jobId": bad},
			"configuration": map[string]any{"query": map[string]any{"query": "SELECT 1", "useLegacySql": false}}}
		r := c.do("POST", base+"/jobs", body)
		if want := map[bool]int{true: 200, false: 400}[bad == ""]; r.status != want {
			t.Errorf("job id %q: %d", bad, r.status)
		}
	}
	if r := c.do("GET", base+"/jobs/old?location=None", nil); r.status != 404 {
		t.Errorf("location=None: %d", r.status)
	}
}

func TestRequestIDIsIdempotent(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	first := at(t, c.query("SELECT 1", map[string]any{"requestId": "q"}).tree(t), "jobReference", "jobId")
	second := at(t, c.query("SELECT 1", map[string]any{"requestId": "q"}).tree(t), "jobReference", "jobId")
	foreign := at(t, as(t, s, other).query("SELECT 1", map[string]any{"requestId": "q"}).tree(t), "jobReference", "jobId")
	if first != second || first == foreign {
		t.Fatalf("%v %v %v", first, second, foreign)
	}
}

func TestCacheSharesTheResultTable(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	const sql = "SELECT ssn FROM crm.customers ORDER BY id"
	table := func(r reply) (string, bool) {
		tree := r.tree(t)
		job := c.do("GET", base+"/jobs/"+at(t, tree, "jobReference", "jobId").(string), nil).tree(t)
		d, _ := at(t, job, "configuration", "query", "destinationTable").(map[string]any)
		return fmt.Sprint(d["datasetId"], ".", d["tableId"]), tree["cacheHit"].(bool)
	}
	first, hit1 := table(c.query(sql, nil))
	second, hit2 := table(c.query(sql, nil))
	if hit1 || !hit2 || first != second {
		t.Fatalf("hits %v %v, tables %s %s", hit1, hit2, first, second)
	}
	if !strings.HasPrefix(first, "_") || !strings.Contains(first, ".anon") {
		t.Fatalf("table %s is not anonymous", first)
	}
	third, hit3 := table(c.query(sql, map[string]any{"useQueryCache": false}))
	if hit3 || third == first {
		t.Fatalf("useQueryCache=false: hit %v, table %s", hit3, third)
	}
	o := as(t, s, other)
	if hit := o.query(sql, nil).tree(t)["cacheHit"].(bool); hit {
		t.Fatal("the cache was shared between accounts")
	}
	d, tab, _ := strings.Cut(first, ".")
	if r := c.do("GET", base+"/datasets/"+d+"/tables/"+tab+"/data?maxResults=2", nil); r.status != 200 || r.tree(t)["schema"] != nil ||
		len(at(t, r.tree(t), "rows").([]any)) != 2 {
		t.Fatalf("tabledata.list of a result: %d %s", r.status, r.body)
	}
	if r := o.do("GET", base+"/datasets/"+d+"/tables/"+tab+"/data", nil); r.status != 403 {
		t.Fatalf("another account's anonymous table: %d", r.status)
	}
	c.query("UPDATE crm.customers SET name = 'x' WHERE id = 1", nil)
	if _, hit := table(c.query(sql, nil)); hit {
		t.Fatal("the cache outlived a change of the data")
	}
}

func TestDryRun(t *testing.T) {
	s := start(t)
	c := as(t, s, inspect)
	as(t, s, reader).query("CREATE VIEW crm.v AS SELECT ssn AS name FROM crm.customers", nil)
	r := c.insert("", "SELECT e.id, UPPER(payload) FROM crm.events e JOIN crm.v ON TRUE", true)
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	tree := r.tree(t)
	if at(t, tree, "jobReference", "jobId") != nil || at(t, tree, "status", "state") != "DONE" {
		t.Errorf("reference %v", at(t, tree, "jobReference"))
	}
	stats := at(t, tree, "statistics", "query").(map[string]any)
	var tables []string
	for _, ref := range stats["referencedTables"].([]any) {
		tables = append(tables, at(t, ref, "datasetId").(string)+"."+at(t, ref, "tableId").(string))
	}
	if strings.Join(tables, " ") != "crm.customers crm.events" {
		t.Errorf("referencedTables %v", tables)
	}
	if at(t, stats, "referencedLogicalViews", 0, "tableId") != "v" || stats["statementType"] != "SELECT" {
		t.Errorf("statistics %v", stats)
	}
	if got := names(t, stats); strings.Join(got, " ") != "id f0_" {
		t.Errorf("schema %v", got)
	}
	var n int64
	fmt.Sscan(stats["totalBytesProcessed"].(string), &n)
	if n < 5<<30 || n > 5<<30+1<<20 {
		t.Errorf("totalBytesProcessed %d", n)
	}
	before := len(s.jobs)
	if r := c.insert("", "DROP TABLE crm.orders", true); r.status != 200 ||
		at(t, r.tree(t), "statistics", "query", "statementType") != "DROP_TABLE" {
		t.Errorf("dry DROP: %d %s", r.status, r.body)
	}
	if r := as(t, s, reader).query("SELECT COUNT(*) FROM crm.orders", nil); cell(t, r.tree(t), 0, 0) != "40" {
		t.Error("a dry run changed something")
	}
	if len(s.jobs) != before+1 {
		t.Error("a dry run left a job")
	}
	q := c.query("SELECT ssn FROM crm.customers", map[string]any{"dryRun": true}).tree(t)
	if q["rows"] != nil || q["totalBytesProcessed"] == nil {
		t.Errorf("jobs.query dry run: %v", q)
	}
}

func TestMaximumBytesBilled(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	const sql = "SELECT COUNT(*) FROM crm.events"
	r := c.query(sql, map[string]any{"maximumBytesBilled": "1000"})
	if r.status != 400 || r.reason() != "bytesBilledLimitExceeded" ||
		!strings.Contains(string(r.body), "limit for bytes billed: 1000. 5368709120 or higher required") {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := c.query(sql, map[string]any{"maximumBytesBilled": "5368709120"}); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
}

func TestStatisticsLeakAsGooglesDo(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	c.insert("j", "SELECT id FROM crm.customers WHERE ssn = '111-22-3333'", false)
	c.results("j", nil)
	r := c.do("GET", base+"/jobs/j", nil)
	tree := r.tree(t)
	plan, _ := json.Marshal(at(t, tree, "statistics", "query", "queryPlan"))
	if !bytes.Contains(plan, []byte("111-22-3333")) || at(t, tree, "user_email") != reader ||
		at(t, tree, "statistics", "query", "timeline") == nil {
		t.Fatalf("%s", r.body)
	}
}

func TestJobCreationOptional(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	r := c.query("SELECT 1", map[string]any{"jobCreationMode": "JOB_CREATION_OPTIONAL"}).tree(t)
	if r["jobReference"] != nil || r["queryId"] == nil {
		t.Fatalf("%v", r)
	}
}

func TestGzipPrettyAndNoise(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	plain := c.query("SELECT ssn FROM crm.customers ORDER BY id", nil)
	if !bytes.HasPrefix(plain.body, []byte("{\n  \"kind\"")) || plain.header.Get("Content-Encoding") != "" {
		t.Errorf("default: %.40q %v", plain.body, plain.header)
	}
	id := at(t, plain.tree(t), "jobReference", "jobId").(string)
	if r := c.results(id, url.Values{"prettyPrint": {"false"}}); bytes.Contains(r.body, []byte("\n")) {
		t.Errorf("prettyPrint=false: %.80q", r.body)
	}
	for _, force := range []bool{false, true} {
		s.SetForceGzip(force)
		var header []string
		if !force {
			header = []string{"Accept-Encoding", "gzip"}
		}
		r := c.do("GET", base+"/queries/"+id, nil, header...)
		if r.header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("force %v: not compressed", force)
		}
		z, err := gzip.NewReader(bytes.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil || !json.Valid(text) {
			t.Fatalf("force %v: %v", force, err)
		}
	}
	s.SetForceGzip(false)
	s.SetNoise(true)
	r := c.results(id, nil)
	ssns, _ := s.Values(t.Context(), "crm.customers", "ssn")
	if !strings.Contains(r.header.Get("X-Debug-Row"), ssns[0]) {
		t.Errorf("noise: %v", r.header)
	}
}

func TestLargeResultsStallAndDie(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	const sql = "SELECT id, name, ssn FROM crm.customers -- fake:rows=120000"
	r := c.query(sql, map[string]any{"maxResults": 0})
	id := at(t, r.tree(t), "jobReference", "jobId").(string)
	begin := time.Now()
	big := c.results(id, url.Values{"prettyPrint": {"false"}})
	took := time.Since(begin)
	t.Logf("%d MB in %s: %.0f MB/s", len(big.body)>>20, took, float64(len(big.body))/1e6/took.Seconds())
	var tree struct {
		TotalRows string
		Rows      []json.RawMessage
	}
	if err := json.Unmarshal(big.body, &tree); err != nil {
		t.Fatal(err)
	}
	if tree.TotalRows != "120000" || len(tree.Rows) != 120000 || string(tree.Rows[0]) != string(tree.Rows[24]) ||
		string(tree.Rows[0]) == string(tree.Rows[1]) {
		t.Fatalf("totalRows %s, %d rows", tree.TotalRows, len(tree.Rows))
	}
	// die: the body breaks off and the client can tell.
	for _, kind := range []string{"fake:die", "fake:stall=700ms"} {
		r := c.query("SELECT id, name FROM crm.customers -- fake:rows=100000\n-- "+kind, map[string]any{"maxResults": 0})
		id := at(t, r.tree(t), "jobReference", "jobId").(string)
		req, _ := http.NewRequest("GET", s.BigQueryURL()+base+"/queries/"+id, nil)
		req.Header.Set("Authorization", "Bearer "+c.token)
		begin := time.Now()
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if kind == "fake:die" && (err == nil || len(body) < 1<<20) {
			t.Errorf("die: %v after %d bytes", err, len(body))
		}
		if kind != "fake:die" && (err != nil || !json.Valid(body) || time.Since(begin) < 700*time.Millisecond) {
			t.Errorf("stall: %v after %s", err, time.Since(begin))
		}
	}
}

func TestHTTP1AndHTTP2(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	c.query("SELECT 1", nil)
	c.http.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	c.http.Transport.(*http.Transport).CloseIdleConnections()
	one := as(t, s, reader)
	tr := one.http.Transport.(*http.Transport)
	tr.ForceAttemptHTTP2 = false
	one.query("SELECT 1", nil)
	var protos []string
	for _, r := range s.Requests() {
		protos = append(protos, r.Proto)
	}
	if !slices.Contains(protos, "HTTP/1.1") || !slices.Contains(protos, "HTTP/2.0") {
		t.Fatalf("protocols %v", protos)
	}
}
