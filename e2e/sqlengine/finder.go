package main

import (
	"errors"
	"fmt"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
)

// refresh builds GoogleSQL's tables anew when the catalog has changed. Old ones stay pinned:
// freeing them early is a use after free.
func (an *analyzer) refresh() error {
	if an.version == an.catalog.version {
		return nil
	}
	an.tables = map[string]*googlesql.SimpleTable{}
	for key, e := range an.catalog.tables {
		table, err := googlesql.NewSimpleTable(key, 0)
		if err != nil {
			return fmt.Errorf("make table %s: %w", key, err)
		}
		for _, col := range e.columns {
			t, err := an.typeOf(col)
			if err != nil {
				return fmt.Errorf("make table %s: %w", key, err)
			}
			c, err := googlesql.NewSimpleColumn(key, col.Name, t, false, true)
			if err != nil {
				return fmt.Errorf("make column %s.%s: %w", key, col.Name, err)
			}
			if err := table.AddColumn2(c, false); err != nil {
				return fmt.Errorf("add column %s.%s: %w", key, col.Name, err)
			}
			an.pinned = append(an.pinned, c, t)
		}
		an.tables[key] = table
		an.pinned = append(an.pinned, table)
	}
	if err := an.refreshRoutines(); err != nil {
		return err
	}
	an.version = an.catalog.version
	return nil
}

func (an *analyzer) typeOf(f field) (googlesql.Googlesql_TypeNode, error) {
	elem := f
	elem.Mode = ""
	if f.Mode == "REPEATED" {
		t, err := an.typeOf(elem)
		if err != nil {
			return nil, err
		}
		return an.types.MakeArrayType(t)
	}
	if f.Type == "RECORD" {
		var fields []*googlesql.StructField
		for _, sub := range f.Fields {
			t, err := an.typeOf(sub)
			if err != nil {
				return nil, err
			}
			fields = append(fields, &googlesql.StructField{Name: sub.Name, Type_: t})
		}
		return an.types.MakeStructType(fields)
	}
	kind, ok := kinds[f.Type]
	if !ok {
		return nil, fmt.Errorf("column %q: type %s is not known", f.Name, f.Type)
	}
	return an.types.MakeSimpleType(kind)
}

// finder resolves the table names of one statement: by exact case, completed with the request's
// project and dataset. Every other lookup is answered with an error, since the binding's defaults
// trap the engine.
type finder struct {
	googlesql.CatalogCallbackDefaults
	an               *analyzer
	project, dataset string
	missing          string // BigQuery's words for the first table that was not found
	reason           string
	// the full names of tables, by the identifiers that they were asked for by, joined by NUL; nil
	// if nobody wants it
	found map[string]string
}

var errNone = errors.New("Not found") //nolint:staticcheck // BigQuery's words

func (f *finder) FullName() (string, error) { return "tables", nil }

func (f *finder) FindTable(path []string, _ *googlesql.FindOptions) (googlesql.TableNode, error) {
	parts := complete(strings.Split(strings.Join(path, "."), "."), f.project, f.dataset)
	key := strings.Join(parts, ".")
	if e := f.an.catalog.tables[key]; e != nil && e.broken != "" {
		f.reason, f.missing = "invalidQuery", e.broken
		return nil, errNone
	}
	if t := f.an.tables[key]; t != nil {
		if f.found != nil {
			f.found[strings.Join(path, "\x00")] = key
		}
		return t, nil
	}
	if strings.HasSuffix(key, "*") && len(parts) == 3 {
		members := f.an.catalog.members(key)
		if text := viewsAmong(members); text != "" {
			f.reason, f.missing = "invalidQuery", text
			return nil, errNone
		}
		if len(members) == 0 {
			f.reason, f.missing = "notFound", fmt.Sprintf("%s does not match any table.", key)
		}
		return f.an.wildcardTable(key)
	}
	if f.missing == "" && !strings.Contains(key, "*") && !strings.Contains(strings.ToUpper(key), "INFORMATION_SCHEMA") {
		f.reason = "notFound"
		switch {
		case len(parts) < 3:
			f.reason = "invalid"
			f.missing = fmt.Sprintf("Table %q must be qualified with a dataset (e.g. dataset.table).", key)
		case !f.an.catalog.datasets[parts[0]+"."+parts[1]]:
			f.missing = fmt.Sprintf("Not found: Dataset %s:%s was not found in location US", parts[0], parts[1])
		default:
			f.missing = fmt.Sprintf("Not found: Table %s:%s was not found in location US", parts[0], strings.Join(parts[1:], "."))
		}
	}
	return nil, errNone
}

func (f *finder) FindConnection([]string, *googlesql.FindOptions) (googlesql.ConnectionNode, error) {
	return nil, errNone
}

func (f *finder) FindConversion(_, _ googlesql.Googlesql_TypeNode, _ *googlesql.FindConversionOptions, _ *googlesql.Conversion) error {
	return errNone
}

func (f *finder) FindFunction(path []string, _ *googlesql.FindOptions) (*googlesql.Function, error) {
	if made := f.an.funcs[f.routine(path)]; made != nil {
		return made, nil
	}
	return nil, fmt.Errorf("Function not found: %s", strings.Join(path, ".")) //nolint:staticcheck // BigQuery's words
}

func (f *finder) FindModel([]string, *googlesql.FindOptions) (googlesql.ModelNode, error) {
	return nil, errNone
}

func (f *finder) FindProcedure([]string, *googlesql.FindOptions) (*googlesql.Procedure, error) {
	return nil, errNone
}

func (f *finder) FindPropertyGraph2([]string, *googlesql.FindOptions) (googlesql.PropertyGraphNode, error) {
	return nil, errNone
}

func (f *finder) FindSequence([]string, *googlesql.FindOptions) (googlesql.SequenceNode, error) {
	return nil, errNone
}

func (f *finder) FindTableValuedFunction(path []string, _ *googlesql.FindOptions) (*googlesql.TableValuedFunction, error) {
	if made := f.an.tvfs[f.routine(path)]; made != nil {
		return made.TableValuedFunction, nil
	}
	return nil, fmt.Errorf("Table-valued function not found: %s", strings.Join(path, ".")) //nolint:staticcheck // BigQuery's words
}

func (f *finder) FindType([]string, *googlesql.FindOptions) (googlesql.Googlesql_TypeNode, error) {
	return nil, errNone
}
