package googlesql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// maxNested is how deep views and functions may be nested; BigQuery's own limit for views.
const maxNested = 16

// inner is the analysis of a text that stands behind the statement: a view's query, or a function's body. Names in it belong to the project that it belongs to.
func (j *job) inner(name, project, text string) (*job, *Error) {
	switch {
	case slices.Contains(j.within, name):
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("it reads itself (%s)", strings.Join(append(slices.Clone(j.within), name), " → "))}
	case len(j.within) >= maxNested:
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("views and functions are nested more than %d deep", maxNested)}
	}
	if refused := j.checkText(text); refused != nil {
		return nil, &Error{Code: refused.Code, Message: refused.Message}
	}
	return &job{
		Analyzer: j.Analyzer, ctx: j.ctx, known: j.known, home: j.home, within: append(slices.Clone(j.within), name),
		request: Request{SQL: text, Project: project, Catalog: j.request.Catalog, Caller: j.request.Caller, Reach: j.request.Reach},
	}, nil
}

// view analyses the query of a view, in the view's own project. Its columns must be those of the view's schema: the query and the schema
// are read at different moments, and what the engine is told must be what BigQuery will run.
func (j *job) view(table *bigquery.Table, described wire.Table) (*Statement, *Error, error) {
	id := table.TableReference
	if known, ok := j.views[id]; ok {
		return known, nil, nil
	}
	query, what := "", "view"
	unsupported := func(format string, args ...any) (*Statement, *Error, error) {
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is a %s: ", id, what) + fmt.Sprintf(format, args...)}, nil
	}
	switch {
	case table.Type == "MATERIALIZED_VIEW":
		what = "materialized view"
		if table.MaterializedView != nil {
			query = table.MaterializedView.Query
		}
	case table.View == nil:
	case table.View.UseLegacySQL == nil || *table.View.UseLegacySQL: // absent means true, in this resource
		return unsupported("it is written in legacy SQL, which is not supported")
	default:
		query = table.View.Query
	}
	if query == "" {
		return unsupported("its query is not known")
	}
	inner, refused := j.inner(id.String(), id.Project, query)
	if refused != nil {
		return unsupported("%s", refused.Message)
	}
	analysis, err := inner.run()
	if err != nil {
		return nil, nil, err
	}
	if e := analysis.Error; e != nil {
		if e.Code == ErrorClosed {
			return nil, e, nil
		}
		return nil, &Error{Code: e.Code, Message: fmt.Sprintf("%s is a %s: %s", id, what, e.Message)}, nil
	}
	if len(analysis.Statements) != 1 || analysis.Statements[0].Kind != "SELECT" {
		return unsupported("its query is not one SELECT")
	}
	s := &analysis.Statements[0]
	if len(s.Columns) != len(described.Columns) {
		return unsupported("its columns have changed since it was made")
	}
	for i, c := range described.Columns { // views have no pseudo columns
		if made := s.Columns[i]; made.Name != "" && made.Name != c.Name || made.Type != typeName(c.Type) {
			return unsupported("its column %s has changed since it was made", c.Name)
		}
		s.Columns[i].Name = c.Name
	}
	j.views[id] = s
	return s, nil, nil
}
