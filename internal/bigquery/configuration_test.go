package bigquery

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// ranAs is a query with everything that can be forwarded, and the job that BigQuery made of it.
func ranAs(t *testing.T) (Operation, Mutation, string) {
	t.Helper()
	op := Operation{
		Method: MethodInsert, Job: JobReference{ProjectID: "demo", JobID: "j1", Location: "US"},
		Query: &QueryRequest{
			SQL: "SELECT name FROM customers WHERE id = @id", ParameterMode: "NAMED", Priority: "BATCH", MaximumBytesBilled: 900,
			Parameters:     []byte(`[{"name":"id","parameterType":{"type":"INT64"},"parameterValue":{"value":"7"}}]`),
			DefaultDataset: &DatasetReference{ProjectID: "demo", DatasetID: "crm"}, Labels: map[string]string{"team": "x"},
			JobTimeoutMs: 7000,
		},
	}
	m := Mutation{Decision: "d-1-abc", MaximumBytesBilled: 500}
	body, err := Encode(op, m)
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		Configuration map[string]any `json:"configuration"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatal(err)
	}
	query := b.Configuration["query"].(map[string]any)
	query["destinationTable"] = map[string]any{"projectId": "demo", "datasetId": "_fd6de55d5d5c13fcfb0449cbf933bb695b2c3085",
		"tableId": "anonfbbe65d6_9782_469b_9f56_1392560314b2"}
	query["createDisposition"], query["writeDisposition"] = "CREATE_IF_NEEDED", "WRITE_TRUNCATE"
	text, err := json.Marshal(b.Configuration)
	if err != nil {
		t.Fatal(err)
	}
	return op, m, string(text)
}

// configured reads a job with this configuration and compares it.
func configured(t *testing.T, op Operation, m Mutation, configuration string, hit bool) error {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"kind": "bigquery#job", "jobReference": op.Job, "configuration": json.RawMessage(configuration),
		"status": map[string]string{"state": "DONE"}, "statistics": map[string]any{"query": map[string]any{"cacheHit": hit}},
	})
	if err != nil {
		t.Fatal(err)
	}
	j, err := ParseJob(text, false)
	if err != nil {
		return err
	}
	return j.Configured(*op.Query, m)
}

// with puts members into configuration.query, or beside it where a name begins with '^'; null takes
// one away.
func with(t *testing.T, configuration, members string) string {
	t.Helper()
	var all, change map[string]json.RawMessage
	for text, into := range map[string]*map[string]json.RawMessage{configuration: &all, members: &change} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	var query map[string]json.RawMessage
	if err := json.Unmarshal(all["query"], &query); err != nil {
		t.Fatal(err)
	}
	for name, v := range change {
		into := query
		if top, ok := strings.CutPrefix(name, "^"); ok {
			name, into = top, all
		}
		if into[name] = v; string(v) == "null" {
			delete(into, name)
		}
	}
	text, err := json.Marshal(query)
	if err != nil {
		t.Fatal(err)
	}
	all["query"] = text
	out, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// What BigQuery adds by itself, or writes another way.
func TestAJobIsConfiguredAsItWasForwarded(t *testing.T) {
	op, m, configuration := ranAs(t)
	for name, change := range map[string]string{
		"as it was sent":           `{}`,
		"before there is a result": `{"destinationTable":null,"createDisposition":null,"writeDisposition":null}`,
		"a table of 40 digits": `{"destinationTable":{"projectId":"demo",` +
			`"datasetId":"_fd6de55d5d5c13fcfb0449cbf933bb695b2c3085","tableId":"anonfd6de55d5d5c13fcfb0449cbf933bb695b2c3085"}}`,
		"a table of a digest": `{"destinationTable":{"projectId":"demo",` +
			`"datasetId":"_fd6de55d5d5c13fcfb0449cbf933bb695b2c3085","tableId":"anonev_Qx7Zk_w0bTrszYJHd_o2Dkt5NjXa5UqJiHrvq-u8vY"}}`,
		"a table of a shorter digest": `{"destinationTable":{"projectId":"demo",` +
			`"datasetId":"_fd6de55d5d5c13fcfb0449cbf933bb695b2c3085","tableId":"anonev_xyJPtRUruwN69f5rf_EvsMEPr1s"}}`,
		"the default dataset, as variables": `{"systemVariables":{"types":{"dataset_id":{"typeKind":"STRING"},` +
			`"dataset_project_id":{"typeKind":"STRING"}},"values":{"dataset_id":"crm","dataset_project_id":"demo"}}}`,
		"without useQueryCache": `{"useQueryCache":null}`,
		"without parameterMode": `{"parameterMode":null}`,
		"a number for a text":   `{"maximumBytesBilled":500}`,
		"the other name of a type": `{"queryParameters":[{"name":"id","parameterType":{"type":"INTEGER"},` +
			`"parameterValue":{"value":"7"}}]}`,
		"a limit of the project's": `{"^jobTimeoutMs":"60000"}`,
		"a key of the project's": `{"destinationEncryptionConfiguration":` +
			`{"kmsKeyName":"projects/p/locations/us/keyRings/r/cryptoKeys/k"}}`,
		"the time zone of the project": `{"systemVariables":{"types":{"time_zone":{"typeKind":"STRING"}},` +
			`"values":{"time_zone":"Europe/Berlin"}}}`,
		"no system variable":  `{"systemVariables":{}}`,
		"a label of Google's": `{"^labels":{"team":"x","bqgate_decision":"d-1-abc","goog-something":"y"}}`,
		"empty members": `{"connectionProperties":[],"tableDefinitions":{},"userDefinedFunctionResources":[],` +
			`"createSession":false,"^dryRun":false}`,
		"members that mean nothing anymore": `{"flattenResults":true,"preserveNulls":true,"maximumBillingTier":1}`,
		"no jobType":                        `{"^jobType":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := configured(t, op, m, with(t, configuration, change), false); err != nil {
				t.Error(err)
			}
		})
	}
}

// A48: a job made directly at BigQuery with our label, id and SQL, and with one thing more or
// other.
func TestAJobThatIsConfiguredOtherwise(t *testing.T) {
	op, m, configuration := ranAs(t)
	for name, change := range map[string]string{
		"another default dataset":           `{"defaultDataset":{"projectId":"demo","datasetId":"hr"}}`,
		"another project's default dataset": `{"defaultDataset":{"projectId":"other","datasetId":"crm"}}`,
		"no default dataset":                `{"defaultDataset":null}`,
		"a member more in the dataset":      `{"defaultDataset":{"projectId":"demo","datasetId":"crm","x":"y"}}`,
		"other SQL":                         `{"query":"SELECT ssn FROM customers WHERE id = @id"}`,
		"a space more":                      `{"query":"SELECT name FROM customers WHERE id = @id "}`,
		"another value": `{"queryParameters":[{"name":"id","parameterType":{"type":"INT64"},` +
			`"parameterValue":{"value":"8"}}]}`,
		"another type": `{"queryParameters":[{"name":"id","parameterType":{"type":"STRING"},` +
			`"parameterValue":{"value":"7"}}]}`,
		"another name": `{"queryParameters":[{"name":"ID2","parameterType":{"type":"INT64"},` +
			`"parameterValue":{"value":"7"}}]}`,
		"no parameters": `{"queryParameters":null}`,
		"a parameter more": `{"queryParameters":[{"name":"id","parameterType":{"type":"INT64"},` +
			`"parameterValue":{"value":"7"}},{"name":"x","parameterType":{"type":"INT64"},"parameterValue":{"value":"7"}}]}`,
		"another mode": `{"parameterMode":"POSITIONAL"}`,
		"an external table": `{"tableDefinitions":{"customers":{"sourceFormat":"CSV",` +
			`"sourceUris":["gs://evil/x.csv"]}}}`,
		"a function of a script": `{"userDefinedFunctionResources":[{"inlineCode":"function f() {}"}]}`,
		"a connection property":  `{"connectionProperties":[{"key":"dataset_project_id","value":"other"}]}`,
		"a session":              `{"connectionProperties":[{"key":"session_id","value":"s"}]}`,
		"a new session":          `{"createSession":true}`,
		"a destination":          `{"destinationTable":{"projectId":"demo","datasetId":"evil","tableId":"t"}}`,
		"an anonymous table in a dataset": `{"destinationTable":{"projectId":"demo","datasetId":"evil",` +
			`"tableId":"anonfbbe65d6_9782_469b_9f56_1392560314b2"}}`,
		"a named table in a hidden dataset": `{"destinationTable":{"projectId":"demo",` +
			`"datasetId":"_fd6de55d5d5c13fcfb0449cbf933bb695b2c3085","tableId":"t"}}`,
		"a hidden dataset of a chosen name": `{"destinationTable":{"projectId":"demo","datasetId":"_evil",` +
			`"tableId":"anonfbbe65d6_9782_469b_9f56_1392560314b2"}}`,
		"another project's anonymous table": `{"destinationTable":{"projectId":"other",` +
			`"datasetId":"_fd6de55d5d5c13fcfb0449cbf933bb695b2c3085","tableId":"anonfbbe65d6_9782_469b_9f56_1392560314b2"}}`,
		"appending":                        `{"writeDisposition":"WRITE_APPEND"}`,
		"a table that must be there":       `{"createDisposition":"CREATE_NEVER"}`,
		"a higher limit of bytes":          `{"maximumBytesBilled":"501"}`,
		"the client's own limit":           `{"maximumBytesBilled":"900"}`,
		"no limit of bytes":                `{"maximumBytesBilled":null}`,
		"legacy SQL":                       `{"useLegacySql":true}`,
		"useLegacySql left out, so legacy": `{"useLegacySql":null}`,
		"another priority":                 `{"priority":"INTERACTIVE"}`,
		"the cache":                        `{"useQueryCache":true}`,
		"no label":                         `{"^labels":{"team":"x"}}`,
		"another label of the gateway":     `{"^labels":{"team":"x","bqgate_decision":"d-1-abd"}}`,
		"a label more":                     `{"^labels":{"team":"x","bqgate_decision":"d-1-abc","cost":"y"}}`,
		"the client's label is gone":       `{"^labels":{"bqgate_decision":"d-1-abc"}}`,
		"a variable that moves projects": `{"systemVariables":{"values":{"dataset_id":"crm",` +
			`"dataset_project_id":"other"}}}`,
		"a variable beside the known": `{"systemVariables":{"values":{"dataset_id":"crm","session_id":"s"}}}`,
		"a table whose name starts as anonymous ones do": `{"destinationTable":{"projectId":"demo",` +
			`"datasetId":"_fd6de55d5d5c13fcfb0449cbf933bb695b2c3085","tableId":"anonymous_of_evil"}}`,
		"a variable that moves names":      `{"systemVariables":{"values":{"dataset_id":"hr"}}}`,
		"a schema that grows":              `{"schemaUpdateOptions":["ALLOW_FIELD_ADDITION"]}`,
		"partitions":                       `{"timePartitioning":{"type":"DAY"}}`,
		"partitions by range":              `{"rangePartitioning":{"field":"id"}}`,
		"clusters":                         `{"clustering":{"fields":["id"]}}`,
		"a continuous query":               `{"continuous":true}`,
		"a secure context":                 `{"secureContext":{"x":"y"}}`,
		"options of a script":              `{"scriptOptions":{"keyResultStatement":"LAST"}}`,
		"large results":                    `{"allowLargeResults":true}`,
		"results bit by bit":               `{"writeIncrementalResults":true}`,
		"a reservation":                    `{"^reservation":"projects/p/locations/US/reservations/r"}`,
		"a limit of slots":                 `{"^maxSlots":5}`,
		"a copy beside the query":          `{"^copy":{"sourceTable":{}}}`,
		"an extract beside the query":      `{"^extract":{"sourceTable":{}}}`,
		"a load beside the query":          `{"^load":{"sourceUris":["gs://x"]}}`,
		"a dry run":                        `{"^dryRun":true}`,
		"another type of job":              `{"^jobType":"LOAD"}`,
		"a member that is not known":       `{"newMember":"x"}`,
		"one that is not known, and empty": `{"newMember":""}`,
		"one that is not known, beside it": `{"^newMember":false}`,
		"a member spelt another way":       `{"DefaultDataset":{"projectId":"demo","datasetId":"hr"}}`,
		"a member in snake case":           `{"default_dataset":{"projectId":"demo","datasetId":"hr"}}`,
		"parameters that cannot be read": `{"queryParameters":[{"name":"id","parameterType":{"type":"INT64"},` +
			`"parameterValue":{"value":"7"},"x":1}]}`,
		"a destination with a member more": `{"destinationTable":{"projectId":"demo",` +
			`"datasetId":"_fd6de55d5d5c13fcfb0449cbf933bb695b2c3085","tableId":"anonfbbe65d6_9782_469b_9f56_1392560314b2","x":"y"}}`,
		"a variable beside types and values": `{"systemVariables":{"other":{}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			err := configured(t, op, m, with(t, configuration, change), false)
			if err == nil {
				t.Fatal("taken for the job that was forwarded")
			}
			if strings.Contains(err.Error(), "evil") || strings.Contains(err.Error(), "other") {
				t.Errorf("the error holds a value: %v", err)
			}
		})
	}
	if err := configured(t, op, m, with(t, configuration, `{"useQueryCache":null}`), true); err == nil {
		t.Error("a job that was answered from the cache was taken for a fresh one")
	}
	if err := configured(t, op, m, with(t, configuration, `{"useQueryCache":false}`), true); err != nil {
		t.Errorf("a cached result that was not asked for is for what the job read: %v", err)
	}
	if err := (Job{}).Configured(*op.Query, m); err == nil {
		t.Error("a job without a configuration was taken")
	}
}

// A query of which nothing but its SQL was forwarded: all the more must not be there.
func TestAPlainJobHasNothingMore(t *testing.T) {
	op := Operation{Method: MethodQuery, Job: JobReference{ProjectID: "demo", JobID: "j1"}, Query: &QueryRequest{SQL: "SELECT 1"}}
	m := Mutation{Decision: "d-1-abc", RequestID: "r"}
	plain := `{"jobType":"QUERY","labels":{"bqgate_decision":"d-1-abc"},"query":{"query":"SELECT 1","useLegacySql":false}}`
	if err := configured(t, op, m, plain, false); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]string{
		"a default dataset": `{"defaultDataset":{"projectId":"demo","datasetId":"hr"}}`, "parameters": `{"queryParameters":[{"name":"a"}]}`,
		"batch": `{"priority":"BATCH"}`, "a label": `{"^labels":{"bqgate_decision":"d-1-abc","a":"b"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := configured(t, op, m, with(t, plain, change), false); err == nil {
				t.Error("taken for the job that was forwarded")
			}
		})
	}
}

// Every member of a configuration in the discovery document has a rule, and no rule is for a member
// that is not there.
func TestEveryMemberOfAConfigurationHasARule(t *testing.T) {
	var doc struct {
		Schemas map[string]struct {
			Properties map[string]jsontext.Value `json:"properties"`
		} `json:"schemas"`
	}
	if err := json.Unmarshal(discovery, &doc); err != nil {
		t.Fatal(err)
	}
	for schema, rules := range map[string]map[string]memberRule{"JobConfiguration": configurationMembers,
		"JobConfigurationQuery": queryMembers} {
		t.Run(schema, func(t *testing.T) {
			got, want := slices.Sorted(maps.Keys(rules)), slices.Sorted(maps.Keys(doc.Schemas[schema].Properties))
			if len(want) == 0 || !slices.Equal(got, want) {
				t.Errorf("%s: rules for %q, members %q", schema, got, want)
			}
		})
	}
}

// Where no limit was forwarded, BigQuery sets the project's: "If unspecified, this will be set to
// your project default."
func TestAJobHasTheLimitOfItsProject(t *testing.T) {
	op, m, configuration := ranAs(t)
	op.Query.MaximumBytesBilled, m.MaximumBytesBilled = 0, 0
	for _, change := range []string{`{"maximumBytesBilled":null}`, `{"maximumBytesBilled":"107374182400"}`} {
		if err := configured(t, op, m, with(t, configuration, change), false); err != nil {
			t.Errorf("%s: %v", change, err)
		}
	}
}

// Of a parameter that is an empty array BigQuery tells name and type alone.
func TestAJobWithEmptyArrays(t *testing.T) {
	op, m, configuration := ranAs(t)
	ids := `{"name":"ids","parameterType":{"type":"ARRAY","arrayType":{"type":"INT64"}},"parameterValue":{"arrayValues":[%s]}}`
	within := `{"name":"s","parameterType":{"type":"STRUCT","structTypes":[{"name":"a","type":{"type":"ARRAY",` +
		`"arrayType":{"type":"INT64"}}}]},"parameterValue":{"structValues":{"a":%s}}}`
	empty, full := strings.ReplaceAll(ids, "%s", ""), strings.ReplaceAll(ids, "%s", `{"value":"1"}`)
	op.Query.Parameters = []byte("[" + empty + "," + strings.ReplaceAll(within, "%s", `{"arrayValues":[]}`) + "]")
	told := strings.ReplaceAll(empty, `,"parameterValue":{"arrayValues":[]}`, "")
	for parameters, want := range map[string]bool{
		"[" + told + "," + strings.ReplaceAll(within, "%s", "{}") + "]":                              true,
		string(op.Query.Parameters):                                                                  true,
		"[" + full + "," + strings.ReplaceAll(within, "%s", "{}") + "]":                              false,
		"[" + told + "," + strings.ReplaceAll(within, "%s", `{"arrayValues":[{"value":"1"}]}`) + "]": false,
		"[" + told + "]": false,
	} {
		t.Run(parameters, func(t *testing.T) {
			err := configured(t, op, m, with(t, configuration, `{"queryParameters":`+parameters+`}`), false)
			if (err == nil) != want {
				t.Errorf("%s: %v", parameters, err)
			}
		})
	}
}

// A label that begins like those of Google's products, and is the client's.
func TestAJobWithAGoogLabelOfTheClients(t *testing.T) {
	op, m, configuration := ranAs(t)
	op.Query.Labels = map[string]string{"goog-made-by": "x"}
	for labels, want := range map[string]bool{
		`{"goog-made-by":"x","bqgate_decision":"d-1-abc"}`:               true,
		`{"goog-made-by":"x","goog-b":"y","bqgate_decision":"d-1-abc"}`:  true,
		`{"goog-made-by":"y","bqgate_decision":"d-1-abc"}`:               false,
		`{"bqgate_decision":"d-1-abc"}`:                                  false,
		`{"goog-made-by":"x","made-by":"y","bqgate_decision":"d-1-abc"}`: false,
	} {
		t.Run(labels, func(t *testing.T) {
			if err := configured(t, op, m, with(t, configuration, `{"^labels":`+labels+`}`), false); (err == nil) != want {
				t.Errorf("%s: %v", labels, err)
			}
		})
	}
}
