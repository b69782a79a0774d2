package extauthz

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
)

// listedWorld is a project with datasets and tables that is asked by the methods of metadata.
type listedWorld struct {
	*boundWorld
	datasets map[string][]string // names of tables by dataset

	mu     sync.Mutex
	asked  []string
	failed error // what questions about tables end with
}

func (w *listedWorld) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, fmt.Sprintf(format, args...))
}

func (w *listedWorld) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	w.note("table %s.%s", id.Dataset, id.Table)
	if w.failed != nil {
		return nil, w.failed
	}
	if !slices.Contains(w.datasets[id.Dataset], id.Table) {
		return nil, bigquery.ErrNotFound
	}
	return &bigquery.Table{TableReference: id, Type: "TABLE"}, nil
}

func (w *listedWorld) GetDataset(_ context.Context, _ durable.Facts, ref bigquery.DatasetReference) (bigquery.ListedDataset, error) {
	w.note("dataset %s", ref.DatasetID)
	if _, ok := w.datasets[ref.DatasetID]; !ok {
		return bigquery.ListedDataset{}, bigquery.ErrNotFound
	}
	return bigquery.ListedDataset{Reference: ref, Location: "US"}, nil
}

func (w *listedWorld) ListDatasets(_ context.Context, _ durable.Facts, project string) ([]bigquery.ListedDataset, error) {
	var all []bigquery.ListedDataset
	for name := range w.datasets {
		all = append(all, bigquery.ListedDataset{Reference: bigquery.DatasetReference{ProjectID: project, DatasetID: name}})
	}
	slices.SortFunc(all, func(a, b bigquery.ListedDataset) int {
		return strings.Compare(a.Reference.DatasetID, b.Reference.DatasetID)
	})
	return all, nil
}

func (w *listedWorld) ListTables(_ context.Context, _ durable.Facts, ref bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	w.note("list %s", ref.DatasetID)
	tables, ok := w.datasets[ref.DatasetID]
	if !ok {
		return nil, bigquery.ErrNotFound
	}
	var all []bigquery.ListedTable
	for _, name := range tables {
		all = append(all, bigquery.ListedTable{Reference: bigquery.TableID{Project: ref.ProjectID, Dataset: ref.DatasetID, Table: name},
			Type: "TABLE"})
	}
	return all, nil
}

func newListedWorld(t *testing.T, read string) *listedWorld {
	w := &listedWorld{boundWorld: newBoundWorld(t),
		datasets: map[string][]string{"crm": {"pay", "x"}, "empty": nil, "north": {"other", "pay"}, "quiet": {"other"}}}
	w.policy("version: bqgate/v1\ngroups: {agents: {issuer: ci, when: 'true'}}\nrules:\n  - {name: r, groups: [agents], read: [" + read +
		"], credential: reader}\n")
	w.s.Catalog, w.s.Metadata = forAll(w), w
	return w
}

func (w *listedWorld) get(path string) outcome {
	return w.call(http.MethodGet, "/bigquery/v2/projects/p/datasets"+path, nil)
}

// A rule that stands for many datasets shows those that hold a table of its own, and nothing is
// asked about what is in the others.
func TestDatasetsOfAPattern(t *testing.T) {
	for _, c := range []struct{ read, want, asked string }{
		{"p.*.*", "crm empty north quiet", ""},
		{"p.crm.none", "crm", ""},
		{"p.*.pay", "crm north", "table"},
		{"p.n*.pay", "north", "table"},
		{"p.*.none", "", "table"},
		{"p.*.pa*", "crm north", "list"},
		{"p.*.pay, p.quiet.*", "crm north quiet", "table"},
		{"p.*.pay, p.*.oth*", "crm north quiet", ""},
		{"'*.*.pay'", "crm north", "table"},
		{"'*.quiet.other'", "quiet", "table"},
	} {
		t.Run(c.read, func(t *testing.T) {
			w := newListedWorld(t, c.read)
			o := w.get("")
			if o.status != 200 {
				t.Errorf("%s: status %d %s", c.read, o.status, o.body)
			}
			var shown []string
			for name := range w.datasets {
				if strings.Contains(string(o.body), `"datasetId":"`+name+`"`) {
					shown = append(shown, name)
				}
				one, tables, nothing := w.get("/"+name), w.get("/"+name+"/tables"), w.get("/zz"+name+"/tables")
				if known := slices.Contains(strings.Fields(c.want), name); (one.status == 200) != known || (tables.status == 200) != known {
					t.Errorf("%s: datasets.get of %s answers %d, tables.list %d", c.read, name, one.status, tables.status)
				}
				if tables.status != 200 {
					got, want := decisions.ReplaceAllString(string(tables.body), ""),
						decisions.ReplaceAllString(strings.ReplaceAll(string(nothing.body), "zz"+name, name), "")
					if got != want {
						t.Errorf("%s: %s is told from a name of nothing:\n%s\n%s", c.read, name, got, want)
					}
				}
			}
			slices.Sort(shown)
			if got := strings.Join(shown, " "); got != c.want {
				t.Errorf("%s shows %q, want %q", c.read, got, c.want)
			}
			for _, asked := range w.asked {
				what, name, _ := strings.Cut(asked, " ")
				dataset, _, _ := strings.Cut(name, ".")
				if known := slices.Contains(strings.Fields(c.want), dataset); !known && c.asked != "" && what != c.asked {
					t.Errorf("%s: BigQuery was asked for %s", c.read, asked)
				}
			}
		})
	}
}

// A project that no rule names is known by what may be known of its datasets.
func TestProjectsOfAPattern(t *testing.T) {
	w := newListedWorld(t, "'*.*.none'")
	o, nothing := w.get(""), w.call(http.MethodGet, "/bigquery/v2/projects/q/datasets", nil)
	if o.status != 403 || nothing.status != 403 ||
		!strings.Contains(string(o.body), "project p does not exist or no policy lets you read it") {
		t.Errorf("status %d %s", o.status, o.body)
	}
}

// What cannot be found out is not shown, and what would take too long is refused with a cure.
func TestDatasetsThatCannotBeLookedInto(t *testing.T) {
	w := newListedWorld(t, "p.*.pay")
	w.failed = errors.New("503")
	for _, path := range []string{"", "/crm", "/crm/tables"} {
		if o := w.get(path); !o.fault || len(o.body) > 0 {
			t.Errorf("%q: status %d %s", path, o.status, o.body)
		}
	}
	w = newListedWorld(t, "p.*.pay")
	for i := range datasetsLooked {
		w.datasets[fmt.Sprintf("d%d", i)] = []string{"pay"}
	}
	if o := w.get(""); o.status != 403 || !strings.Contains(string(o.body), "naming the dataset") || len(w.asked) > datasetsLooked {
		t.Errorf("status %d %s after %d questions", o.status, o.body, len(w.asked))
	}
	w = newListedWorld(t, "p.*.*") // nothing has to be looked into
	for i := range datasetsLooked {
		w.datasets[fmt.Sprintf("d%d", i)] = nil
	}
	if o := w.get(""); o.status != 200 || len(w.asked) > 0 {
		t.Errorf("status %d after %q", o.status, w.asked)
	}
}
