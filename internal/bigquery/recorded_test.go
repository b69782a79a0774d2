package bigquery

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/golden"
	"github.com/rogpeppe/go-internal/txtar"
)

// recordedForm is a file of the forms that BigQuery's answers have, written anew with made-up
// values (see internal/masking/jsonmask). Whatever must not go out has "raw" in it.
type recordedForm struct {
	path, name string
	archive    *txtar.Archive
	sections   map[string]string
}

func recordedForms(t testing.TB, kind string, least int) []recordedForm {
	t.Helper()
	paths, err := filepath.Glob("../masking/jsonmask/testdata/recorded/" + kind + "/*.txtar")
	if err != nil || len(paths) < least {
		t.Fatalf("%d recorded %s: %v", len(paths), kind, err)
	}
	var out []recordedForm
	for _, path := range paths {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(a.Comment), "\nForm: ") {
			t.Errorf("%s does not say where its form comes from", path)
		}
		f := recordedForm{path: path, name: strings.TrimSuffix(filepath.Base(path), ".txtar"), archive: a, sections: map[string]string{}}
		for _, section := range a.Files {
			f.sections[section.Name] = strings.TrimSuffix(string(section.Data), "\n")
		}
		out = append(out, f)
	}
	return out
}

// hold compares what goes out with a section of the file, which -update writes.
func (f *recordedForm) hold(t *testing.T, section, out string) {
	t.Helper()
	if !golden.Update() {
		if out != f.sections[section] {
			t.Errorf("%s:\ngot  %s\nwant %s", section, out, f.sections[section])
		}
		return
	}
	files := f.archive.Files[:0:0]
	for _, old := range f.archive.Files {
		if old.Name != section {
			files = append(files, old)
		}
	}
	f.archive.Files = append(files, txtar.File{Name: section, Data: []byte(out + "\n")})
	if err := os.WriteFile(f.path, txtar.Format(f.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A recorded error keeps its status, and says no more than its reader may know: with "hidden" where
// the query touches a sensitive column.
func TestRecordedErrors(t *testing.T) {
	for _, f := range recordedForms(t, "errors", 12) {
		t.Run(f.name, func(t *testing.T) {
			status, err := strconv.Atoi(f.sections["status"])
			if err != nil {
				t.Fatal(err)
			}
			for section, sensitive := range map[string]bool{"want": false, "hidden": true} {
				t.Run(section, func(t *testing.T) {
					got, body := FilterError(status, []byte(f.sections["body"]), ErrorView{Sensitive: sensitive})
					if got != status {
						t.Errorf("%s: status %d, want %d", section, got, status)
					}
					if strings.Contains(string(body), "raw") || len(body) == 0 {
						t.Errorf("%s: %s", section, body)
					}
					f.hold(t, section, string(body))
				})
			}
		})
	}
}

// A recorded job goes out as the request that was made, or not at all.
func TestRecordedJobs(t *testing.T) {
	for _, f := range recordedForms(t, "jobs", 10) {
		t.Run(f.name, func(t *testing.T) {
			view := JobView{SQL: "SELECT 1", Sensitive: true, Wrapped: f.sections["wrapped"] != ""}
			out, err := filterJob([]byte(f.sections["body"]), view)
			if refused := f.sections["refused"]; refused != "" {
				if err == nil || !strings.Contains(err.Error(), refused) {
					t.Errorf("%v, want a refusal with %q", err, refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(out), "raw") {
				t.Errorf("a raw word goes out: %s", out)
			}
			f.hold(t, "want", string(out))
		})
	}
}

// A recorded table is understood, and goes out by its names and types alone.
func TestRecordedTables(t *testing.T) {
	for _, f := range recordedForms(t, "tables", 6) {
		t.Run(f.name, func(t *testing.T) {
			table, err := ReadTable([]byte(f.sections["body"]))
			if err != nil {
				t.Fatal(err)
			}
			if len(table.Unknown) > 0 {
				t.Errorf("members that are not known: %q", table.Unknown)
			}
			out := string(TableAnswer(table))
			if strings.Contains(out, "raw") {
				t.Errorf("a raw word goes out: %s", out)
			}
			f.hold(t, "want", out)
		})
	}
}
