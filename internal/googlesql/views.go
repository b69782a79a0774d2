package googlesql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// maxNested is how deep views and functions may be nested; BigQuery's own limit for views.
const maxNested = 16

// inner is the analysis of a text that stands behind the statement: a view's query, or a function's
// body. Its names are completed with its own project.
func (j *job) inner(name, project, text string) (*job, *Error) {
	switch {
	case slices.Contains(j.within, name):
		return nil, &Error{Code: ErrorUnsupported,
			Message: fmt.Sprintf("it reads itself (%s)", strings.Join(append(slices.Clone(j.within), name), " → "))}
	case len(j.within) >= maxNested:
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("views and functions are nested more than %d deep", maxNested)}
	}
	if refused := j.checkText(text); refused != nil {
		return nil, &Error{Code: refused.Code, Message: refused.Message}
	}
	return &job{
		Analyzer: j.Analyzer, ctx: j.ctx, known: j.known, home: j.home, within: append(slices.Clone(j.within), name),
		query: Query{
			SQL:     text,
			Project: project,
			Catalog: j.query.Catalog,
			Caller:  j.query.Caller,
			Owner:   j.query.Owner,
			Reach:   j.query.Reach,
		},
	}, nil
}

// boundView is what a view means.
type boundView struct {
	*Statement                  // its query, with the names that its columns have
	description wire.Table      // it, as a table
	shown       *bigquery.Table // it, with the schema of its query; nil where BigQuery stores the same
}

// view analyses the query of a view, in the view's own project.
func (j *job) view(table *bigquery.Table) (*boundView, *Error, error) {
	id := table.TableReference
	if known, ok := j.views[id]; ok {
		return known, nil, nil
	}
	query, what := "", "view"
	unsupported := func(format string, args ...any) (*boundView, *Error, error) {
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
	v := &boundView{Statement: &analysis.Statements[0]}
	if refused := v.bind(table); refused != nil {
		return unsupported("%s", refused.Message)
	}
	j.views[id] = v
	return v, nil, nil
}

// again is the remedy for a view whose tables have changed since it was made.
const again = "whoever owns it can mend it with CREATE OR REPLACE VIEW"

// bind gives the columns of the query the names that the view's columns have, and describes the
// view.
//
// Without a list of names (CREATE VIEW v AS …) these are the columns that the query has now. The
// schema that BigQuery stores beside it may be that of earlier tables: "Even though the reported
// schema may be inaccurate, all submitted queries produce accurate results"
// (https://cloud.google.com/bigquery/docs/views-intro#view_limitations). With a list (CREATE VIEW
// v(a, b) AS …) the stored schema has the names, by position, and BigQuery does not run a query
// that has more or fewer columns by now. A materialized view holds rows with the columns that it
// was made with.
func (v *boundView) bind(table *bigquery.Table) *Error {
	unsupported := func(format string, args ...any) *Error {
		return &Error{Code: ErrorUnsupported, Message: fmt.Sprintf(format, args...)}
	}
	stored, refused := describe(table)
	if refused != nil {
		return refused
	}
	materialized := table.Type == "MATERIALIZED_VIEW"
	named := !materialized && table.View.UseExplicitColumnNames
	if (named || materialized) && len(stored.Columns) != len(v.Columns) {
		return unsupported("it was made with %d columns, and its query has %d now; %s", len(stored.Columns), len(v.Columns), again)
	}
	v.description.Name = stored.Name
	seen := map[string]bool{}
	for i := range v.Columns {
		c := &v.Columns[i]
		if c.shape == nil {
			return errFailed()
		}
		var was wire.Field // views have no pseudo columns
		if i < len(stored.Columns) {
			was = stored.Columns[i]
		}
		kind := fieldsNamed(*c.shape)
		switch {
		case (named || materialized) && typeName(was.Type) != typeName(kind):
			return unsupported("its column %s was made as %s, and its query makes it %s now; %s", was.Name, typeName(was.Type), c.Type,
				again)
		case named:
			c.Name = was.Name
		case c.Name == "" && anonymous.MatchString(was.Name) && len(stored.Columns) == len(v.Columns):
			c.Name = was.Name // BigQuery's own
		case c.Name == "":
			return unsupported("column %d of its query has no name; %s, with a name for it", i+1, again)
		case materialized && c.Name != was.Name:
			return unsupported("its column %s is called %s by its query now; %s", was.Name, c.Name, again)
		}
		if seen[strings.ToLower(c.Name)] {
			return unsupported("two columns of its query are called %s, which BigQuery does not run; %s, with a name for each", c.Name,
				again)
		}
		seen[strings.ToLower(c.Name)] = true
		if err := plainColumn(c.Name, kind); err != nil {
			return unsupported("%v", err)
		}
		v.description.Columns = append(v.description.Columns, wire.Field{Name: c.Name, Type: kind})
	}
	v.description.Digest = digest(v.description.Name, v.description.Columns)
	if !slices.EqualFunc(stored.Columns, v.description.Columns, sameColumn) {
		shown := *table
		shown.Schema = bigquery.Schema{Fields: resourceFields(v.description.Columns)}
		v.shown = &shown
	}
	return nil
}

// anonymous is how BigQuery calls a column that its query does not name.
var anonymous = regexp.MustCompile(`^f[0-9]+_$`)

func sameColumn(a, b wire.Field) bool {
	return a.Name == b.Name && typeName(a.Type) == typeName(b.Type)
}

// fieldsNamed is a type as a view's schema has it: BigQuery calls fields without a name by
// position, as in a result.
func fieldsNamed(t wire.Type) wire.Type {
	if t.Element != nil {
		element := fieldsNamed(*t.Element)
		return wire.Type{Element: &element}
	}
	t.Fields = slices.Clone(t.Fields)
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Name == "" {
			f.Name = fmt.Sprintf("_field_%d", i+1)
		}
		f.Type = fieldsNamed(f.Type)
	}
	return t
}

// plainColumn refuses names that no column of a view can have, or that lineage could take for
// others.
func plainColumn(name string, t wire.Type) error {
	if name == "" || strings.ContainsAny(name, ".`") || isPseudo(name) {
		return fmt.Errorf("%q is not a column's name", name)
	}
	for t.Element != nil {
		t = *t.Element
	}
	seen := map[string]bool{}
	for _, f := range t.Fields {
		if seen[strings.ToLower(f.Name)] {
			return fmt.Errorf("two fields of its column %s are called %s", name, f.Name)
		}
		seen[strings.ToLower(f.Name)] = true
		if err := plainColumn(f.Name, f.Type); err != nil {
			return err
		}
	}
	return nil
}
