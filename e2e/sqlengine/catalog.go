package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/googlesqlite"
)

// catalog is what exists: datasets, tables and views under their exact, case-sensitive names.
type catalog struct {
	datasets map[string]bool // "project.dataset"
	tables   map[string]*entry
	routines map[string]*routine
	past     map[string][]version // of tables that were replaced, the oldest first
	made     int64                // tables made so far: the order of creation
	version  int                  // grows with every change, so that the analyzer rebuilds its tables
}

type entry struct {
	id      tableID
	columns []field
	view    bool
	query   string    // a view's text
	reads   []tableID // a view's base tables
	through []tableID // the views a view reads
	calls   []tableID // the functions a view calls
	made    int64

	project, dataset string   // the defaults with which a view was made
	names            []string // of a view's columns, where it was made with a list of them
	shown            []field  // the columns of a view that are shown: those of when it was made
	broken           string   // why a view cannot be read now

	base     *tableID // what a snapshot or clone was made of
	snapshot bool
	was      *tableID // of a version that is kept: the table that it was one of
}

// name is what BigQuery calls the table.
func (e *entry) name() tableID {
	if e.was != nil {
		return *e.was
	}
	return e.id
}

func newCatalog() *catalog {
	return &catalog{datasets: map[string]bool{}, tables: map[string]*entry{}, routines: map[string]*routine{}, past: map[string][]version{}}
}

func (c *catalog) datasetNames() []string {
	out := make([]string, 0, len(c.datasets))
	for d := range c.datasets {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

func (c *catalog) tableRows() []tableRow {
	out := make([]tableRow, 0, len(c.tables))
	for _, t := range c.tables {
		if t.was != nil {
			continue
		}
		row := tableRow{ID: t.id, Type: "TABLE", Columns: t.columns, Query: t.query, Made: t.made, Base: t.base}
		switch {
		case t.view:
			row.Type, row.Columns, row.Listed = "VIEW", t.shown, t.names != nil
		case t.snapshot:
			row.Type = "SNAPSHOT"
		}
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b tableRow) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return out
}

// check refuses what the driver would let pass and BigQuery would not: objects in datasets that do
// not exist, and names that exist already.
func (c *catalog) check(a analysis) *failure {
	if (a.kind == "DROP_TABLE" || a.kind == "DROP_VIEW") && len(a.targets) == 1 && !a.ifExists && c.tables[a.targets[0].String()] == nil {
		t := a.targets[0]
		return &failure{Reason: "notFound", Message: fmt.Sprintf("Not found: Table %s:%s.%s was not found in location US", t.Project,
			t.Dataset, t.Table)}
	}
	if !strings.HasPrefix(a.kind, "CREATE_") || a.kind == "CREATE_SCHEMA" {
		return nil
	}
	for _, t := range a.targets {
		if t.Dataset != "" && !c.datasets[t.Project+"."+t.Dataset] {
			return &failure{Reason: "notFound", Message: fmt.Sprintf("Not found: Dataset %s:%s was not found in location US", t.Project,
				t.Dataset)}
		}
		if c.tables[t.String()] != nil && a.mode == "CREATE_DEFAULT" {
			return &failure{Reason: "duplicate", Message: fmt.Sprintf("Already Exists: Table %s:%s.%s", t.Project, t.Dataset, t.Table)}
		}
	}
	return nil
}

// apply takes over what a statement created, changed or dropped.
func (c *catalog) apply(changed *googlesqlite.ChangedCatalog, a analysis) {
	if changed == nil || changed.Table == nil {
		return
	}
	for _, spec := range changed.Table.Deleted {
		delete(c.tables, strings.Join(spec.NamePath, "."))
		c.version++
	}
	for _, specs := range [][]*googlesqlite.TableSpec{changed.Table.Added, changed.Table.Updated} {
		for _, spec := range specs {
			if len(spec.NamePath) != 3 {
				continue // temporary tables have no dataset and are nobody's to list
			}
			e := &entry{id: tableID{spec.NamePath[0], spec.NamePath[1], spec.NamePath[2]}, view: spec.IsView, columns: []field{}}
			for _, col := range spec.Columns {
				f, err := fieldOf(col.Name, col.Type)
				if err != nil {
					continue // a column the API cannot show is not shown
				}
				if col.IsNotNull {
					f.Mode = "REQUIRED"
				}
				e.columns = append(e.columns, f)
			}
			if spec.IsView {
				e.query, e.reads, e.through, e.calls = a.viewQuery, a.tables, a.views, a.routines
			}
			c.made++
			e.made = c.made
			c.tables[e.id.String()] = e
			c.version++
		}
	}
}

// schemaDDL carries out CREATE SCHEMA and DROP SCHEMA, which the driver only pretends to.
func (e *engine) schemaDDL(ctx context.Context, a analysis, req request) (bool, *failure) {
	if (a.kind != "CREATE_SCHEMA" && a.kind != "DROP_SCHEMA") || len(a.targets) != 1 {
		return false, nil
	}
	t := a.targets[0]
	name := t.Project + "." + t.Dataset
	if a.kind == "CREATE_SCHEMA" {
		if e.catalog.datasets[name] && a.mode == "CREATE_DEFAULT" {
			return true, &failure{Reason: "duplicate", Message: fmt.Sprintf("Already Exists: Dataset %s:%s", t.Project, t.Dataset)}
		}
		e.catalog.datasets[name] = true
		return true, nil
	}
	if !e.catalog.datasets[name] {
		if a.ifExists {
			return true, nil
		}
		return true, &failure{Reason: "notFound", Message: fmt.Sprintf("Not found: Dataset %s:%s was not found in location US", t.Project,
			t.Dataset)}
	}
	for key, tab := range e.catalog.tables {
		if !strings.HasPrefix(key, name+".") {
			continue
		}
		if !a.cascade {
			return true, &failure{Reason: "resourceInUse", Message: fmt.Sprintf("Dataset %s:%s is still in use", t.Project, t.Dataset)}
		}
		word := "TABLE"
		if tab.view {
			word = "VIEW"
		}
		drop := req
		drop.SQL = fmt.Sprintf("DROP %s `%s`.`%s`.`%s`", word, tab.id.Project, tab.id.Dataset, tab.id.Table)
		if _, _, _, err := e.query(ctx, drop); err != nil {
			return true, runFailure(err)
		}
		delete(e.catalog.tables, key)
		e.catalog.version++
	}
	delete(e.catalog.datasets, name)
	return true, nil
}
