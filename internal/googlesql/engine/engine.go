package engine

import (
	"fmt"
	"os"

	gsql "github.com/goccy/go-googlesql"
)

// Revision names the GoogleSQL engine and the version of bqgate's reading of it. It is part of
// every cache key.
const Revision = "googlesql-36dd14aa/go-googlesql-0.4.0/lineage-3"

// engine holds what a worker sets up once. The process has one; the binding cannot make two.
type engine struct {
	language  *gsql.LanguageOptions
	options   *gsql.AnalyzerOptions // for statements without parameters and system variables, and for making parser options
	variables *gsql.AnalyzerOptions // for statements with system variables: the engine copies them all several times for each statement
	factory   *gsql.TypeFactory
	builtins  *gsql.SimpleCatalog
	lookup    *lookup
	catalog   gsql.CatalogNode

	scalars map[string]gsql.Googlesql_TypeNode
	tables  map[string]*table // by digest
	columns int               // of all these tables

	functions      map[string]*gsql.Function             // of datasets, by digest
	tableFunctions map[string]*gsql.FixedOutputSchemaTVF // by digest

	// pinned keeps Go wrappers reachable whose C++ objects the catalog points to: the binding's
	// finalizers would free them.
	pinned []any

	size   *os.File // /proc/self/statm
	served int      // requests

	parsers parsers
}

func newEngine() (e *engine, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the engine failed while starting: %v", r)
		}
	}()
	if err := gsql.Init(); err != nil {
		return nil, err
	}
	e = &engine{scalars: map[string]gsql.Googlesql_TypeNode{}, tables: map[string]*table{}}
	e.functions, e.tableFunctions = map[string]*gsql.Function{}, map[string]*gsql.FixedOutputSchemaTVF{}
	e.language = bigqueryLanguage()
	e.options = e.newOptions(false)
	e.factory = start(gsql.NewTypeFactory())
	e.builtins = start(gsql.NewSimpleCatalog("builtin", e.factory))
	startup(e.builtins.AddBuiltinFunctionsAndTypes(&gsql.BuiltinFunctionOptions{LanguageOptions: e.language}))
	e.lookup = &lookup{}
	named := start(gsql.NewCatalogFromImpl(e.lookup))
	e.catalog = start(gsql.NewMultiCatalogCreate("bigquery", []gsql.CatalogNode{e.builtins, named}))
	e.pinned = append(e.pinned, named)
	for _, name := range scalarTypes {
		e.scalars[name] = start(gsql.AnalyzeType(name, e.options, e.builtins, e.factory))
	}
	for _, alias := range aliasesOfINT64 {
		startup(e.builtins.AddType(alias, e.scalars["INT64"]))
	}
	e.variables = e.newOptions(true)
	e.addBigQueryFunctions()
	e.size, err = os.Open("/proc/self/statm") // read again and again: the worker can open no file later
	return e, err
}

// bigqueryLanguage is GoogleSQL as BigQuery speaks it, as nearly as the engine's switches allow.
// What BigQuery would not accept it refuses itself; what matters is that nothing both accept means
// something else here.
func bigqueryLanguage() *gsql.LanguageOptions {
	l := start(gsql.NewLanguageOptions())
	startup(l.EnableMaximumLanguageFeatures())
	for _, feature := range previews {
		startup(l.EnableLanguageFeature(feature))
	}
	for _, feature := range notBigQuery {
		startup(l.DisableLanguageFeature(feature))
	}
	startup(l.SetProductMode(gsql.ProductModeProductExternal))
	startup(l.SetSupportsAllStatementKinds())
	startup(l.EnableAllReservableKeywords(false))
	for _, keyword := range []string{"QUALIFY", "GRAPH_TABLE", "MATCH_RECOGNIZE"} {
		startup(l.EnableReservableKeyword(keyword, true))
	}
	startup(l.SetSupportedGenericEntityTypes([]string{"PROJECT", "ORGANIZATION", "BI_CAPACITY", "CAPACITY", "RESERVATION", "ASSIGNMENT",
		"DATA_POLICY"}))
	startup(l.SetSupportedGenericSubEntityTypes([]string{"REPLICA"}))
	return l
}

// previews are features that BigQuery has and the engine counts as unfinished. What is not analysed
// is refused later, with a better sentence.
var previews = []gsql.LanguageFeature{
	gsql.LanguageFeatureFeatureDifferentialPrivacy,
	gsql.LanguageFeatureFeatureAnonymization,
	gsql.LanguageFeatureFeatureCreateViewsWithColumnOptions,
}

// notBigQuery are released GoogleSQL features that BigQuery does not have and that change what a
// name means.
var notBigQuery = []gsql.LanguageFeature{
	gsql.LanguageFeatureFeatureLateralColumnReferences,
	gsql.LanguageFeatureFeatureAllowSlashPaths,
	gsql.LanguageFeatureFeatureWithGroupRows,
}

// newOptions makes analyzer options: rewrites off, so that the tree says what the author wrote; a
// location on every node.
func (e *engine) newOptions(variables bool) *gsql.AnalyzerOptions {
	o := start(gsql.NewAnalyzerOptions2())
	startup(o.SetLanguage(e.language))
	startup(o.SetParseLocationRecordType(gsql.ParseLocationRecordTypeParseLocationRecordFullNodeScope))
	startup(o.SetPruneUnusedColumns(true))
	startup(o.SetErrorMessageMode(gsql.ErrorMessageModeErrorMessageOneLine))
	// BigQuery reads literals without a time zone in UTC, the engine in that of Los Angeles. The
	// binding cannot make a time zone; the one that is not there is UTC.
	startup(o.SetDefaultTimeZone(nil))
	if variables {
		e.addSystemVariables(o)
	}
	for rewrite := gsql.ResolvedASTRewrite(1); rewrite < 64; rewrite++ {
		_ = o.EnableRewrite(rewrite, false) // numbers without a rewrite answer with an error, which says nothing
	}
	return o
}

// start and startup are must and check for the set-up, where the engine's own words are wanted.
func start[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func startup(err error) {
	if err != nil {
		panic(err)
	}
}
