package fakegoogle

import (
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every answer has the headers of Google's front end, errors too.
func TestHeadersOfTheFrontEnd(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	for path, status := range map[string]int{"/datasets": 200, "/datasets/none": 404} {
		t.Run(path, func(t *testing.T) {
			r := c.do("GET", base+path, nil)
			if r.status != status || r.header.Get("Server") != "ESF" || r.header.Get("Cache-Control") != "private" ||
				!slices.Equal(r.header.Values("Vary"), []string{"Origin", "X-Origin", "Referer"}) ||
				!strings.HasPrefix(r.header.Get("Alt-Svc"), "h3=") {
				t.Errorf("%s: %d %v", path, r.status, r.header)
			}
		})
	}
}

// Etags are the base64 of 16 bytes, and destination tables are named in all forms that have been
// seen.
func TestEtagsAndDestinations(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	tag := regexp.MustCompile(`^[A-Za-z0-9+/]{22}==$`)
	forms := map[string]*regexp.Regexp{
		"digits": regexp.MustCompile(`^anon[0-9a-f]{40}$`), "a UUID": regexp.MustCompile(`^anon[0-9a-f]{8}(_[0-9a-f]{4}){3}_[0-9a-f]{12}$`),
		"a digest": regexp.MustCompile(`^anonev_[0-9A-Za-z_]{43}$`),
	}
	seen := map[string]int{}
	for i := range 60 {
		id := "destination_" + itoa(i)
		c.insert(id, "SELECT "+itoa(i)+" AS x", false) // no two the same, which the cache would answer
		c.do("GET", base+"/queries/"+id, nil)
		job := c.do("GET", base+"/jobs/"+id, nil).tree(t)
		if got := at(t, job, "etag").(string); !tag.MatchString(got) {
			t.Errorf("etag %q", got)
		}
		to := at(t, job, "configuration", "query", "destinationTable").(map[string]any)
		if dataset := to["datasetId"].(string); !regexp.MustCompile(`^_[0-9a-f]{40}$`).MatchString(dataset) {
			t.Errorf("dataset %q", dataset)
		}
		form := "neither"
		for name, pattern := range forms {
			if pattern.MatchString(to["tableId"].(string)) {
				form = name
			}
		}
		seen[form]++
	}
	if seen["neither"] > 0 || seen["digits"] == 0 || seen["a UUID"] == 0 || seen["a digest"] == 0 {
		t.Errorf("names of destinations: %v", seen)
	}
}

// BigQuery tells a job's configuration with what it adds, and without empty arrays.
func TestTheConfigurationOfAJob(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	parameter := map[string]any{
		"name": "ids", "parameterType": map[string]any{"type": "ARRAY", "arrayType": map[string]any{"type": "INT64"}},
		"parameterValue": map[string]any{"arrayValues": []any{}},
	}
	r := c.query("SELECT name FROM crm.customers WHERE id IN UNNEST(@ids)",
		map[string]any{"parameterMode": "NAMED", "queryParameters": []any{parameter}}).tree(t)
	id := at(t, r, "jobReference", "jobId").(string)
	q := at(t, c.do("GET", base+"/jobs/"+id, nil).tree(t), "configuration", "query").(map[string]any)
	if q["writeDisposition"] != "WRITE_TRUNCATE" || q["priority"] != "INTERACTIVE" || q["createDisposition"] != "CREATE_IF_NEEDED" {
		t.Errorf("%v", q)
	}
	delete(parameter, "parameterValue")
	if got := q["queryParameters"]; !reflect.DeepEqual(got, []any{parameter}) {
		t.Errorf("%v", got)
	}
}

// A job from the cache does not tell what it read, and the cache answers in spite of useQueryCache
// false if it is told to.
func TestTheCache(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	statistics := func(cached any) map[string]any {
		t.Helper()
		r := c.query("SELECT name FROM crm.customers", map[string]any{"useQueryCache": cached}).tree(t)
		id := at(t, r, "jobReference", "jobId").(string)
		return at(t, c.do("GET", base+"/jobs/"+id, nil).tree(t), "statistics", "query").(map[string]any)
	}
	check := func(what string, q map[string]any, hit bool) {
		t.Helper()
		if q["cacheHit"] != hit || (q["referencedTables"] == nil) != hit || (q["queryPlan"] == nil) != hit ||
			q["statementType"] != "SELECT" {
			t.Errorf("%s: %v", what, q)
		}
	}
	check("the first", statistics(true), false)
	check("the second", statistics(true), true)
	check("without the cache", statistics(false), false)
	s.SetCacheAlways(true)
	check("in spite of it", statistics(false), true)
}

// A second column of one name is a_1, as BigQuery calls it in results and in dry runs.
func TestColumnsOfOneName(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	for sql, want := range map[string]string{
		"SELECT 1 a, 2 a":             "a a_1",
		"SELECT 1 a, 2 A, 3 a":        "a A_1 a_2",
		"SELECT 1 a_1, 2 a, 3 a":      "a_1 a a_2",
		"SELECT 1 a, 2 a, 3 a_1":      "a a_2 a_1",
		"SELECT 1, 2":                 "f0_ f1_",
		"SELECT 1 f0_, 2":             "f0_ f0__1",
		"SELECT 1 a, STRUCT(1 AS a)":  "a f0_",
		"SELECT * FROM crm.customers": "",
		"SELECT o.*, c.id FROM crm.orders o JOIN crm.customers c ON o.customer_id = c.id": "id … id_1",
	} {
		t.Run(sql, func(t *testing.T) {
			got := strings.Join(names(t, c.query(sql, nil).tree(t)), " ")
			dry := strings.Join(names(t, at(t, c.insert("", sql, true).tree(t), "statistics", "query").(map[string]any)), " ")
			if first, last, ok := strings.Cut(want, " … "); got != dry || want != "" && !ok && got != want ||
				ok && !(strings.HasPrefix(got, first+" ") && strings.HasSuffix(got, " "+last)) {
				t.Errorf("%s: %s, in a dry run %s, want %s", sql, got, dry, want)
			}
		})
	}
}

// Outside of the US and EU multi-regions a job is found by its location only.
func TestLocation(t *testing.T) {
	s := start(t)
	c, i := as(t, s, reader), as(t, s, inspect)
	c.insert("in_us", "SELECT 1 AS x", false)
	s.SetLocation("europe-west3")
	job := c.insert("in_frankfurt", "SELECT 1 AS x", false).tree(t)
	if got := at(t, job, "jobReference", "location"); got != "europe-west3" || at(t, job, "id") != "demo:europe-west3.in_frankfurt" {
		t.Errorf("the job is in %v, as %v", got, at(t, job, "id"))
	}
	for path, want := range map[string]int{
		"/jobs/in_us": 200, "/jobs/in_us?location=us": 200, "/jobs/in_us?location=europe-west3": 404,
		"/jobs/in_frankfurt": 404, "/jobs/in_frankfurt?location=europe-west3": 200, "/jobs/in_frankfurt?location=Europe-West3": 200,
		"/jobs/demo:europe-west3.in_frankfurt": 200, "/jobs/demo:in_frankfurt": 404, "/jobs/in_frankfurt?location=US": 404,
		"/queries/in_frankfurt": 404, "/queries/in_frankfurt?location=europe-west3": 200,
	} {
		t.Run(path, func(t *testing.T) {
			if got := c.do("GET", base+path, nil); got.status != want {
				t.Errorf("%s: %d, want %d", path, got.status, want)
			}
		})
	}
	if got := c.do("POST", base+"/jobs/in_frankfurt/cancel", nil); got.status != 404 {
		t.Errorf("cancel without a location: %d", got.status)
	}
	if got := c.query("SELECT 1 AS x", map[string]any{"location": "US"}); got.status != 404 {
		t.Errorf("a query elsewhere: %d", got.status)
	}
	if got := at(t, i.do("GET", base+"/datasets/crm", nil).tree(t), "location"); got != "europe-west3" {
		t.Errorf("the dataset is in %v", got)
	}
}

// Tokens of pages are of two alphabets, padded: rows in base32, listings in base64 with characters
// that mean something in a URL.
func TestPageTokens(t *testing.T) {
	s := start(t)
	c := as(t, s, inspect)
	token := at(t, c.do("GET", base+"/datasets?maxResults=1", nil).tree(t), "nextPageToken").(string)
	for _, char := range "+/=" {
		if !strings.ContainsRune(token, char) {
			t.Errorf("the token %s has no %c", token, char)
		}
	}
	second := c.do("GET", base+"/datasets?maxResults=1&pageToken="+url.QueryEscape(token), nil).tree(t)
	if got := at(t, second, "datasets", 0, "datasetReference", "datasetId"); got != "finance" {
		t.Errorf("the second dataset is %v", got)
	}
	for name, wrong := range map[string]string{"unescaped": token, "cut": url.QueryEscape(token[:len(token)-4]),
		"of another list": "+/AAAA"} {
		t.Run(name, func(t *testing.T) {
			if got := c.do("GET", base+"/datasets?pageToken="+wrong, nil); got.status != 400 {
				t.Errorf("%s: %d", name, got.status)
			}
		})
	}
	rows := as(t, s, reader).query("SELECT id FROM crm.customers", map[string]any{"maxResults": 1}).tree(t)
	if got := at(t, rows, "pageToken").(string); !strings.HasSuffix(got, "=") {
		t.Errorf("a token of rows: %s", got)
	}
}

// Errors tell of Google's insides in error.details and in debugInfo of a failed job, and nowhere
// else.
func TestErrorsTellOfInternals(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	c.insert("inside", "SELECT CAST(name AS INT64) AS x FROM crm.customers", false)
	for name, r := range map[string]reply{
		"an error": c.do("GET", base+"/datasets/none", nil), "results of a failed job": c.do("GET", base+"/queries/inside", nil),
		"a failed job": c.do("GET", base+"/jobs/inside", nil),
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(r.body), InternalsCanary) || !strings.Contains(string(r.body), "ebugInfo") {
				t.Errorf("%s: %s", name, r.body)
			}
		})
	}
	if r := c.query("SELECT 1 AS x", nil); strings.Contains(string(r.body), InternalsCanary) {
		t.Errorf("an answer that is no error: %s", r.body)
	}
}
