package engine

import (
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// tablePath is a table's name in FROM or JOIN, with what stands around it.
func tablePath(n *gsql.ASTTablePathExpression, path *gsql.ASTPathExpression) wire.Path {
	p := pathOf(wire.RoleTable, path)
	place := &wire.Place{Form: wire.FormFrom, Whole: spanOf(n), Alias: lastOf(&p), Subquery: true}
	count := must(n.NumChildren())
	for i := int32(0); i < count; i++ {
		child := must(n.Child(i))
		if _, ok := child.(*gsql.ASTPathExpression); ok { // the name itself
			continue
		}
		at := spanOf(child)
		switch x := child.(type) {
		case *gsql.ASTAlias:
			place.Alias, place.AliasSpan = must(x.GetAsString()), &at
		case *gsql.ASTHint:
			place.Hint = &at
		case *gsql.ASTForSystemTime:
			place.SystemTime = &at
		case *gsql.ASTSampleClause:
			place.Sample = &at
		case *gsql.ASTWithOffset:
			place.Offset, place.Subquery = &at, false
		case *gsql.ASTPivotClause:
			place.Pivot = &at
		case *gsql.ASTUnpivotClause:
			place.Unpivot = &at
		default:
			place.Other, place.Subquery = true, false
		}
	}
	p.Place = place
	return p
}

// tableClause is TABLE t: a query, or an argument of a table-valued function.
func tableClause(n *gsql.ASTTableClause, path *gsql.ASTPathExpression) wire.Path {
	p := pathOf(wire.RoleTable, path)
	place := &wire.Place{Form: wire.FormTable, Whole: spanOf(n), Alias: lastOf(&p), Subquery: true}
	if _, ok := must(n.Parent()).(*gsql.ASTTVFArgument); ok {
		place.Form = wire.FormArgument
	}
	if must(n.NumChildren()) != 1 { // TABLE t WHERE …
		place.Other, place.Subquery = true, false
	}
	p.Place = place
	return p
}

// sourcePath is a table's name in a place where only a name may stand.
func sourcePath(path *gsql.ASTPathExpression) wire.Path {
	p := pathOf(wire.RoleTable, path)
	p.Place = &wire.Place{Form: wire.FormSource, Whole: wire.Span{Start: p.Start, End: p.End}, Alias: strings.Join(p.Parts, ".")}
	return p
}

// lastOf is the alias that a name has of itself.
func lastOf(p *wire.Path) string {
	names := p.Spelled()
	return names[len(names)-1]
}

func spanOf(n gsql.ASTNode) wire.Span {
	start, end := span(n)
	return wire.Span{Start: start, End: end}
}
