package policies

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/golden"
)

// TestProblems keeps the words in which mistakes are shown: testdata/errors/NAME.yaml and, beside
// it, NAME.txt.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			set, err := LoadBytes("policies/crm.yaml", text,
				Options{Issuers: []string{"github", "okta"}, Credentials: []string{"crm-reader", "default", "compute"},
					Projects: map[string]string{"crm-reader": "acme", "default": "acme"}})
			var problems Problems
			if !errors.As(err, &problems) || set != nil {
				t.Fatalf("loaded, or not with problems: %v", err)
			}
			golden.File(t, strings.TrimSuffix(file, ".yaml")+".txt", []byte(err.Error()+"\n"))
		})
	}
}
