package googlesql

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// maxMembers is how many tables a wildcard table may stand for; BigQuery's own limit.
const maxMembers = 1000

// membersAtOnce bounds how many members are read at the same time.
const membersAtOnce = 16

// readWildcard makes up the table that a wildcard stands for: with the schema of the newest of its
// members, as BigQuery does, and beside it the schemas of members that differ. Nil if there is no
// member.
//
// BigQuery's documentation: the wildcard character "*" represents one or more characters of a table
// name (https://cloud.google.com/bigquery/docs/querying-wildcard-tables). So a table whose name is
// just the prefix is no member. It is refused where there are members: readers, and policies, may
// take it for one.
func readWildcard(ctx context.Context, catalog Catalog, id bigquery.TableID) (*bigquery.Table, *Error, error) {
	refused := func(code ErrorCode, format string, args ...any) (*bigquery.Table, *Error, error) {
		return nil, &Error{Code: code, Message: fmt.Sprintf("%s is a wildcard table: ", id) + fmt.Sprintf(format, args...)}, nil
	}
	lister, ok := catalog.(TableLister)
	if !ok {
		return refused(ErrorUnsupported, "tables cannot be listed here; name each table")
	}
	list, err := lister.Tables(ctx, bigquery.DatasetReference{ProjectID: id.Project, DatasetID: id.Dataset})
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case errors.Is(err, ErrNotFound):
		return nil, nil, nil
	case errors.Is(err, bigquery.ErrTooMany):
		return refused(ErrorLimit, "its dataset has more tables than bqgate lists; name each table")
	case errors.Is(err, bigquery.ErrNotUnderstood):
		return refused(ErrorUnsupported, "the list of its dataset's tables has a form that bqgate does not understand; name each table")
	case err != nil:
		_, unavailable, _ := refused(ErrorUnavailable, "its dataset could not be listed; try again")
		unavailable.Err = err
		return nil, unavailable, nil
	}
	prefix := strings.TrimSuffix(id.Table, "*")
	var members []bigquery.ListedTable
	for _, item := range list {
		name := item.Reference
		if name.Project != id.Project || name.Dataset != id.Dataset || !strings.HasPrefix(name.Table, prefix) {
			continue
		}
		if name.Table == prefix {
			return refused(ErrorUnsupported, "%s is a table of its own, which BigQuery does not take in; name each table", name)
		}
		if item.Type != "TABLE" {
			return refused(ErrorUnsupported, "%s, which it takes in, is of type %s; name each table", name, item.Type)
		}
		members = append(members, item)
	}
	switch {
	case len(members) == 0:
		return nil, nil, nil
	case len(members) > maxMembers:
		return refused(ErrorLimit, "it takes in %d tables; the limit is %d: write a longer prefix", len(members), maxMembers)
	}
	slices.SortFunc(members, newestFirst)
	tables, failed, err := readMembers(ctx, catalog, members)
	if failed != nil || err != nil {
		return nil, failed, err
	}
	made := *tables[0]
	made.TableReference, made.Origins = id, nil
	for _, t := range tables {
		if t.Type != "TABLE" {
			return refused(ErrorUnavailable, "one of its tables could not be read; try again")
		}
		made.Members = append(made.Members, t.TableReference.Table)
		made.Origins = append(made.Origins, t.Origins...)
		same := func(s bigquery.Schema) bool { return sameFields(s.Fields, t.Schema.Fields) }
		if !same(made.Schema) && !slices.ContainsFunc(made.Others, same) {
			made.Others = append(made.Others, t.Schema)
		}
	}
	slices.Sort(made.Members)
	return &made, nil, nil
}

// readMembers reads tables, some at a time. One that is gone since the list was read is an error to
// be tried again.
func readMembers(ctx context.Context, catalog Catalog, members []bigquery.ListedTable) ([]*bigquery.Table, *Error, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tables := make([]*bigquery.Table, len(members))
	var mu sync.Mutex
	var refused *Error
	var failed error
	var all sync.WaitGroup
	slots := make(chan struct{}, membersAtOnce)
	for i := range members {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			table, r, err := readOrigins(ctx, catalog, members[i].Reference, 0)
			if r == nil && err == nil && table == nil {
				r = &Error{Code: ErrorUnavailable, Message: fmt.Sprintf("the table %s could not be read; try again", members[i].Reference)}
			}
			mu.Lock()
			defer mu.Unlock()
			if (r != nil || err != nil) && refused == nil && failed == nil {
				refused, failed = r, err
				cancel()
			}
			tables[i] = table
		})
	}
	all.Wait()
	if refused == nil && failed == nil && ctx.Err() != nil {
		failed = ctx.Err()
	}
	return tables, refused, failed
}

// sameFields compares what of schemas says how a text is read: names, types and order. Descriptions
// say nothing.
func sameFields(a, b []bigquery.Field) bool {
	return slices.EqualFunc(a, b, func(a, b bigquery.Field) bool {
		repeated := func(f bigquery.Field) bool { return f.Mode == "REPEATED" }
		return a.Name == b.Name && a.Type == b.Type && repeated(a) == repeated(b) &&
			reflect.DeepEqual(a.RangeElementType, b.RangeElementType) && sameFields(a.Fields, b.Fields)
	})
}

// newestFirst compares times of creation, which are numbers as text; of tables made in the same
// moment the last by name comes first.
func newestFirst(a, b bigquery.ListedTable) int {
	if len(a.CreationTime) != len(b.CreationTime) {
		return len(b.CreationTime) - len(a.CreationTime)
	}
	if c := strings.Compare(b.CreationTime, a.CreationTime); c != 0 {
		return c
	}
	return strings.Compare(b.Reference.Table, a.Reference.Table)
}
