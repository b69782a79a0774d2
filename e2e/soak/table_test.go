package soak

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile(`\bTest[A-Z][A-Za-z0-9]*`)
	testFunc = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
)

// tests are the names of all tests of the module.
func tests(t *testing.T, root string) map[string]bool {
	t.Helper()
	there := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "build" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// The fault table of docs/invariants.md has a row for each part and each way to break it, every
// test that it names is there, and every fault of this package stands in it as one that
// TestFaultTable brings about.
func TestFaultsAreInTheTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/invariants.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, begins := strings.Cut(string(text), "\n## Faults\n")
	table, _, ends := strings.Cut(table, "\n## ")
	if !begins || !ends {
		t.Fatal("docs/invariants.md has no section of faults")
	}
	there, named := tests(t, "../.."), map[string]bool{}
	for _, name := range testName.FindAllString(table, -1) {
		named[name] = true
		if !there[name] {
			t.Errorf("the table names %s, which is not there", name)
		}
	}
	if len(named) < 20 {
		t.Errorf("the table names only %d tests", len(named))
	}
	row := func(name string) string {
		at := strings.Index(table, "\n| "+name+" |")
		if at < 0 {
			t.Errorf("the table has no row %q", name)
			return ""
		}
		line, _, _ := strings.Cut(table[at+1:], "\n")
		return line
	}
	for _, part := range []string{"Envoy", "serve", "console", "SQL worker", "Redis", "STS", "IAM", "BigQuery", "disk", "issuer", "clock"} {
		for _, kind := range []string{"killed", "frozen", "slow", "cut off", "full", "garbage"} {
			line := row(part + " " + kind)
			if line != "" && !strings.Contains(line, "Test") && !strings.Contains(line, "cannot be") {
				t.Errorf("%s %s: neither a test nor why it cannot be", part, kind)
			}
		}
	}
	for _, f := range faults {
		if line := row(f.Part + " " + f.Kind); line != "" && !strings.Contains(line, "TestFaultTable") {
			t.Errorf("%s %s: TestFaultTable is not named", f.Part, f.Kind)
		}
	}
}
