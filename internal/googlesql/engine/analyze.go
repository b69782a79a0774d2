package engine

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// analyze resolves one statement against the question's tables and computes its lineage. A
// statement that is parsed already need not be parsed again; it must be that of the question's SQL,
// at the same offsets.
func (e *engine) analyze(question *wire.AnalyzeQuestion, parsed gsql.ASTStatementNode) (*wire.Analysis, *wire.Error) {
	options := e.options
	variables := strings.Contains(question.SQL, "@@")
	if variables {
		options = e.variables
	}
	if len(question.Named)+len(question.Positional) > 0 || question.Undeclared != "" {
		options = e.newOptions(variables)
		defer freeAnalyzerOptions(options)
		if question.Undeclared != "" {
			check(options.SetAllowUndeclaredParameters(true))
		}
		if len(question.Positional) > 0 || question.Undeclared == wire.ParametersPositional {
			check(options.SetParameterMode(gsql.ParameterModeParameterPositional))
		}
		for _, p := range question.Named {
			check(options.AddQueryParameter(p.Name, e.typeOf(p.Type, "@"+p.Name)))
		}
		for i, p := range question.Positional {
			check(options.AddPositionalQueryParameter(e.typeOf(p, fmt.Sprintf("parameter %d", i+1))))
		}
	}
	e.prepare(question)
	var output *gsql.AnalyzerOutput
	var err error
	if parsed != nil {
		output, err = gsql.AnalyzeStatementFromParserAST(parsed, options, question.SQL, e.catalog, e.factory)
	} else {
		output, err = gsql.AnalyzeStatement(question.SQL, options, e.catalog, e.factory)
	}
	untrapped(err)
	if err != nil {
		if e.lookup.missing != "" {
			return &wire.Analysis{Missing: e.lookup.missing}, nil
		}
		return nil, textError(question.SQL, err)
	}
	defer freeAnalyzerOutput(output)
	w := &walk{
		columns: map[int32]*value{}, origins: map[string]*origin{}, withs: map[string][]*value{},
		functions: map[string]bool{}, routines: map[string]bool{}, lookup: e.lookup, limit: question.MaxColumns, madeUp: -1,
		text: question.SQL, shapes: question.Shapes,
		unnests: unnests{marks: map[int32]*origin{}, viewMarks: map[string]*origin{}, inner: map[*origin][]*unnest{},
			within: map[string]met{}},
	}
	statement := must(output.ResolvedStatement())
	switch x := statement.(type) {
	case *gsql.ResolvedCreateFunctionStmt:
		w.functionBody(x)
	case *gsql.ResolvedCreateTableFunctionStmt:
		w.tableFunctionBody(x)
	default:
		w.statement(statement)
		w.verify(statement)
	}
	return w.analysis(), nil
}

// walk is the state of one statement's analysis.
type walk struct {
	columns   map[int32]*value // by column id
	origins   map[string]*origin
	withs     map[string][]*value // column values of a WITH query, by its unique name
	recursive []*value            // of the recursive query being walked
	functions map[string]bool
	routines  map[string]bool // functions and table functions of datasets that are called
	lookup    *lookup
	limit     int
	repeat    bool // this part was walked before: nothing is counted again
	madeUp    int  // the place of calls that the author did not write; -1 for none
	text      string
	shapes    bool // of output columns are wanted

	scans  []wire.Scan
	refs   int // column references visited
	calls  int // calls of table functions visited
	output []wire.Column
	out    []*value
	uses   []use
	reads  []read
	unnests
}

// use is an origin that steers the result.
type use struct {
	*origin
	in     googlesql.UseIn
	offset int
	length bool // it is only the length of an array that is used (unnest.go)
}

// read is a value that an operator, a condition or UNNEST took; what does not flow into the output
// from it is a use.
type read struct {
	value  *value
	offset int
}

func (w *walk) use(in googlesql.UseIn, v *value, offset int) {
	v.each(func(s source) {
		switch {
		case s.mark:
			w.spent(s.origin)
		case s.origin != generated:
			w.uses = append(w.uses, use{origin: s.origin, in: in, offset: offset})
		}
	})
}

// valueTable is the output of SELECT AS STRUCT and SELECT AS VALUE: BigQuery answers with one
// column for each field.
func (w *walk) valueTable(c *gsql.ResolvedOutputColumn) {
	column := must(c.Column())
	kind, v := must(column.Type()), w.column(column)
	structure := must(kind.AsStruct())
	if structure == nil {
		w.emit("", kind, v)
		return
	}
	for i, f := range must(structure.Fields()) {
		w.emit(f.Name, f.Type_, v.field(i))
	}
}

// emit adds an output column. Names that the engine made up begin with a dollar sign.
func (w *walk) emit(name string, kind gsql.Googlesql_TypeNode, v *value) {
	if strings.HasPrefix(name, "$") {
		name = ""
	}
	column := wire.Column{Name: name, Type: typeName(kind), Sources: []wire.Source{}}
	if w.shapes {
		made := shapeOf(kind)
		column.Shape = &made
	}
	if strings.Contains(column.Type, "`") { // a name in it is no plain one
		undotted(shapeOf(kind))
	}
	var leaves func(v *value, path string)
	leaves = func(v *value, path string) {
		if w.limit--; w.limit < 0 {
			panic(abort{&wire.Error{Code: codeLimit, Message: "the result has too many columns and fields", Offset: -1}})
		}
		for _, s := range v.own {
			if s.mark {
				continue
			}
			column.Sources = append(column.Sources, wire.Source{Path: path, Column: s.name, Derived: s.derived})
		}
		for i, f := range v.fields {
			leaves(f, join(path, fieldName(v.names, i)))
		}
		if v.element != nil {
			leaves(v.element, path)
		}
	}
	leaves(v, "")
	slices.SortFunc(column.Sources, func(a, b wire.Source) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Column, b.Column), compareBool(a.Derived, b.Derived))
	})
	column.Sources = slices.Compact(column.Sources)
	w.output = append(w.output, column)
	w.out = append(w.out, v)
}

// undotted refuses a field with a dot in its name. Paths are joined by dots: a field `a.b` would be
// taken for the field b of a.
func undotted(t wire.Type) {
	if t.Element != nil {
		undotted(*t.Element)
	}
	for _, f := range t.Fields {
		if strings.Contains(f.Name, ".") {
			refuse(-1, "the result has a field %q; BigQuery allows no dot in the names of a result", f.Name)
		}
		undotted(f.Type)
	}
}

// fieldName is the name of a field in a result: BigQuery calls anonymous ones by position.
func fieldName(names []string, i int) string {
	if i < len(names) && names[i] != "" {
		return names[i]
	}
	return fmt.Sprintf("_field_%d", i+1)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// verify refuses the statement if the walk did not see all of it.
func (w *walk) verify(s gsql.ResolvedNode) {
	if err := s.CheckFieldsAccessed(); err != nil {
		refuse(-1, "%s", unread(err.Error()))
	}
	var found counts
	found.below(s)
	if found != (counts{scans: len(w.scans), refs: w.refs, calls: w.calls}) {
		refuse(-1, "a part of this statement is not known to bqgate")
	}
}

// counts are numbers of nodes: table scans, column references, calls of table functions.
type counts struct{ scans, refs, calls int }

var countedKinds = []gsql.ResolvedNodeKind{gsql.ResolvedNodeKindResolvedTableScan, gsql.ResolvedNodeKindResolvedColumnRef,
	gsql.ResolvedNodeKindResolvedTvfscan}

// below adds the nodes of a tree. The engine finds them on its own, not below one that it has
// found: there it is asked again.
func (c *counts) below(n gsql.ResolvedNode) {
	for _, found := range must(n.GetDescendantsWithKinds(countedKinds)) {
		switch found.(type) {
		case *gsql.ResolvedTableScan:
			c.scans++
		case *gsql.ResolvedTVFScan:
			c.calls++
		case *gsql.ResolvedColumnRef: // has nothing below it
			c.refs++
			continue
		}
		for _, child := range must(found.GetChildNodes()) {
			c.below(child)
		}
	}
}

// analysis turns the walk into the reply.
func (w *walk) analysis() *wire.Analysis {
	carried, derived := map[*origin]bool{}, map[*origin]bool{}
	for _, v := range w.out {
		v.each(func(s source) {
			carried[s.origin] = true
			derived[s.origin] = derived[s.origin] || s.derived
		})
	}
	for _, u := range w.uses {
		derived[u.origin] = true
	}
	for _, r := range w.reads {
		r.value.each(func(s source) {
			if s.origin != generated && !s.mark && !derived[s.origin] {
				w.uses = append(w.uses, use{origin: s.origin, in: googlesql.UseExpression, offset: r.offset})
			}
		})
	}
	result := &wire.Analysis{Scans: w.scans, Columns: w.output, Unnests: w.lengths(carried)}
	w.computedLengths()
	slices.SortStableFunc(w.uses, func(a, b use) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.in, b.in), cmp.Compare(uint(a.offset), uint(b.offset)))
	})
	for i, u := range w.uses {
		if i == 0 || w.uses[i-1].name != u.name || w.uses[i-1].in != u.in {
			result.Uses = append(result.Uses, wire.Use{Column: u.name, In: string(u.in), Offset: u.offset, Length: u.length})
		}
		if last := &result.Uses[len(result.Uses)-1]; u.length {
			result.Lengths = append(result.Lengths, u.name)
		} else {
			last.Length = false
		}
	}
	result.Lengths = slices.Compact(result.Lengths)
	for f := range w.functions {
		result.Functions = append(result.Functions, f)
	}
	slices.Sort(result.Functions)
	for r := range w.routines {
		result.Routines = append(result.Routines, r)
	}
	slices.Sort(result.Routines)
	return result
}

var unreadField = regexp.MustCompile(`Resolved(\w+)::(\w+)`)

// unread words the engine's complaint that a field with meaning was not looked at.
func unread(complaint string) string {
	if m := unreadField.FindStringSubmatch(complaint); m != nil {
		return fmt.Sprintf("this statement uses something that is not analysed (%s of %s)", strings.ReplaceAll(m[2], "_", " "), m[1])
	}
	return "this statement uses something that is not analysed"
}
