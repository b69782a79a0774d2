package googlesql

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// fetch gets the wanted tables from the catalog. One that does not exist is left out: the name may
// turn out to mean something else.
func (j *job) fetch(s *wire.Statement, wanted map[string]bigquery.TableID) ([]wire.Table, *Error, error) {
	names := make([]string, 0, len(wanted))
	for name := range wanted {
		names = append(names, name)
	}
	slices.Sort(names)
	var tables []wire.Table
	var closed *Error
	for _, name := range names {
		id := wanted[name]
		table, refused, err := j.table(id)
		if err != nil {
			return nil, nil, err
		}
		var described wire.Table
		switch {
		case refused != nil || table == nil:
		case isView(table):
			var v *boundView
			if v, refused, err = j.view(table); err != nil {
				return nil, nil, err
			}
			if refused == nil {
				described = v.description
				j.shelf.redescribe(table, described)
			}
		default:
			var known *shelved
			if known, refused = j.shelf.of(table); refused == nil {
				described = known.description
			}
		}
		switch {
		case refused != nil && refused.Code == ErrorClosed:
			closed = refused // go on: whoever mends the policy wants to know of all that is missing
		case refused != nil:
			return nil, j.at(j.pathStart(s, id), refused.Code, "%s", refused.Message), nil
		case table != nil:
			tables = append(tables, described)
		}
	}
	return tables, closed, nil
}

// maxRead is how many tables, views and functions one text may rest on, those behind its views and
// functions included.
const maxRead = 500

// table asks the catalog for a table, once; nil for one that does not exist.
func (j *job) table(id bigquery.TableID) (*bigquery.Table, *Error, error) {
	if table, ok := j.tables[id]; ok {
		return table, nil, nil
	}
	if refused := cmp.Or(j.admit([]string{id.String()}), j.room()); refused != nil {
		return nil, refused, nil
	}
	table, refused, err := readTable(j.ctx, j.query.Catalog, id)
	if refused == nil && err == nil {
		j.tables[id] = table
	} else {
		j.fleeting = true
	}
	return table, refused, err
}

func (j *job) room() *Error {
	if len(j.tables)+len(j.routines) >= maxRead {
		return &Error{Code: ErrorLimit, Message: fmt.Sprintf("the statement rests on more than %d tables, views and functions; split it",
			maxRead)}
	}
	return nil
}

func isView(t *bigquery.Table) bool { return t.Type == "VIEW" || t.Type == "MATERIALIZED_VIEW" }
