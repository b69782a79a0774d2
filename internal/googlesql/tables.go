package googlesql

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// fetch gets the wanted tables from the catalog. One that does not exist is left out: the name may turn out to mean something else.
func (j *job) fetch(s *wire.Statement, wanted map[string]bigquery.TableID) ([]wire.Table, *Error, error) {
	names := make([]string, 0, len(wanted))
	for name := range wanted {
		names = append(names, name)
	}
	slices.Sort(names)
	var tables []wire.Table
	for _, name := range names {
		id := wanted[name]
		table, known := j.tables[id]
		if !known {
			var refused *Error
			var err error
			if table, refused, err = j.read(id); refused != nil || err != nil {
				if refused != nil {
					refused = j.at(j.pathStart(s, id), refused.Code, "%s", refused.Message)
				}
				return nil, refused, err
			}
			j.tables[id] = table
		}
		if table == nil {
			continue
		}
		described, refused := describe(table)
		if refused != nil {
			return nil, j.at(j.pathStart(s, id), refused.Code, "%s", refused.Message), nil
		}
		if table.Type == "VIEW" {
			_, refused, err := j.view(table, described)
			if err != nil {
				return nil, nil, err
			}
			if refused != nil {
				return nil, j.at(j.pathStart(s, id), refused.Code, "%s", refused.Message), nil
			}
		}
		tables = append(tables, described)
	}
	return tables, nil, nil
}

// read asks the catalog for a table; nil for one that does not exist.
func (j *job) read(id bigquery.TableID) (*bigquery.Table, *Error, error) {
	table, err := j.request.Catalog.Table(j.ctx, id)
	switch {
	case j.ctx.Err() != nil:
		return nil, nil, j.ctx.Err()
	case errors.Is(err, ErrNotFound):
		return nil, nil, nil
	case err != nil || table == nil:
		return nil, &Error{Code: ErrorUnavailable, Message: fmt.Sprintf("the schema of %s could not be read; try again", id)}, nil
	case table.TableReference != id:
		return nil, &Error{Code: ErrorUnavailable, Message: fmt.Sprintf("the schema of %s could not be read: the answer was for another table", id)}, nil
	}
	return table, nil, nil
}
