package engine

import (
	"fmt"
	"slices"
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// lookup is the engine's view of the project: exactly the tables and routines of the question, by
// exact case. The binding calls it while the engine is locked, so it only looks things up.
type lookup struct {
	gsql.CatalogCallbackDefaults
	tables         map[string]*table // by full name, as the others
	functions      map[string]*routine
	tableFunctions map[string]*gsql.FixedOutputSchemaTVF
	unnests        map[string][]wire.Unnest // behind views and table functions, by wire.Unnest.Of
	project        string
	dataset        string
	missing        string // the first table that was asked for and not there
}

// table is the engine's table with the columns that it was made of, in their order.
type table struct {
	*gsql.SimpleTable
	columns []wire.Field
}

// routine is a scalar function of a dataset, and the columns of tables that its body reads into its
// result.
type routine struct {
	function *gsql.Function
	sources  []string
}

// full completes a table path as BigQuery does: one part lives in the default dataset, two in the
// project. Here, and nowhere before, an identifier is taken apart at its dots. INFORMATION_SCHEMA
// counts as a part of the view's name in a dataset, and as a dataset where none is named.
func full(path []string, project, dataset string) (string, bool) {
	if slices.ContainsFunc(path, func(name string) bool { return strings.Contains(name, ".") }) {
		path = strings.Split(strings.Join(path, "."), ".")
	}
	switch {
	case len(path) == 4 && path[2] == informationSchema:
		return strings.Join(path, "."), true
	case len(path) == 3 && path[1] == informationSchema && path[2] != "SCHEMATA":
		return project + "." + strings.Join(path, "."), true
	}
	switch len(path) {
	case 1:
		if dataset == "" {
			return "", false
		}
		return dataset + "." + path[0], true
	case 2:
		return project + "." + strings.Join(path, "."), true
	case 3:
		return strings.Join(path, "."), true
	default:
		return "", false
	}
}

const informationSchema = "INFORMATION_SCHEMA"

func (l *lookup) FullName() (string, error) { return "bigquery", nil }

func (l *lookup) FindTable(path []string, _ *gsql.FindOptions) (gsql.TableNode, error) {
	name, ok := full(path, l.project, l.dataset)
	if !ok {
		name = strings.Join(path, ".")
	}
	if t, ok := l.tables[name]; ok {
		return t.SimpleTable, nil
	}
	if l.missing == "" {
		l.missing = name
	}
	return nil, absent("Table", path)
}

// Everything else is absent. An explicit error each: the engine traps on the defaults' nil.

func absent(what string, path []string) error {
	return fmt.Errorf("%s not found: %s", what, strings.Join(path, "."))
}

func (l *lookup) FindConnection(path []string, _ *gsql.FindOptions) (gsql.ConnectionNode, error) {
	return nil, absent("Connection", path)
}

func (l *lookup) FindConversion(_, _ gsql.Googlesql_TypeNode, _ *gsql.FindConversionOptions, _ *gsql.Conversion) error {
	return absent("Conversion", nil)
}

func (l *lookup) FindFunction(path []string, _ *gsql.FindOptions) (*gsql.Function, error) {
	if name, ok := full(path, l.project, ""); ok {
		if r, ok := l.functions[name]; ok {
			return r.function, nil
		}
	}
	return nil, absent("Function", path)
}

func (l *lookup) FindModel(path []string, _ *gsql.FindOptions) (gsql.ModelNode, error) {
	return nil, absent("Model", path)
}

func (l *lookup) FindProcedure(path []string, _ *gsql.FindOptions) (*gsql.Procedure, error) {
	return nil, absent("Procedure", path)
}

func (l *lookup) FindPropertyGraph2(path []string, _ *gsql.FindOptions) (gsql.PropertyGraphNode, error) {
	return nil, absent("Property graph", path)
}

func (l *lookup) FindSequence(path []string, _ *gsql.FindOptions) (gsql.SequenceNode, error) {
	return nil, absent("Sequence", path)
}

func (l *lookup) FindTableValuedFunction(path []string, _ *gsql.FindOptions) (*gsql.TableValuedFunction, error) {
	if name, ok := full(path, l.project, ""); ok {
		if f, ok := l.tableFunctions[name]; ok {
			return f.TableValuedFunction, nil
		}
	}
	return nil, absent("Table-valued function", path)
}

func (l *lookup) FindType(path []string, _ *gsql.FindOptions) (gsql.Googlesql_TypeNode, error) {
	return nil, absent("Type", path)
}

// prepare points the lookup at the question's tables and routines, building those that this worker
// has not seen.
func (e *engine) prepare(question *wire.AnalyzeQuestion) {
	e.lookup.tables = make(map[string]*table, len(question.Tables))
	e.lookup.project, e.lookup.dataset, e.lookup.missing = question.Project, question.Dataset, ""
	for i := range question.Tables {
		t := &question.Tables[i]
		known, ok := e.tables[t.Digest]
		if !ok {
			if t.Known {
				panic(abort{&wire.Error{Code: codeUnavailable, Message: "the SQL analysis failed; try again", Offset: -1}})
			}
			known = e.newTable(t)
			e.tables[t.Digest] = known
			e.columns += len(t.Columns)
		}
		e.lookup.tables[t.Name] = known
	}
	e.lookup.unnests = make(map[string][]wire.Unnest, len(question.Unnests))
	for _, u := range question.Unnests {
		e.lookup.unnests[u.Of] = append(e.lookup.unnests[u.Of], u)
	}
	e.lookup.functions = make(map[string]*routine, len(question.Functions))
	for i := range question.Functions {
		f := &question.Functions[i]
		known, ok := e.functions[f.Digest]
		if !ok {
			known = e.newFunction(f)
			e.functions[f.Digest] = known
			e.columns += len(f.Arguments) + 1
		}
		e.lookup.functions[f.Name] = &routine{known, f.Sources}
	}
	e.lookup.tableFunctions = make(map[string]*gsql.FixedOutputSchemaTVF, len(question.TableFunctions))
	for i := range question.TableFunctions {
		f := &question.TableFunctions[i]
		known, ok := e.tableFunctions[f.Digest]
		if !ok {
			known = e.newTableFunction(f)
			e.tableFunctions[f.Digest] = known
			e.columns += len(f.Arguments) + len(f.Columns)
		}
		e.lookup.tableFunctions[f.Name] = known
	}
}

func (e *engine) newTable(t *wire.Table) *table {
	made := &table{must(gsql.NewSimpleTable(t.Name, 0)), t.Columns}
	e.pinned = append(e.pinned, made)
	check(made.SetFullName(t.Name))
	for i := range t.Columns {
		c := &t.Columns[i]
		column := must(gsql.NewSimpleColumn(t.Name, c.Name, e.typeOf(c.Type, t.Name+"."+c.Name), c.Pseudo, true))
		e.pinned = append(e.pinned, column)
		check(made.AddColumn2(column, true))
	}
	return made
}
