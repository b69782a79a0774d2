package engine

import (
	"fmt"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/functions"
)

// addBigQueryFunctions adds functions that BigQuery has and the engine has not. Their results are
// derived from all their arguments, like those of every function, so only the signatures matter:
// the engine reads them from the declarations in the table.
func (e *engine) addBigQueryFunctions() {
	for _, f := range functions.All() {
		if f.Declared == "" {
			continue
		}
		output := start(gsql.AnalyzeStatement(fmt.Sprintf("CREATE TEMP FUNCTION f%s AS (NULL)", f.Declared), e.options, e.catalog,
			e.factory))
		statement, ok := start(output.ResolvedStatement()).(*gsql.ResolvedCreateFunctionStmt)
		if !ok {
			panic("the declaration of " + f.Name + " is not one of a function")
		}
		e.pinned = append(e.pinned, output, statement)
		options := &gsql.FunctionOptions{AllowExternalUsage: true, ArgumentsAreCoercible: true, SupportsOverClause: f.Analytic,
			SupportsSafeErrorMode: true}
		mode := gsql.FunctionEnums_ModeScalar
		if f.Analytic {
			mode = gsql.FunctionEnums_ModeAnalytic
		}
		e.addFunction(f.Name, mode, options, start(statement.Signature()))
	}
	// A declaration cannot say that the result has the type of an argument.
	first, second := e.kind(gsql.SignatureArgumentKindArgTypeAny1), e.kind(gsql.SignatureArgumentKindArgTypeAny2)
	by := &gsql.FunctionOptions{AllowExternalUsage: true, ArgumentsAreCoercible: true, SupportsSafeErrorMode: true,
		SupportsOverClause: true, SupportsWindowFraming: true}
	for _, name := range []string{"MAX_BY", "MIN_BY"} {
		signature := start(gsql.NewFunctionSignature3(first, []*gsql.FunctionArgumentType{first, second}, 0))
		e.addFunction(name, gsql.FunctionEnums_ModeAggregate, by, signature)
	}
}

// builtinGroup is the group of functions that function accepts.
const builtinGroup = "GoogleSQL"

func (e *engine) addFunction(name string, mode gsql.FunctionEnums_Mode, options *gsql.FunctionOptions, signature *gsql.FunctionSignature) {
	f := start(gsql.NewFunction3(name, builtinGroup, mode, []*gsql.FunctionSignature{signature}, options))
	e.pinned = append(e.pinned, signature, f)
	startup(e.builtins.AddFunction(f))
}

func (e *engine) kind(k gsql.SignatureArgumentKind) *gsql.FunctionArgumentType {
	t := start(gsql.NewFunctionArgumentType4(k, 1))
	e.pinned = append(e.pinned, t)
	return t
}
