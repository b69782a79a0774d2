package jobs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// Reads says more of what an analysis named than the tables' names: how BigQuery will tell of them, and by what they are known again.
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

// compare finds where what a job read is not what was named. BigQuery tells base tables and the views over them apart. Each base table must have been read and nothing
// else may have been, but for what BigQuery leaves open: which members of a wildcard table it opened, whether it read a materialized view or the tables behind it, and how
// it tells of INFORMATION_SCHEMA.
func (r Reads) compare(named []string, job bigquery.Job) error {
	read := texts(job.ReferencedTables)
	expected := map[string]bool{}
	var must []string
	for _, name := range named {
		expected[name] = true
		_, wildcard := r.Members[name]
		if !wildcard && !slices.Contains(r.Views, name) && !slices.Contains(r.Materialized, name) && !slices.Contains(r.Metadata, name) {
			must = append(must, name)
		}
		for _, member := range r.Members[name] {
			expected[member] = true
		}
	}
	// A list that may be cut off proves nothing. A wildcard counts once: BigQuery reads it by one name.
	if n := len(must) + len(r.Members) + len(r.Materialized); n > bigquery.MaxReferencedTables {
		return fmt.Errorf("%w: the analysis named %d tables, and BigQuery lists at most %d", ErrMismatch, n, bigquery.MaxReferencedTables)
	}
	members := slices.ContainsFunc(read, func(name string) bool { return !slices.Contains(named, name) })
	if len(read) >= bigquery.MaxReferencedTables && members { // members of wildcards fill the list, and what it lacks is not known
		return fmt.Errorf("%w: BigQuery lists %d tables, and of more than %d not all", ErrMismatch, len(read), bigquery.MaxReferencedTables)
	}
	differ := slices.ContainsFunc(read, func(name string) bool { return !expected[name] })
	if len(r.Materialized) == 0 {
		differ = differ || slices.ContainsFunc(must, func(name string) bool { return !slices.Contains(read, name) })
	}
	if differ {
		slices.Sort(must)
		return fmt.Errorf("%w: BigQuery read [%s], the analysis named [%s]", ErrMismatch, strings.Join(read, " "), strings.Join(slices.Sorted(slices.Values(named)), " "))
	}
	for _, other := range []struct {
		what        string
		read, named []string
	}{{"views", texts(job.ReferencedViews), r.Views}, {"functions", texts(job.ReferencedRoutines), r.Routines}} {
		if slices.ContainsFunc(other.read, func(name string) bool { return !slices.Contains(other.named, name) }) {
			return fmt.Errorf("%w: BigQuery used the %s [%s], the analysis named [%s]", ErrMismatch, other.what, strings.Join(other.read, " "), strings.Join(other.named, " "))
		}
	}
	if job.ReferencedGraphs > 0 {
		return fmt.Errorf("%w: BigQuery read a property graph, the analysis named none", ErrMismatch)
	}
	return nil
}

func texts[T fmt.Stringer](ids []T) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = id.String()
	}
	slices.Sort(all)
	return slices.Compact(all)
}
