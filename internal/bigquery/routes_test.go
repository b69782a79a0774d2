package bigquery

import (
	"bufio"
	"errors"
	"os"
	"strings"
	"testing"
)

// The route table is the discovery document's list of methods, no more and no less.
func TestRoutesAreDiscovery(t *testing.T) {
	f, err := os.Open("testdata/methods.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if !strings.HasPrefix(s.Text(), "#") {
			want[s.Text()] = true
		}
	}
	if len(want) != 47 {
		t.Fatalf("testdata has %d methods, want 47", len(want))
	}
	governed := 0
	for _, r := range Routes() {
		line := strings.Join([]string{string(r.Method), r.Verb, r.Path}, " ")
		if !want[line] {
			t.Errorf("%s is not in the discovery document", line)
		}
		delete(want, line)
		if r.Governed() {
			governed++
		}
	}
	for line := range want {
		t.Errorf("%s is missing", line)
	}
	if governed != 12 {
		t.Errorf("%d methods are governed, want 12", governed)
	}
	if (Route{}).Governed() {
		t.Error("the zero Route is governed")
	}
}

// Every method but the governed ones is refused by name, with a sentence.
func TestDecodeRefusesEveryOtherMethod(t *testing.T) {
	fill := strings.NewReplacer("{project}", "demo", "{dataset}", "crm", "{table}", "customers", "{job}", "j1", "{model}", "m", "{routine}",
		"r", "{policy}", "p")
	for _, r := range Routes() {
		if r.Governed() {
			continue
		}
		op, err := Decode(Request{Verb: r.Verb, Path: Root + fill.Replace(r.Path)})
		var e *RequestError
		if !errors.As(err, &e) || e.Status != 403 || e.Reason != "accessDenied" || e.Method != r.Method ||
			!strings.Contains(e.Message, string(r.Method)) || len(e.Message) < 30 {
			t.Errorf("%s: %+v", r.Method, err)
		}
		if op.Query != nil || op.Read != nil {
			t.Errorf("%s: the refused operation asks for something", r.Method)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		verb, path string
		want       Method // "" for a refusal
		status     int
	}{
		{"POST", "/bigquery/v2/projects/demo/queries", MethodQuery, 0},
		{"POST", "/bigquery/v2/projects/demo/jobs", MethodInsert, 0},
		{"GET", "/bigquery/v2/projects/demo/queries/job_A-1", MethodGetQueryResults, 0},
		{"GET", "/bigquery/v2/projects/demo/jobs/job_A-1", MethodGetJob, 0},
		{"POST", "/bigquery/v2/projects/demo/jobs/job_A-1/cancel", MethodCancel, 0},
		{"POST", "/bigquery/v2/projects/demo/datasets/d:undelete", "datasets.undelete", 0},
		{"POST", "/bigquery/v2/projects/demo/datasets/d/tables/t/rowAccessPolicies:batchDelete", "rowAccessPolicies.batchDelete", 0},
		{"GET", "/bigquery/v2/projects", "projects.list", 0},

		// Paths that two parsers could read differently.
		{"POST", "//bigquery/v2/projects/demo/queries", "", 400},
		{"POST", "/bigquery/v2//projects/demo/queries", "", 400},
		{"POST", "/bigquery/v2/projects/demo/queries/", "", 400},
		{"POST", "/bigquery/v2/projects/demo/./queries", "", 400},
		{"POST", "/bigquery/v2/projects/demo/../demo/queries", "", 400},
		{"POST", "/bigquery/v2/projects/demo/queries;a=b", "", 400},
		{"POST", "/bigquery/v2/projects/demo/%71ueries", "", 400},
		{"GET", "/bigquery/v2/projects/demo/jobs/a%2Fcancel", "", 400},
		{"GET", "/bigquery/v2/projects/demo/jobs/a\\b", "", 400},
		{"POST", "/bigquery/v2/projects/demo/queries#x", "", 400},
		{"POST", "/bigquery/v2/projects/demo/queries\x00", "", 400},
		{"POST", "", "", 400},
		// Doors beside the API.
		{"POST", "/upload/bigquery/v2/projects/demo/jobs", "", 403},
		{"PUT", "/resumable/upload/bigquery/v2/projects/demo/jobs", "", 403},
		{"POST", "/batch/bigquery/v2", "", 403},
		{"POST", "/projects/demo/queries", "", 403},
		{"POST", "/BigQuery/v2/projects/demo/queries", "", 403},
		{"POST", "/bigquery/v2", "", 403},
		{"GET", "/", "", 400},
		// Verbs and custom methods that do not exist.
		{"GET", "/bigquery/v2/projects/demo/queries", "", 403},
		{"post", "/bigquery/v2/projects/demo/queries", "", 403},
		{"HEAD", "/bigquery/v2/projects/demo/jobs/j", "", 403},
		{"POST", "/bigquery/v2/projects/demo/queries:run", "", 403},
		{"GET", "/bigquery/v2/projects/demo/jobs/j:cancel", "", 403},
		{"POST", "/bigquery/v2/projects/demo/jobs/j:x/cancel", "", 400},
		{"POST", "/bigquery/v2/projects/demo/datasets/:undelete", "", 403},
		{"POST", "/bigquery/v2/projects/demo/queries/j/extra", "", 403},
		// Second names for one thing.
		{"POST", "/bigquery/v2/projects/example.com:proj/queries", "", 400},
		{"POST", "/bigquery/v2/projects/123456789/queries", "", 400},
		{"POST", "/bigquery/v2/projects/Demo/queries", "", 400},
		{"GET", "/bigquery/v2/projects/demo/jobs/" + strings.Repeat("j", 1025), "", 400},
		{"GET", "/bigquery/v2/projects/demo/jobs/job.1", "", 400},
		{"GET", "/bigquery/v2/projects/demo/datasets/d/tables/t$20260101/data", "", 400},
		{"GET", "/bigquery/v2/projects/demo/datasets/d/tables/t@-3600000", "", 400},
	} {
		t.Run(c.verb, func(t *testing.T) {
			r, _, err := Match(c.verb, c.path)
			if c.want != "" {
				if err != nil || r.Method != c.want {
					t.Errorf("%s %s: %v, %v; want %s", c.verb, c.path, r.Method, err, c.want)
				}
				return
			}
			var e *RequestError
			if !errors.As(err, &e) || e.Status != c.status || e.Message == "" {
				t.Errorf("%s %s: %v (%+v); want status %d", c.verb, c.path, r.Method, err, c.status)
			}
		})
	}
}
