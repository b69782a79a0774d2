package engine

import (
	"slices"
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// routineGroup is the group of functions of datasets. The engine knows their signatures only: their
// bodies are analysed on their own, as the statements that would create them, and the gateway puts
// the two together.
const routineGroup = "routine"

// routineGroupWord is how the engine begins the name of such a function in a complaint.
const routineGroupWord = "ROUTINE:"

func (e *engine) newFunction(f *wire.Function) *gsql.Function {
	result := must(gsql.NewFunctionArgumentType3(e.typeOf(f.Result, f.Name), 1))
	signature := must(gsql.NewFunctionSignature3(result, e.arguments(f.Arguments, f.Name), 0))
	made := must(gsql.NewFunction2(strings.Split(f.Name, "."), routineGroup, gsql.FunctionEnums_ModeScalar,
		[]*gsql.FunctionSignature{signature}))
	e.pinned = append(e.pinned, result, signature, made)
	return made
}

func (e *engine) newTableFunction(f *wire.TableFunction) *gsql.FixedOutputSchemaTVF {
	columns := make([]*gsql.TVFSchemaColumn, len(f.Columns))
	for i := range f.Columns {
		c := &f.Columns[i]
		columns[i] = &gsql.TVFSchemaColumn{Name: c.Name, Type_: e.typeOf(c.Type, f.Name+"()."+c.Name)}
	}
	relation := must(gsql.NewTVFRelation(columns))
	result := must(gsql.NewFunctionArgumentTypeRelationWithSchema(relation, false))
	signature := must(gsql.NewFunctionSignature3(result, e.arguments(f.Arguments, f.Name), 0))
	made := must(gsql.NewFixedOutputSchemaTVF(strings.Split(f.Name, "."), signature, relation, &gsql.TableValuedFunctionOptions{}))
	e.pinned = append(e.pinned, columns, relation, result, signature, made)
	return made
}

// arguments are those of a routine, with their names, by which a call may give them. The binding
// has no way to name an argument, but the engine's own reading of a declaration does.
func (e *engine) arguments(fields []wire.Field, of string) []*gsql.FunctionArgumentType {
	if len(fields) == 0 {
		return nil
	}
	declared := make([]string, len(fields))
	for i, f := range fields {
		e.typeOf(f.Type, of) // has words for a type that is not known
		declared[i] = "`" + f.Name + "` " + f.Type.SQL()
	}
	text := "CREATE FUNCTION f(" + strings.Join(declared, ", ") + ") RETURNS INT64 AS (0)"
	output := must(gsql.AnalyzeStatement(text, e.options, e.builtins, e.factory))
	statement, ok := must(output.ResolvedStatement()).(*gsql.ResolvedCreateFunctionStmt)
	if !ok {
		refuse(-1, "the arguments of %s are not known to bqgate", of)
	}
	signature := must(statement.Signature())
	made := must(signature.Arguments())
	if len(made) != len(fields) {
		refuse(-1, "the arguments of %s are not known to bqgate", of)
	}
	e.pinned = append(e.pinned, output, statement, signature, made)
	return made
}

// routine is the function of a dataset that f is; nil for a built-in one.
func (w *walk) routine(f *gsql.Function) *routine {
	if must(f.GetGroup()) != routineGroup {
		return nil
	}
	name := must(f.FullName(false))
	r, ok := w.lookup.functions[name]
	if !ok {
		refuse(-1, "the function %s is not analysed", name)
	}
	w.routines[name] = true
	return r
}

// routineCall derives a result from the arguments and from what the body reads. The body runs
// wherever the call stands and whatever becomes of its value, and may fail; so what it reads is a
// use as well.
func (w *walk) routineCall(n *gsql.ResolvedFunctionCall, r *routine) *value {
	must(n.Signature())
	must(n.ErrorMode())
	check(noExtras(n, must(n.HintListSize()), must(n.CollationListSize())))
	if must(n.GenericArgumentListSize()) > 0 {
		refuse(location(n), "this form of calling a function is not analysed")
	}
	read := w.origin(r.sources)
	w.use(googlesql.UseExpression, read, location(n))
	return derive(append(w.operands(must(n.ArgumentList())), read)...)
}

// origin is a value that carries columns by their names.
func (w *walk) origin(names []string) *value {
	v := &value{}
	for _, name := range names {
		o, ok := w.origins[name]
		if !ok {
			o = &origin{name: name}
			w.origins[name] = o
		}
		v.own = append(v.own, source{origin: o})
	}
	return v
}

// tableFunction defines the columns of a table function's result, as columns of a table named
// "project.dataset.function()". What its arguments carry decides about every row and may stand in
// every column.
func (w *walk) tableFunction(n *gsql.ResolvedTVFScan) {
	name := must(must(n.Tvf()).FullName(false))
	tvf, ok := w.lookup.tableFunctions[name]
	if !ok {
		refuse(location(n), "the table function %s is not analysed", name)
	}
	must(n.Signature())
	must(n.FunctionCallSignature())
	must(n.Alias())
	var passed []*value
	for _, a := range must(n.ArgumentList()) {
		x := must(a.Expr())
		if x == nil {
			refuse(location(n), "%s is called with something else than values, which is not analysed", name)
		}
		v := w.expression(x)
		w.use(googlesql.UseFilter, v, location(x))
		passed = append(passed, v)
	}
	if !w.repeat {
		w.calls++
	}
	w.routines[name] = true
	schema := must(must(tvf.ResultSchema()).Columns())
	indexes, columns := must(n.ColumnIndexList()), must(n.ColumnList())
	if len(indexes) != len(columns) {
		refuse(location(n), "the columns of %s are not known to bqgate", name)
	}
	extra := derive(passed...).own
	marked := w.behind(name+"()", columns, location(n))
	for i, c := range columns {
		if int(indexes[i]) >= len(schema) {
			refuse(location(n), "the columns of %s are not known to bqgate", name)
		}
		kind := shapeOf(must(c.Type()))
		w.define(c, marked(int(indexes[i]), w.base(name+"()."+schema[indexes[i]].Name, &kind)).with(extra))
	}
}

// functionBody is the value of a function's body: the statement's one output column.
func (w *walk) functionBody(s *gsql.ResolvedCreateFunctionStmt) {
	body := must(s.FunctionExpression())
	if body == nil || must(s.OptionListSize()) > 0 || must(s.IsAggregate()) || must(s.IsRemote()) ||
		!slices.Contains([]string{"", "SQL"}, strings.ToUpper(must(s.Language()))) {
		refuse(-1, "it is no function of plain SQL")
	}
	w.emit("", must(s.ReturnType()), w.expression(body))
	w.shape(must(s.ReturnType()))
	w.verify(body)
}

// tableFunctionBody is the query of a table function.
func (w *walk) tableFunctionBody(s *gsql.ResolvedCreateTableFunctionStmt) {
	query := must(s.Query())
	if query == nil || must(s.OptionListSize()) > 0 || must(s.IsValueTable()) {
		refuse(-1, "it is no table function of one plain query")
	}
	w.scan(query)
	for _, c := range must(s.OutputColumnList()) {
		column := must(c.Column())
		w.emit(must(c.Name()), must(column.Type()), w.column(column))
		w.shape(must(column.Type()))
	}
	w.verify(query)
}

// shape gives the newest output column its type in parts.
func (w *walk) shape(t gsql.Googlesql_TypeNode) {
	made := shapeOf(t)
	w.output[len(w.output)-1].Shape = &made
}

func shapeOf(t gsql.Googlesql_TypeNode) wire.Type {
	if a := must(t.AsArray()); a != nil {
		element := shapeOf(must(a.ElementType()))
		return wire.Type{Element: &element}
	}
	if s := must(t.AsStruct()); s != nil {
		var made wire.Type
		for _, f := range must(s.Fields()) {
			made.Fields = append(made.Fields, wire.Field{Name: f.Name, Type: shapeOf(f.Type_)})
		}
		return made
	}
	return wire.Type{Name: typeName(t)}
}
