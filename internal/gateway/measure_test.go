package gateway

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/metrics"
)

var madePart = regexp.MustCompile(`parts\.Part\("([a-z-]+)[/"]`)

// Each kind of part that the gateway makes is a value of the label `part`, and not "other"; and
// each is in the table of docs/operators.md.
func TestKindsOfParts(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, path := range sources {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, m := range madePart.FindAllSubmatch(text, -1) {
			made = append(made, string(m[1]))
		}
	}
	if len(made) < 8 {
		t.Fatalf("only %q are made", made)
	}
	for _, kind := range made {
		if !slices.Contains(kinds, kind) {
			t.Errorf("part %q is made, and counted as other", kind)
		}
		if text := string(docs); !strings.Contains(text, "`"+kind+"`") && !strings.Contains(text, "`"+kind+"/NAME`") {
			t.Errorf("part %q is not in docs/operators.md", kind)
		}
	}
	for _, kind := range kinds {
		if !slices.Contains(made, kind) {
			t.Errorf("part %q is a label, and nothing makes it", kind)
		}
	}
}

// What is beyond a limit is counted by the limit, and never by its owner.
func TestLimitsAreCounted(t *testing.T) {
	counted := metrics.New()
	owners := limits.New(limits.Config{"lookups": {Burst: 1, PerSecond: 0.01}})
	owners.Met = countLimits(counted)
	for range 3 {
		_ = owners.Spend("https://ci.example|repo:acme/app", limits.Lookups, 1)
	}
	w := httptest.NewRecorder()
	counted.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	if !strings.Contains(text, "bqgate_limited_total{kind=\"lookups\"} 2\n") || strings.Contains(text, "acme") {
		t.Errorf("%s", text)
	}
}
