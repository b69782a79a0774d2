package fakegoogle

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answersOf makes a request of each form to each method that is served: the response type that the
// document names, by a name that says what was asked. It is what conformance is checked on.
func answersOf(t *testing.T, s *Server) map[string]reply {
	t.Helper()
	if err := s.Seed(t.Context(), `CREATE SCHEMA forms;
CREATE TABLE forms.t (i INT64 NOT NULL, f FLOAT64, n NUMERIC, b BOOL, s STRING, y BYTES, d DATE, ts TIMESTAMP, j JSON, a ARRAY<STRUCT<k STRING>>);
INSERT INTO forms.t (i, s) VALUES (1, 'one'), (2, 'two');
CREATE VIEW forms.v(one) AS SELECT s FROM forms.t;
CREATE SNAPSHOT TABLE forms.shot CLONE forms.t;
CREATE TABLE forms.twin CLONE forms.t;
CREATE FUNCTION forms.f(x INT64) RETURNS INT64 AS (x + 1);
CREATE TABLE FUNCTION forms.tf(x INT64) AS SELECT i FROM demo.forms.t WHERE i > x;
CREATE ROW ACCESS POLICY p ON forms.twin GRANT TO ('allUsers') FILTER USING (i = 1);
-- bqgate:linked linked forms
CREATE SCHEMA linked;`); err != nil {
		t.Fatal(err)
	}
	c, i := as(t, s, reader), as(t, s, inspect)
	const all = "SELECT * FROM forms.t ORDER BY i"
	// one is an answer of a method, under a name that says what was asked.
	out := map[string]reply{}
	add := func(method, what string, r reply) {
		name := method + ": " + what
		if _, twice := out[name]; twice {
			t.Fatalf("%s is there twice", name)
		}
		out[name] = r
	}
	get := func(who *caller, method, what, path string) { add(method, what, who.do("GET", base+path, nil)) }

	add("jobs.query", "rows", c.query(all, nil))
	add("jobs.query", "one page of two", c.query(all, map[string]any{"maxResults": 1}))
	add("jobs.query", "from the cache", c.query(all, nil))
	add("jobs.query", "no rows", c.query("SELECT i FROM forms.t WHERE FALSE", nil))
	add("jobs.query", "optional job", c.query(all, map[string]any{"jobCreationMode": "JOB_CREATION_OPTIONAL"}))
	add("jobs.query", "not complete", c.query("SELECT 1 AS x -- fake:delay=1s", map[string]any{"timeoutMs": 1}))
	add("jobs.query", "dry run", c.query(all, map[string]any{"dryRun": true}))
	add("jobs.query", "DML", c.query("INSERT INTO forms.t (i) VALUES (3)", nil))
	add("jobs.query", "DDL", c.query("CREATE TABLE forms.made (x INT64)", nil))
	add("jobs.query", "INFORMATION_SCHEMA", c.query("SELECT * FROM forms.INFORMATION_SCHEMA.COLUMNS", nil))
	add("jobs.query", "labels and parameters", c.query("SELECT @x AS x", map[string]any{
		"labels": map[string]any{"a": "b"}, "parameterMode": "NAMED",
		"queryParameters": []any{
			map[string]any{"name": "x", "parameterType": map[string]any{"type": "INT64"}, "parameterValue": map[string]any{"value": "1"}},
		},
	}))
	add("jobs.insert", "a query", c.insert("forms_query", all, false))
	add("jobs.insert", "a dry run", c.insert("", all, true))
	add("jobs.insert", "a dry run of DDL", c.insert("", "CREATE TABLE forms.other AS SELECT 1 AS x", true))
	add("jobs.insert", "a dry run of a view and functions", i.insert("", "SELECT one, forms.f(1) AS x FROM forms.v, forms.tf(1)", true))
	add("jobs.insert", "slow", c.insert("forms_slow", "SELECT 1 AS x -- fake:delay=1m", false))
	add("jobs.insert", "that fails", c.insert("forms_failed", "SELECT CAST(s AS INT64) AS x FROM forms.t", false))
	add("jobs.insert", "functions", c.insert("forms_functions", "SELECT one, forms.f(1) AS x FROM forms.v, forms.tf(1)", false))
	add("jobs.insert", "DML", c.insert("forms_dml", "DELETE FROM forms.t WHERE i = 3", false))
	for _, id := range []string{"forms_query", "forms_functions", "forms_dml"} {
		get(c, "jobs.getQueryResults", id, "/queries/"+id)
	}
	get(c, "jobs.getQueryResults", "one page of two", "/queries/forms_query?maxResults=1")
	get(c, "jobs.getQueryResults", "not complete", "/queries/forms_slow?timeoutMs=1")
	get(c, "jobs.getQueryResults", "of a failed job", "/queries/forms_failed")
	for _, id := range []string{"forms_query", "forms_slow", "forms_failed", "forms_functions", "forms_dml"} {
		get(i, "jobs.get", id, "/jobs/"+id)
	}
	add("jobs.cancel", "a running job", c.do("POST", base+"/jobs/forms_slow/cancel", nil))
	add("jobs.cancel", "a job that is done", c.do("POST", base+"/jobs/forms_query/cancel", nil))
	get(c, "jobs.list", "mine", "/jobs")
	get(i, "jobs.list", "all", "/jobs?allUsers=true")
	add("jobs.delete", "a job", c.do("DELETE", base+"/jobs/forms_dml/delete", nil))
	add("projects.list", "all", c.do("GET", "/bigquery/v2/projects", nil))
	get(c, "datasets.list", "all", "/datasets")
	get(c, "datasets.list", "a page", "/datasets?maxResults=1")
	get(c, "datasets.get", "forms", "/datasets/forms")
	get(c, "datasets.get", "linked", "/datasets/linked")
	add("datasets.insert", "a dataset",
		c.do("POST", base+"/datasets", map[string]any{"datasetReference": map[string]any{"datasetId": "added"}}))
	get(c, "tables.list", "all", "/datasets/forms/tables")
	get(c, "tables.list", "a page", "/datasets/forms/tables?maxResults=1")
	for _, table := range []string{"t", "v", "shot", "twin"} {
		get(i, "tables.get", table, "/datasets/forms/tables/"+table)
	}
	add("tables.delete", "a table", c.do("DELETE", base+"/datasets/forms/tables/made", nil))
	get(c, "tabledata.list", "all", "/datasets/forms/tables/t/data")
	get(c, "tabledata.list", "a page", "/datasets/forms/tables/t/data?maxResults=1")
	get(i, "routines.get", "a function", "/datasets/forms/routines/f")
	get(i, "routines.get", "a table function", "/datasets/forms/routines/tf")
	get(i, "rowAccessPolicies.list", "one", "/datasets/forms/tables/twin/rowAccessPolicies")
	get(i, "rowAccessPolicies.list", "none", "/datasets/forms/tables/t/rowAccessPolicies")
	return out
}

// Every answer of every method is valid against the discovery document: no member that it does not
// know, no value of another type.
func TestAnswersAreValid(t *testing.T) {
	d := readDiscovery(t)
	s := start(t)
	served := map[string]bool{}
	for name, r := range answersOf(t, s) {
		method, _, _ := strings.Cut(name, ": ")
		served[method] = true
		t.Run(name, func(t *testing.T) {
			of := errorType
			if r.status == http.StatusOK {
				resource, verb, _ := strings.Cut(method, ".")
				of = typeSchema{Ref: d.Resources[resource].Methods[verb].Response.Ref}
				if of.Ref == "" { // without a type: an empty body, or an empty object
					of = typeSchema{Type: "object"}
				}
			}
			for _, wrong := range d.invalid("", of, r.tree(t)) {
				t.Errorf("%s\n%.600s", wrong, r.body)
			}
			if failed := strings.HasSuffix(name, "failed job"); failed != (r.status != http.StatusOK) {
				t.Errorf("status %d: %s", r.status, r.body)
			}
		})
	}
	for _, method := range methods {
		if !served[method] {
			t.Errorf("no answer of %s is checked", method)
		}
	}
}

// So is every error, of the stand-in itself and of the front end.
func TestErrorsAreValid(t *testing.T) {
	d := readDiscovery(t)
	s := start(t)
	c, nobody := as(t, s, reader), as(t, s, nobody)
	c.insert("taken", "SELECT 1 AS x", false)
	anonymous := &caller{t: t, s: s, http: c.http}
	errors := map[string]struct {
		status int
		r      reply
	}{
		"no such method":       {404, c.do("GET", base+"/nothing", nil)},
		"no token":             {401, anonymous.do("GET", base+"/jobs", nil)},
		"no permission":        {403, nobody.query("SELECT 1 AS x", nil)},
		"a table that is none": {404, c.query("SELECT * FROM crm.none", nil)},
		"a dataset of none":    {404, c.do("GET", base+"/datasets/none", nil)},
		"SQL that is none":     {400, c.query("SELECT FROM WHERE", nil)},
		"a job that is none":   {404, c.do("GET", base+"/jobs/none", nil)},
		"a job id that is":     {409, c.insert("taken", "SELECT 1 AS x", false)},
		"a body that is none":  {400, c.do("POST", base+"/queries", "{")},
		"fields of none":       {400, c.do("GET", base+"/jobs?fields=a(", nil)},
		"bytes billed":         {400, c.query("SELECT ssn FROM crm.customers", map[string]any{"maximumBytesBilled": "1"})},
	}
	for _, reason := range sortedKeys(reasonCodes) {
		errors["a job that fails for "+reason] = struct {
			status int
			r      reply
		}{reasonCodes[reason], c.query("SELECT name FROM crm.customers -- fake:fail="+reason, nil)}
	}
	for _, status := range FrontEndStatuses {
		arm(t, s, Fault{Name: fmt.Sprintf("%d-json", status)})
		errors[fmt.Sprintf("front end %d", status)] = struct {
			status int
			r      reply
		}{status, c.do("GET", base+"/jobs", nil)}
	}
	for name, e := range errors {
		t.Run(name, func(t *testing.T) {
			if e.r.status != e.status {
				t.Errorf("status %d, want %d", e.r.status, e.status)
			}
			for _, wrong := range d.invalid("", errorType, e.r.tree(t)) {
				t.Errorf("%s\n%s", wrong, e.r.body)
			}
			if code := at(t, e.r.tree(t), "error", "code"); code != float64(e.status) {
				t.Errorf("code %v", code)
			}
		})
	}
}

// The answer to jobs.insert tells the statement's type at once, before the job has run.
func TestAnInsertTellsItsStatementType(t *testing.T) {
	s := start(t, func(o *Options) { o.JobDelay = time.Minute })
	c := as(t, s, reader)
	for sql, want := range map[string]string{
		"SELECT name FROM crm.customers": "SELECT", "DELETE FROM crm.customers WHERE FALSE": "DELETE",
		"CREATE TABLE crm.x AS SELECT 1 AS x": "CREATE_TABLE_AS_SELECT",
	} {
		t.Run(sql, func(t *testing.T) {
			job := c.insert("", sql, false).tree(t)
			if state := at(t, job, "status", "state"); state == "DONE" {
				t.Errorf("%s is %v at once", sql, state)
			}
			if got := at(t, job, "statistics", "query", "statementType"); got != want {
				t.Errorf("%s: statementType %v, want %s", sql, got, want)
			}
			if got := at(t, job, "jobCreationReason", "code"); got != "REQUESTED" {
				t.Errorf("%s: jobCreationReason %v", sql, got)
			}
		})
	}
}
