package engine

import (
	"strings"

	gsql "github.com/goccy/go-googlesql"
)

// systemVariables are the system variables that BigQuery documents, with their types. Those that
// say in what surroundings a query runs are values like those of a literal; the others speak of
// jobs, scripts and errors that belong to the gateway.
var systemVariables = map[string]struct {
	kind    string
	refused bool
}{
	"project_id":                  {kind: "STRING"},
	"dataset_id":                  {kind: "STRING"},
	"dataset_project_id":          {kind: "STRING"},
	"time_zone":                   {kind: "STRING"},
	"location":                    {"STRING", true},
	"session_id":                  {"STRING", true},
	"current_job_id":              {"STRING", true},
	"last_job_id":                 {"STRING", true},
	"query_label":                 {"STRING", true},
	"reservation":                 {"STRING", true},
	"row_count":                   {"INT64", true},
	"script.bytes_billed":         {"INT64", true},
	"script.bytes_processed":      {"INT64", true},
	"script.creation_time":        {"TIMESTAMP", true},
	"script.job_id":               {"STRING", true},
	"script.num_child_jobs":       {"INT64", true},
	"script.slot_ms":              {"INT64", true},
	"error.message":               {"STRING", true},
	"error.statement_text":        {"STRING", true},
	"error.formatted_stack_trace": {"STRING", true},
}

func (e *engine) addSystemVariables(o *gsql.AnalyzerOptions) {
	for name, v := range systemVariables {
		startup(o.AddSystemVariable(strings.Split(name, "."), e.scalars[v.kind]))
	}
}

// systemVariable is a value that BigQuery keeps for the job; the engine has resolved its name.
func systemVariable(n *gsql.ResolvedSystemVariable) *value {
	name := strings.ToLower(strings.Join(must(n.NamePath()), "."))
	if v, ok := systemVariables[name]; !ok || v.refused {
		refuse(location(n), "the system variable @@%s is not supported in a query", name)
	}
	return constant
}
