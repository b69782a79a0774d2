package bigquery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/durable"
)

// pager answers pages by their token; "" is the first.
func pager(t *testing.T, pages map[string]string) *Client {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := pages[r.URL.Query().Get("pageToken")]
		if !ok || r.URL.Query().Get("maxResults") != listPage {
			w.WriteHeader(http.StatusBadRequest)
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(h.Close)
	c, err := NewClient(ClientOptions{BaseURL: h.URL, HTTPClient: h.Client(), Token: func(context.Context, durable.Facts) (string, error) {
		return "inspection", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientListsAllPages(t *testing.T) {
	table := func(project, dataset, name string) string {
		return fmt.Sprintf(`{"tableReference":{"projectId":%q,"datasetId":%q,"tableId":%q},"type":"TABLE","labels":{"x":"y"}}`, project,
			dataset, name)
	}
	crm := DatasetReference{ProjectID: "demo", DatasetID: "crm"}
	c := pager(t, map[string]string{"": `{"tables":[` + table("demo", "crm", "a") + `],"nextPageToken":"t1"}`,
		"t1": `{"nextPageToken":"t2"}`, "t2": `{"tables":[` + table("demo", "crm", "b") + `]}`})
	all, err := c.ListTables(t.Context(), decided(t), crm)
	if err != nil || len(all) != 2 || all[0].Reference.Table != "a" || all[1].Reference.Table != "b" {
		t.Errorf("%+v, %v", all, err)
	}
	for name, c := range map[string]*Client{
		"another dataset": pager(t, map[string]string{"": `{"tables":[` + table("demo", "hr", "a") + `]}`}),
		"another project": pager(t, map[string]string{"": `{"tables":[` + table("other", "crm", "a") + `]}`}),
		"no JSON":         pager(t, map[string]string{"": `x`}),
		"a page is gone":  pager(t, map[string]string{"": `{"nextPageToken":"t9"}`}),
		"without end":     pager(t, map[string]string{"": `{"nextPageToken":"t1"}`, "t1": `{"nextPageToken":"t1"}`}),
	} {
		t.Run(name, func(t *testing.T) {
			if all, err := c.ListTables(t.Context(), decided(t), crm); err == nil {
				t.Errorf("%s: %+v", name, all)
			}
		})
	}
	endless := pager(t, map[string]string{"": `{"nextPageToken":"t1"}`, "t1": `{"nextPageToken":"t1"}`})
	if _, err := endless.ListDatasets(t.Context(), decided(t), "demo"); !errors.Is(err, ErrTooMany) {
		t.Errorf("without end: %v", err)
	}
	datasets := pager(t, map[string]string{"": `{"datasets":[{"datasetReference":{"projectId":"demo","datasetId":"crm"},"location":"US",` +
		`"labels":{"a":"b"}}]}`})
	if all, err := datasets.ListDatasets(t.Context(), decided(t), "demo"); err != nil || len(all) != 1 ||
		all[0] != (ListedDataset{Reference: crm, Location: "US"}) {
		t.Errorf("%+v, %v", all, err)
	}
	for _, bad := range []DatasetReference{{}, {"demo", "../x"}, {"demo/../x", "crm"}, {"123", "crm"}} {
		if _, err := datasets.ListTables(t.Context(), decided(t), bad); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: %v", bad, err)
		}
		if _, err := datasets.GetDataset(t.Context(), decided(t), bad); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := start(t, &server{status: 200, body: `{"datasetReference":{"projectId":"demo","datasetId":"hr"}}`}).GetDataset(t.Context(),
		decided(t),
		crm); err == nil {
		t.Error("an answer about another dataset was taken")
	}
	// BigQuery says "denied, or it may not exist": neither is told apart.
	denied := start(t, &server{status: 403, body: `{"error":{"message":"Access Denied: Table x","errors":[{"reason":"accessDenied"}]}}`})
	if _, err := denied.GetTable(t.Context(), decided(t), TableID{"demo", "crm", "t"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a table that is denied: %v", err)
	}
}

// What could hold a value or tell of others is in no answer, whatever BigQuery said of the table.
func TestMetadataIsRebuilt(t *testing.T) {
	upstream := []byte(
		`{"kind":"bigquery#table","etag":"SECRET","description":"SECRET","numRows":"77","tableReference":{"projectId":"demo","datasetId":"crm","tableId":"v"},"type":"VIEW","location":"US",
"view":{"query":"SELECT 'SECRET'"},"labels":{"a":"secret"},"externalDataConfiguration":{"sourceUris":["gs://SECRET"]},"schema":{"fields":[
{"name":"a","type":"INT64","mode":"REQUIRED","description":"SECRET","policyTags":{"names":["SECRET"]},"defaultValueExpression":"'SECRET'"},
{"name":"s","type":"STRUCT","mode":"REPEATED","fields":[{"name":"x","type":"FLOAT64","description":"SECRET"}]},{"name":"b","type":"BOOL"}]}}`)
	var table Table
	if err := json.Unmarshal(upstream, &table); err != nil {
		t.Fatal(err)
	}
	got := string(TableAnswer(&table))
	if strings.Contains(strings.ToUpper(got), "SECRET") || strings.Contains(got, "77") {
		t.Errorf("%s", got)
	}
	const want = `{"kind":"bigquery#table","id":"demo:crm.v",` +
		`"selfLink":"https://bigquery.googleapis.com/bigquery/v2/projects/demo/datasets/crm/tables/v",` +
		`"tableReference":{"projectId":"demo","datasetId":"crm","tableId":"v"},"type":"VIEW","location":"US",` +
		`"schema":{"fields":[{"name":"a","type":"INTEGER","mode":"REQUIRED"},` +
		`{"name":"s","type":"RECORD","mode":"REPEATED","fields":[{"name":"x","type":"FLOAT","mode":"NULLABLE"}]},{"name":"b",` +
		`"type":"BOOLEAN","mode":"NULLABLE"}]}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(TableList([]ListedTable{{Reference: table.TableReference, Type: "SECRET"}}, 1, "n")); strings.Contains(got,
		"SECRET") || !strings.Contains(got, `"totalItems":1,"nextPageToken":"n"`) {
		t.Errorf("%s", got)
	}
	if got := string(DatasetAnswer(ListedDataset{Reference: DatasetReference{"demo", "crm"},
		Location: "EU"})); got != `{"kind":"bigquery#dataset","id":"demo:crm",`+
		`"selfLink":"https://bigquery.googleapis.com/bigquery/v2/projects/demo/datasets/crm","datasetReference":{"projectId":"demo",`+
		`"datasetId":"crm"},"location":"EU","type":"DEFAULT"}` {
		t.Errorf("%s", got)
	}
}

func TestDryRunsTellRoundedBytes(t *testing.T) {
	d := DryRunAnswer{
		Job: JobReference{ProjectID: "demo", JobID: "x", Location: "US"}, SQL: "SELECT 1", Labels: map[string]string{"team": "a"},
		Bytes: 123456, Waits: true,
		Tables: []TableID{{"demo", "crm", "t"}}, Schema: Schema{Fields: []Field{{Name: "a", Type: "INT64"}}},
	}
	for name, body := range map[string][]byte{"insert": DryRunJob(d, 5), "query": DryRunQuery(d)} {
		t.Run(name, func(t *testing.T) {
			got := string(body)
			if strings.Contains(got, "123456") || strings.Contains(got, `"jobId"`) || !strings.Contains(got, `"10485760"`) ||
				!strings.Contains(got, `"INTEGER"`) {
				t.Errorf("%s: %s", name, got)
			}
			if name == "insert" && (!strings.Contains(got, `"bqgate_waits":"for_approval"`) || !strings.Contains(got, `"team":"a"`)) {
				t.Errorf("%s: %s", name, got)
			}
		})
	}
}

// A listing says that a job failed and by which of BigQuery's reasons, never in whose words.
func TestJobListHasNoErrorTexts(t *testing.T) {
	job := HeldJob{Job: JobReference{ProjectID: "demo", JobID: "j", Location: "US"}, SQL: "SELECT 1", Created: time.UnixMilli(5)}
	got := string(JobList([]JobSummary{{HeldJob: job, State: "DONE", Reason: "Bad value 123-45-6789"}, {HeldJob: job, State: "PENDING"}},
		"next"))
	if strings.Contains(got, "123-45") || !strings.Contains(got, `"reason":"backendError"`) ||
		!strings.Contains(got, `"state":"PENDING"`) || !strings.Contains(got, `"nextPageToken":"next"`) {
		t.Errorf("%s", got)
	}
}

// What the stock clients send for metadata and listings, and what of it is refused.
func TestDecodeOfListings(t *testing.T) {
	ms := func(n int64) *int64 { return &n }
	for path, want := range map[string]Operation{
		"projects": {Method: MethodListProjects, Metadata: &MetadataRequest{}},
		"projects/demo/datasets?prettyPrint=false": {Method: MethodListDatasets,
			Metadata: &MetadataRequest{}},
		"projects/demo/datasets?all=false&maxResults=5": {Method: MethodListDatasets,
			Metadata: &MetadataRequest{MaxResults: ptr(uint32(5))}},
		"projects/demo/datasets/crm?datasetView=FULL": {Method: MethodGetDataset,
			Metadata: &MetadataRequest{Dataset: "crm"}},
		"projects/demo/datasets/crm/tables?pageToken=abc": {Method: MethodListTables,
			Metadata: &MetadataRequest{Dataset: "crm", PageToken: "abc"}},
		"projects/demo/datasets/crm/tables/t?view=STORAGE_STATS": {Method: MethodGetTable,
			Metadata: &MetadataRequest{Dataset: "crm", Table: "t"}},
		"projects/demo/jobs?projection=full&allUsers=False&stateFilter=done": {Method: MethodListJobs,
			List: &JobsRequest{States: []string{"DONE"}}},
		// Java sends the states that it wants one by one.
		"projects/demo/jobs?stateFilter=done&stateFilter=pending": {Method: MethodListJobs,
			List: &JobsRequest{States: []string{"DONE", "PENDING"}}},
		"projects/demo/jobs?minCreationTime=1&maxCreationTime=2&maxResults=3": {Method: MethodListJobs,
			List: &JobsRequest{After: ms(1), Before: ms(2), MaxResults: ptr(uint32(3))}},
		"projects/demo/datasets/_a/tables/anon1/data?formatOptions.useInt64Timestamp=True": {Method: MethodListTableData,
			Read: &ReadRequest{Table: &TableID{"demo", "_a", "anon1"}, Format: FormatOptions{UseInt64Timestamp: true}}},
	} {
		t.Run(path, func(t *testing.T) {
			op, err := Decode(get(Root + path))
			want.Pretty = !strings.Contains(path, "prettyPrint=false")
			if strings.Contains(path, "/") {
				want.Job.ProjectID = "demo"
			}
			if err != nil || !reflect.DeepEqual(op, want) {
				t.Errorf("%s: %v\ngot  %s\nwant %s", path, err, dump(op), dump(want))
			}
		})
	}
	for path, status := range map[string]int{
		"projects/demo/datasets?all=true": 403, "projects/demo/datasets?filter=labels.x": 403, "projects/demo/jobs?allUsers=true": 403,
		"projects/demo/jobs?parentJobId=x":                     403,
		"projects/demo/datasets/crm/tables/t?selectedFields=a": 403, "projects/demo/datasets/_a/tables/t/data?selectedFields=a": 403,
		"projects/demo/jobs?stateFilter=secret": 400, "projects/demo/jobs?stateFilter=done&stateFilter=secret": 400,
		"projects/demo/jobs?maxResults=1&maxResults=2": 400, "projects/demo/queries/j?stateFilter=done&stateFilter=done": 400,
		"projects/demo/jobs?minCreationTime=-1":        400,
		"projects/demo/datasets/crm/tables/t?view=ALL": 400, "projects/demo/datasets/crm?datasetView=x": 400,
		"projects/demo/datasets/crm/tables?all=false": 400, "projects?all=false": 400,
		"projects/demo/datasets/crm/tables/t?startIndex=1": 400, "projects/demo/jobs?location=US": 400,
		"projects/demo/datasets/_a/tables/t/data?location=US": 400,
	} {
		t.Run(path, func(t *testing.T) {
			op, err := Decode(get(Root + path))
			var e *RequestError
			if !errors.As(err, &e) || e.Status != status || len(asks(op)) > 0 {
				t.Errorf("%s: %v, asks %v; want status %d", path, err, asks(op), status)
			}
		})
	}
}
