package jobs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// Reads holds more about the tables of an analysis than their names: how BigQuery will list them,
// and by what they are recognised there.
type Reads struct {
	Views        []string            `json:"views,omitempty"`        // the views among Tables, whose base tables are named too
	Materialized []string            `json:"materialized,omitempty"` // the materialized views among Tables
	Metadata     []string            `json:"metadata,omitempty"`     // the views of INFORMATION_SCHEMA among Tables
	Members      map[string][]string `json:"members,omitempty"`      // of each wildcard table among Tables, the tables that it takes in
	Routines     []string            `json:"routines,omitempty"`     // functions of datasets
	Digests      map[string]string   `json:"digests,omitempty"`      // googlesql.Analysis.Digests
	// Schemas are those of the views among Tables that BigQuery stores another schema of.
	Schemas map[string]bigquery.Schema `json:"schemas,omitempty"`
}

// ReadsOf takes from an analysis what its job is compared with.
func ReadsOf(a *googlesql.Analysis) Reads {
	r := Reads{Digests: a.Digests, Schemas: a.Schemas()}
	for _, s := range a.Statements {
		r.Routines = append(r.Routines, s.Routines...)
		for _, name := range s.Tables {
			t := a.Tables[name]
			switch {
			case t == nil:
			case t.Type == "VIEW":
				r.Views = append(r.Views, name)
			case t.Type == "MATERIALIZED_VIEW":
				r.Materialized = append(r.Materialized, name)
			case t.Type == "INFORMATION_SCHEMA":
				r.Metadata = append(r.Metadata, name)
			case len(t.Members) > 0:
				if r.Members == nil {
					r.Members = map[string][]string{}
				}
				for _, member := range t.Members {
					id := t.TableReference
					id.Table = member
					r.Members[name] = append(r.Members[name], id.String())
				}
			}
		}
	}
	for _, list := range []*[]string{&r.Views, &r.Materialized, &r.Metadata, &r.Routines} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return r
}

// compare finds where what a job read is not what was named. BigQuery tells base tables and the
// views over them apart. Nothing may have been read that was not named: that is ErrMismatch. Each
// base table must have been read, but for what BigQuery leaves open: which members of a wildcard
// table it opened, whether it read a materialized view or the tables behind it, and how it tells of
// INFORMATION_SCHEMA. A list that lacks something says that it cannot be compared: *Uncertain.
// docs/operators.md has for each construct what is known of BigQuery.
//
// aside are names that are expected beside: what an operator says, or what is behind a materialized
// view that BigQuery chose by itself, of which behind are the tables.
func (r Reads) compare(named []string, job bigquery.Job, rowFiltered bool, aside, behind []string) error {
	expected := map[string]bool{}
	var must []string
	for _, name := range slices.Concat(named, aside) {
		expected[name] = true
	}
	for _, name := range named {
		_, wildcard := r.Members[name]
		if !wildcard && r.stored(name) {
			must = append(must, name)
		}
		for _, member := range r.Members[name] {
			expected[member] = true
		}
	}
	read := undecorated(texts(job.ReferencedTables), expected)
	if job.ReferencedGraphs > 0 {
		return fmt.Errorf("%w: BigQuery read a property graph, the analysis named none", ErrMismatch)
	}
	for _, other := range []struct {
		what           string
		told, expected []string
	}{
		{"read the tables", read, slices.Collect(maps.Keys(expected))},
		{"used the views", texts(job.ReferencedViews), slices.Concat(r.Views, aside)},
		{"used the functions", texts(job.ReferencedRoutines), r.Routines},
	} {
		extra := without(other.told, other.expected)
		if len(extra) == 0 {
			continue
		}
		said := fmt.Sprintf("BigQuery %s [%s], the analysis named [%s]", other.what, strings.Join(other.told, " "),
			strings.Join(slices.Sorted(slices.Values(named)), " "))
		switch {
		case len(r.Metadata) > 0 && !slices.ContainsFunc(extra, func(name string) bool { return !r.perhapsMetadata(name) }):
			return &Uncertain{Metadata, said}
		case rowFiltered: // a policy may look into a table of its own
			return &Uncertain{RowAccessLookup, said}
		}
		return fmt.Errorf("%w: %s", ErrMismatch, said)
	}
	// A list that may be cut off proves nothing. A wildcard counts once: BigQuery reads it by one
	// name. Members of wildcards may fill the list, and what it lacks then is not known.
	if n := len(must) + len(r.Members) + len(r.Materialized); n > bigquery.MaxReferencedTables {
		return &Uncertain{ManyTables, fmt.Sprintf("the analysis named %d tables, and BigQuery lists at most %d", n,
			bigquery.MaxReferencedTables)}
	}
	if len(read) >= bigquery.MaxReferencedTables && len(without(read, named)) > 0 {
		return &Uncertain{ManyTables, fmt.Sprintf("BigQuery lists %d tables, and of more than %d not all", len(read),
			bigquery.MaxReferencedTables)}
	}
	if job.CacheHit && len(job.ReferencedTables) == 0 && len(named) > 0 { // also where nothing of it must be listed
		return &Uncertain{CachedResult, fmt.Sprintf("a cached result, and the analysis named [%s]", strings.Join(named, " "))}
	}
	missing := without(must, slices.Concat(read, behind))
	if len(r.Materialized) > 0 || len(missing) == 0 {
		return nil
	}
	said := fmt.Sprintf("BigQuery lists the tables [%s], which lack [%s]", strings.Join(read, " "), strings.Join(missing, " "))
	if len(job.MaterializedViews) > 0 && len(behind) == 0 {
		return &Uncertain{Materialized, said}
	}
	return &Uncertain{MissingTables, said}
}

// rowFiltered says whether a table of the record may have row access policies: every one that is
// not known to have none.
func (r Record) rowFiltered() bool {
	return slices.ContainsFunc(r.Tables, func(name string) bool {
		return r.Reads.stored(name) && r.RowAccess[name] != bigquery.RowAccessNone
	})
}

// stored says whether a name is that of a table with rows of its own.
func (r Reads) stored(name string) bool {
	return !slices.Contains(r.Views, name) && !slices.Contains(r.Materialized, name) && !slices.Contains(r.Metadata, name)
}

// decorator is what may stand behind a table's name for its rows of another time, or of one
// partition: `t@1764547200000`, `t$20261130`.
// https://cloud.google.com/bigquery/docs/table-decorators
var decorator = regexp.MustCompile(`[@$][0-9-]+$`)

// undecorated are names without the decorators of those that are expected without them.
func undecorated(names []string, expected map[string]bool) []string {
	plain := make([]string, len(names))
	for i, name := range names {
		plain[i] = name
		if bare := decorator.ReplaceAllString(name, ""); expected[bare] {
			plain[i] = bare
		}
	}
	slices.Sort(plain)
	return slices.Compact(plain)
}

// perhapsMetadata says whether a name may be another one of a view of INFORMATION_SCHEMA that was
// named: without its dataset, or with a region in the place of it. That of another dataset, or
// another view, is another one.
func (r Reads) perhapsMetadata(name string) bool {
	scope, view, ok := strings.Cut(name, ".INFORMATION_SCHEMA.")
	if _, dataset, found := strings.Cut(scope, "."); !ok || found && !strings.HasPrefix(strings.ToLower(dataset), "region-") {
		return false
	}
	return slices.ContainsFunc(r.Metadata, func(named string) bool { return strings.HasSuffix(named, ".INFORMATION_SCHEMA."+view) })
}

// without are the names that are not among the others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

func texts[T fmt.Stringer](ids []T) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = id.String()
	}
	slices.Sort(all)
	return slices.Compact(all)
}
