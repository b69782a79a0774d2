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

func text(name string) bigquery.Field { return bigquery.Field{Name: name, Type: "STRING"} }

// viewStore has a table p.d.t of the columns name and ssn, and views over it: v_star selects *,
// v_named calls its columns customer and tax_no, v_over selects * of v_star.
func viewStore() *store {
	s := newStore()
	no := false
	for name, query := range map[string]string{"v_star": "SELECT * FROM p.d.t", "v_named": "SELECT * FROM p.d.t",
		"v_over": "SELECT * FROM p.d.v_star"} {
		v := table("p.d."+name, text("name"), text("ssn"))
		v.Type, v.View, v.LastModifiedTime = "VIEW", &bigquery.View{Query: query, UseLegacySQL: &no}, "1"
		if name == "v_named" {
			v.Schema.Fields = []bigquery.Field{text("customer"), text("tax_no")}
			v.View.UseExplicitColumnNames = true
		}
		s.put(v)
	}
	return s
}

func columnsOf(a *Analysis) string {
	var all []string
	for _, c := range a.Statements[0].Columns {
		from := ""
		for _, s := range c.Sources {
			from += " " + s.Column
		}
		all = append(all, c.Name+from)
	}
	return strings.Join(all, ", ")
}

// A table that grew under its views: the analysis is of the columns as they are now, whatever
// schema BigQuery stores of the view, and although the same text was analysed before.
func TestViewsOverTablesThatGrew(t *testing.T) {
	for name, c := range map[string]struct {
		sql, before, after, refused string
	}{
		"star": {"SELECT * FROM d.v_star", "name p.d.t.name, ssn p.d.t.ssn", "name p.d.t.name, ssn p.d.t.ssn, card p.d.t.card",
			""},
		"star of a view": {"SELECT * FROM d.v_over", "name p.d.t.name, ssn p.d.t.ssn", "name p.d.t.name, ssn p.d.t.ssn, card p.d.t.card",
			""},
		"one column":     {"SELECT ssn FROM d.v_over", "ssn p.d.t.ssn", "ssn p.d.t.ssn", ""},
		"explicit names": {"SELECT tax_no FROM d.v_named", "tax_no p.d.t.ssn", "", "CREATE OR REPLACE VIEW"},
	} {
		t.Run(name, func(t *testing.T) {
			s, analyzer := viewStore(), testAnalyzer(t)
			ask := func() *Analysis {
				a, err := analyzer.Analyze(t.Context(), Query{SQL: c.sql, Project: "p", Catalog: s, Caller: "test"})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			if a := ask(); a.Error != nil || columnsOf(a) != c.before || len(a.Schemas()) != 0 {
				t.Fatalf("before: %v %v, schemas %v", a.Error, a.Statements, a.Schemas())
			}
			alter(s, "p.d.t", func(t *bigquery.Table) { t.Schema.Fields = append(slices.Clone(t.Schema.Fields), text("card")) })
			for _, how := range []string{"anew", "from memory"} {
				a := ask()
				if c.refused != "" {
					if a.Error == nil || !strings.Contains(a.Error.Message, c.refused) {
						t.Errorf("%s: %v, want words with %q", how, a.Error, c.refused)
					}
					continue
				}
				if a.Error != nil || columnsOf(a) != c.after {
					t.Fatalf("%s: %v, columns %s, want %s", how, a.Error, columnsOf(a), c.after)
				}
				view := "p.d.v_star"
				if fields := a.Tables[view].Schema.Fields; len(fields) != 3 || fields[2].Name != "card" {
					t.Errorf("%s: the policy is shown %v as the columns of the view", how, fields)
				}
				if len(a.Schemas()[view].Fields) != 3 {
					t.Errorf("%s: the record gets %v as the columns of the view", how, a.Schemas())
				}
			}
		})
	}
}

// A column that is swapped into a name of a view's list, in the list or in the query, changes what
// was decided on (A8).
func TestChangedNamesOfAView(t *testing.T) {
	for name, change := range map[string]func(*bigquery.Table){
		"names swapped": func(v *bigquery.Table) { v.Schema.Fields = []bigquery.Field{text("tax_no"), text("customer")} },
		"query swapped": func(v *bigquery.Table) {
			made := *v.View
			made.Query = "SELECT ssn, name FROM p.d.t"
			v.View = &made
		},
		"no list any more": func(v *bigquery.Table) {
			made := *v.View
			made.UseExplicitColumnNames = false
			v.View = &made
		},
		"an unknown member": func(v *bigquery.Table) { v.Unknown = []string{"view.mode"} },
	} {
		t.Run(name, func(t *testing.T) {
			s, analyzer := viewStore(), testAnalyzer(t)
			ask := func() *Analysis {
				a, err := analyzer.Analyze(t.Context(),
					Query{SQL: "SELECT customer, tax_no FROM d.v_named", Project: "p", Catalog: s, Caller: "test"})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			first := ask()
			alter(s, "p.d.v_named", change)
			changed, err := Changed(t.Context(), s, first.Digests)
			if err != nil || !slices.Equal(changed, []string{"p.d.v_named"}) {
				t.Errorf("changed: %v, %v", changed, err)
			}
			if now := ask(); now.Error == nil && columnsOf(now) == columnsOf(first) {
				t.Errorf("the text still means %s", columnsOf(now))
			}
		})
	}
}

// resources is a catalog of resources as BigQuery sends them.
type resources map[string]string

func (r resources) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	text, ok := r[id.String()]
	if !ok {
		return nil, ErrNotFound
	}
	return bigquery.ReadTable([]byte(text))
}

func (r resources) Routine(_ context.Context, id bigquery.RoutineID) (*bigquery.Routine, error) {
	text, ok := r[id.String()+"()"]
	if !ok {
		return nil, ErrNotFound
	}
	return bigquery.ReadRoutine([]byte(text))
}

// I6: what a view, a snapshot, a materialized view or a routine has beside what is known could
// change what it means.
func TestUnknownMembersRefuse(t *testing.T) {
	analyzer := testAnalyzer(t)
	const (
		schema  = `"schema":{"fields":[{"name":"ssn","type":"STRING","newPolicy":{"a":1}}]}`
		base    = `{"tableReference":{"projectId":"p","datasetId":"d","tableId":"t"},"type":"TABLE","brandNew":{"x":[1]},` + schema + `}`
		head    = `{"tableReference":{"projectId":"p","datasetId":"d","tableId":"x"},` + schema + `,`
		routine = `{"routineReference":{"projectId":"p","datasetId":"d","routineId":"f"},"routineType":"SCALAR_FUNCTION",` +
			`"language":"SQL","definitionBody":"a",`
		one = `"arguments":[{"name":"a","dataType":{"typeKind":"STRING"}}]}`
	)
	of := `"baseTableReference":{"projectId":"p","datasetId":"d","tableId":"t"}`
	for name, c := range map[string]struct{ resource, refused string }{
		"table, what only describes": {head + `"type":"TABLE","newKind":"x"}`, ""},
		"view":                       {head + `"type":"VIEW","view":{"query":"SELECT ssn FROM d.t","useLegacySql":false}}`, ""},
		"view, nothing said": {
			head + `"type":"VIEW","view":{"query":"SELECT ssn FROM ` +
				`d.t","useLegacySql":false,"userDefinedFunctionResources":[],"privacyPolicy":null}}`, "",
		},
		"view, unknown": {
			head + `"type":"VIEW","view":{"query":"SELECT ssn FROM d.t","useLegacySql":false,"columnOrder":"REVERSE"}}`, "view.columnOrder",
		},
		"view, false is said": {
			head + `"type":"VIEW","view":{"query":"SELECT ssn FROM d.t","useLegacySql":false,"columnOrder":false}}`, "view.columnOrder",
		},
		"view, an empty policy": {
			head + `"type":"VIEW","view":{"query":"SELECT ssn FROM d.t","useLegacySql":false,"privacyPolicy":{}}}`, "view.privacyPolicy",
		},
		"view, functions beside it": {
			head + `"type":"VIEW","view":{"query":"SELECT ssn FROM ` +
				`d.t","useLegacySql":false,"userDefinedFunctionResources":[{"inlineCode":"x"}]}}`, "view.userDefinedFunctionResources",
		},
		"view, another dialect": {
			head + `"type":"VIEW","view":{"query":"SELECT ssn FROM d.t","useLegacySql":false,"foreignDefinitions":[{"query":"x"}]}}`,
			"view.foreignDefinitions",
		},
		"view, another case": {
			head + `"type":"VIEW","view":{"query":"SELECT ssn FROM d.t","useLegacySql":false,"UseExplicitColumnNames":true}}`,
			"view.UseExplicitColumnNames",
		},
		"materialized view": {
			head + `"type":"MATERIALIZED_VIEW","materializedView":{"query":"SELECT ssn FROM ` +
				`d.t","enableRefresh":true,"maxStaleness":"0-0 0 4:0:0"}}`, "",
		},
		"materialized view, unknown": {
			head + `"type":"MATERIALIZED_VIEW","materializedView":{"query":"SELECT ssn FROM d.t","partialColumns":["a"]}}`,
			"materializedView.partialColumns",
		},
		"snapshot": {
			head + `"type":"SNAPSHOT","snapshotDefinition":{` + of + `,"snapshotTime":"2026-01-01T00:00:00Z"}}`, "",
		},
		"snapshot, unknown": {head + `"type":"SNAPSHOT","snapshotDefinition":{` + of + `,"columnMap":{"ssn":"name"}}}`,
			"snapshotDefinition.columnMap"},
		"snapshot, unknown in its base": {
			head + `"type":"SNAPSHOT","snapshotDefinition":{"baseTableReference":{"projectId":"p","datasetId":"d","tableId":"t",` +
				`"branch":"b"}}}`, "snapshotDefinition.baseTableReference.branch",
		},
		"clone, unknown": {head + `"type":"TABLE","cloneDefinition":{` + of + `,"columnMap":{"ssn":"name"}}}`,
			"cloneDefinition.columnMap"},
		"table type, unknown": {head + `"type":"HOLOGRAM"}`, `"HOLOGRAM", which is not supported`},
		"routine":             {routine + one, ""},
		"routine, described": {
			routine + `"description":"x","determinismLevel":"DETERMINISTIC","etag":"e","importedLibraries":[],` + one, "",
		},
		"routine, unknown":                   {routine + `"columnMasking":"OFF",` + one, "columnMasking"},
		"routine, options of other runtimes": {routine + `"externalRuntimeOptions":{"containerCpu":1},` + one, "externalRuntimeOptions"},
		"routine, unknown in an argument": {routine + `"arguments":[{"name":"a","dataType":{"typeKind":"STRING"},"default":"x"}]}`,
			"arguments.default"},
		"routine, unknown in a type": {routine + `"returnType":{"typeKind":"STRING","collation":"und:ci"},` + one,
			"returnType.collation"},
		"routine, unknown deep in a type": {routine + `"arguments":[{"name":"a","dataType":{"typeKind":"ARRAY",` +
			`"arrayElementType":{"typeKind":"STRUCT","structType":{"fields":[{"name":"x","type":{"typeKind":"STRING"},` +
			`"hidden":true}]}}}}]}`, "structType.fields.hidden"},
	} {
		t.Run(name, func(t *testing.T) {
			catalog, sql := resources{"p.d.t": base, "p.d.x": c.resource}, "SELECT ssn FROM d.x"
			if strings.HasPrefix(name, "routine") {
				catalog, sql = resources{"p.d.t": base, "p.d.f()": c.resource}, "SELECT d.f(ssn) AS ssn FROM d.t"
			}
			a, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "p", Catalog: catalog, Caller: "test"})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.refused == "" && a.Error != nil:
				t.Errorf("refused: %v", a.Error)
			case c.refused != "" && (a.Error == nil || a.Error.Code != ErrorUnsupported || !strings.Contains(a.Error.Message, c.refused)):
				t.Errorf("%v, want a refusal that names %s", a.Error, c.refused)
			}
		})
	}
}

// permanent is a catalog whose answers are whole, and of no use.
type permanent struct {
	resources
	dataset *bigquery.ListedDataset
	list    error
}

func (p permanent) Dataset(context.Context, bigquery.DatasetReference) (*bigquery.ListedDataset, error) {
	if p.dataset == nil {
		return &bigquery.ListedDataset{}, nil
	}
	return p.dataset, nil
}

func (p permanent) Tables(context.Context, bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	return nil, p.list
}

// What BigQuery would answer again is refused; what came broken may be tried again.
func TestWhatStaysIsNotTriedAgain(t *testing.T) {
	analyzer := testAnalyzer(t)
	const table = `{"tableReference":{"projectId":"p","datasetId":"d","tableId":"t"},"type":"TABLE","schema":{"fields":[{"name":"a",` +
		`"type":"STRING"}]}}`
	for name, c := range map[string]struct {
		catalog permanent
		sql     string
		want    ErrorCode
	}{
		"a schema that is a list": {permanent{resources: resources{"p.d.t": `{"tableReference":{"projectId":"p","datasetId":"d",` +
			`"tableId":"t"},"schema":[]}`}}, "SELECT a FROM d.t", ErrorUnsupported},
		"a table that is a list": {permanent{resources: resources{"p.d.t": `[]`}}, "SELECT a FROM d.t", ErrorUnsupported},
		"a word for a truth": {permanent{resources: resources{"p.d.t": `{"type":"VIEW","view":{"query":"SELECT 1 AS ` +
			`a","useExplicitColumnNames":"yes"}}`}}, "SELECT a FROM d.t", ErrorUnsupported},
		"a table that came broken": {permanent{resources: resources{"p.d.t": table[:60]}}, "SELECT a FROM d.t", ErrorUnavailable},
		"a snapshot of nothing": {permanent{resources: resources{"p.d.t": strings.Replace(table, `"TABLE"`, `"SNAPSHOT"`, 1)}},
			"SELECT a FROM d.t", ErrorUnsupported},
		"a routine that is a list":   {permanent{resources: resources{"p.d.f()": `[]`}}, "SELECT d.f(1) AS a", ErrorUnsupported},
		"a routine that came broken": {permanent{resources: resources{"p.d.f()": `{"rou`}}, "SELECT d.f(1) AS a", ErrorUnavailable},
		"linked to nothing": {permanent{resources: resources{"p.d.t": table}, dataset: &bigquery.ListedDataset{Type: "LINKED"}},
			"SELECT a FROM d.t", ErrorUnsupported},
		"a function, linked to nothing": {
			permanent{resources: resources{"p.d.f()": `{}`}, dataset: &bigquery.ListedDataset{Type: "LINKED"}}, "SELECT d.f(1) AS a",
			ErrorUnsupported,
		},
		"too many tables": {permanent{list: fmt.Errorf("list: %w", bigquery.ErrTooMany)}, "SELECT a FROM `d.t_*`", ErrorLimit},
		"a list of another form": {permanent{list: fmt.Errorf("list: %w", bigquery.ErrNotUnderstood)}, "SELECT a FROM `d.t_*`",
			ErrorUnsupported},
		"a list that is not told": {permanent{list: errors.New("503")}, "SELECT a FROM `d.t_*`", ErrorUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := analyzer.Analyze(t.Context(), Query{SQL: c.sql, Project: "p", Catalog: c.catalog, Caller: "test"})
			if err != nil || a.Error == nil || a.Error.Code != c.want {
				t.Errorf("%v, %v, want %s", a.Error, err, c.want)
			}
		})
	}
}
