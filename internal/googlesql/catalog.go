package googlesql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// ErrNotFound is what a Catalog returns, wrapped or not, for what does not exist. A
// bigquery.Catalog returns it as it is.
var ErrNotFound = bigquery.ErrNotFound

// Catalog knows tables. It must answer for exactly the table asked for: names are case-sensitive. A
// Catalog that is a RoutineCatalog or a TableLister too can do more; without, statements that call
// functions of datasets or read wildcard tables are refused.
type Catalog interface {
	Table(ctx context.Context, id bigquery.TableID) (*bigquery.Table, error)
}

// RoutineCatalog knows functions and procedures.
type RoutineCatalog interface {
	Routine(ctx context.Context, id bigquery.RoutineID) (*bigquery.Routine, error)
}

// TableLister lists the tables of a dataset.
type TableLister interface {
	Tables(ctx context.Context, d bigquery.DatasetReference) ([]bigquery.ListedTable, error)
}

// DatasetCatalog knows datasets. A Catalog that does not implement it holds no linked datasets.
type DatasetCatalog interface {
	Dataset(ctx context.Context, d bigquery.DatasetReference) (*bigquery.ListedDataset, error)
}

// ReadTable reads what a table's name of an analysis stands for now: a table, a view, a wildcard
// table ("project.dataset.events_*") or a view of INFORMATION_SCHEMA. What does not exist is
// ErrNotFound.
func ReadTable(ctx context.Context, catalog Catalog, name string) (*bigquery.Table, error) {
	id, ok := splitTable(name)
	if !ok {
		return nil, fmt.Errorf("table %q: want project.dataset.table", name)
	}
	table, refused, err := readTable(ctx, catalog, id)
	switch {
	case err != nil:
		return nil, err
	case refused != nil:
		return nil, refused
	case table == nil:
		return nil, fmt.Errorf("table %s: %w", name, ErrNotFound)
	}
	return table, nil
}

func splitTable(name string) (bigquery.TableID, bool) {
	parts := strings.SplitN(name, ".", 3)
	if len(parts) != 3 {
		return bigquery.TableID{}, false
	}
	return bigquery.TableID{Project: parts[0], Dataset: parts[1], Table: parts[2]}, true
}

// Changed reads the definitions that an analysis rested on again and names those that differ,
// sorted. The catalog must not answer from memory.
func Changed(ctx context.Context, catalog Catalog, digests map[string]string) ([]string, error) {
	type answer struct {
		name string
		same bool
		err  error
	}
	answers, slots := make(chan answer), make(chan struct{}, 8)
	for name, before := range digests {
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			now, err := currentDigest(ctx, catalog, name)
			answers <- answer{name, now == before, err}
		}()
	}
	var changed []string
	var failed error
	for range digests {
		a := <-answers
		switch {
		case a.err != nil:
			failed = errors.Join(failed, fmt.Errorf("read %s again: %w", a.name, a.err))
		case !a.same:
			changed = append(changed, a.name)
		}
	}
	if failed != nil {
		return nil, failed
	}
	slices.Sort(changed)
	return changed, nil
}

func currentDigest(ctx context.Context, catalog Catalog, name string) (string, error) {
	if routine, ok := strings.CutSuffix(name, "()"); ok {
		parts := strings.Split(routine, ".")
		if len(parts) != 3 {
			return "", fmt.Errorf("routine %q: want project.dataset.routine", routine)
		}
		r, refused, err := readRoutine(ctx, catalog, bigquery.RoutineID{Project: parts[0], Dataset: parts[1], Routine: parts[2]})
		if refused != nil {
			err = refused
		}
		return routineDigest(r), err
	}
	id, ok := splitTable(name)
	if !ok {
		return "", fmt.Errorf("table %q: want project.dataset.table", name)
	}
	table, refused, err := readTable(ctx, catalog, id)
	if refused != nil {
		if refused.Code == ErrorUnavailable {
			return "", refused
		}
		return refused.Message, nil // it cannot be read any more, so it has changed
	}
	return tableDigest(table), err
}

// readTable asks the catalog for a table and what it was made of; nil for one that does not exist.
func readTable(ctx context.Context, catalog Catalog, id bigquery.TableID) (*bigquery.Table, *Error, error) {
	switch {
	case isInformationSchema(id):
		table, refused := informationSchemaView(id)
		return table, refused, nil
	case strings.HasSuffix(id.Table, "*"):
		return readWildcard(ctx, catalog, id)
	}
	return readOrigins(ctx, catalog, id, 0)
}

// readStored asks the catalog for a table alone.
func readStored(ctx context.Context, catalog Catalog, id bigquery.TableID) (*bigquery.Table, *Error, error) {
	table, err := catalog.Table(ctx, id)
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case errors.Is(err, ErrNotFound):
		return nil, nil, nil
	case errors.Is(err, bigquery.ErrNotUnderstood):
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("the definition of %s has a form that bqgate does not understand",
			id)}, nil
	case err != nil || table == nil:
		return nil, &Error{Code: ErrorUnavailable, Message: fmt.Sprintf("the schema of %s could not be read; try again", id), Err: err}, nil
	case table.TableReference != id:
		return nil, &Error{Code: ErrorUnavailable,
			Message: fmt.Sprintf("the schema of %s could not be read: the answer was for another table", id)}, nil
	}
	return table, nil, nil
}

// readRoutine asks the catalog for a routine; nil for one that does not exist.
func readRoutine(ctx context.Context, catalog Catalog, id bigquery.RoutineID) (*bigquery.Routine, *Error, error) {
	routines, ok := catalog.(RoutineCatalog)
	if !ok {
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s: functions of datasets are not known here", id)}, nil
	}
	source := readSource(ctx, catalog, bigquery.TableID{Project: id.Project, Dataset: id.Dataset}) // while the routine is read
	routine, err := routines.Routine(ctx, id)
	shown := <-source
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case errors.Is(err, ErrNotFound):
		return nil, nil, nil
	case errors.Is(err, bigquery.ErrNotUnderstood):
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("the definition of %s has a form that bqgate does not understand",
			id)}, nil
	case errors.Is(shown.err, bigquery.ErrNotUnderstood):
		return nil, unclearSource(id), nil
	case err != nil || routine == nil:
		return nil, &Error{Code: ErrorUnavailable, Err: err,
			Message: fmt.Sprintf("the definition of %s could not be read; try again", id)}, nil
	case routine.RoutineReference != id:
		return nil, &Error{Code: ErrorUnavailable,
			Message: fmt.Sprintf("the definition of %s could not be read: the answer was for another routine", id)}, nil
	case shown.err != nil:
		return nil, &Error{Code: ErrorUnavailable,
			Message: fmt.Sprintf("whether the dataset of %s is a linked one could not be read; try again", id), Err: err}, nil
	case shown.dataset != nil: // names in its body may be those of the source's project
		return nil, &Error{Code: ErrorUnsupported,
			Message: fmt.Sprintf("%s is a function in a linked dataset, which is not supported; call it where it is", id)}, nil
	}
	return routine, nil, nil
}

// tableDigest covers all of a table that an analysis depends on. A view that was replaced and put
// back has another time of change.
func tableDigest(t *bigquery.Table) string {
	if t == nil {
		return ""
	}
	changed := ""
	if t.Type == "VIEW" {
		changed = t.LastModifiedTime
	}
	var origins []string
	for _, o := range t.Origins {
		origins = append(origins, o.ID.String(), tableDigest(o.Table))
	}
	return digest(t.TableReference, t.Type, t.Schema, t.View, t.MaterializedView, t.TimePartitioning, t.Members, changed,
		t.SnapshotDefinition, t.CloneDefinition, t.Others, origins, t.Unknown)
}

// routineDigest covers all of a routine.
func routineDigest(r *bigquery.Routine) string {
	if r == nil {
		return ""
	}
	made := *r
	made.Etag = ""
	return digest(made, made.Unknown)
}
