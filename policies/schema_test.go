package policies

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/invopop/jsonschema"
)

var update = flag.Bool("update", false, "write policy.schema.json and the golden files of this package")

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
	golden(t, "policy.schema.json", want)
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not current; got:\n%s", path, got)
	}
}
