package generated

import (
	"bytes"
	"go/format"
	"path/filepath"
	"strings"
	"testing"

	"github.com/a-h/templ/generator"
	"github.com/a-h/templ/parser/v2"

	"github.com/bqgate/bqgate/internal/golden"
)

// The Go code of the pages is what their templates give.
// `go test ./internal/console/generated -update` writes it anew.
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
		if _, err := generator.Generate(parsed, &text, generator.WithVersion("v0.3.977"),
			generator.WithFileName("internal/console/"+filepath.Base(file))); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want, err := format.Source(text.Bytes())
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		golden.File(t, strings.TrimSuffix(file, ".templ")+"_templ.go", want)
	}
}
