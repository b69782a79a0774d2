package policies

import (
	"errors"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

// certain refuses what a text does with a table of whose columns the gateway cannot be sure, if
// that could show a sensitive column under another reading than the analysis had (A44): a name that
// is the table's column, if it has one, and something of a query around it if not; the table as a
// whole. Where nothing is sensitive, neither in the statement nor in what the table may be, all
// readings are allowed.
func (e *evaluation) certain() error {
	for _, r := range e.statement.References { // whatever is said of it below
		if v, _ := e.view(r.Table + ".*"); r.Place != nil && r.Place.SystemTime != nil && (v == nil || e.travels(v)) {
			return e.asItWas(r.Table, v)
		}
	}
	for _, u := range e.statement.Uncertain {
		v, _ := e.view(u.Table + ".*")
		if v == nil {
			return refuse(e.decision.Rule, "a query that names each table", "the columns of %s are not known for certain",
				e.input.short(u.Table))
		}
		if err := e.certainTable(u, v); err != nil {
			return err
		}
	}
	return nil
}

// asItWas refuses to read a table with sensitive columns as it was at another time: BigQuery reads
// it with the columns of then, and one that is clear now may have held something else.
func (e *evaluation) asItWas(table string, v *view) error {
	rule := e.decision.Rule
	if v != nil {
		rule = v.sensitiveRef()
	}
	if v != nil && !v.stored {
		return refuse(rule, "the view as it is now", "%s is a view and is read as it was at another time (FOR SYSTEM_TIME AS OF), "+
			"when it may have been of other tables; read it as it is now", e.input.short(table))
	}
	return refuse(rule, "the table as it is now",
		"%s has sensitive columns and is read as it was at another time (FOR SYSTEM_TIME AS OF), "+
			"when its columns may have held something else; read it as it is now", e.input.short(table))
}

func (e *evaluation) certainTable(u googlesql.Uncertain, v *view) error {
	short := e.input.short(u.Table)
	if u.Why == googlesql.WhySystemTime && e.travels(v) {
		return e.asItWas(u.Table, v)
	}
	if !e.decision.Mask.Sensitive && !v.mayBeSensitive(u.Why) {
		return nil
	}
	if u.Row {
		return refuse(v.sensitiveRef(), "the columns of "+short+" that you need, by their names",
			"%s is read as a whole (a star, or the table's name as a value), %s: a column that nobody knows of could be shown", short,
			uncertainWords[u.Why])
	}
	for _, name := range u.Names {
		switch {
		case v.has(name) || strings.HasPrefix(name, "_"):
		case v.mayHide(name, u.Why):
		default:
			continue
		}
		return refuse(v.sensitiveRef(), "the same query with each column written behind the name of its table, as in t."+name,
			"%s could be a column of %s or of a query around it, %s", shorten(name), short, uncertainWords[u.Why])
	}
	if v.mayBeSensitive(u.Why) {
		if column := e.readsAround(v, u.Why); column != "" {
			return refuse(v.sensitiveRef(), "a query of other columns", "%s may hold more than the fields that are known, %s",
				e.input.short(column), uncertainWords[u.Why])
		}
	}
	return nil
}

// uncertainWords say why the columns of a table are not certain.
var uncertainWords = map[googlesql.Why]string{
	googlesql.WhyWildcard:          "and BigQuery goes by the newest of its tables, which do not all have the same columns",
	googlesql.WhySystemTime:        "and as it was at another time (FOR SYSTEM_TIME AS OF) it may have had other columns",
	googlesql.WhyInformationSchema: "and BigQuery may have added columns to it",
	googlesql.WhyPseudoColumns:     "and whether a table has that pseudo column is not certain",
}

// travels says whether what is read as it was at another time has sensitive columns, and so may
// have had others. What a view was of at another time, nobody knows.
func (e *evaluation) travels(v *view) bool { return !v.stored || v.sensitive() }

// mayBeSensitive says whether the table has sensitive columns in any form that it may have. A
// wildcard's forms are those of its members. What a table was at another time nobody knows: any
// entry that speaks of it counts.
func (v *view) mayBeSensitive(why googlesql.Why) bool {
	if v.sensitive() {
		return true
	}
	return why == googlesql.WhySystemTime && slices.ContainsFunc(v.entries, func(entry *columnRule) bool { return entry.mask != "" })
}

// has says whether the schema that names were resolved with has a column of this name.
func (v *view) has(name string) bool {
	for i := range v.schema {
		if fold(v.schema[i].Name) == fold(name) {
			return true
		}
	}
	return false
}

// mayHide says whether a column that the schema does not have may be there and sensitive.
func (v *view) mayHide(name string, why googlesql.Why) bool {
	if why == googlesql.WhySystemTime {
		return slices.ContainsFunc(v.entries, func(entry *columnRule) bool {
			covered, below := entry.match.columnDepth([]string{fold(name)})
			return entry.mask != "" && (covered || below)
		})
	}
	hides := false
	v.everyLeaf(func(l leaf) bool {
		hides = fold(l.path[0]) == fold(name) && l.masked() != masking.Clear
		return !hides
	})
	return hides
}

// readsAround finds a column of the table that is read, in which there may be a sensitive field
// that the schema does not have: whoever reads the STRUCT whole reads that too.
func (e *evaluation) readsAround(v *view, why googlesql.Why) string {
	unknown := func(top string) bool {
		known := map[string]bool{}
		v.leaves(v.schema, nil, func(l leaf) bool {
			known[strings.Join(foldAll(l.path), ".")] = true
			return true
		})
		found := false
		if why == googlesql.WhySystemTime {
			i := slices.IndexFunc(v.schema, func(f bigquery.Field) bool { return fold(f.Name) == fold(top) })
			return i >= 0 && len(v.schema[i].Fields) > 0 && v.mayHide(top, why)
		}
		v.everyLeaf(func(l leaf) bool {
			found = fold(l.path[0]) == fold(top) && l.masked() != masking.Clear && !known[strings.Join(foldAll(l.path), ".")]
			return !found
		})
		return found
	}
	var all []string
	for _, c := range e.statement.Columns {
		for _, s := range c.Sources {
			all = append(all, s.Column)
		}
	}
	for _, use := range e.statement.Uses {
		all = append(all, use.Column)
	}
	for _, column := range all {
		if of, in := e.view(column); of == v && unknown(in[0]) {
			return column
		}
	}
	return ""
}

// there refuses a table whose origin is not there any more: what the policy says of that one by
// name was perhaps written anew for another name. Who answers for the table has to name it.
func (s *Set) there(v *view) error {
	if !v.gone || slices.ContainsFunc(s.tables, func(t tableRule) bool {
		return t.unlisted != "" && t.match.literalDataset() && t.match.coversTable(v.id)
	}) {
		return nil
	}
	return errors.New("what it was made of (a snapshot, a clone or a linked dataset) is not there any more, or cannot be read")
}
