package engine

import (
	"fmt"
	"slices"
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// tree is a parsed text. It must be freed before another is parsed.
type tree struct {
	text   string
	output *gsql.ParserOutput
	list   *gsql.ASTStatementList
}

func (t *tree) free() {
	if t.output != nil {
		freeParserOutput(t.output)
	}
}

// parsers are the options for parsing. They hold the arenas, where trees stay that are freed: so
// they are made anew after so many bytes of SQL, which leave a hundred times as many there.
type parsers struct {
	options *gsql.ParserOptions
	parsed  int
}

const maxParsed = 8 << 10

func (p *parsers) next(e *engine, text string) *gsql.ParserOptions {
	if p.parsed += len(text); p.options == nil || p.parsed > maxParsed {
		if p.options != nil {
			freeParserOptions(p.options)
		}
		p.options, p.parsed = must(e.options.GetParserOptions()), len(text)
		check(p.options.CreateDefaultArenasIfNotSet())
	}
	return p.options
}

// statement is the only statement of the tree, if it stands at the head of the text as this SQL:
// offsets in the one are then offsets in the other.
func (t *tree) statement(script *wire.Script, sql string) gsql.ASTStatementNode {
	if s := &script.Statements[0]; s.Start != 0 || t.text[:s.End] != sql {
		return nil
	}
	statement, _ := must(t.list.Child(0)).(gsql.ASTStatementNode)
	return statement
}

// parse outlines a text. On a syntax error there is no script; over a limit, there is one, cut off
// where the limit was met.
func (e *engine) parse(question *wire.ParseQuestion, t *tree) (*wire.Script, *wire.Error) {
	t.text = question.SQL
	output, err := gsql.ParseScript(question.SQL, e.parsers.next(e, question.SQL), &gsql.ErrorMessageOptions{
		Mode: gsql.ErrorMessageModeErrorMessageOneLine, Stability: gsql.ErrorMessageStabilityProduction,
	})
	if err != nil {
		return nil, textError(question.SQL, err)
	}
	t.output = output
	t.list = must(must(output.Script()).StatementListNode())
	o := &outline{question: question, script: &wire.Script{Statements: []wire.Statement{}}}
	limit := o.children(t.list, -1, 0)
	for i := range o.script.Statements {
		s := &o.script.Statements[i]
		for j := range s.Paths { // the alias that is not written
			if p := &s.Paths[j]; p.Role == wire.RoleTable {
				s.Rows = append(s.Rows, strings.ToLower(p.Place.Alias))
			}
		}
		s.Rows = append(s.Rows, s.Queries...)
		s.Queries, s.Rows = sorted(s.Queries), sorted(s.Rows)
	}
	return o.script, limit
}

// outline is a walk over a syntax tree. Statements are addressed by index: the slice grows as the
// walk goes on.
type outline struct {
	question *wire.ParseQuestion
	script   *wire.Script
}

func (o *outline) children(n gsql.ASTNode, statement, depth int) *wire.Error {
	count := must(n.NumChildren())
	for i := int32(0); i < count; i++ {
		if err := o.node(must(n.Child(i)), statement, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (o *outline) node(n gsql.ASTNode, statement, depth int) *wire.Error {
	o.script.Nodes++
	o.script.Depth = max(o.script.Depth, depth)
	if err := o.limits(n, depth); err != nil {
		return err
	}
	if path, ok := n.(*gsql.ASTPathExpression); ok {
		return o.identifiers(path, depth)
	}
	s, whole := n.(gsql.ASTStatementNode)
	if whole {
		if len(o.script.Statements) >= o.question.MaxStatements {
			return limitError(n, "the script has more than %d statements", o.question.MaxStatements)
		}
		start, end := span(n)
		o.script.Statements = append(o.script.Statements, wire.Statement{Kind: kindOf(s), Start: start, End: end, Nested: statement >= 0})
		statement = len(o.script.Statements) - 1
		o.targets(s, &o.script.Statements[statement])
	}
	if statement >= 0 {
		o.collect(n, &o.script.Statements[statement])
	}
	if err := o.children(n, statement, depth); err != nil {
		return err
	}
	if whole {
		reach(s, o.question.SQL, &o.script.Statements[statement])
	}
	return nil
}

// identifiers counts what is below a path, which is identifiers and nothing else. Half of all
// syntax nodes are: they are not asked for one by one.
func (o *outline) identifiers(path *gsql.ASTPathExpression, depth int) *wire.Error {
	o.script.Nodes += int(must(path.NumNames()))
	o.script.Depth = max(o.script.Depth, depth+1)
	return o.limits(path, depth+1)
}

// limits refuses a text with too many nodes, or nodes too deep.
func (o *outline) limits(n gsql.ASTNode, depth int) *wire.Error {
	switch {
	case o.script.Nodes > o.question.MaxNodes:
		return limitError(n, "the text has more than %d syntax elements", o.question.MaxNodes)
	case depth > o.question.MaxDepth:
		return limitError(n, "expressions or queries are nested more than %d deep", o.question.MaxDepth)
	}
	return nil
}

// targets takes what a statement changes. By the grammar the first name that is a direct child of a
// statement other than a query is its target, and the others are read; the statements about parts
// of a table name the table second.
func (o *outline) targets(n gsql.ASTStatementNode, s *wire.Statement) {
	var table *gsql.ASTPathExpression
	switch x := n.(type) {
	case *gsql.ASTQueryStatement, *gsql.ASTCallStatement:
		return
	case *gsql.ASTCreateRowAccessPolicyStatement:
		table = must(x.TargetPath())
	case *gsql.ASTDropRowAccessPolicyStatement:
		table = must(x.TableName())
	case *gsql.ASTCreateIndexStatement:
		table = must(x.TableName())
	case *gsql.ASTAlterIndexStatement:
		table = must(x.TableName())
	case *gsql.ASTDropSearchIndexStatement:
		table = must(x.TableName())
	case *gsql.ASTDropVectorIndexStatement:
		table = must(x.TableName())
	}
	if table != nil {
		s.Paths = append(s.Paths, pathOf(wire.RoleTarget, table))
		return
	}
	role := wire.RoleTarget
	count := must(n.NumChildren())
	for i := int32(0); i < count; i++ {
		switch x := must(n.Child(i)).(type) {
		case *gsql.ASTPathExpression:
			if role == wire.RoleTable {
				s.Paths = append(s.Paths, sourcePath(x))
				continue
			}
			s.Paths = append(s.Paths, pathOf(role, x))
			role = wire.RoleTable
		case *gsql.ASTFunctionDeclaration:
			s.Paths = append(s.Paths, pathOf(role, must(x.Name())))
			role = wire.RoleTable
		}
	}
}

// collect notes what a node names.
func (o *outline) collect(n gsql.ASTNode, s *wire.Statement) {
	switch x := n.(type) {
	case *gsql.ASTTablePathExpression:
		if path := must(x.PathExpr()); path != nil {
			s.Paths = append(s.Paths, tablePath(x, path))
		}
	case *gsql.ASTTableClause:
		if path := must(x.TablePath()); path != nil {
			s.Paths = append(s.Paths, tableClause(x, path))
		}
	case *gsql.ASTCopyDataSource:
		if path := must(x.PathExpr()); path != nil {
			s.Paths = append(s.Paths, sourcePath(path))
		}
	case *gsql.ASTCloneDataSource:
		if path := must(x.PathExpr()); path != nil {
			s.Paths = append(s.Paths, sourcePath(path))
		}
	case *gsql.ASTGraphElementTable:
		if path := must(x.Name()); path != nil {
			s.Paths = append(s.Paths, sourcePath(path))
		}
	case *gsql.ASTTVF:
		s.Paths = append(s.Paths, pathOf(wire.RoleTVF, must(x.Name())))
	case *gsql.ASTCallStatement:
		s.Paths = append(s.Paths, pathOf(wire.RoleProcedure, must(x.ProcedureName())))
	case *gsql.ASTModelClause:
		s.Paths = append(s.Paths, pathOf(wire.RoleModel, must(x.ModelPath())))
	case *gsql.ASTConnectionClause:
		if path, ok := must(x.ConnectionPath()).(*gsql.ASTPathExpression); ok {
			s.Paths = append(s.Paths, pathOf(wire.RoleConnection, path))
		}
	case *gsql.ASTFunctionCall:
		path := pathOf(wire.RoleBuiltin, must(x.Function()))
		if userDefined(path.Parts) {
			path.Role = wire.RoleFunction
		}
		if len(path.Parts) > 1 || !subscript[strings.ToUpper(path.Parts[0])] {
			s.Paths = append(s.Paths, path)
		}
	case *gsql.ASTAliasedQuery:
		s.Queries = append(s.Queries, strings.ToLower(must(must(x.Alias()).GetAsString())))
	case *gsql.ASTAlias:
		s.Rows = append(s.Rows, strings.ToLower(must(x.GetAsString())))
	case *gsql.ASTParameterExpr:
		s.Parameters++
		s.Positional = s.Positional || must(x.Name()) == nil
	}
}

// subscript are the words that look like functions in array[OFFSET(0)].
var subscript = map[string]bool{"OFFSET": true, "ORDINAL": true, "SAFE_OFFSET": true, "SAFE_ORDINAL": true, "KEY": true, "SAFE_KEY": true}

// userDefined reports whether a function's name can only be a routine of a dataset. One-part names
// are built-in or temporary.
func userDefined(parts []string) bool {
	if len(parts) == 2 {
		switch strings.ToUpper(parts[0]) {
		case "SAFE", "NET", "KEYS", "AEAD", "HLL_COUNT", "D3A_COUNT", "KLL_QUANTILES", "ML", "AI", "OBJ", "BQ", "APPROX":
			return false
		}
	}
	return len(parts) > 1 && !(len(parts) == 3 && strings.EqualFold(parts[0], "SAFE"))
}

func pathOf(role wire.Role, n *gsql.ASTPathExpression) wire.Path {
	start, end := span(n)
	p := wire.Path{Role: role, Start: start, End: end}
	count := must(n.NumNames())
	for i := int32(0); i < count; i++ {
		name := must(must(n.Name(i)).GetAsString())
		p.Identifiers = append(p.Identifiers, name)
		p.Parts = append(p.Parts, strings.Split(name, ".")...)
	}
	if len(p.Identifiers) == len(p.Parts) {
		p.Identifiers = nil
	}
	return p
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func span(n gsql.ASTNode) (start, end int) {
	r := must(n.GetParseLocationRange())
	return int(must(must(r.Start()).GetByteOffset())), int(must(must(r.End()).GetByteOffset()))
}

func limitError(n gsql.ASTNode, format string, args ...any) *wire.Error {
	start, _ := span(n)
	return &wire.Error{Code: codeLimit, Message: fmt.Sprintf(format, args...), Offset: start}
}
