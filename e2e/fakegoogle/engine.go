package fakegoogle

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// Engine runs SQL for the stand-in. Implementations are safe for concurrent use.
type Engine interface {
	// Run executes one statement or script, whatever it does. An error is a *QueryError where the
	// statement is at fault.
	Run(ctx context.Context, s Statement) (*Result, error)
	// Dry analyses without running. Its answer has no rows.
	Dry(ctx context.Context, s Statement) (*Result, error)
	// Catalog lists what exists.
	Catalog(ctx context.Context) (*Catalog, error)
	// PID is the process id of the child that runs the SQL; 0 while there is none.
	PID() int
	// Close ends the child.
	Close() error
}

// Statement is SQL with what completes its names.
type Statement struct {
	SQL     string
	Project string
	Dataset string // default dataset, "dataset" or "project.dataset"; empty for none
	User    string // whom the statement runs as: an e-mail, or the name of a federated principal
	// Filters are predicates under which tables are read that the statement names: JSON, by
	// "project.dataset.table"; "" for none.
	Filters string
}

// Result is what a statement gave, or would give.
type Result struct {
	StatementType string
	Tables, Views []bigquery.TableID // base tables read (views expanded), and the views named on the way
	Targets       []bigquery.TableID // what DDL names
	Routines      []bigquery.RoutineID
	Metadata      bool // a view of INFORMATION_SCHEMA is read; it is in neither list
	Schema        []bigquery.Field
	// Rows are positional: nil, a string, or []any for a REPEATED and for a RECORD cell. TIMESTAMP
	// cells are microseconds since the epoch.
	Rows     [][]any
	Affected int64 // rows changed by DML
}

// Catalog is what exists: datasets as "project.dataset", and tables.
type Catalog struct {
	Datasets []string
	Tables   []CatalogTable
	Routines []bigquery.Routine
}

// CatalogTable is one table or view.
type CatalogTable struct {
	ID     bigquery.TableID
	View   bool
	Query  string // a view's SQL
	Listed bool   // a view that was made with a list of its columns
	// Schema is what tables.get shows: of a view, the columns that it had when it was made.
	Schema []bigquery.Field
	Made   int64 // its place in the order of creation

	Snapshot bool
	Base     *bigquery.TableID // of a snapshot or clone
}

// QueryError is an error of the statement, with BigQuery's reason (invalidQuery, notFound,
// duplicate …).
type QueryError struct {
	Reason  string
	Message string
}

func (e *QueryError) Error() string { return e.Reason + ": " + e.Message }

var anonymous = regexp.MustCompile(`^\$col\d+$`)

// NameColumns gives result columns the names and the shape that BigQuery gives them: f0_, f1_ …
// counted over anonymous columns only; a value table of structs spread over its fields; the second
// of two equal names with a suffix.
func NameColumns(r *Result) error {
	if len(r.Schema) == 1 && (r.Schema[0].Name == "$struct" || r.Schema[0].Name == "$value_column") {
		col := r.Schema[0]
		if col.Type == "RECORD" && col.Mode != "REPEATED" {
			for i, row := range r.Rows {
				if row[0] == nil {
					r.Rows[i] = make([]any, len(col.Fields))
					continue
				}
				fields, ok := row[0].([]any)
				if !ok || len(fields) != len(col.Fields) {
					return fmt.Errorf("row %d of a value table is a %T, not a struct of %d fields", i, row[0], len(col.Fields))
				}
				r.Rows[i] = fields
			}
			r.Schema = col.Fields
		} else {
			r.Schema[0].Name = "$col1"
		}
	}
	used := map[string]bool{}
	for _, f := range r.Schema {
		used[strings.ToLower(f.Name)] = true
	}
	seen := map[string]bool{}
	unnamed := 0
	for i := range r.Schema {
		f := &r.Schema[i]
		if anonymous.MatchString(f.Name) || f.Name == "" {
			f.Name = "f" + strconv.Itoa(unnamed) + "_"
			unnamed++
		}
		name := f.Name
		for n := 1; seen[strings.ToLower(name)] || (name != f.Name && used[strings.ToLower(name)]); n++ {
			name = f.Name + "_" + strconv.Itoa(n)
		}
		f.Name = name
		seen[strings.ToLower(name)] = true
	}
	return nil
}
