package fakegoogle

import (
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// tell alters what a job says of what it read. A cached result names no tables. A materialized view
// that BigQuery chose by itself is in materializedViewStatistics ("Materialized view references are
// in a separate field", https://github.com/mozilla/bigquery-etl/pull/4786).
func (d directives) tell(query object) object {
	if d.cached {
		d.lists = "none"
		query = append(query.without("cacheHit"), member{"cacheHit", true})
	}
	if d.lists != "" {
		query = query.without("referencedTables")
	}
	if d.lists != "" && d.lists != "none" {
		query = append(query, member{"referencedTables", references(idsOf(d.lists))})
	}
	if d.chosen != "" {
		views := []any{}
		for _, id := range idsOf(d.chosen) {
			views = append(views, object{{"tableReference", tableReference(id)}, {"chosen", true}})
		}
		query = append(query, member{"materializedViewStatistics", object{{"materializedView", views}}})
	}
	return query
}

// idsOf reads project.dataset.table, separated by commas.
func idsOf(list string) (ids []bigquery.TableID) {
	for _, name := range strings.Split(list, ",") {
		parts := append(strings.SplitN(name, ".", 3), "", "")
		ids = append(ids, bigquery.TableID{Project: parts[0], Dataset: parts[1], Table: parts[2]})
	}
	return ids
}

func (o object) without(key string) object {
	var kept object
	for _, m := range o {
		if m.key != key {
			kept = append(kept, m)
		}
	}
	return kept
}
