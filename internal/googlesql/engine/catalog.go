package engine

import (
	"fmt"
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// lookup is the engine's view of the project: exactly the tables of the request, by exact case. The binding calls it while the
// engine is locked, so it only looks things up.
type lookup struct {
	gsql.CatalogCallbackDefaults
	tables  map[string]*gsql.SimpleTable // by full name
	project string
	dataset string
	missing string // the first table that was asked for and not there
}

// full completes a table path as BigQuery does: one part lives in the default dataset, two in the project.
func full(path []string, project, dataset string) (string, bool) {
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

func (l *lookup) FullName() (string, error) { return "bigquery", nil }

func (l *lookup) FindTable(path []string, _ *gsql.FindOptions) (gsql.TableNode, error) {
	name, ok := full(path, l.project, l.dataset)
	if !ok {
		return nil, absent("Table", path)
	}
	if t, ok := l.tables[name]; ok {
		return t, nil
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
	return nil, absent("Table-valued function", path)
}

func (l *lookup) FindType(path []string, _ *gsql.FindOptions) (gsql.Googlesql_TypeNode, error) {
	return nil, absent("Type", path)
}

// prepare points the lookup at the request's tables, building those that this worker has not seen.
func (e *engine) prepare(request *wire.AnalyzeRequest) {
	e.lookup.tables = make(map[string]*gsql.SimpleTable, len(request.Tables))
	e.lookup.project, e.lookup.dataset, e.lookup.missing = request.Project, request.Dataset, ""
	for i := range request.Tables {
		t := &request.Tables[i]
		known, ok := e.tables[t.Digest]
		if !ok {
			known = e.newTable(t)
			e.tables[t.Digest] = known
			e.columns += len(t.Columns)
		}
		e.lookup.tables[t.Name] = known
	}
}

func (e *engine) newTable(t *wire.Table) *gsql.SimpleTable {
	table := must(gsql.NewSimpleTable(t.Name, 0))
	e.pinned = append(e.pinned, table)
	check(table.SetFullName(t.Name))
	for i := range t.Columns {
		c := &t.Columns[i]
		column := must(gsql.NewSimpleColumn(t.Name, c.Name, e.typeOf(c.Type, t.Name+"."+c.Name), false, true))
		e.pinned = append(e.pinned, column)
		check(table.AddColumn2(column, true))
	}
	return table
}
