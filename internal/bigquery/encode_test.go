package bigquery

import (
	"encoding/json"
	"testing"
)

func TestEncode(t *testing.T) {
	q := QueryRequest{
		SQL: "SELECT '<&>' -- ü", ParameterMode: "POSITIONAL", Parameters: json.RawMessage(`[{"parameterType":{"type":"INT64"}}]`),
		DefaultDataset: &DatasetReference{"demo", "crm"}, MaximumBytesBilled: 500, UseQueryCache: ptr(true), JobTimeoutMs: 7,
		Labels:    map[string]string{"z": "1", "a": "2"},
		RequestID: "client", JobCreationMode: "JOB_CREATION_OPTIONAL", MaxResults: ptr(uint32(0)), TimeoutMs: ptr(int64(0)),
		Format: FormatOptions{UseInt64Timestamp: true},
	}
	query := Operation{Method: MethodQuery, Job: JobReference{ProjectID: "demo", Location: "EU"}, Query: &q}
	insert := Operation{Method: MethodInsert, Job: JobReference{ProjectID: "demo", JobID: "j1"},
		Query: &QueryRequest{SQL: "SELECT 1", Priority: "BATCH", DryRun: true}}
	for name, c := range map[string]struct {
		encode func() ([]byte, error)
		want   string
	}{
		"jobs.query": {func() ([]byte, error) {
			return Encode(query, Mutation{Decision: "D-01ABC", RequestID: "mac", MaximumBytesBilled: 900})
		}, `{"query":"SELECT '<&>' -- ` +
			`ü","useLegacySql":false,"useQueryCache":false,"parameterMode":"POSITIONAL",` +
			`"queryParameters":[{"parameterType":{"type":"INT64"}}],` +
			`"defaultDataset":{"projectId":"demo","datasetId":"crm"},"location":"EU","maxResults":0,"timeoutMs":0,` +
			`"formatOptions":{"useInt64Timestamp":true},` +
			`"requestId":"mac","jobCreationMode":"JOB_CREATION_REQUIRED","labels":{"a":"2","bqgate_decision":"d-01abc","z":"1"},` +
			`"maximumBytesBilled":"500","jobTimeoutMs":"7"}`},
		"jobs.insert": {func() ([]byte, error) {
			return Encode(insert, Mutation{Decision: "d-1", Location: "US", SQL: "SELECT 2", MaximumBytesBilled: 900})
		}, `{"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"configuration":{"jobType":"QUERY",` +
			`"query":{"query":"SELECT 2","useLegacySql":false,"useQueryCache":false,` +
			`"priority":"BATCH","maximumBytesBilled":"900"},"dryRun":true,"labels":{"bqgate_decision":"d-1"}}}`},
		"release of jobs.query": {func() ([]byte, error) {
			return EncodeInsert(query, Mutation{Decision: "d-1", JobID: "held", MaximumBytesBilled: 100})
		}, `{"jobReference":{"projectId":"demo","jobId":"held","location":"EU"},"configuration":{"jobType":"QUERY",` +
			`"query":{"query":"SELECT '<&>' -- ü","useLegacySql":false,"useQueryCache":false,` +
			`"parameterMode":"POSITIONAL","queryParameters":[{"parameterType":{"type":"INT64"}}],"defaultDataset":{"projectId":"demo",` +
			`"datasetId":"crm"},"maximumBytesBilled":"100"},` +
			`"jobTimeoutMs":"7","labels":{"a":"2","bqgate_decision":"d-1","z":"1"}}}`},
		"dry run": {func() ([]byte, error) { return EncodeDryRun(insert) },
			`{"jobReference":{"projectId":"demo"},"configuration":{"jobType":"QUERY","query":{"query":"SELECT ` +
				`1","useLegacySql":false,"useQueryCache":false,"priority":"BATCH"},"dryRun":true}}`},
		"read": {func() ([]byte, error) {
			return Encode(Operation{Method: MethodGetJob, Job: insert.Job, Read: &ReadRequest{}}, Mutation{})
		}, ``},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.encode()
			if err != nil || string(got) != c.want {
				t.Errorf("%s: %v\ngot  %s\nwant %s", name, err, got, c.want)
			}
		})
	}
	if q.Labels["bqgate_decision"] != "" {
		t.Error("Encode changed the operation")
	}
}

// The zero values, and a mutation that would leave a job without its weld, are errors.
func TestEncodeRefuses(t *testing.T) {
	job := JobReference{ProjectID: "demo", JobID: "j"}
	q := &QueryRequest{SQL: "SELECT 1"}
	good := Mutation{Decision: "d-1", RequestID: "r", JobID: "j"}
	query := Operation{Method: MethodQuery, Job: job, Query: q}
	for name, encode := range map[string]func() ([]byte, error){
		"zero":           func() ([]byte, error) { return Encode(Operation{}, good) },
		"refused method": func() ([]byte, error) { return Encode(Operation{Method: "jobs.list", Job: job, Query: q}, good) },
		"no query":       func() ([]byte, error) { return Encode(Operation{Method: MethodQuery, Job: job}, good) },
		"no read":        func() ([]byte, error) { return Encode(Operation{Method: MethodGetJob, Job: job}, good) },
		"no SQL": func() ([]byte, error) {
			return Encode(Operation{Method: MethodInsert, Job: job, Query: &QueryRequest{}}, good)
		},
		"no project":      func() ([]byte, error) { return Encode(Operation{Method: MethodQuery, Query: q}, good) },
		"no decision":     func() ([]byte, error) { return Encode(query, Mutation{RequestID: "r"}) },
		"no request id":   func() ([]byte, error) { return Encode(query, Mutation{Decision: "d-1"}) },
		"unsafe decision": func() ([]byte, error) { return Encode(query, Mutation{Decision: "d 1", RequestID: "r"}) },
		"own label": func() ([]byte, error) {
			return Encode(Operation{Method: MethodQuery, Job: job,
				Query: &QueryRequest{SQL: "x", Labels: map[string]string{"bqgate_decision": "d-0"}}}, good)
		},
		"no job id": func() ([]byte, error) {
			return EncodeInsert(Operation{Job: JobReference{ProjectID: "demo"}, Query: q}, Mutation{Decision: "d-1"})
		},
		"dry run of read": func() ([]byte, error) {
			return EncodeDryRun(Operation{Method: MethodGetJob, Job: job, Read: &ReadRequest{}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := encode(); err == nil {
				t.Errorf("%s: %s", name, out)
			}
		})
	}
}

func TestForwardQuery(t *testing.T) {
	job := JobReference{"demo", "j", "EU"}
	for _, c := range []struct {
		op   Operation
		want string
	}{
		{Operation{Method: MethodQuery, Job: job, Query: &QueryRequest{SQL: "x"}, Fields: mask(t, "rows")}, "alt=json&prettyPrint=false"},
		{Operation{Method: MethodInsert, Job: job, Query: &QueryRequest{SQL: "x"}, Pretty: true}, "alt=json&prettyPrint=false"},
		{Operation{Method: MethodGetJob, Job: job, Read: &ReadRequest{Projection: "full"}}, "alt=json&location=EU&prettyPrint=false"},
		{Operation{Method: MethodCancel, Job: job, Read: &ReadRequest{}}, "alt=json&location=EU&prettyPrint=false"},
		{Operation{Method: MethodGetQueryResults, Job: job, Fields: mask(t, "rows"), Read: &ReadRequest{
			MaxResults: ptr(uint32(0)), StartIndex: ptr(uint64(5)), PageToken: "a+/=", TimeoutMs: ptr(int64(0)),
			Format: FormatOptions{true, "INT64"},
		}}, "alt=json&formatOptions.timestampOutputFormat=INT64&formatOptions.useInt64Timestamp=true&location=EU" +
			"&maxResults=0&pageToken=a%2B%2F%3D&prettyPrint=false&startIndex=5&timeoutMs=0"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if got := ForwardQuery(c.op).Encode(); got != c.want {
				t.Errorf("%s: %s, want %s", c.op.Method, got, c.want)
			}
		})
	}
}
