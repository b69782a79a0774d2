package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
)

// Construct is why what a job read cannot be compared with what was named, by the key of the
// configuration under `checks.referenced_tables`.
type Construct string

// What BigQuery may not tell.
const (
	CachedResult    Construct = "cached_results"     // a cached result, which names no tables
	MissingTables   Construct = "missing_tables"     // a list that is not there, or lacks a table that the SQL names
	ManyTables      Construct = "many_tables"        // a list that may be cut off
	Metadata        Construct = "information_schema" // views of INFORMATION_SCHEMA by names that are not known
	Materialized    Construct = "materialized_views" // a materialized view that BigQuery chose by itself and nobody can read
	RowAccessLookup Construct = "row_access_lookups" // a table more, which a row access policy may look into
)

// Uncertain is a finished job of which BigQuery does not tell enough to compare what it read. That
// is no mismatch: nothing is recorded, and a later read asks again.
type Uncertain struct {
	Construct Construct
	said      string
}

func (e *Uncertain) Error() string {
	return fmt.Sprintf("what the job read cannot be compared (%s): %s", e.Construct, e.said)
}

// Why is the cause in words for who asked: no name of a table is in them.
func (e *Uncertain) Why() string {
	switch e.Construct {
	case CachedResult:
		return "BigQuery answered from its cache, and does not say which tables such a result was read from"
	case ManyTables:
		return "BigQuery read more tables than it lists"
	case Metadata:
		return "BigQuery names the views of INFORMATION_SCHEMA that it read in a way that is not known"
	case Materialized:
		return "BigQuery answered from a materialized view that the query does not name and the gateway cannot read"
	case RowAccessLookup:
		return "BigQuery read a table that the query does not name, perhaps one that a row access policy looks into"
	case MissingTables:
	}
	return "BigQuery does not list all of the tables that the query names"
}

// Liftable says whether an operator's setting may lift the comparison at all: never for a query
// that reads a table with sensitive columns or with row access policies. Tables that such policies
// look into are named one by one.
func (e *Uncertain) Liftable(r Record) bool {
	return !r.Plan.Sensitive && !r.rowFiltered() && e.Construct != RowAccessLookup
}

// Checks are what an operator says of jobs that cannot be compared. The zero Checks refuse them.
type Checks struct {
	Accept  []Construct // what is accepted where it is Liftable
	Lookups []string    // project.dataset.table: what row access policies may look into
	// Behind lists the tables behind a materialized view, ErrNotMaterialized for anything else that
	// is there, and bigquery.ErrNotFound for what is not, or is not shown to the gateway.
	Behind func(ctx context.Context, ask durable.Ask, name string) ([]string, error)
}

// ErrNotMaterialized says that a name is not one of a materialized view.
var ErrNotMaterialized = errors.New("not a materialized view")

// settle is what comes of a comparison in the end. BigQuery rewrites queries to read materialized
// views of their tables by itself ("smart tuning"), and the rows are the same: "Queries against
// materialized views are always consistent with queries against the view's base tables". So a view
// whose tables the analysis has all named stands for them, for every query: masks and plan are
// those of the tables. https://cloud.google.com/bigquery/docs/materialized-views-use#smart_tuning
func (s *Store) settle(ctx context.Context, ask durable.Ask, r Record, job bigquery.Job) error {
	err := CheckFinished(r, job)
	if err == nil || !comparableLists(r, job) {
		return err
	}
	var aside, behind []string
	if r.rowFiltered() {
		aside = slices.Clone(s.Checks.Lookups)
	}
	extra := without(undecorated(texts(job.ReferencedTables), set(r.Tables)), slices.Concat(r.Tables, aside))
	chosen := texts(job.MaterializedViews)
	if s.Checks.Behind != nil && len(extra)+len(chosen) <= bigquery.MaxReferencedTables {
		for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(extra, chosen)))) {
			tables, berr := s.Checks.Behind(ctx, ask, name)
			optimised := slices.Contains(chosen, name)
			switch {
			case berr == nil && len(tables) > 0 && len(without(tables, r.Tables)) == 0:
				aside, behind = append(aside, name), append(behind, tables...)
			case optimised && (berr == nil || errors.Is(berr, ErrNotMaterialized) || errors.Is(berr, bigquery.ErrNotFound)):
				err = &Uncertain{Materialized, fmt.Sprintf("BigQuery read %s, of which the gateway knows %v, %v", name, tables, berr)}
				return s.accept(r, err)
			case berr == nil || errors.Is(berr, ErrNotMaterialized) || errors.Is(berr, bigquery.ErrNotFound):
			default:
				return fmt.Errorf("read what is behind %s: %w", name, berr)
			}
		}
	}
	if len(aside) > 0 {
		err = r.Reads.compare(r.Tables, job, r.rowFiltered(), aside, behind)
	}
	return s.accept(r, err)
}

// accept drops what an operator accepts.
func (s *Store) accept(r Record, err error) error {
	var u *Uncertain
	if errors.As(err, &u) && u.Liftable(r) && slices.Contains(s.Checks.Accept, u.Construct) {
		return nil
	}
	return err
}

// comparableLists says whether the lists of tables are all that may not agree.
func comparableLists(r Record, job bigquery.Job) bool {
	bare := job
	bare.ReferencedTables, bare.ReferencedViews, bare.ReferencedRoutines, bare.ReferencedGraphs = nil, nil, nil, 0
	r.Tables, r.Reads = nil, Reads{}
	return CheckFinished(r, bare) == nil
}

func set(names []string) map[string]bool {
	all := make(map[string]bool, len(names))
	for _, name := range names {
		all[name] = true
	}
	return all
}
