package policies

import (
	"encoding/json"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/bqgate/bqgate/internal/golden"
)

// TestSchemaIsCurrent keeps policy.schema.json what the Go types say.
// `go test ./policies -run TestSchemaIsCurrent -update` writes it.
func TestSchemaIsCurrent(t *testing.T) {
	r := jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, ExpandedStruct: true, Anonymous: true}
	schema := r.Reflect(&File{})
	schema.Title = "bqgate policy"
	schema.Comments = "Generated from the types in file.go by: go test ./policies -run TestSchemaIsCurrent -update"
	want, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	golden.File(t, "policy.schema.json", want)
}

// JSONSchema is one budget or a list.
func (BudgetEntries) JSONSchema() *jsonschema.Schema {
	r := jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, DoNotReference: true, Anonymous: true}
	one := r.Reflect(BudgetEntry{})
	one.Version = ""
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{one, {Type: "array", Items: one}}}
}
