package engine

import gsql "github.com/goccy/go-googlesql"

// addBigQueryFunctions adds functions that BigQuery has and the engine has not. Their results are derived from all their arguments, like
// those of every function, so only the signatures matter.
func (e *engine) addBigQueryFunctions() {
	text, truth := e.fixed("STRING"), e.fixed("BOOL")
	first, second := e.kind(gsql.SignatureArgumentKindArgTypeAny1), e.kind(gsql.SignatureArgumentKindArgTypeAny2)
	e.addFunction("CURRENT_USER", gsql.FunctionEnums_ModeScalar, text)
	e.addFunction("CONTAINS_SUBSTR", gsql.FunctionEnums_ModeScalar, truth, e.kind(gsql.SignatureArgumentKindArgTypeArbitrary), text)
	e.addFunction("MAX_BY", gsql.FunctionEnums_ModeAggregate, first, first, second)
	e.addFunction("MIN_BY", gsql.FunctionEnums_ModeAggregate, first, first, second)
}

// builtinGroup is the group of functions that function accepts.
const builtinGroup = "GoogleSQL"

func (e *engine) addFunction(name string, mode gsql.FunctionEnums_Mode, result *gsql.FunctionArgumentType, arguments ...*gsql.FunctionArgumentType) {
	signature := start(gsql.NewFunctionSignature3(result, arguments, 0))
	f := start(gsql.NewFunction4(name, builtinGroup, mode, []*gsql.FunctionSignature{signature}))
	e.pinned = append(e.pinned, signature, f)
	startup(e.builtins.AddFunction(f))
}

func (e *engine) fixed(scalar string) *gsql.FunctionArgumentType {
	t := start(gsql.NewFunctionArgumentType3(e.scalars[scalar], 1))
	e.pinned = append(e.pinned, t)
	return t
}

func (e *engine) kind(k gsql.SignatureArgumentKind) *gsql.FunctionArgumentType {
	t := start(gsql.NewFunctionArgumentType4(k, 1))
	e.pinned = append(e.pinned, t)
	return t
}
