package generated

import (
	"bytes"
	"flag"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/a-h/templ/generator"
	"github.com/a-h/templ/parser/v2"
)

var update = flag.Bool("update", false, "write the Go code of the templates anew")

// The Go code of the pages is what their templates give. `go test ./internal/console/generated -update` writes it anew.
func TestGenerated(t *testing.T) {
	templates, err := filepath.Glob("../*.templ")
	if err != nil || len(templates) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	for _, file := range templates {
		parsed, err := parser.Parse(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var text bytes.Buffer
		if _, err := generator.Generate(parsed, &text, generator.WithVersion("v0.3.977"), generator.WithFileName("internal/console/"+filepath.Base(file))); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want, err := format.Source(text.Bytes())
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		name := strings.TrimSuffix(file, ".templ") + "_templ.go"
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what %s gives (%v); run `go test ./internal/console/generated -update`", name, file, err)
		}
	}
}
