package jsonmask

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/golden"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bqgate/bqgate/internal/masking"
)

// recordedForm is a file of testdata/recorded: an answer in a form that BigQuery has, written anew
// with made-up values, where the form comes from, the plan of its query, and what goes out, or
// words of why it is refused. Whatever must not go out has "raw" in it.
type recordedForm struct {
	path, name    string
	archive       *txtar.Archive
	plan          masking.Plan
	answer        string
	want, refused string
}

func recordedResults(t testing.TB) []recordedForm {
	t.Helper()
	paths, err := filepath.Glob("testdata/recorded/results/*.txtar")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d recorded forms: %v", len(paths), err)
	}
	var out []recordedForm
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f := recordedForm{path: path, name: strings.TrimSuffix(filepath.Base(path), ".txtar"), archive: a}
		for _, section := range a.Files {
			text := strings.TrimSuffix(string(section.Data), "\n")
			switch section.Name {
			case "plan":
				type planned masking.Plan // as the policy says it: a version is put to what is sealed
				if err := json.Unmarshal(section.Data, (*planned)(&f.plan)); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
			case "answer":
				f.answer = text
			case "want":
				f.want = text
			case "refused":
				f.refused = text
			default:
				t.Fatalf("%s: section %q", path, section.Name)
			}
		}
		if !strings.Contains(string(a.Comment), "\nForm: ") {
			t.Errorf("%s does not say where its form comes from", path)
		}
		out = append(out, f)
	}
	return out
}

// Each recorded form goes out masked as its file says, in one piece and byte by byte, or not at
// all.
func TestRecordedForms(t *testing.T) {
	for _, f := range recordedResults(t) {
		t.Run(f.name, func(t *testing.T) {
			for _, size := range []int{len(f.answer), 7, 1} {
				t.Run(fmt.Sprint(size), func(t *testing.T) {
					out, err := maskWith(NewResults(f.plan, Options{Salt: []byte("salt")}), f.answer, func() int { return size })
					if strings.Contains(out, "raw") || strings.Contains(out, "cmF3") {
						t.Errorf("in pieces of %d: a raw value goes out: %s", size, out)
					}
					switch {
					case f.refused != "":
						if err == nil || !strings.Contains(err.Error(), f.refused) {
							t.Errorf("in pieces of %d: %v, want a refusal with %q", size, err, f.refused)
						}
						return
					case err != nil:
						t.Fatalf("in pieces of %d: %v", size, err)
					}
					if golden.Update() {
						f.keep(t, out)
					} else if out != f.want {
						t.Errorf("in pieces of %d:\ngot  %s\nwant %s", size, out, f.want)
					}
				})
			}
		})
	}
}

func (f recordedForm) keep(t *testing.T, out string) {
	t.Helper()
	a := &txtar.Archive{Comment: f.archive.Comment}
	for _, section := range f.archive.Files {
		if section.Name != "want" {
			a.Files = append(a.Files, section)
		}
	}
	a.Files = append(a.Files, txtar.File{Name: "want", Data: []byte(out + "\n")})
	if err := os.WriteFile(f.path, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}
