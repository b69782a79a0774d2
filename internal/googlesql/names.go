package googlesql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

var (
	projectName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,61}[a-z0-9]$|^[a-z]$`)
	datasetName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)
	// Letters, marks, numbers, connectors, dashes and spaces, as the BigQuery documentation allows
	// them in table names.
	tableName = regexp.MustCompile(`^[\pL\pM\pN\p{Pc}\p{Pd} ]+$`)
)

// tableID completes a table's name. What BigQuery reads as something else than one table is refused
// with a sentence.
func (j *job) tableID(parts []string) (bigquery.TableID, *Error) {
	if i := slices.IndexFunc(j.completed, func(c completed) bool { return slices.Equal(c.parts, parts) }); i >= 0 {
		return j.completed[i].id, j.completed[i].refused
	}
	id, refused := j.complete(parts)
	if len(j.completed) < maxCompleted {
		j.completed = append(j.completed, completed{parts, id, refused})
	}
	return id, refused
}

// completed is a name that has been completed before: each is asked for several times.
type completed struct {
	parts   []string
	id      bigquery.TableID
	refused *Error
}

const maxCompleted = 32

func (j *job) complete(parts []string) (bigquery.TableID, *Error) {
	written := strings.Join(parts, ".")
	unsupported := func(format string, args ...any) (bigquery.TableID, *Error) {
		return bigquery.TableID{}, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf(format, args...)}
	}
	if slices.ContainsFunc(parts, func(p string) bool { return strings.EqualFold(p, informationSchemaWord) }) {
		return j.informationSchemaID(parts)
	}
	if i := strings.Index(written, "*"); i >= 0 && i < len(written)-1 {
		return unsupported("a wildcard table has its * at the end (%s); name each table", written)
	}
	if strings.ContainsAny(written, "$@") {
		return unsupported("table decorators are not supported (%s); filter in WHERE instead", written)
	}
	if strings.Contains(written, ":") {
		return unsupported("project names with a domain are not supported (%s)", written)
	}
	var id bigquery.TableID
	switch len(parts) {
	case 1:
		d := j.query.DefaultDataset
		if d == nil {
			return bigquery.TableID{},
				&Error{Code: ErrorNotFound, Message: fmt.Sprintf("table %q must be qualified with a dataset (e.g. dataset.table)", written)}
		}
		id = bigquery.TableID{Project: d.ProjectID, Dataset: d.DatasetID, Table: parts[0]}
	case 2:
		if d := j.query.DefaultDataset; d != nil && d.ProjectID != j.query.Project {
			return unsupported("%s could be in project %s or %s; write the project too", written, j.query.Project, d.ProjectID)
		}
		if j.query.Project == "" {
			return bigquery.TableID{},
				&Error{Code: ErrorNotFound, Message: fmt.Sprintf("table %s must be qualified with a project: there is no default one",
					written)}
		}
		id = bigquery.TableID{Project: j.query.Project, Dataset: parts[0], Table: parts[1]}
	case 3:
		id = bigquery.TableID{Project: parts[0], Dataset: parts[1], Table: parts[2]}
	default:
		return unsupported("%s is not a table's name (project.dataset.table)", written)
	}
	switch {
	case !projectName.MatchString(id.Project) || !datasetName.MatchString(id.Dataset) ||
		!tableName.MatchString(strings.TrimSuffix(id.Table, "*")+"_") || len(id.Table) > 1024:
		return unsupported("%s is not a table's name (project.dataset.table)", id)
	case strings.HasPrefix(id.Dataset, "_"):
		return unsupported("hidden datasets are not supported (%s): they hold results and sessions, perhaps of others", id)
	case strings.HasPrefix(id.Table, "__"):
		return unsupported("meta-tables are not supported (%s)", id)
	}
	return id, nil
}

// routineName is what BigQuery allows: letters, digits and underscores.
var routineName = regexp.MustCompile(`^[A-Za-z0-9_]{1,256}$`)

// routineID completes a routine's name. A name of one part is that of a built-in or temporary
// function.
func (j *job) routineID(parts []string) (bigquery.RoutineID, *Error) {
	written := strings.Join(parts, ".")
	if len(parts) < 2 || len(parts) > 3 || slices.ContainsFunc(parts, func(p string) bool { return p == "" }) {
		return bigquery.RoutineID{},
			&Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is not the name of a function (project.dataset.function)", written)}
	}
	table, refused := j.tableID(parts)
	if refused == nil && !routineName.MatchString(table.Table) {
		refused = &Error{Code: ErrorUnsupported,
			Message: fmt.Sprintf("%s is not the name of a function (project.dataset.function)", written)}
	}
	return bigquery.RoutineID{Project: table.Project, Dataset: table.Dataset, Routine: table.Table}, refused
}

// target completes the name of what a statement changes: datasets have one part less than tables.
func (j *job) target(kind string, parts []string) string {
	switch {
	case strings.HasSuffix(kind, "_SCHEMA"):
		if len(parts) == 1 {
			return j.query.Project + "." + parts[0]
		}
	case strings.HasSuffix(kind, "_DATABASE"), strings.HasSuffix(kind, "_PROJECT"), strings.HasSuffix(kind, "_ORGANIZATION"),
		strings.HasSuffix(kind, "_CAPACITY"), strings.HasSuffix(kind, "_RESERVATION"), strings.HasSuffix(kind, "_ASSIGNMENT"):
	default:
		if id, refused := j.tableID(parts); refused == nil {
			return id.String()
		}
	}
	return strings.Join(parts, ".")
}
