package policies

import (
	"os"
	"strings"
	"testing"
)

// Every entry of the examples is found under the reference that decisions carry, with the lines
// that the file has there and no others.
func TestOutline(t *testing.T) {
	for _, file := range []string{"examples/demo.yaml", "examples/github-okta.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		set, err := LoadBytes(file, text, Options{})
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		if len(set.Entries()) != len(set.groups)+len(set.columns)+len(set.tables)+len(set.rules)+len(set.approvals) {
			t.Errorf("%s: %d entries", file, len(set.Entries()))
		}
		for _, e := range set.Entries() {
			own := strings.Split(e.Text, "\n")
			if e.Text == "" || lines[e.Ref.Line-1] != own[0] || !strings.Contains(e.Text, e.Name) {
				t.Errorf("%s:%d: %s %q is %q", file, e.Ref.Line, e.Section, e.Name, e.Text)
			}
			if e.Section != "groups" && strings.Count(e.Text, "- name:") > 1 || strings.Contains(e.Text, "\n\n") ||
				strings.Count("\n"+e.Text, "\n  - ") > 1 {
				t.Errorf("%s:%d: more than one entry: %q", file, e.Ref.Line, e.Text)
			}
		}
		for _, a := range set.approvals {
			if e, ok := set.Lookup(a.ref); !ok || e.Name != a.ref.Name || e.Section != "approvals" {
				t.Errorf("%s is not found: %+v", a.ref.Name, e)
			}
		}
		if _, ok := set.Lookup(RuleRef{File: file, Line: 1}); ok {
			t.Error("found something at line 1")
		}
	}
	if (*Set)(nil).Entries() != nil {
		t.Error("the nil Set has entries")
	}
}
