package googlesql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// store is a catalog that tests change.
type store struct {
	tables   map[bigquery.TableID]*bigquery.Table
	routines map[bigquery.RoutineID]*bigquery.Routine
	err      error
}

func (s *store) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	if t := s.tables[id]; t != nil || s.err != nil {
		return t, s.err
	}
	return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
}

func (s *store) Routine(_ context.Context, id bigquery.RoutineID) (*bigquery.Routine, error) {
	if r := s.routines[id]; r != nil || s.err != nil {
		return r, s.err
	}
	return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
}

func (s *store) Tables(_ context.Context, d bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	var list []bigquery.ListedTable
	for id, t := range s.tables {
		if id.Project == d.ProjectID && id.Dataset == d.DatasetID {
			list = append(list, bigquery.ListedTable{Reference: id, Type: t.Type, CreationTime: t.CreationTime})
		}
	}
	return list, s.err
}

func (s *store) put(tables ...*bigquery.Table) {
	for _, t := range tables {
		s.tables[t.TableReference] = t
	}
}

func newStore() *store {
	no := false
	s := &store{tables: map[bigquery.TableID]*bigquery.Table{}, routines: map[bigquery.RoutineID]*bigquery.Routine{}}
	text := func(name string) bigquery.Field { return bigquery.Field{Name: name, Type: "STRING"} }
	s.put(table("p.d.t", text("name"), text("ssn")), table("p.d.log_1", text("a")), table("p.d.log_2", text("a")))
	view := table("p.d.v", text("name"))
	view.Type, view.View, view.LastModifiedTime = "VIEW", &bigquery.View{Query: "SELECT name FROM p.d.t", UseLegacySQL: &no}, "1"
	s.put(view)
	id := bigquery.RoutineID{Project: "p", Dataset: "d", Routine: "f"}
	s.routines[id] = &bigquery.Routine{
		RoutineReference: id, RoutineType: "SCALAR_FUNCTION", Language: "SQL", DefinitionBody: "UPPER(x)",
		Arguments: []bigquery.RoutineArgument{{Name: "x", DataType: &bigquery.StandardSQLDataType{TypeKind: "STRING"}}},
	}
	return s
}

// A8: between the decision and the first row somebody replaces a view, swaps two columns by
// renaming them, adds a member to a wildcard table, or changes a function.
func TestChanged(t *testing.T) {
	analyzer := testAnalyzer(t)
	const sql = "SELECT p.d.f(v.name) AS a, t.ssn, w.a AS b FROM d.v AS v, d.t AS t, `d.log_*` AS w, d.INFORMATION_SCHEMA.TABLES AS i"
	field := func(name string) bigquery.Field { return bigquery.Field{Name: name, Type: "STRING"} }
	for name, test := range map[string]struct {
		change func(*store)
		want   []string
	}{
		"nothing": {func(*store) {}, nil},
		"view text": {func(s *store) {
			alter(s, "p.d.v", func(t *bigquery.Table) { t.View = &bigquery.View{Query: "SELECT ssn AS name FROM p.d.t"} })
		}, []string{"p.d.v"}},
		"view put back":   {func(s *store) { alter(s, "p.d.v", func(t *bigquery.Table) { t.LastModifiedTime = "2" }) }, []string{"p.d.v"}},
		"columns swapped": {func(s *store) { s.put(table("p.d.t", field("ssn"), field("name"))) }, []string{"p.d.t"}},
		"a column more":   {func(s *store) { s.put(table("p.d.t", field("name"), field("ssn"), field("ssn2"))) }, []string{"p.d.t"}},
		"table gone": {func(s *store) { delete(s.tables, bigquery.TableID{Project: "p", Dataset: "d", Table: "t"}) },
			[]string{"p.d.t"}},
		"table a view":  {func(s *store) { alter(s, "p.d.t", func(t *bigquery.Table) { t.Type = "VIEW" }) }, []string{"p.d.t"}},
		"a member more": {func(s *store) { s.put(table("p.d.log_3", field("a"))) }, []string{"p.d.log_*"}},
		"a member less": {func(s *store) { delete(s.tables, bigquery.TableID{Project: "p", Dataset: "d", Table: "log_1"}) },
			[]string{"p.d.log_*"}},
		"a member a view": {func(s *store) { alter(s, "p.d.log_1", func(t *bigquery.Table) { t.Type = "VIEW" }) }, []string{"p.d.log_*"}},
		"function body": {func(s *store) {
			for id, r := range s.routines {
				changed := *r
				changed.DefinitionBody = "(SELECT MAX(ssn) FROM p.d.t)"
				s.routines[id] = &changed
			}
		}, []string{"p.d.f()"}},
		"function with a member that is not known": {func(s *store) {
			for id, r := range s.routines {
				changed := *r
				changed.Unknown = []string{"columnMasking"}
				s.routines[id] = &changed
			}
		}, []string{"p.d.f()"}},
		"function gone": {func(s *store) { clear(s.routines) }, []string{"p.d.f()"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			analysis, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "p", Catalog: s})
			if err != nil || analysis.Error != nil {
				t.Fatalf("%s: %v %v", name, err, analysis.Error)
			}
			if got := slices.Sorted(maps.Keys(analysis.Digests)); !slices.Equal(got,
				[]string{"p.d.INFORMATION_SCHEMA.TABLES", "p.d.f()", "p.d.log_*", "p.d.t", "p.d.v"}) {
				t.Fatalf("the analysis rests on %q", got)
			}
			test.change(s)
			got, err := Changed(t.Context(), s, analysis.Digests)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%s: changed %q, %v, want %q", name, got, err, test.want)
			}
			// The same question now has another answer, or none: the cache must see the change too.
			again, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "p", Catalog: s})
			if err != nil || again.Error == nil && maps.Equal(again.Digests, analysis.Digests) != (test.want == nil) {
				t.Errorf("%s: the analysis afterwards rests on the same (%v, %v)", name, again.Error, err)
			}
		})
	}
	s := newStore()
	s.err = errors.New("503")
	if _, err := Changed(t.Context(), s, map[string]string{"p.d.t": "x"}); err == nil {
		t.Error("a catalog that cannot be read says that nothing changed")
	}
	for _, name := range []string{"t", "d.t", "d.f()", ""} {
		if _, err := Changed(t.Context(), newStore(), map[string]string{name: "x"}); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
}

func alter(s *store, name string, change func(*bigquery.Table)) {
	id, _ := splitTable(name)
	made := *s.tables[id]
	change(&made)
	s.tables[id] = &made
}
