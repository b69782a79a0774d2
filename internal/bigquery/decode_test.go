package bigquery

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const (
	queryPath  = "/bigquery/v2/projects/demo/queries"
	insertPath = "/bigquery/v2/projects/demo/jobs"
)

var jsonHeader = map[string][]string{"content-type": {"application/json"}}

func ptr[T any](v T) *T { return &v }

func post(path, body string) Request {
	return Request{Verb: "POST", Path: path, Header: jsonHeader, Body: []byte(body)}
}

func get(path string) Request { return Request{Verb: "GET", Path: path} }

// What the stock clients send, as they send it.
func TestDecodeAcceptsClients(t *testing.T) {
	job := JobReference{ProjectID: "demo", JobID: "5dc2e4a1-9c1e-4c0b-8f0e-4f2a3d1b7c11"}
	for name, c := range map[string]struct {
		request Request
		want    Operation
	}{
		"python query": {
			post(insertPath+"?prettyPrint=false",
				`{"jobReference": {"jobId": "5dc2e4a1-9c1e-4c0b-8f0e-4f2a3d1b7c11", "projectId": "demo"}, "configuration": {"query": `+
					`{"useLegacySql": false, "query": "SELECT 1"}}}`),
			Operation{Method: MethodInsert, Job: job, Query: &QueryRequest{SQL: "SELECT 1"}},
		},
		"python query_and_wait": {
			post(queryPath+"?prettyPrint=false",
				`{"useLegacySql": false, "formatOptions": {"useInt64Timestamp": true}, "query": "SELECT @a", "requestId": "a5a0",`+
					`"parameterMode": "NAMED", "queryParameters": [{"name": "a", "parameterType": {"type": "INT64"}, "parameterValue": `+
					`{"value": "1"}}], "maximumBytesBilled": "30000000", "labels": {"team": "x"},`+
					`"defaultDataset": {"datasetId": "crm", "projectId": "demo"}, "location": "EU", "maxResults": 10, "timeoutMs": 5000}`),
			Operation{Method: MethodQuery, Job: JobReference{ProjectID: "demo", Location: "EU"}, Query: &QueryRequest{
				SQL: "SELECT @a", RequestID: "a5a0", Format: FormatOptions{UseInt64Timestamp: true}, ParameterMode: "NAMED",
				MaximumBytesBilled: 20971520, /* rounded down, since which limit a query passes tells its bytes */
				Parameters:         json.RawMessage(`[{"name":"a","parameterType":{"type":"INT64"},"parameterValue":{"value":"1"}}]`),
				Labels:             map[string]string{"team": "x"}, DefaultDataset: &DatasetReference{"demo", "crm"},
				MaxResults: ptr(uint32(10)), TimeoutMs: ptr(int64(5000)),
			}},
		},
		"go Query.Read": {
			post(queryPath+"?alt=json&prettyPrint=false",
				`{"formatOptions":{"useInt64Timestamp":true},"query":"SELECT `+
					`?","queryParameters":[{"parameterType":{"type":"FLOAT64"},"parameterValue":{"value":1.5}}],`+
					`"requestId":"request-20261123-1795391325123456789-0001","useLegacySql":false}`),
			Operation{Method: MethodQuery, Job: JobReference{ProjectID: "demo"}, Query: &QueryRequest{
				SQL: "SELECT ?", RequestID: "request-20261123-1795391325123456789-0001", Format: FormatOptions{UseInt64Timestamp: true},
				ParameterMode: "POSITIONAL",
				Parameters:    json.RawMessage(`[{"parameterType":{"type":"FLOAT64"},"parameterValue":{"value":"1.5"}}]`),
			}},
		},
		"go Query.Run": {
			post(insertPath+"?alt=json&prettyPrint=false",
				`{"configuration":{"query":{"priority":"BATCH","query":"SELECT `+
					`1","useLegacySql":false,"useQueryCache":false},"jobTimeoutMs":"60000"},`+
					`"jobReference":{"jobId":"5dc2e4a1-9c1e-4c0b-8f0e-4f2a3d1b7c11","projectId":"demo","location":"US"}}`),
			Operation{Method: MethodInsert, Job: JobReference{"demo", job.JobID, "US"},
				Query: &QueryRequest{SQL: "SELECT 1", Priority: "BATCH", UseQueryCache: ptr(false), JobTimeoutMs: 60000}},
		},
		"bq query": {
			post(insertPath+"?alt=json", `{"configuration": {"query": {"query": "SELECT 1", "createSession": false, "continuous": `+
				`false}, "dryRun": false}, "jobReference": {"jobId": "5dc2e4a1-9c1e-4c0b-8f0e-4f2a3d1b7c11", "projectId": "demo"}}`),
			Operation{Method: MethodInsert, Job: job, Query: &QueryRequest{SQL: "SELECT 1"}},
		},
		"node": {
			post(queryPath, `{"query":"SELECT `+
				`1","useLegacySql":false,"jobCreationMode":"JOB_CREATION_OPTIONAL","requestId":"b7",`+
				`"formatOptions":{"useInt64Timestamp":true}}`),
			Operation{Method: MethodQuery, Job: JobReference{ProjectID: "demo"}, Query: &QueryRequest{
				SQL: "SELECT 1", RequestID: "b7", JobCreationMode: "JOB_CREATION_OPTIONAL", Format: FormatOptions{UseInt64Timestamp: true},
			}},
		},
		"jdbc dry run": {
			post(insertPath, `{"configuration":{"dryRun":true,"jobType":"QUERY","query":{"query":"SELECT `+
				`1","useLegacySql":false,"allowLargeResults":null}},"jobReference":{"projectId":"demo"}}`),
			Operation{Method: MethodInsert, Job: JobReference{ProjectID: "demo"}, Query: &QueryRequest{SQL: "SELECT 1", DryRun: true}},
		},
		"python job get": {
			get(insertPath + "/" + job.JobID + "?projection=full&location=US&prettyPrint=false"),
			Operation{Method: MethodGetJob, Job: JobReference{"demo", job.JobID, "US"}, Read: &ReadRequest{Projection: "full"}},
		},
		"python without a location": {
			get(insertPath + "/" + job.JobID + "?projection=full&location=None&prettyPrint=false"),
			Operation{Method: MethodGetJob, Job: job, Read: &ReadRequest{Projection: "full"}},
		},
		"python page": {
			get(queryPath + "/" + job.JobID +
				"?fields=jobReference%2CtotalRows%2CpageToken%2Crows&location=US&formatOptions.useInt64Timestamp=True&pageToken=BGXHZ5YH%3D%3D&prettyPrint=false"),
			Operation{Method: MethodGetQueryResults, Job: JobReference{"demo", job.JobID, "US"},
				Fields: mask(t, "jobReference,totalRows,pageToken,rows"), Read: &ReadRequest{
					PageToken: "BGXHZ5YH==", Format: FormatOptions{UseInt64Timestamp: true},
				}},
		},
		"bq results": {
			get(queryPath + "/" + job.JobID + "?timeoutMs=0&startIndex=0&maxResults=100&alt=json"),
			Operation{Method: MethodGetQueryResults, Job: job, Pretty: true,
				Read: &ReadRequest{TimeoutMs: ptr(int64(0)), StartIndex: ptr(uint64(0)), MaxResults: ptr(uint32(100))}},
		},
		"go cancel": {
			Request{Verb: "POST", Path: insertPath + "/" + job.JobID + "/cancel?alt=json&fields=&location=US&prettyPrint=false",
				Header: map[string][]string{"content-length": {"0"}}},
			Operation{Method: MethodCancel, Job: JobReference{"demo", job.JobID, "US"}, Read: &ReadRequest{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			op, err := Decode(c.request)
			if err != nil {
				t.Fatal(err)
			}
			c.want.Pretty = c.want.Pretty || !strings.Contains(c.request.Path, "prettyPrint=false")
			if !reflect.DeepEqual(op, c.want) {
				t.Fatalf("got  %s\nwant %s", dump(op), dump(c.want))
			}
		})
	}
}

func dump(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func mask(t testing.TB, text string) *FieldMask {
	t.Helper()
	m, err := ParseFieldMask(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Bodies that must not pass, as an attacker would write them. part is what the message must name.
func TestDecodeRefusesBodies(t *testing.T) {
	inQuery := func(member string) string { return `{"query":"SELECT 1",` + member + `}` }
	inJob := func(member string) string { return `{"configuration":{"query":{"query":"SELECT 1",` + member + `}}}` }
	type refused struct {
		path, body string
		status     int
		part       string
	}
	cases := []refused{
		// Two readings of one body.
		{queryPath, `{"query":"SELECT 1","query":"DROP TABLE t"}`, 400, "query"},
		{queryPath, `{"query":"SELECT 1","qu\u0065ry":"DROP TABLE t"}`, 400, "query"},
		{insertPath, `{"configuration":{"query":{"query":"SELECT 1"},"query":{"query":"DROP TABLE t"}}}`, 400, "query"},
		{queryPath, inQuery(`"queryParameters":[{"name":"a","name":"b","parameterType":{"type":"STRING"}}]`), 400, "name"},
		{queryPath, `{"query":"SELECT 1"}{"query":"DROP TABLE t"}`, 400, "follows"},
		{queryPath, `{"query":"SELECT 1"} x`, 400, "follows"},
		{queryPath, "\xef\xbb\xbf" + `{"query":"SELECT 1"}`, 400, "JSON"},
		{queryPath, `{"query":"SELECT '` + "\xff" + `'"}`, 400, "JSON"},
		{queryPath, `{"query":"SELECT '\ud800'"}`, 400, "JSON"},
		{queryPath, `{"query":"SELECT 1"`, 400, "ends too early"},
		{queryPath, ``, 400, "ends too early"},
		{queryPath, `null`, 400, "object"},
		{queryPath, `[]`, 400, "object"},
		{queryPath, `{"Query":"SELECT 1"}`, 400, "query is missing"},
		{queryPath, `{"query":"SELECT 1","use_legacy_sql":true}`, 400, "camelCase"},
		{insertPath, `{"configuration":{"query":{"query":"SELECT 1","destination_table":{}}}}`, 400, "destination_table"},
		{queryPath, inQuery(`"surprise":1`), 400, "surprise"},
		{queryPath, inQuery(`"surprise":null`), 400, "surprise"},
		{insertPath, `{"configuration":{"query":{"query":"SELECT 1"},"surprise":{}}}`, 400, "configuration.\"surprise\""},
		{insertPath, `{"configuration":{"query":{"query":"SELECT 1"}},"status":{}}`, 400, "status"},
		{queryPath, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), 400, "nested"},
		{queryPath, inQuery(`"queryParameters":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), 400, "nested"},
		// Another language, another job.
		{queryPath, inQuery(`"useLegacySql":true`), 403, "useLegacySql"},
		{queryPath, inQuery(`"useLegacySql":"false"`), 403, "useLegacySql"},
		{queryPath, `{"query":"#legacySQL\nSELECT 1"}`, 403, "legacySQL"},
		{queryPath, `{"query":" /**/ # LegacySql\nSELECT 1"}`, 403, "legacy"},
		{insertPath, `{"configuration":{"query":{"query":"SELECT 1"},"load":{}}}`, 400, "one of"},
		{insertPath, `{"configuration":{"load":{}}}`, 403, "load"},
		{insertPath, `{"configuration":{"copy":{}}}`, 403, "copy"},
		{insertPath, `{"configuration":{"extract":{}}}`, 403, "extract"},
		{insertPath, `{"configuration":{"jobType":"LOAD","query":{"query":"SELECT 1"}}}`, 400, "jobType"},
		{insertPath, `{"configuration":{}}`, 400, "configuration.query is missing"},
		{insertPath, `{}`, 400, "configuration is missing"},
		{insertPath, `{"configuration":{"query":{"query":"SELECT 1"},"properties":{"session_id":"x"}}}`, 403, "properties"},
		{insertPath, `{"configuration":{"query":{"query":"SELECT 1"},"reservation":"projects/x/locations/US/reservations/y"}}`, 403,
			"reservation"},
		{insertPath, `{"jobReference":{"projectId":"other"},"configuration":{"query":{"query":"SELECT 1"}}}`, 400, "projectId"},
		{insertPath, `{"jobReference":{"jobId":"a.b"},"configuration":{"query":{"query":"SELECT 1"}}}`, 400, "jobId"},
		{insertPath, `{"jobReference":{"location":"US/x"},"configuration":{"query":{"query":"SELECT 1"}}}`, 400, "location"},
		// The gateway's own labels.
		{queryPath, inQuery(`"labels":{"bqgate_decision":"d-1"}`), 403, "bqgate"},
		{queryPath, inQuery(`"labels":{"bqgate_wait":"maybe"}`), 400, "yes or no"},
		{queryPath, inQuery(`"labels":{"BQGATE_WAIT":"no"}`), 403, "bqgate"},
		{insertPath, `{"configuration":{"labels":{"bqgate":""},"query":{"query":"SELECT 1"}}}`, 403, "bqgate"},
		{queryPath, inQuery(`"labels":{"BQGATE_decision":"d-1"}`), 403, "bqgate"},
		{queryPath, inQuery(`"labels":{"Team":"x"}`), 400, "label"},
		{queryPath, inQuery(`"labels":{"team":"a b"}`), 400, "label"},
		{queryPath, inQuery(`"labels":{"Équipe":"x"}`), 400, "label"},
		{queryPath, inQuery(`"labels":{"1team":"x"}`), 400, "label"},
		{queryPath, inQuery(`"labels":{"team":"` + strings.Repeat("é", 64) + `"}`), 400, "label"},
		{insertPath, `{"configuration":{"query":{"query":"SELECT 1"},"load":{}}}`, 400, "one of query"},
		{queryPath, inQuery(`"labels":{"team":1}`), 400, "labels.team"},
		// Types and ranges.
		{queryPath, `{"query":""}`, 400, "query is missing"},
		{queryPath, `{"query":" \n "}`, 400, "query is missing"},
		{queryPath, `{"query":1}`, 400, "query must be a string"},
		{queryPath, `{"query":"SELECT '\u0000'"}`, 400, "NUL"},
		{queryPath, `{"query":"` + strings.Repeat("x", MaxSQL+1) + `"}`, 400, "longer"},
		{queryPath, inQuery(`"maximumBytesBilled":"-1"`), 400, "maximumBytesBilled"},
		{queryPath, inQuery(`"maximumBytesBilled":1e3`), 400, "maximumBytesBilled"},
		{queryPath, inQuery(`"maximumBytesBilled":"9223372036854775808"`), 400, "maximumBytesBilled"},
		{queryPath, inQuery(`"maximumBytesBilled":"+1"`), 400, "maximumBytesBilled"},
		{queryPath, inQuery(`"maximumBytesBilled":"01"`), 400, "maximumBytesBilled"},
		{queryPath, inQuery(`"maxResults":4294967296`), 400, "maxResults"},
		{queryPath, inQuery(`"dryRun":"true"`), 400, "dryRun"},
		{queryPath, inQuery(`"jobCreationMode":"JOB_CREATION_NEVER"`), 400, "jobCreationMode"},
		{queryPath, inQuery(`"formatOptions":{"timestampOutputFormat":"PICOS"}`), 400, "timestampOutputFormat"},
		{queryPath, inQuery(`"formatOptions":{"x":1}`), 400, "formatOptions"},
		{queryPath, inQuery(`"defaultDataset":{"projectId":"demo"}`), 400, "datasetId"},
		{queryPath, inQuery(`"defaultDataset":{"projectId":"example.com:p","datasetId":"d"}`), 400, "project"},
		{queryPath, inQuery(`"defaultDataset":{"datasetId":"a.b"}`), 400, "datasetId"},
		{queryPath, inQuery(`"requestId":"a b"`), 400, "requestId"},
		{insertPath, inJob(`"requestId":"a"`), 400, "requestId"},
		{insertPath, inJob(`"priority":"HIGH"`), 400, "priority"},
		// Parameters.
		{queryPath, inQuery(`"parameterMode":"BOTH"`), 400, "parameterMode"},
		{queryPath, inQuery(`"queryParameters":{}`), 400, "list"},
		{queryPath, inQuery(`"queryParameters":[{"name":"a"}]`), 400, "parameterType"},
		{queryPath, inQuery(`"queryParameters":[{"name":"a","parameterType":{"type":"INT64"}},{"name":"A",` +
			`"parameterType":{"type":"INT64"}}]`), 400, "twice"},
		{queryPath, inQuery(`"queryParameters":[{"name":"a","parameterType":{"type":"INT64"}},{"parameterType":{"type":"INT64"}}]`), 400,
			"needs a name"},
		{queryPath, inQuery(`"parameterMode":"POSITIONAL","queryParameters":[{"name":"a","parameterType":{"type":"INT64"}}]`), 400,
			"no name"},
		{queryPath, inQuery(`"queryParameters":[{"name":"a","parameterType":{"type":"INT64"},"parameterValue":{"value":{}}}]`), 400,
			"value"},
		{queryPath, inQuery(`"queryParameters":[{"name":"a","parameterType":{"type":"x y"}}]`), 400, "type"},
		{queryPath, inQuery(`"queryParameters":[{"name":"a","parameterType":{"type":"INT64"},"extra":1}]`), 400, "extra"},
		{queryPath, inQuery(`"queryParameters":[{"name":"a b","parameterType":{"type":"INT64"}}]`), 400, "name"},
	}
	for _, f := range refusedFields {
		cases = append(cases, refused{queryPath, inQuery(`"` + f.name + `":{"x":1}`), 403, f.name},
			refused{insertPath, inJob(`"` + f.name + `":{"x":1}`), 403, f.name})
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s in %.60s", c.part, c.body), func(t *testing.T) {
			op, err := Decode(post(c.path, c.body))
			var e *RequestError
			if !errors.As(err, &e) || e.Status != c.status || !strings.Contains(e.Message, c.part) {
				t.Errorf("%.120s: got %+v, want %d naming %q", c.body, err, c.status, c.part)
				return
			}
			if want := map[int]string{400: "invalid", 403: "accessDenied"}[c.status]; e.Reason != want {
				t.Errorf("%.120s: reason %s, want %s", c.body, e.Reason, want)
			}
			if op.Query != nil || op.Read != nil || op.Job.JobID != "" {
				t.Errorf("%.120s: the refused operation asks for something: %s", c.body, dump(op))
			}
		})
	}
}

// A refused field passes with the value that says what BigQuery does anyway, and is not forwarded.
func TestDecodeTakesHarmlessValues(t *testing.T) {
	for _, f := range refusedFields {
		for _, value := range append(f.harmless, "null") {
			op, err := Decode(post(queryPath, `{"query":"SELECT 1","`+f.name+`": `+value+`}`))
			if err != nil {
				t.Errorf("%s = %s: %v", f.name, value, err)
				continue
			}
			if !reflect.DeepEqual(op.Query, &QueryRequest{SQL: "SELECT 1"}) {
				t.Errorf("%s = %s: %s", f.name, value, dump(op))
			}
		}
	}
}

// What BigQuery's reference says to have no meaning for GoogleSQL is taken, whatever it says, and
// forgotten.
func TestDecodeForgetsLegacyFields(t *testing.T) {
	for _, name := range legacyFields {
		for _, value := range []string{"true", "false", "null"} {
			t.Run(value, func(t *testing.T) {
				for path, body := range map[string]string{
					queryPath:  `{"query":"SELECT 1","` + name + `":` + value + `}`,
					insertPath: `{"configuration":{"query":{"query":"SELECT 1","` + name + `":` + value + `}}}`,
				} {
					t.Run(path, func(t *testing.T) {
						op, err := Decode(post(path, body))
						if err != nil || !reflect.DeepEqual(op.Query, &QueryRequest{SQL: "SELECT 1"}) {
							t.Errorf("%s = %s: %v, %s", name, value, err, dump(op))
						}
					})
				}
			})
		}
		if _, err := Decode(post(queryPath, `{"query":"SELECT 1","`+name+`":"DROP"}`)); err == nil {
			t.Errorf("%s of another type was taken", name)
		}
	}
}

// A location is one in any case, and a job's id may be written as Job.id has it. Two names for one
// job are one operation.
func TestDecodeNamesOfJobs(t *testing.T) {
	for _, c := range []struct{ id, query, location string }{
		{"j1", "", ""}, {"j1", "?location=us", "US"}, {"j1", "?location=US", "US"}, {"j1", "?location=Europe-West3", "europe-west3"},
		{"demo:j1", "", ""}, {"demo:US.j1", "", "US"}, {"demo:us.j1", "?location=Us", "US"}, {"demo:europe-west3.j1", "", "europe-west3"},
		{"demo:j1", "?location=eu", "EU"}, {"j1", "?location=None", ""},
	} {
		t.Run(c.id, func(t *testing.T) {
			for _, suffix := range []string{"", "/cancel"} {
				r := get(insertPath + "/" + c.id + suffix + c.query)
				if suffix != "" {
					r.Verb = "POST"
				}
				op, err := Decode(r)
				if want := (JobReference{"demo", "j1", c.location}); err != nil || op.Job != want {
					t.Errorf("%s%s: %v, %v; want %v", c.id, c.query, op.Job, err, want)
				}
			}
			op, err := Decode(get(queryPath + "/" + c.id + c.query))
			if want := (JobReference{"demo", "j1", c.location}); err != nil || op.Job != want {
				t.Errorf("results of %s%s: %v, %v; want %v", c.id, c.query, op.Job, err, want)
			}
		})
	}
	for _, bad := range []string{"other:US.j1", "demo:US.j1?location=EU", "demo:US.EU.j1", "demo:.j1", "demo:", "demo:US:j1", ":j1",
		"demo:US.", "demo:1.j1"} {
		t.Run(bad, func(t *testing.T) {
			if op, err := Decode(get(insertPath + "/" + bad)); err == nil {
				t.Errorf("%s was taken as %v", bad, op.Job)
			}
		})
	}
}

func TestDecodeRefusesHeadersAndQueries(t *testing.T) {
	body := `{"query":"SELECT 1"}`
	with := func(name string, values ...string) Request {
		r := post(queryPath, body)
		r.Header = map[string][]string{"content-type": {"application/json"}, name: values}
		return r
	}
	read := queryPath + "/j1"
	for name, c := range map[string]struct {
		request Request
		status  int
		part    string
	}{
		"override":                 {with("x-http-method-override", "GET"), 403, "override"},
		"override same verb":       {with("x-http-method-override", "POST"), 403, "override"},
		"override empty":           {with("x-http-method-override", ""), 403, "override"},
		"override upper case":      {with("X-HTTP-Method", "DELETE"), 403, "x-http-method"},
		"override underscore":      {with("x_method_override", "DELETE"), 403, "override"},
		"wrong length":             {with("content-length", "3"), 400, "Content-Length"},
		"two lengths":              {with("content-length", "20", "3"), 400, "Content-Length"},
		"two types":                {with("content-type", "application/json", "text/plain"), 415, "Content-Type"},
		"no type":                  {Request{Verb: "POST", Path: queryPath, Body: []byte(body)}, 415, "Content-Type"},
		"protobuf":                 {with("content-type", "application/x-protobuf"), 415, "Content-Type"},
		"other charset":            {with("content-type", "application/json; charset=utf-16"), 415, "Content-Type"},
		"type with parameter":      {with("content-type", "application/json; boundary=x"), 415, "Content-Type"},
		"multipart":                {with("content-type", "multipart/related; boundary=x"), 415, "Content-Type"},
		"GET with a body":          {Request{Verb: "GET", Path: read, Header: jsonHeader, Body: []byte("{}")}, 400, "GET"},
		"cancel with a body":       {post(insertPath+"/j1/cancel", "{}"), 400, "no body"},
		"alt media":                {get(read + "?alt=media"), 403, "alt"},
		"alt proto":                {get(read + "?alt=proto"), 403, "alt"},
		"access_token":             {get(read + "?access_token=x"), 403, "access_token"},
		"oauth_token":              {get(read + "?oauth_token=x"), 403, "oauth_token"},
		"key":                      {get(read + "?key=x"), 403, "key"},
		"key on query":             {post(queryPath+"?key=x", body), 403, "key"},
		"callback":                 {get(read + "?callback=f"), 403, "callback"},
		"quotaUser":                {get(read + "?quotaUser=f"), 403, "quotaUser"},
		"uploadType":               {post(insertPath+"?uploadType=media", body), 403, "uploadType"},
		"$.xgafv":                  {get(read + "?$.xgafv=2"), 403, "$.xgafv"},
		"$fields":                  {get(read + "?$fields=rows"), 403, "$fields"},
		"$httpMethod":              {get(read + "?$httpMethod=DELETE"), 403, "$httpMethod"},
		"_method":                  {get(read + "?_method=DELETE"), 400, "_method"},
		"escaped name":             {get(read + "?%66ields=rows"), 400, "%66ields"},
		"unknown":                  {get(read + "?surprise=1"), 400, "surprise"},
		"results' own on jobs.get": {get(insertPath + "/j1?maxResults=1"), 400, "maxResults"},
		"read's own on query":      {post(queryPath+"?location=US", body), 400, "location"},
		"twice":                    {get(read + "?location=US&location=EU"), 400, "twice"},
		"semicolon":                {get(read + "?location=US;alt=proto"), 400, "';'"},
		"bad escape":               {get(read + "?pageToken=%zz"), 400, "pageToken"},
		"control character":        {get(read + "?pageToken=a%0d%0ab"), 400, "pageToken"},
		"token with ampersand":     {get(read + "?pageToken=a%26alt%3Dproto"), 400, "pageToken"},
		"empty name":               {get(read + "?=x"), 400, "name"},
		"trailing ampersand":       {get(read + "?alt=json&"), 400, "name"},
		"location":                 {get(read + "?location=US%2F.."), 400, "location"},
		"negative":                 {get(read + "?maxResults=-1"), 400, "maxResults"},
		"hexadecimal":              {get(read + "?startIndex=0x10"), 400, "startIndex"},
		"too large":                {get(read + "?maxResults=4294967296"), 400, "maxResults"},
		"bool":                     {get(read + "?prettyPrint=maybe"), 400, "prettyPrint"},
		"format":                   {get(read + "?formatOptions.timestampOutputFormat=X"), 400, "timestampOutputFormat"},
		"projection":               {get(insertPath + "/j1?projection=all"), 400, "projection"},
		"fields":                   {get(read + "?fields=rows(f"), 400, "fields"},
		"fields of rows":           {get(read + "?fields=rows/x"), 400, "rows"},
		"long":                     {get(read + "?pageToken=" + strings.Repeat("a", 17000)), 400, "longer"},
		"long token":               {get(read + "?pageToken=" + strings.Repeat("a", 9000)), 400, "pageToken"},
	} {
		t.Run(name, func(t *testing.T) {
			op, err := Decode(c.request)
			var e *RequestError
			if !errors.As(err, &e) || e.Status != c.status || !strings.Contains(e.Message, c.part) {
				t.Fatalf("got %+v, want %d naming %q", err, c.status, c.part)
			}
			if op.Query != nil || op.Read != nil {
				t.Error("the refused operation asks for something")
			}
		})
	}
}

func TestDecodeParametersCanonical(t *testing.T) {
	// The same parameters, written in two ways, are the same bytes: the order of keys, nulls,
	// numbers for texts.
	a := `[{"parameterValue":{"structValues":{"b":{"value":2},"a":{"arrayValues":[{"value":true},{"value":null}]},"c":null}},"name":"s",
		"parameterType":{"structTypes":[{"type":{"type":"ARRAY","arrayType":{"type":"BOOL"}},"name":"a","description":"x"},{"name":"b","type":{"type":"INT64"}},{"name":"c","type":{"type":"DATE"}}],"type":"STRUCT"}},
		{"name":"r","parameterType":{"type":"RANGE","rangeElementType":{"type":"DATE"}},"parameterValue":{"rangeValue":{"start":{"value":"2026-01-01"},"end":null}}},
		{"name":"t","parameterType":{"type":"TIMESTAMP","timestampPrecision":"12"},"parameterValue":{"value":"2026-01-01 00:00:00<>&"}},
		{"name":"e","parameterType":{"type":"ARRAY","arrayType":{"type":"INT64"}},"parameterValue":{"arrayValues":[]}},
		{"name":"n","parameterType":{"type":"INT64"},"parameterValue":{"value":null}},
		{"name":"m","parameterType":{"type":"INT64"},"parameterValue":null}]`
	want := `[{"name":"s","parameterType":{"type":"STRUCT","structTypes":[{"name":"a","type":{"type":"ARRAY",` +
		`"arrayType":{"type":"BOOL"}}},{"name":"b","type":{"type":"INT64"}},{"name":"c","type":{"type":"DATE"}}]},` +
		`"parameterValue":{"structValues":{"a":{"arrayValues":[{"value":"true"},{}]},"b":{"value":"2"},"c":{}}}},` +
		`{"name":"r","parameterType":{"type":"RANGE","rangeElementType":{"type":"DATE"}},` +
		`"parameterValue":{"rangeValue":{"start":{"value":"2026-01-01"}}}},` +
		`{"name":"t","parameterType":{"type":"TIMESTAMP","timestampPrecision":"12"},"parameterValue":{"value":"2026-01-01 00:00:00<>&"}},` +
		`{"name":"e","parameterType":{"type":"ARRAY","arrayType":{"type":"INT64"}},"parameterValue":{"arrayValues":[]}},` +
		`{"name":"n","parameterType":{"type":"INT64"},"parameterValue":{}},` +
		`{"name":"m","parameterType":{"type":"INT64"}}]`
	for i, text := range []string{a, want, want} {
		t.Run(text, func(t *testing.T) {
			mode := []string{"", `"parameterMode":"NAMED",`, `"parameterMode":"named",`}[i] // Python's NAMED, Node's named
			op, err := Decode(post(queryPath, `{"query":"SELECT @s",`+mode+`"queryParameters":`+text+`}`))
			if err != nil {
				t.Fatal(err)
			}
			if string(op.Query.Parameters) != want || op.Query.ParameterMode != "NAMED" {
				t.Errorf("got  %s\nwant %s", op.Query.Parameters, want)
			}
		})
	}
}

// asks names what an operation asks for.
func asks(op Operation) (all []string) {
	for name, set := range map[string]bool{"query": op.Query != nil, "read": op.Read != nil, "list": op.List != nil,
		"metadata": op.Metadata != nil} {
		if set {
			all = append(all, name)
		}
	}
	return all
}

// sameAsEncodingJSON compares with what encoding/json makes of the same body, which takes more and
// knows nothing of BigQuery: both must read the same SQL and the same switches, and there must be
// no key at the top that only the other one saw.
func sameAsEncodingJSON(t *testing.T, op Operation, body string) {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("encoding/json does not read %q: %v", body, err)
	}
	config := m
	if op.Method == MethodInsert {
		configuration, _ := m["configuration"].(map[string]any)
		config, _ = configuration["query"].(map[string]any)
		if configuration["load"] != nil || configuration["copy"] != nil || configuration["extract"] != nil {
			t.Fatalf("another configuration passed: %q", body)
		}
		m = configuration
	}
	if sql, _ := config["query"].(string); sql != op.Query.SQL {
		t.Fatalf("the SQL is %q, encoding/json reads %q", op.Query.SQL, sql)
	}
	if legacy, _ := config["useLegacySql"].(bool); legacy {
		t.Fatalf("legacy SQL passed: %q", body)
	}
	if dry, _ := m["dryRun"].(bool); dry != op.Query.DryRun {
		t.Fatalf("dryRun is %t, encoding/json reads %t", op.Query.DryRun, dry)
	}
	labels, _ := m["labels"].(map[string]any)
	if len(labels) != len(op.Query.Labels) {
		t.Fatalf("labels %v, encoding/json reads %v", op.Query.Labels, labels)
	}
	for _, f := range []string{"destinationTable", "createSession", "tableDefinitions"} {
		if v := config[f]; v != nil && v != false && fmt.Sprint(v) != "map[]" {
			t.Fatalf("%s passed: %q", f, body)
		}
	}
}

// FuzzDecode: nothing panics; what is accepted, encoded and decoded again is the same operation,
// and its encoding carries the gateway's own values.
func FuzzDecode(f *testing.F) {
	f.Add("POST", queryPath, `{"query":"SELECT `+
		`1","labels":{"a":"b"},"useLegacySql":false,"queryParameters":[{"parameterType":{"type":"INT64"},"parameterValue":{"value":1}}]}`)
	f.Add("POST", insertPath+"?fields=status,statistics",
		`{"jobReference":{"jobId":"x"},"configuration":{"query":{"query":"SELECT 1","defaultDataset":{"datasetId":"d"}}}}`)
	f.Add("GET", queryPath+"/j?fields=rows&pageToken=a", ``)
	f.Add("POST", insertPath+"/j/cancel", ``)
	f.Add("POST", queryPath, `{"query":"SELECT 1","query":"x"}`)
	f.Add("POST", queryPath, `{"\u0071uery":"SELECT `+
		`\ud83d\ude00","dryRun":true,"maxResults":"7","formatOptions":{"useInt64Timestamp":true}}`)
	f.Add("GET", insertPath+"?stateFilter=done&projection=full&minCreationTime=1", ``)
	f.Add("GET", Root+"projects/demo/datasets/crm/tables/t?view=FULL", ``)
	f.Add("GET", Root+"projects/demo/datasets/_a/tables/anon1/data?startIndex=3", ``)
	f.Fuzz(func(t *testing.T, verb, path, body string) {
		r := Request{Verb: verb, Path: path, Body: []byte(body), Header: jsonHeader}
		op, err := Decode(r)
		if err != nil {
			var e *RequestError
			if !errors.As(err, &e) || e.Status < 400 || e.Status > 499 || e.Message == "" || len(asks(op)) > 0 {
				t.Fatalf("refused as %+v with %s", err, dump(op))
			}
			return
		}
		if len(asks(op)) != 1 {
			t.Fatalf("accepted %s", dump(op))
		}
		if op.List != nil || op.Metadata != nil {
			if q := ForwardQuery(op); len(q) != 2 { // alt and prettyPrint
				t.Fatalf("what the gateway answers itself is forwarded with %v", q)
			}
			if out, err := Encode(op, Mutation{Decision: "d-1", RequestID: "r"}); err == nil {
				t.Fatalf("what the gateway answers itself is encoded as %s", out)
			}
			return
		}
		if op.Query != nil {
			sameAsEncodingJSON(t, op, body)
		}
		id := "r1"
		if op.Query != nil && op.Query.RequestID != "" {
			id = op.Query.RequestID
		}
		encoded, err := Encode(op, Mutation{Decision: "d-1", RequestID: id})
		if err != nil {
			t.Fatal(err)
		}
		if op.Read != nil {
			if len(encoded) > 0 {
				t.Fatalf("a read forwards a body: %s", encoded)
			}
			plain, _, _ := strings.Cut(path, "?")
			if _, err := Decode(get(plain + "?" + ForwardQuery(op).Encode())); err != nil && verb == "GET" {
				t.Fatalf("forwarded query: %v", err)
			}
			return
		}
		for _, must := range []string{`"useLegacySql":false`, `"useQueryCache":false`, `"bqgate_decision":"d-1"`} {
			if !strings.Contains(string(encoded), must) {
				t.Fatalf("%s misses %s", encoded, must)
			}
		}
		again := strings.NewReplacer(`,"bqgate_decision":"d-1"`, ``, `"bqgate_decision":"d-1",`, ``, `"bqgate_decision":"d-1"`,
			``).Replace(string(encoded))
		back, err := Decode(Request{Verb: verb, Path: path, Body: []byte(again), Header: jsonHeader})
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		want := *op.Query
		want.RequestID, want.UseQueryCache = back.Query.RequestID, back.Query.UseQueryCache
		want.JobCreationMode = back.Query.JobCreationMode
		op.Query = &want
		if !reflect.DeepEqual(op, back) {
			t.Fatalf("first  %s\nsecond %s", dump(op), dump(back))
		}
	})
}

// What ordinary clients send and BigQuery takes: null for what is absent, and labels of other
// alphabets.
func TestWhatClientsSendIsTaken(t *testing.T) {
	nulls := `{"etag":null,"id":null,"jobReference":null,"configuration":{"load":null,"copy":null,"extract":null,"labels":null,` +
		`"reservation":null,` +
		`"query":{"query":"SELECT 1","destinationTable":null,"maximumBytesBilled":null,"connectionProperties":null,"priority":null}}}`
	if op, err := Decode(post(insertPath, nulls)); err != nil || op.Query == nil || op.Query.SQL != "SELECT 1" {
		t.Errorf("null members: %v", err)
	}
	for key, value := range map[string]string{"équipe": "données", "部門": "営業-1", "team": strings.Repeat("é", 63), "größe": "",
		"क्षेत्र": "उत्तर"} {
		t.Run(key, func(t *testing.T) {
			op, err := Decode(post(queryPath, `{"query":"SELECT 1","labels":{"`+key+`":"`+value+`"}}`))
			if err != nil || op.Query.Labels[key] != value {
				t.Errorf("label %s: %v", key, err)
			}
		})
	}
}
