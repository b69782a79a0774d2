package fakegoogle

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// openQuestions are what public material does not settle, each as a read-only request and what of
// the answer says it. docs/conformance.md has them by the same names, with what the gateway does as
// long as nobody knows. What the stand-in answers is a guess, and is written down as here says.
var openQuestions = []struct {
	name, here string
	ask        func(*upstreamAPI) string
}{
	{"doubled-names", "a A_2 a_1 a_3", func(a *upstreamAPI) string {
		return namesOf(a.query("SELECT 1 AS a, 2 AS A, 3 AS a_1, 4 AS a", nil))
	}},
	{"information-schema-columns", "21 columns, async_generation_status RECORD{blocking_error}, data_policies RECORD{name}",
		func(a *upstreamAPI) string {
			r := a.dry("SELECT * FROM `bigquery-public-data`.samples.INFORMATION_SCHEMA.COLUMNS")
			return describeColumns(inside(r, "statistics", "query", "schema", "fields"))
		}},
	{"information-schema-references", "none", func(a *upstreamAPI) string {
		return referenced(a.dry("SELECT table_name FROM `bigquery-public-data`.samples.INFORMATION_SCHEMA.TABLES"))
	}},
	{"wildcard-references", "gsod1940 to gsod1949", func(a *upstreamAPI) string {
		names := strings.Fields(referenced(a.dry("SELECT stn FROM `bigquery-public-data.noaa_gsod.gsod194*` WHERE _TABLE_SUFFIX < '2'")))
		if len(names) == 1 {
			return names[0]
		}
		return names[0] + " to " + names[len(names)-1]
	}},
	{"many-tables", "60 tables", func(a *upstreamAPI) string {
		list, _ := inside(a.dry("SELECT stn FROM `bigquery-public-data.noaa_gsod.gsod*`"), "statistics", "query",
			"referencedTables").([]any)
		return fmt.Sprint(len(list), " tables")
	}},
	{"system-time-references", "shakespeare", func(a *upstreamAPI) string {
		return referenced(a.dry("SELECT word FROM `bigquery-public-data`.samples.shakespeare FOR SYSTEM_TIME AS OF " +
			"TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)"))
	}},
	{"cached-references", "cacheHit true, references none", func(a *upstreamAPI) string {
		const sql = "SELECT COUNT(*) AS n FROM `bigquery-public-data`.samples.shakespeare"
		a.query(sql, nil)
		id, _ := inside(a.query(sql, nil), "jobReference", "jobId").(string)
		r := a.do("GET", "/projects/PROJECT/jobs/"+id, nil)
		return fmt.Sprintf("cacheHit %v, references %s", inside(r, "statistics", "query", "cacheHit"), referenced(r))
	}},
	{"request-id-of-a-select", "the same job", func(a *upstreamAPI) string { return twice(a, nil) }},
	{"request-id-and-labels", "the same job", func(a *upstreamAPI) string {
		return twice(a, map[string]any{"labels": map[string]any{"bqgate": "another"}})
	}},
	{"job-id-in-a-path", "PROJECT:LOCATION.ID 200, PROJECT:ID 200", func(a *upstreamAPI) string {
		r := a.query("SELECT 7 AS x", map[string]any{"jobCreationMode": "JOB_CREATION_REQUIRED"})
		id, _ := inside(r, "jobReference", "jobId").(string)
		at, _ := inside(r, "jobReference", "location").(string)
		return fmt.Sprintf("PROJECT:LOCATION.ID %d, PROJECT:ID %d",
			a.do("GET", "/projects/PROJECT/jobs/PROJECT:"+at+"."+id, nil).status,
			a.do("GET", "/projects/PROJECT/jobs/PROJECT:"+id, nil).status)
	}},
	{"case-of-a-location", "200", func(a *upstreamAPI) string {
		r := a.query("SELECT 8 AS x", map[string]any{"jobCreationMode": "JOB_CREATION_REQUIRED"})
		id, _ := inside(r, "jobReference", "jobId").(string)
		at, _ := inside(r, "jobReference", "location").(string)
		return fmt.Sprint(a.do("GET", "/projects/PROJECT/jobs/"+id+"?location="+strings.ToLower(at), nil).status)
	}},
	{"insert-tells-the-type", "SELECT", func(a *upstreamAPI) string {
		return fmt.Sprint(inside(a.do("POST", "/projects/PROJECT/jobs", map[string]any{
			"configuration": map[string]any{"query": map[string]any{"query": "SELECT 9 AS x", "useLegacySql": false}},
		}), "statistics", "query", "statementType"))
	}},
	{"output-only-members", "200", func(a *upstreamAPI) string {
		return fmt.Sprint(a.do("POST", "/projects/PROJECT/jobs", map[string]any{
			"status": map[string]any{"state": "DONE"}, "etag": "x",
			"configuration": map[string]any{"dryRun": true, "query": map[string]any{"query": "SELECT 1", "useLegacySql": false}},
		}).status)
	}},
	{"details-of-errors", "details, debugInfo", func(a *upstreamAPI) string {
		var found []string
		body := string(a.query("SELECT FROM WHERE", nil).body)
		for _, name := range []string{"details", "debugInfo"} {
			if strings.Contains(body, `"`+name+`"`) {
				found = append(found, name)
			}
		}
		return strings.Join(found, ", ")
	}},
	{"etag-in-a-header", "none", func(a *upstreamAPI) string {
		if tag := a.do("GET", shakespeare, nil).header.Get("Etag"); tag != "" {
			return "there"
		}
		return "none"
	}},
}

// What the stand-in guesses is as it is written, and with a real project the answers of both are
// told.
func TestOpenQuestions(t *testing.T) {
	page, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	here, there := standIn(t), google(t)
	for _, q := range openQuestions {
		t.Run(q.name, func(t *testing.T) {
			if !strings.Contains(string(page), "\n| `"+q.name+"` |") {
				t.Errorf("docs/conformance.md has no row of %s", q.name)
			}
			local := *here
			local.t = t
			if got := q.ask(&local); got != q.here {
				t.Errorf("the stand-in: %s, want %s", got, q.here)
			}
			if there != nil {
				local := *there
				local.t = t
				t.Logf("Google: %s; the stand-in: %s", q.ask(&local), q.here)
			}
		})
	}
}

// inside walks a decoded answer, and gives nil where there is nothing.
func inside(r reply, path ...string) any {
	var v any
	if json.Unmarshal(r.body, &v) != nil {
		return nil
	}
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func namesOf(r reply) string {
	fields, _ := inside(r, "schema", "fields").([]any)
	var names []string
	for _, f := range fields {
		names = append(names, fmt.Sprint(f.(map[string]any)["name"]))
	}
	return strings.Join(names, " ")
}

// describeColumns counts columns and tells those that have fields.
func describeColumns(v any) string {
	fields, _ := v.([]any)
	out := []string{fmt.Sprint(len(fields), " columns")}
	for _, f := range fields {
		column := f.(map[string]any)
		var inner []string
		subs, _ := column["fields"].([]any)
		for _, sub := range subs {
			inner = append(inner, fmt.Sprint(sub.(map[string]any)["name"]))
		}
		if inner != nil {
			out = append(out, fmt.Sprintf("%v %v{%s}", column["name"], column["type"], strings.Join(inner, ",")))
		}
	}
	return strings.Join(out, ", ")
}

// referenced are the names of statistics.query.referencedTables.
func referenced(r reply) string {
	list, _ := inside(r, "statistics", "query", "referencedTables").([]any)
	var names []string
	for _, t := range list {
		names = append(names, fmt.Sprint(t.(map[string]any)["tableId"]))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, " ")
}

// twice sends a request two times under one requestId, the second time changed.
func twice(a *upstreamAPI, change map[string]any) string {
	body := map[string]any{"requestId": "JOBS" + newJobID()[4:14], "jobCreationMode": "JOB_CREATION_REQUIRED", "useQueryCache": false}
	first := inside(a.query("SELECT 10 AS x", body), "jobReference", "jobId")
	for k, v := range change {
		body[k] = v
	}
	if second := inside(a.query("SELECT 10 AS x", body), "jobReference", "jobId"); second == nil || second != first {
		return "another job"
	}
	return "the same job"
}
