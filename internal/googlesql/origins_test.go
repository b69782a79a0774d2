package googlesql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// linking is a store with linked datasets.
type linking struct {
	*store
	sources map[string]bigquery.DatasetReference // by "project.dataset" of the linked one
	err     error
}

func (l *linking) Dataset(_ context.Context, d bigquery.DatasetReference) (*bigquery.ListedDataset, error) {
	dataset := &bigquery.ListedDataset{Reference: d}
	if source, ok := l.sources[d.String()]; ok {
		dataset.Type, dataset.LinkedDatasetSource = "LINKED", &bigquery.LinkedSource{SourceDataset: source}
	}
	return dataset, l.err
}

func tableID(name string) bigquery.TableID {
	id, _ := splitTable(name)
	return id
}

// snapshotOf is a snapshot, cloneOf a clone, of another table.
func snapshotOf(name, base string) *bigquery.Table {
	t := table(name, bigquery.Field{Name: "ssn", Type: "STRING"})
	t.Type, t.SnapshotDefinition = "SNAPSHOT", &bigquery.Snapshot{BaseTableReference: tableID(base), SnapshotTime: "2026-01-01T00:00:00Z"}
	return t
}

func cloneOf(name, base string) *bigquery.Table {
	t := table(name, bigquery.Field{Name: "ssn", Type: "STRING"})
	t.CloneDefinition = &bigquery.Clone{BaseTableReference: tableID(base)}
	return t
}

// A45: under another name a table is still what it was made of, however many steps away, and
// whether or not that is still there.
func TestOrigins(t *testing.T) {
	plain := table("p.d.base", bigquery.Field{Name: "ssn", Type: "STRING"})
	view := table("p.d.v", bigquery.Field{Name: "ssn", Type: "STRING"})
	view.Type = "VIEW"
	materialized := table("p.d.m", bigquery.Field{Name: "ssn", Type: "STRING"})
	materialized.Type = "MATERIALIZED_VIEW"
	said := func(name string, change func(*bigquery.Table)) *bigquery.Table {
		s := snapshotOf(name, "p.d.base")
		change(s)
		return s
	}
	for name, c := range map[string]struct {
		tables  []*bigquery.Table
		sources map[string]bigquery.DatasetReference
		read    string
		want    string // the origins, each with its own in parentheses; "!" behind one that is gone
		refused string
	}{
		"a table":    {[]*bigquery.Table{plain}, nil, "p.d.base", "", ""},
		"a view":     {[]*bigquery.Table{view}, nil, "p.d.v", "", ""},
		"a snapshot": {[]*bigquery.Table{plain, snapshotOf("p.d.s", "p.d.base")}, nil, "p.d.s", "p.d.base", ""},
		"a clone":    {[]*bigquery.Table{plain, cloneOf("p.d.c", "p.d.base")}, nil, "p.d.c", "p.d.base", ""},
		"a clone of a snapshot": {[]*bigquery.Table{plain, snapshotOf("p.d.s", "p.d.base"), cloneOf("p.e.c", "p.d.s")}, nil,
			"p.e.c", "p.d.s(p.d.base)", ""},
		"the base is gone": {[]*bigquery.Table{snapshotOf("p.d.s", "p.d.base")}, nil, "p.d.s", "p.d.base!", ""},
		"the base of the base is gone": {[]*bigquery.Table{snapshotOf("p.d.s", "p.d.base"), cloneOf("p.e.c", "p.d.s")}, nil, "p.e.c",
			"p.d.s(p.d.base!)", ""},
		"a linked dataset": {[]*bigquery.Table{plain, table("q.l.base")},
			map[string]bigquery.DatasetReference{"q.l": {ProjectID: "p", DatasetID: "d"}}, "q.l.base", "p.d.base", ""},
		"a linked dataset, source gone": {[]*bigquery.Table{table("q.l.base")},
			map[string]bigquery.DatasetReference{"q.l": {ProjectID: "p", DatasetID: "d"}}, "q.l.base", "p.d.base!", ""},
		"a snapshot in a linked dataset": {[]*bigquery.Table{plain, snapshotOf("p.d.s", "p.d.base"), snapshotOf("q.l.s", "p.d.base")},
			map[string]bigquery.DatasetReference{"q.l": {ProjectID: "p", DatasetID: "d"}}, "q.l.s", "p.d.base p.d.s(p.d.base)", ""},
		"itself": {[]*bigquery.Table{cloneOf("p.d.c", "p.d.c")}, nil, "p.d.c", "", "could not be read"},
		"a circle": {[]*bigquery.Table{cloneOf("p.d.c", "p.d.e"), cloneOf("p.d.e", "p.d.c")}, nil, "p.d.c", "",
			"could not be read"},
		"no definition": {[]*bigquery.Table{said("p.d.s", func(t *bigquery.Table) { t.SnapshotDefinition = nil })}, nil,
			"p.d.s", "", "what it was made of is not said"},
		"a clone without a definition": {
			[]*bigquery.Table{said("p.d.s", func(t *bigquery.Table) { t.Type, t.SnapshotDefinition = "CLONE", nil })}, nil, "p.d.s", "",
			"what it was made of is not said",
		},
		"half a name": {
			[]*bigquery.Table{said("p.d.s", func(t *bigquery.Table) { t.SnapshotDefinition.BaseTableReference.Dataset = "" })}, nil,
			"p.d.s", "", "not complete",
		},
		"both": {[]*bigquery.Table{said("p.d.s", func(t *bigquery.Table) { t.CloneDefinition = &bigquery.Clone{} })},
			nil, "p.d.s", "", "a snapshot and a clone"},
		"linked to nothing": {[]*bigquery.Table{table("q.l.base")}, map[string]bigquery.DatasetReference{"q.l": {}}, "q.l.base",
			"", "the dataset of q.l.base is a linked one, and of which is not said"},
		"a view in a linked dataset": {[]*bigquery.Table{view},
			map[string]bigquery.DatasetReference{"p.d": {ProjectID: "q", DatasetID: "l"}}, "p.d.v", "", "a view in a linked dataset"},
		"a materialized view in a linked dataset": {
			[]*bigquery.Table{materialized}, map[string]bigquery.DatasetReference{"p.d": {ProjectID: "q", DatasetID: "l"}}, "p.d.m", "",
			"a view in a linked dataset",
		},
		"members that are clones": {[]*bigquery.Table{plain, cloneOf("p.w.e_1", "p.d.base"), cloneOf("p.w.e_2", "p.d.gone")}, nil,
			"p.w.e_*", "p.d.gone! p.d.base", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &linking{store: &store{tables: map[bigquery.TableID]*bigquery.Table{}}, sources: c.sources}
			s.put(c.tables...)
			got, err := ReadTable(t.Context(), s, c.read)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("%v, want %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if told := origins(got); told != c.want {
				t.Errorf("its origins are %q, want %q", told, c.want)
			}
		})
	}
	s := &linking{store: &store{tables: map[bigquery.TableID]*bigquery.Table{}}, err: errors.New("403")}
	s.put(plain)
	if _, err := ReadTable(t.Context(), s, "p.d.base"); err == nil {
		t.Error("a table is read whose dataset could not be")
	}
}

func origins(t *bigquery.Table) string {
	var all []string
	for _, o := range t.Origins {
		switch {
		case o.Table == nil:
			all = append(all, o.ID.String()+"!")
		case len(o.Table.Origins) > 0:
			all = append(all, fmt.Sprintf("%s(%s)", o.ID, origins(o.Table)))
		default:
			all = append(all, o.ID.String())
		}
	}
	return strings.Join(all, " ")
}

// A8: what a table was made of is read again with the table.
func TestOriginsChange(t *testing.T) {
	analyzer := testAnalyzer(t)
	field := bigquery.Field{Name: "ssn", Type: "STRING"}
	for name, change := range map[string]func(*linking){
		"another base": func(l *linking) { l.put(snapshotOf("p.d.s", "p.d.t")) },
		"no base":      func(l *linking) { l.put(table("p.d.s", field)) },
		"the base is gone": func(l *linking) {
			delete(l.tables, tableID("p.d.base"))
		},
		"the base has another column": func(l *linking) { l.put(table("p.d.base", field, bigquery.Field{Name: "tax", Type: "STRING"})) },
		"the base is a clone":         func(l *linking) { l.put(cloneOf("p.d.base", "p.d.t")) },
		"the dataset is linked": func(l *linking) {
			l.sources = map[string]bigquery.DatasetReference{"p.d": {ProjectID: "q", DatasetID: "d"}}
		},
		"a member becomes a clone":     func(l *linking) { l.put(cloneOf("p.d.log_1", "p.d.t")) },
		"a member gets another column": func(l *linking) { l.put(table("p.d.log_1", bigquery.Field{Name: "a", Type: "STRING"}, field)) },
		"a member gets another type":   func(l *linking) { l.put(table("p.d.log_1", bigquery.Field{Name: "a", Type: "JSON"})) },
		"a table of the prefix's name": func(l *linking) { l.put(table("p.d.log_", bigquery.Field{Name: "a", Type: "STRING"})) },
		"a member changes its columns": func(l *linking) { l.put(table("p.d.log_2", field)) },
		"the dataset cannot be read":   func(l *linking) { l.err = errors.New("503") },
		"nothing":                      func(*linking) {},
		"a description, which is no matter": func(l *linking) {
			l.put(table("p.d.log_1", bigquery.Field{Name: "a", Type: "STRING", Description: "x"}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &linking{store: newStore()}
			l.put(table("p.d.base", field), snapshotOf("p.d.s", "p.d.base"))
			analysis, err := analyzer.Analyze(t.Context(),
				Query{SQL: "SELECT s.ssn, w.a FROM d.s, `d.log_*` AS w", Project: "p", Catalog: l})
			if err != nil || analysis.Error != nil {
				t.Fatalf("%v %v", err, analysis.Error)
			}
			change(l)
			changed, err := Changed(t.Context(), l, analysis.Digests)
			same := name == "nothing" || strings.HasSuffix(name, "no matter")
			if same != (len(changed) == 0 && err == nil) {
				t.Errorf("changed %q, %v", changed, err)
			}
			if name == "the base is gone" && !slices.Equal(changed, []string{"p.d.s"}) {
				t.Errorf("changed %q", changed)
			}
		})
	}
}
