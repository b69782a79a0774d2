package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	_ "unsafe" // for linkname: analyzer output is freed by finalizer only, which cannot keep up with the wasm heap

	googlesql "github.com/goccy/go-googlesql"
)

//go:linkname freeAnalyzerOutput github.com/goccy/go-googlesql.(*AnalyzerOutput).free
func freeAnalyzerOutput(*googlesql.AnalyzerOutput)

// analyzer resolves statements against the catalog, for dry runs and for the statistics of jobs.
type analyzer struct {
	catalog  *catalog
	options  *googlesql.AnalyzerOptions
	plain    *googlesql.AnalyzerOptions // without rewrites; made when it is first asked for
	types    *googlesql.TypeFactory
	builtins *googlesql.SimpleCatalog
	tables   map[string]*googlesql.SimpleTable
	funcs    map[string]*googlesql.Function
	tvfs     map[string]*googlesql.FixedOutputSchemaTVF
	version  int
	pinned   []any // wrappers whose finalizers must not run while GoogleSQL holds the objects
}

// analysis is what one statement means.
type analysis struct {
	kind      string
	tables    []tableID
	views     []tableID
	targets   []tableID
	columns   []field
	viewQuery string
	mode      string // CREATE_DEFAULT, CREATE_OR_REPLACE or CREATE_IF_NOT_EXISTS
	ifExists  bool
	cascade   bool
	routines  []tableID // functions of datasets that are called
	routine   *routine  // what CREATE FUNCTION or CREATE TABLE FUNCTION makes
}

func (a analysis) response() response {
	return response{StatementType: a.kind, Tables: a.tables, Views: a.views, Targets: a.targets, Columns: a.columns, Routines: a.routines,
		Analysed: true}
}

func newAnalyzer(cat *catalog) (*analyzer, error) {
	lang, err := newLanguage()
	if err != nil {
		return nil, err
	}
	builtins, err := googlesql.NewSimpleCatalog("builtin", nil)
	if err != nil {
		return nil, fmt.Errorf("make the catalog of functions: %w", err)
	}
	if err := builtins.AddBuiltinFunctionsAndTypes(&googlesql.BuiltinFunctionOptions{LanguageOptions: lang}); err != nil {
		return nil, fmt.Errorf("add the functions: %w", err)
	}
	options, err := googlesql.NewAnalyzerOptions2()
	if err != nil {
		return nil, fmt.Errorf("make analyzer options: %w", err)
	}
	optionsLang, err := newLanguage()
	if err != nil {
		return nil, err
	}
	if err := options.SetLanguage(optionsLang); err != nil {
		return nil, fmt.Errorf("set the language: %w", err)
	}
	types, err := googlesql.NewTypeFactory()
	if err != nil {
		return nil, fmt.Errorf("make a type factory: %w", err)
	}
	whole, err := types.MakeSimpleType(googlesql.TypeKindTypeInt64)
	if err != nil {
		return nil, fmt.Errorf("make INT64: %w", err)
	}
	for _, alias := range integers {
		if err := builtins.AddType(alias, whole); err != nil {
			return nil, fmt.Errorf("name INT64 %s: %w", alias, err)
		}
	}
	return &analyzer{catalog: cat, options: options, types: types, builtins: builtins, version: -1,
		pinned: []any{lang, optionsLang, whole}}, nil
}

// newLanguage makes the options anew each time: whoever receives them may move them out.
func newLanguage() (*googlesql.LanguageOptions, error) {
	lang, err := googlesql.NewLanguageOptions()
	if err != nil {
		return nil, fmt.Errorf("make language options: %w", err)
	}
	return lang, errors.Join(
		lang.EnableMaximumLanguageFeatures(),
		lang.SetSupportsAllStatementKinds(),
		lang.SetProductMode(googlesql.ProductModeProductExternal),
		lang.EnableReservableKeyword("QUALIFY", true),
		lang.EnableLanguageFeature(googlesql.LanguageFeatureFeaturePipes),
		lang.EnableLanguageFeature(googlesql.LanguageFeatureFeatureV13AllowDashesInTableName),
	)
}

// analyze resolves one statement. A script, and what the analyzer cannot resolve, comes back with a
// failure and as much of the kind as parsing shows.
func (an *analyzer) analyze(sql, project, dataset string) (analysis, *failure) {
	var a analysis
	if kind, ok := an.parseKind(sql); ok {
		a.kind = kind
	}
	if name, ok := strings.CutPrefix(a.kind, unsupported); ok {
		a.kind = ""
		return a, &failure{Reason: "invalidQuery", Message: "Statement not supported: " + name, fatal: true}
	}
	if a.kind == "EXPORT_DATA" {
		return a, &failure{Reason: "accessDenied", Message: "Access Denied: no bucket can be reached from here", fatal: true}
	}
	if strings.HasPrefix(a.kind, "ALTER_") || a.kind == "GRANT" || a.kind == "REVOKE" {
		// The driver reports success and changes nothing, which would make a test believe in it.
		return a, &failure{Reason: "notImplemented", Message: a.kind + " is not carried out here", fatal: true}
	}
	if a.kind == "SCRIPT" {
		return a, &failure{Reason: "invalidQuery", Message: "a script is not analysed statement by statement here"}
	}
	if err := an.refresh(); err != nil {
		return a, &failure{Reason: "internalError", Message: err.Error()}
	}
	finder := &finder{an: an, project: project, dataset: dataset}
	handle, err := googlesql.NewCatalogFromImpl(finder)
	if err != nil {
		return a, &failure{Reason: "internalError", Message: err.Error()}
	}
	multi, err := googlesql.NewMultiCatalogCreate("all", []googlesql.CatalogNode{an.builtins, handle})
	if err != nil {
		return a, &failure{Reason: "internalError", Message: err.Error()}
	}
	out, err := googlesql.AnalyzeStatement(sql, an.options, multi, an.types)
	if err != nil {
		if finder.missing != "" {
			return a, &failure{Reason: finder.reason, Message: finder.missing, fatal: a.kind == "SELECT"}
		}
		return a, &failure{Reason: "invalidQuery", Message: googleWords(err.Error())}
	}
	defer freeAnalyzerOutput(out)
	stmt, err := out.ResolvedStatement()
	if err != nil {
		return a, &failure{Reason: "internalError", Message: err.Error()}
	}
	if err := an.describe(&a, stmt, project, dataset); err != nil {
		return a, &failure{Reason: "internalError", Message: err.Error()}
	}
	return a, nil
}

var (
	at        = regexp.MustCompile(`\[at (\d+:\d+)\]`)
	errPrefix = regexp.MustCompile(`^(?:googlesql: )?(?:generic::)?(?:INVALID_ARGUMENT|NOT_FOUND|invalid_argument|not_found): `)
	scan      = regexp.MustCompile(`(?m)^[| ]*\+-(?:\w+=)?TableScan\(.*\btable=([^,)\n]+)`)
	rootScan  = regexp.MustCompile(`(?m)^TableScan\(.*\btable=([^,)\n]+)`)
)

// googleWords gives an analyzer message the form BigQuery gives it.
func googleWords(msg string) string {
	return at.ReplaceAllString(errPrefix.ReplaceAllString(msg, ""), "at [$1]")
}

// describe reads kind, tables, targets and output columns off the resolved statement.
func (an *analyzer) describe(a *analysis, stmt googlesql.ResolvedStatementNode, project, dataset string) error {
	dump, err := stmt.DebugString()
	if err != nil {
		return fmt.Errorf("print the resolved statement: %w", err)
	}
	for _, re := range []*regexp.Regexp{scan, rootScan} {
		for _, m := range re.FindAllStringSubmatch(dump, -1) {
			e := an.catalog.tables[m[1]]
			if strings.HasSuffix(m[1], "*") {
				for _, member := range an.catalog.members(m[1]) {
					a.tables = append(a.tables, member.id)
				}
				continue
			}
			if e == nil {
				return fmt.Errorf("the statement reads %q, which is not in the catalog", m[1])
			}
			if e.view {
				a.views = append(append(a.views, e.id), e.through...)
				a.routines = append(a.routines, e.calls...)
				a.tables = append(a.tables, e.reads...)
			} else {
				a.tables = append(a.tables, e.name())
			}
		}
	}
	for _, m := range called.FindAllStringSubmatch(dump, -1) {
		r := an.catalog.routines[m[1]+m[2]]
		if r == nil {
			return fmt.Errorf("the statement calls %q, which is not in the catalog", m[1]+m[2])
		}
		a.tables, a.views, a.routines = append(a.tables, r.reads...), append(a.views, r.through...),
			append(append(a.routines, r.ID), r.calls...)
	}
	a.tables, a.views, a.routines = uniqueIDs(a.tables), uniqueIDs(a.views), uniqueIDs(a.routines)

	if named, ok := stmt.(interface{ NamePath() ([]string, error) }); ok {
		path, err := named.NamePath()
		if err != nil {
			return fmt.Errorf("read the name: %w", err)
		}
		a.targets = []tableID{target(path, project, dataset, strings.HasSuffix(a.kind, "_SCHEMA"))}
	}
	if c, ok := stmt.(interface {
		CreateMode() (googlesql.ResolvedCreateStatementEnums_CreateMode, error)
	}); ok {
		mode, err := c.CreateMode()
		if err != nil {
			return fmt.Errorf("read the create mode: %w", err)
		}
		switch mode {
		case googlesql.ResolvedCreateStatementEnums_CreateModeCreateOrReplace:
			a.mode = "CREATE_OR_REPLACE"
		case googlesql.ResolvedCreateStatementEnums_CreateModeCreateIfNotExists:
			a.mode = "CREATE_IF_NOT_EXISTS"
		default:
			a.mode = "CREATE_DEFAULT"
		}
	}
	if err := an.describeRoutine(a, stmt); err != nil {
		return err
	}
	switch s := stmt.(type) {
	case *googlesql.ResolvedDropStmt:
		mode, err := s.DropMode()
		if err != nil {
			return fmt.Errorf("read the drop mode: %w", err)
		}
		a.cascade = mode == googlesql.ResolvedDropStmtEnums_DropModeCascade
		if a.ifExists, err = s.IsIfExists(); err != nil {
			return fmt.Errorf("read IF EXISTS: %w", err)
		}
	case *googlesql.ResolvedCreateViewStmt:
		if a.viewQuery, err = s.Sql(); err != nil {
			return fmt.Errorf("read the view's text: %w", err)
		}
	case *googlesql.ResolvedQueryStmt:
		cols, err := s.OutputColumnList()
		if err != nil {
			return fmt.Errorf("read the output columns: %w", err)
		}
		for _, c := range cols {
			name, err := c.Name()
			if err != nil {
				return fmt.Errorf("read a column's name: %w", err)
			}
			col, err := c.Column()
			if err != nil {
				return fmt.Errorf("read column %q: %w", name, err)
			}
			t, err := col.Type()
			if err != nil {
				return fmt.Errorf("read the type of column %q: %w", name, err)
			}
			f, err := an.fieldOfType(name, t)
			if err != nil {
				return err
			}
			a.columns = append(a.columns, f)
		}
		value, err := s.IsValueTable()
		if err != nil {
			return fmt.Errorf("read whether this is a value table: %w", err)
		}
		if value && len(a.columns) == 1 && a.columns[0].Name == "" {
			a.columns[0].Name = "$struct"
		}
	}
	return nil
}

// fieldOfType turns an analyzer type into TableFieldSchema.
func (an *analyzer) fieldOfType(name string, t googlesql.Googlesql_TypeNode) (field, error) {
	kind, err := t.Kind()
	if err != nil {
		return field{}, fmt.Errorf("read the type of %q: %w", name, err)
	}
	switch kind {
	case googlesql.TypeKindTypeArray:
		arr, err := t.AsArray()
		if err != nil {
			return field{}, fmt.Errorf("read the array type of %q: %w", name, err)
		}
		elem, err := arr.ElementType()
		if err != nil {
			return field{}, fmt.Errorf("read the element type of %q: %w", name, err)
		}
		f, err := an.fieldOfType(name, elem)
		f.Mode = "REPEATED"
		return f, err
	case googlesql.TypeKindTypeStruct:
		st, err := t.AsStruct()
		if err != nil {
			return field{}, fmt.Errorf("read the struct type of %q: %w", name, err)
		}
		fields, err := st.Fields()
		if err != nil {
			return field{}, fmt.Errorf("read the fields of %q: %w", name, err)
		}
		f := field{Name: name, Type: "RECORD", Mode: "NULLABLE", Fields: []field{}}
		for i, sub := range fields {
			subName := sub.Name
			if subName == "" {
				subName = fmt.Sprintf("_field_%d", i+1)
			}
			sf, err := an.fieldOfType(subName, sub.Type_)
			if err != nil {
				return field{}, err
			}
			f.Fields = append(f.Fields, sf)
		}
		return f, nil
	}
	word, ok := apiTypes[kind]
	if !ok {
		return field{}, fmt.Errorf("column %q has a type (%v) that the API cannot show", name, kind)
	}
	return field{Name: name, Type: word, Mode: "NULLABLE"}, nil
}

// target completes a name as BigQuery does: project and dataset from the request where the
// statement leaves them out.
func target(path []string, project, dataset string, schema bool) tableID {
	parts := strings.Split(strings.Join(path, "."), ".")
	if schema {
		if len(parts) == 1 {
			return tableID{Project: project, Dataset: parts[0]}
		}
		return tableID{Project: strings.Join(parts[:len(parts)-1], "."), Dataset: parts[len(parts)-1]}
	}
	full := complete(parts, project, dataset)
	if len(full) != 3 {
		return tableID{Project: project, Table: strings.Join(parts, ".")}
	}
	return tableID{Project: full[0], Dataset: full[1], Table: full[2]}
}

func complete(parts []string, project, dataset string) []string {
	if p, d, ok := strings.Cut(dataset, "."); ok && len(parts) == 1 {
		return append([]string{p, d}, parts...)
	}
	switch {
	case len(parts) == 1 && dataset != "":
		return append([]string{project, dataset}, parts...)
	case len(parts) == 2:
		return append([]string{project}, parts...)
	}
	return parts
}

func uniqueIDs(ids []tableID) []tableID {
	slices.SortFunc(ids, func(a, b tableID) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(ids)
}
