package policies

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// A name of a query may stand for other tables: a wildcard for its members, a snapshot, a clone or
// a table of a linked dataset for what it was made of, a view for what it reads. Whoever restricts
// a table by its name means it by each of these too (A60): `tables.exists(t, t.table == "payroll")`
// holds a query of `payrol*`. What a name grants is another thing: there a pattern must cover the
// name itself.

// standsFor are the tables that a table of the query stands for, itself not among them.
func (v *view) standsFor() []bigquery.TableID {
	all := slices.Clone(v.ids[1:])
	for _, member := range v.members {
		all = append(all, bigquery.TableID{Project: v.id.Project, Dataset: v.id.Dataset, Table: member})
	}
	return all
}

// readings are the lists of tables that an approval's condition is asked about: every name that the
// query reads or stands for; the tables as the query has them; and only those that hold the rows.
// The first is the one that is documented. The others are for conditions that more names make
// false, such as `tables.all(t, t.dataset == "finance")`: a query must not escape by the way it is
// written.
func (e *evaluation) readings() [][]Table {
	var written, every, stored []Table
	for _, v := range e.tables {
		own := e.tableOf(v.id, v.highValue)
		written, every = append(written, own), append(every, own)
		others := v.standsFor()
		for _, id := range others {
			table := e.tableOf(id, false)
			every, stored = append(every, table), append(stored, table)
		}
		if v.stored && len(others) == 0 {
			stored = append(stored, own)
		}
	}
	readings := [][]Table{every}
	for _, other := range [][]Table{written, stored} {
		if !slices.ContainsFunc(readings, func(r []Table) bool { return slices.Equal(r, other) }) {
			readings = append(readings, other)
		}
	}
	return readings
}

// tableOf is a table as conditions see it. It is of high value if an entry says so of its name.
func (e *evaluation) tableOf(id bigquery.TableID, high bool) Table {
	high = high || slices.ContainsFunc(e.set.tables, func(t tableRule) bool { return t.highValue && t.match.touchesTable(id) })
	return Table{Name: id.String(), Project: id.Project, Dataset: id.Dataset, Table: id.Table, HighValue: high}
}

// alike are the names of a column in all tables that its own stands for, itself among them:
// other_use is compared by name.
func (e *evaluation) alike(column string) []string {
	names := []string{column}
	if v, path := e.view(column); v != nil {
		for _, id := range v.standsFor() {
			names = append(names, id.String()+"."+strings.Join(path, "."))
		}
	}
	return names
}

// standingRules are the rules among these that read a table which one of the query stands for: a
// wildcard is not a way around the limits of a rule for one of its members.
func (e *evaluation) standingRules(rules []*rule) []*rule {
	var all []*rule
	for _, v := range e.tables {
		for _, id := range v.standsFor() {
			for _, r := range covering(rules, id) {
				if !slices.Contains(all, r) {
					all = append(all, r)
				}
			}
		}
	}
	return all
}
