package fakegoogle

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const shakespeare = "/projects/bigquery-public-data/datasets/samples/tables/shakespeare"

// conformanceCases are read-only requests whose answers must have the same shape here and at
// Google, by the method that they are answers of. They run in this order: later ones ask for jobs
// of earlier ones.
var conformanceCases = []struct {
	method, name string
	ask          func(*upstreamAPI) reply
}{
	{"jobs.query", "rows of all types", func(a *upstreamAPI) reply {
		return a.query("SELECT 1 AS i, 1.5 AS f, NUMERIC '1.5' AS n, TRUE AS b, 'x' AS s, b'x' AS y, DATE '2024-01-01' AS d, TIMESTAMP "+
			"'2024-01-01 00:00:00+00' AS ts, "+
			"STRUCT(1 AS a, [1, 2] AS l) AS r, CAST(NULL AS STRING) AS nothing", nil)
	}},
	{"jobs.query", "no rows", func(a *upstreamAPI) reply { return a.query("SELECT 1 AS x FROM (SELECT 1) WHERE FALSE", nil) }},
	{"jobs.query", "a page of two", func(a *upstreamAPI) reply {
		return a.query("SELECT x FROM UNNEST([1, 2]) AS x", map[string]any{"maxResults": 1})
	}},
	{"jobs.query", "a job that is optional", func(a *upstreamAPI) reply {
		return a.query("SELECT 1 AS x", map[string]any{"jobCreationMode": "JOB_CREATION_OPTIONAL"})
	}},
	{"jobs.query", "a dry run", func(a *upstreamAPI) reply { return a.query("SELECT 1 AS x", map[string]any{"dryRun": true}) }},
	{"jobs.insert", "a dry run", func(a *upstreamAPI) reply {
		return a.dry("SELECT word FROM `bigquery-public-data`.samples.shakespeare")
	}},
	{"jobs.insert", "a query", func(a *upstreamAPI) reply {
		return a.do("POST", "/projects/PROJECT/jobs", map[string]any{
			"jobReference": map[string]any{"projectId": "PROJECT", "jobId": "JOBSquery"},
			"configuration": map[string]any{"labels": map[string]any{"bqgate": "conformance"},
				"query": map[string]any{"query": "SELECT x FROM UNNEST([1, 2]) AS x", "useLegacySql": false}},
		})
	}},
	{"jobs.getQueryResults", "rows", func(a *upstreamAPI) reply {
		return a.do("GET", "/projects/PROJECT/queries/JOBSquery?timeoutMs=60000", nil)
	}},
	{"jobs.getQueryResults", "a page of two", func(a *upstreamAPI) reply {
		return a.do("GET", "/projects/PROJECT/queries/JOBSquery?maxResults=1", nil)
	}},
	{"jobs.get", "a job that is done", func(a *upstreamAPI) reply { return a.do("GET", "/projects/PROJECT/jobs/JOBSquery", nil) }},
	{"jobs.cancel", "a job that is done", func(a *upstreamAPI) reply {
		return a.do("POST", "/projects/PROJECT/jobs/JOBSquery/cancel", nil)
	}},
	{"jobs.list", "a page of one", func(a *upstreamAPI) reply { return a.do("GET", "/projects/PROJECT/jobs?maxResults=1", nil) }},
	{"projects.list", "a page of one", func(a *upstreamAPI) reply { return a.do("GET", "/projects?maxResults=1", nil) }},
	{"tables.get", "a public table", func(a *upstreamAPI) reply { return a.do("GET", shakespeare, nil) }},
	{"tabledata.list", "a page of two", func(a *upstreamAPI) reply { return a.do("GET", shakespeare+"/data?maxResults=2", nil) }},
	{"datasets.get", "a public dataset", func(a *upstreamAPI) reply {
		return a.do("GET", "/projects/bigquery-public-data/datasets/samples?datasetView=METADATA", nil)
	}},
	{"tables.list", "a page of one", func(a *upstreamAPI) reply {
		return a.do("GET", "/projects/bigquery-public-data/datasets/samples/tables?maxResults=1", nil)
	}},
	{"jobs.query", "an error: no such table", func(a *upstreamAPI) reply {
		return a.query("SELECT * FROM `bigquery-public-data`.samples.none_such", nil)
	}},
	{"jobs.query", "an error: no SQL", func(a *upstreamAPI) reply { return a.query("SELECT FROM WHERE", nil) }},
	{"jobs.insert", "an error: the id is taken", func(a *upstreamAPI) reply {
		return a.do("POST", "/projects/PROJECT/jobs", map[string]any{
			"jobReference":  map[string]any{"projectId": "PROJECT", "jobId": "JOBSquery"},
			"configuration": map[string]any{"query": map[string]any{"query": "SELECT 1", "useLegacySql": false}},
		})
	}},
	{"jobs.get", "an error: no such job", func(a *upstreamAPI) reply { return a.do("GET", "/projects/PROJECT/jobs/JOBSnone", nil) }},
}

// Conformance: each case's answer is valid against the discovery document and, where a real project
// is given, has the same shape at Google.
func TestConformance(t *testing.T) {
	d := readDiscovery(t)
	here, there := standIn(t), google(t)
	if there == nil {
		t.Logf("no real project was given (%s): the cases run against the stand-in alone", realProject)
	}
	for _, c := range conformanceCases {
		t.Run(c.method+" "+c.name, func(t *testing.T) {
			begin := time.Now()
			ours := checkedAnswer(t, d, here, c.method, c.ask)
			if there == nil {
				return
			}
			theirs := checkedAnswer(t, d, there, c.method, c.ask)
			if ours.status != theirs.status {
				t.Errorf("status %d, at Google %d", ours.status, theirs.status)
			}
			wrong, missing := shapeOf(ours.tree(t)).differences(shapeOf(theirs.tree(t)))
			for _, line := range wrong {
				t.Error(line)
			}
			t.Logf("%s; Google has also: %s", time.Since(begin).Round(time.Millisecond), strings.Join(missing, " "))
		})
	}
}

// checkedAnswer asks one of both and holds the answer against the discovery document.
func checkedAnswer(t *testing.T, d discovery, a *upstreamAPI, method string, ask func(*upstreamAPI) reply) reply {
	t.Helper()
	local := *a
	local.t = t
	r := ask(&local)
	of := errorType
	if r.status == http.StatusOK {
		resource, verb, _ := strings.Cut(method, ".")
		of = typeSchema{Ref: d.Resources[resource].Methods[verb].Response.Ref}
	}
	for _, wrong := range d.invalid("", of, r.tree(t)) {
		t.Errorf("%s: %s", a.name, wrong)
	}
	return r
}
