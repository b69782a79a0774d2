package googlesql

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// routine is a SQL function or table function of a dataset, and what its body means. The body is
// analysed as the statement that would create it, so that its arguments resolve as BigQuery
// resolves them. Of function and table exactly one is set.
type routine struct {
	id       bigquery.RoutineID
	body     *Statement
	function *wire.Function
	table    *wire.TableFunction
}

// call reads and analyses the routines that a statement names, each once, in the order of the text.
func (j *job) call(s *wire.Statement) ([]*routine, *Error, error) {
	var called []*routine
	var closed *Error
	for i := range s.Paths {
		p := &s.Paths[i]
		if p.Role != wire.RoleFunction && p.Role != wire.RoleTVF {
			continue
		}
		id, refused := j.routineID(p.Parts)
		if refused == nil {
			refused = j.qualified(p)
		}
		if refused != nil {
			return nil, j.at(p.Start, refused.Code, "%s", refused.Message), nil
		}
		if slices.ContainsFunc(called, func(r *routine) bool { return r.id == id }) {
			continue
		}
		r, refused, err := j.routine(id, p.Role == wire.RoleTVF)
		if err != nil {
			return nil, nil, err
		}
		if refused != nil && refused.Code == ErrorClosed {
			closed = refused
			continue
		}
		if refused != nil {
			return nil, j.at(p.Start, refused.Code, "%s", refused.Message), nil
		}
		called = append(called, r)
	}
	return called, closed, nil
}

// qualified refuses a name without a project in the body of a routine of another project than the
// query's: BigQuery does not document which of the two projects it means.
func (j *job) qualified(p *wire.Path) *Error {
	if j.body != "" && len(p.Parts) < 3 && j.query.Project != j.home {
		return &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("it names %s without a project, and the query runs in another project "+
			"than its own", strings.Join(p.Parts, "."))}
	}
	return nil
}

// callees compares the routines that the engine found called with those that the outline named, and
// makes these the statement's: a call that the engine pruned may still run.
func (j *job) callees(s *wire.Statement, found []string, called []*routine, result *Statement) *Error {
	result.Routines = []string{}
	for _, r := range called {
		result.Routines = append(result.Routines, r.id.String())
	}
	result.Routines = sorted(result.Routines)
	for _, name := range found {
		if !slices.Contains(result.Routines, name) {
			return j.at(s.Start, ErrorUnsupported, "the function %s is called in a way that is not analysed", name)
		}
	}
	return nil
}

// routine reads and analyses one routine.
func (j *job) routine(id bigquery.RoutineID, asTable bool) (*routine, *Error, error) {
	word := "function"
	if asTable {
		word = "table function"
	}
	resource, known := j.routines[id]
	if !known {
		if refused := cmp.Or(j.admit([]string{id.String() + "()"}), j.room()); refused != nil {
			return nil, refused, nil
		}
		var refused *Error
		var err error
		if resource, refused, err = readRoutine(j.ctx, j.query.Catalog, id); refused != nil || err != nil {
			j.fleeting = true
			return nil, refused, err
		}
		j.routines[id] = resource
	}
	if resource == nil {
		return nil, &Error{Code: ErrorNotFound, Message: fmt.Sprintf("the %s %s was not found", word, id)}, nil
	}
	if refused := plainRoutine(resource, asTable); refused != nil {
		return nil, refused, nil
	}
	if r, ok := j.bodies[id]; ok {
		return r, nil, nil
	}
	r, refused, err := j.analyseRoutine(resource, asTable)
	if refused != nil || err != nil {
		if refused != nil && refused.Code != ErrorClosed {
			refused = &Error{Code: refused.Code, Message: fmt.Sprintf("%s is a %s: %s", id, word, refused.Message)}
		}
		return nil, refused, err
	}
	j.bodies[id] = r
	return r, nil, nil
}

// plainRoutine refuses what is not one SQL expression or one SQL query.
func plainRoutine(r *bigquery.Routine, asTable bool) *Error {
	refused := func(format string, args ...any) *Error {
		return &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is ", r.RoutineReference) + fmt.Sprintf(format, args...)}
	}
	switch {
	case r.RemoteFunctionOptions != nil:
		return refused("a remote function, which is not supported: what it does with values happens outside BigQuery")
	case r.Language != "" && r.Language != "SQL":
		return refused("written in %s; only functions in SQL are supported", languageWord(r.Language))
	}
	if len(r.Unknown) > 0 {
		return refused("defined with %s, which bqgate does not understand", strings.Join(r.Unknown, ", "))
	}
	switch r.RoutineType {
	case "SCALAR_FUNCTION":
		if asTable {
			return refused("a function of values, not a table function; call it in an expression")
		}
	case "TABLE_VALUED_FUNCTION":
		if !asTable {
			return refused("a table function; call it in FROM")
		}
	case "AGGREGATE_FUNCTION":
		return refused("an aggregate function, which is not supported; use the built-in ones")
	case "PROCEDURE":
		return refused("a procedure, which is not supported; send the query that it would run")
	default:
		return refused("a routine of type %q, which is not supported", r.RoutineType)
	}
	return nil
}

func languageWord(language string) string {
	switch language {
	case "JAVASCRIPT":
		return "JavaScript"
	case "PYTHON":
		return "Python"
	case "JAVA":
		return "Java"
	case "SCALA":
		return "Scala"
	}
	return fmt.Sprintf("%q", language)
}

// analyseRoutine analyses a routine's body.
func (j *job) analyseRoutine(resource *bigquery.Routine, asTable bool) (*routine, *Error, error) {
	unsupported := func(format string, args ...any) (*routine, *Error, error) {
		return nil, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf(format, args...)}, nil
	}
	id := resource.RoutineReference
	text, arguments, err := creation(resource, asTable)
	if err != nil {
		return unsupported("%v", err)
	}
	inner, refused := j.inner(id.String(), id.Project, text)
	if refused != nil {
		return nil, refused, nil
	}
	inner.body = "CREATE_FUNCTION"
	if asTable {
		inner.body = "CREATE_TABLE_FUNCTION"
	}
	analysis, err := inner.run()
	if err != nil {
		return nil, nil, err
	}
	if analysis.Error != nil {
		return nil, analysis.Error, nil
	}
	if len(analysis.Statements) != 1 || analysis.Statements[0].Kind != inner.body {
		return unsupported("its body is more than one expression or query")
	}
	body := &analysis.Statements[0]
	for _, c := range body.Columns {
		if c.shape == nil {
			return unsupported("its result is not known")
		}
	}
	r := &routine{id: id, body: body}
	if asTable {
		r.table = &wire.TableFunction{Name: id.String(), Arguments: arguments, Columns: []wire.Field{}}
		return r, r.columns(resource), nil
	}
	if len(body.Columns) != 1 {
		return unsupported("its result is not one value")
	}
	r.function = &wire.Function{Name: id.String(), Arguments: arguments, Result: *body.Columns[0].shape}
	r.function.Digest = digest(r.function)
	for _, s := range body.Columns[0].Sources {
		if s.Column != "" {
			r.function.Sources = append(r.function.Sources, s.Column)
		}
	}
	r.function.Sources = sorted(r.function.Sources)
	return r, nil, nil
}

// columns takes over a table function's columns: those of its query, which must be those that it
// declares, if it does.
func (r *routine) columns(resource *bigquery.Routine) *Error {
	seen := map[string]bool{}
	for _, c := range r.body.Columns {
		if name := strings.ToLower(c.Name); name == "" || seen[name] || strings.ContainsAny(name, ".`") {
			return &Error{Code: ErrorUnsupported,
				Message: fmt.Sprintf("its query has the column name %q, which is none or not the only one", c.Name)}
		}
		seen[strings.ToLower(c.Name)] = true
		r.table.Columns = append(r.table.Columns, wire.Field{Name: c.Name, Type: *c.shape})
	}
	r.table.Digest = digest(r.table)
	if resource.ReturnTableType == nil {
		return nil
	}
	declared := resource.ReturnTableType.Columns
	if len(declared) != len(r.table.Columns) {
		return &Error{Code: ErrorUnsupported, Message: "its query has other columns than it declares"}
	}
	for i, d := range declared {
		kind, err := standardType(d.Type)
		if err != nil || d.Name != r.table.Columns[i].Name || typeName(kind) != typeName(r.table.Columns[i].Type) {
			return &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("its query has another column %q than it declares", d.Name)}
		}
	}
	return nil
}

// creation is the statement that would create a routine, and its arguments.
func creation(r *bigquery.Routine, asTable bool) (text string, arguments []wire.Field, err error) {
	id := r.RoutineReference
	arguments = []wire.Field{}
	var declared []string
	for _, a := range r.Arguments {
		switch {
		case a.ArgumentKind == "ANY_TYPE" || a.DataType == nil:
			return "", nil, fmt.Errorf("its argument %s has no fixed type (ANY TYPE), which is not supported; declare its type", a.Name)
		case a.ArgumentKind != "" && a.ArgumentKind != "FIXED_TYPE" || a.Mode != "" && a.Mode != "MODE_UNSPECIFIED" && a.Mode != "IN":
			return "", nil, fmt.Errorf("its argument %s is a %s %s, which is not supported", a.Name, a.Mode, a.ArgumentKind)
		case a.Name == "" || strings.ContainsAny(a.Name, "`\\\n\r"):
			return "", nil, fmt.Errorf("it has an argument without a plain name")
		}
		kind, err := standardType(a.DataType)
		if err != nil {
			return "", nil, fmt.Errorf("its argument %s: %w", a.Name, err)
		}
		arguments = append(arguments, wire.Field{Name: a.Name, Type: kind})
		declared = append(declared, "`"+a.Name+"` "+kind.SQL())
	}
	head := fmt.Sprintf("`%s`.`%s`.`%s`(%s)", id.Project, id.Dataset, id.Routine, strings.Join(declared, ", "))
	if asTable {
		return "CREATE TABLE FUNCTION " + head + " AS\n" + r.DefinitionBody, arguments, nil
	}
	if r.ReturnType != nil {
		kind, err := standardType(r.ReturnType)
		if err != nil {
			return "", nil, fmt.Errorf("its result: %w", err)
		}
		head += " RETURNS " + kind.SQL()
	}
	return "CREATE FUNCTION " + head + " AS (\n" + r.DefinitionBody + "\n)", arguments, nil
}

// standardType is a type as routines spell it.
func standardType(t *bigquery.StandardSQLDataType) (wire.Type, error) {
	switch {
	case t == nil:
		return wire.Type{}, fmt.Errorf("its type is not given")
	case t.TypeKind == "ARRAY":
		element, err := standardType(t.ArrayElementType)
		if err == nil && element.Element != nil {
			err = fmt.Errorf("an ARRAY of ARRAYs")
		}
		return wire.Type{Element: &element}, err
	case t.TypeKind == "RANGE":
		if t.RangeElementType == nil {
			return wire.Type{}, fmt.Errorf("a RANGE without an element type")
		}
		return rangeOf(t.RangeElementType.TypeKind)
	case t.TypeKind == "STRUCT":
		if t.StructType == nil || len(t.StructType.Fields) == 0 {
			return wire.Type{}, fmt.Errorf("a STRUCT without fields")
		}
		var made wire.Type
		for _, f := range t.StructType.Fields {
			kind, err := standardType(f.Type)
			if err != nil {
				return wire.Type{}, fmt.Errorf("%s: %w", f.Name, err)
			}
			if strings.ContainsAny(f.Name, ".`\\\n\r") {
				return wire.Type{}, fmt.Errorf("%q is not a field's name", f.Name)
			}
			made.Fields = append(made.Fields, wire.Field{Name: f.Name, Type: kind})
		}
		return made, nil
	default:
		return scalar(t.TypeKind)
	}
}
