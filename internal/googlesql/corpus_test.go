package googlesql

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/golden"
	"github.com/bqgate/bqgate/internal/googlesql/enginetest"
)

var sharedPool = sync.OnceValues(func() (*Pool, error) {
	return NewPool(context.Background(), PoolOptions{Command: workerCommand})
})

var workerCommand []string

func testPool(t testing.TB) *Pool {
	t.Helper()
	workerCommand = enginetest.Worker(t)
	pool, err := sharedPool()
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func testAnalyzer(t testing.TB) *Analyzer { return New(testPool(t), Limits{}) }

// TestCorpus runs every case of testdata/corpus: `name.sql` and beside it `name.want`. Cases of a
// file whose comment says "default dataset: p.d" have that one.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/corpus/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	pool, cases := testPool(t), 0
	trips := [2]int{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		query := Query{Project: "demo", Catalog: Files{"testdata/catalog"}, Caller: "test"}
		for line := range strings.Lines(string(archive.Comment)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "default dataset: "); ok {
				project, dataset, _ := strings.Cut(name, ".")
				query.Project = project
				query.DefaultDataset = &bigquery.DatasetReference{ProjectID: project, DatasetID: dataset}
			}
		}
		var out txtar.Archive
		out.Comment = archive.Comment
		want := map[string]string{}
		for _, f := range archive.Files {
			if name, ok := strings.CutSuffix(f.Name, ".want"); ok {
				want[name] = string(f.Data)
			}
		}
		for _, f := range archive.Files {
			name, ok := strings.CutSuffix(f.Name, ".sql")
			if !ok {
				continue
			}
			cases++
			r := query
			r.SQL = strings.TrimSuffix(string(f.Data), "\n")
			var got string
			analyzer := New(pool, Limits{Cache: -1})
			for trip, how := range []string{"outline, then meaning", "both at once"} { // the second time its tables are known
				before := questions(pool)
				analysis, err := analyzer.Analyze(t.Context(), r)
				for w, asked := range questions(pool) {
					if was, there := before[w]; there {
						trips[trip] += asked - was
					}
				}
				if err != nil {
					t.Errorf("%s: %s: %s: %v", file, name, how, err)
					continue
				}
				got = render(analysis)
				if !golden.Update() && got != want[name] {
					t.Errorf("%s: %s (%s)\n%s\ngot:\n%swant:\n%s", file, name, how, r.SQL, got, want[name])
				}
			}
			out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
		}
		if golden.Update() {
			golden.File(t, file, txtar.Format(&out))
		}
	}
	t.Logf("%d cases, %d and %d questions", cases, trips[0], trips[1])
	if trips[1] > trips[0]-cases/2 {
		t.Errorf("%d questions where nothing was known, %d where the tables were: they were not answered ahead", trips[0], trips[1])
	}
}

// questions are how many the idle processes of a pool have been asked.
func questions(p *Pool) map[*process]int {
	asked := map[*process]int{}
	for _, w := range idle(p) {
		asked[w] = w.asked
	}
	return asked
}

// corpusTexts are the SQL texts of the corpus.
func corpusTexts(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if strings.HasSuffix(f.Name, ".sql") {
				texts = append(texts, string(f.Data))
			}
		}
	}
	return texts
}

// render is an analysis in the few words of a .want file.
func render(a *Analysis) string {
	var b strings.Builder
	for _, s := range a.Statements {
		fmt.Fprintf(&b, "%s", s.Kind)
		for _, list := range []struct {
			word  string
			names []string
		}{{"reads", s.Tables}, {"changes", s.Targets}, {"routines", s.Routines}, {"calls", s.Functions}} {
			if len(list.names) > 0 {
				fmt.Fprintf(&b, " %s %s;", list.word, strings.Join(list.names, " "))
			}
		}
		b.WriteByte('\n')
		for _, c := range s.Columns {
			fmt.Fprintf(&b, "  %q %s\n", c.Name, c.Type)
			for _, source := range c.Sources {
				fmt.Fprintf(&b, "    %s", source.Carry)
				if source.Path != "" {
					fmt.Fprintf(&b, " .%s", source.Path)
				}
				if source.Column == "" {
					b.WriteString(" (generated)\n")
				} else {
					fmt.Fprintf(&b, " %s\n", source.Column)
				}
			}
		}
		for _, u := range s.Uses {
			fmt.Fprintf(&b, "  uses %s in %s", u.Column, u.In)
			if u.Offset < 0 {
				b.WriteString(" somewhere")
			}
			b.WriteByte('\n')
		}
	}
	if e := a.Error; e != nil {
		fmt.Fprintf(&b, "%s at %d:%d: %s\n", e.Code, e.Line, e.Column, e.Message)
	}
	return b.String()
}
