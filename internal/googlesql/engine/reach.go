package engine

import (
	"slices"
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// reach says of each table that a statement reads what hangs on which columns it has (wire.Reach).
// Resolving the text does not tell: it is done with the columns that the catalog knows, and
// BigQuery may know others of a wildcard, of a table as it was, of INFORMATION_SCHEMA. So this
// looks at the text alone, and where it is not sure it says yes.
func reach(statement gsql.ASTStatementNode, text string, s *wire.Statement) {
	if !doubtful(text, s) {
		return
	}
	r := &reaches{places: map[int]*wire.Place{}, blind: -1}
	for i := range s.Paths {
		if p := &s.Paths[i]; p.Place != nil {
			r.places[p.Start] = p.Place
		}
	}
	_, query := statement.(*gsql.ASTQueryStatement)
	r.below(statement, nil, !query) // around the query of a function are the function's arguments
	for _, place := range r.places {
		slices.Sort(place.Names)
		place.Names = slices.Compact(place.Names)
	}
}

// doubtful reports whether a statement names anything of which the columns may not be known for
// certain.
func doubtful(text string, s *wire.Statement) bool {
	for i := range s.Paths {
		p := &s.Paths[i]
		if p.Place != nil && (p.Place.SystemTime != nil || strings.HasSuffix(p.Parts[len(p.Parts)-1], "*") ||
			slices.Contains(p.Parts, informationSchema)) {
			return true
		}
	}
	for i := strings.IndexByte(text, '_'); i >= 0 && i < len(text); {
		if wire.PseudoName(text[i:min(len(text), i+16)]) {
			return true
		}
		next := strings.IndexByte(text[i+1:], '_')
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

type reaches struct {
	places map[int]*wire.Place // by where the name begins
	blind  int                 // where the SELECT of an EXISTS begins: what it selects is not looked at
}

// names is what one SELECT can name of its FROM clause.
type names struct {
	outer  *names // of the query around it; nil for none
	nested bool   // there is something around it that a name can mean
	blind  bool

	variables map[string]bool // names of the tables, lower case
	tables    []variable
	aliases   map[string]bool // of the SELECT list
	late      bool            // GROUP BY and the like are being walked: there aliases count
}

type variable struct {
	name  string
	place *wire.Place
}

func newNames(outer *names, nested bool) *names {
	return &names{outer: outer, nested: nested, variables: map[string]bool{}, aliases: map[string]bool{}}
}

func (r *reaches) below(n gsql.ASTNode, in *names, nested bool) {
	children(n, func(child gsql.ASTNode) { r.node(child, in, nested) })
}

func children(n gsql.ASTNode, visit func(gsql.ASTNode)) {
	count := must(n.NumChildren())
	for i := int32(0); i < count; i++ {
		visit(must(n.Child(i)))
	}
}

// node walks what is in the scope of these names. nested says whether a query in it can name
// something around it.
func (r *reaches) node(n gsql.ASTNode, in *names, nested bool) {
	switch x := n.(type) {
	case nil, *gsql.ASTSimpleType:
	case *gsql.ASTQuery:
		r.query(x, in, nested)
	case *gsql.ASTSelect:
		r.selects(x, in, nested)
	case *gsql.ASTExpressionSubquery:
		if must(x.Modifier()) == gsql.ASTExpressionSubqueryEnums_ModifierExists {
			if s, ok := must(must(x.Query()).QueryExpr()).(*gsql.ASTSelect); ok && !must(s.Distinct()) {
				r.blind, _ = span(s)
			}
		}
		r.below(x, in, true)
	case *gsql.ASTPathExpression:
		r.path(x, in)
	case *gsql.ASTFunctionCall:
		first := true
		children(x, func(child gsql.ASTNode) {
			if _, star := child.(*gsql.ASTStar); !first && !star { // the first is the function's name
				r.node(child, in, nested)
			}
			first = false
		})
	case *gsql.ASTStar, *gsql.ASTStarWithModifiers:
		in.star()
		r.below(x, in, nested)
	case *gsql.ASTDotStar:
		r.dotStar(must(x.Expr()), in)
		r.below(x, in, nested)
	case *gsql.ASTDotStarWithModifiers:
		r.dotStar(must(x.Expr()), in)
		r.below(x, in, nested)
	case *gsql.ASTTablePathExpression, *gsql.ASTTVF, *gsql.ASTTableSubquery, *gsql.ASTJoin, *gsql.ASTParenthesizedJoin:
		if in == nil { // not where a FROM clause is known
			in = newNames(nil, nested)
		}
		before := len(in.tables)
		r.from(x, in, nested)
		for _, t := range in.tables[before:] { // JOIN of a pipe: all columns go on
			t.row()
		}
	case *gsql.ASTTableClause:
		if path := must(x.TablePath()); path != nil {
			start, _ := span(path)
			(variable{place: r.places[start]}).row()
		}
	default:
		r.below(n, in, nested)
	}
}

// query walks a query and gives what its ORDER BY and its pipe operators can name.
func (r *reaches) query(n *gsql.ASTQuery, in *names, nested bool) *names {
	var own *names
	children(n, func(child gsql.ASTNode) {
		switch x := child.(type) {
		case *gsql.ASTSelect:
			own = r.selects(x, in, nested)
		case *gsql.ASTQuery:
			own = r.query(x, in, nested)
		case *gsql.ASTFromQuery:
			own = newNames(in, nested)
			r.from(must(must(x.FromClause()).TableExpression()), own, nested)
			for _, t := range own.tables { // all columns go on
				t.row()
			}
		case *gsql.ASTWithClause, *gsql.ASTSetOperation:
			r.node(x, in, nested)
		default:
			if own == nil {
				own = newNames(in, nested)
			}
			r.node(x, own, true)
		}
	})
	return own
}

func (r *reaches) selects(n *gsql.ASTSelect, in *names, nested bool) *names {
	own := newNames(in, nested)
	start, _ := span(n)
	own.blind, r.blind = start == r.blind, -1
	if list := must(n.SelectList()); list != nil {
		children(list, func(child gsql.ASTNode) {
			if c, ok := child.(*gsql.ASTSelectColumn); ok {
				own.alias(own.aliases, must(c.Alias()))
			}
		})
	}
	children(n, func(child gsql.ASTNode) {
		if from, ok := child.(*gsql.ASTFromClause); ok {
			r.from(must(from.TableExpression()), own, nested)
		}
	})
	children(n, func(child gsql.ASTNode) {
		switch child.(type) {
		case *gsql.ASTFromClause:
		case *gsql.ASTGroupBy, *gsql.ASTHaving, *gsql.ASTQualify, *gsql.ASTWindowClause:
			own.late = true
			r.node(child, own, true)
			own.late = false
		default:
			r.node(child, own, true)
		}
	})
	return own
}

// from walks a FROM clause and takes the names of its tables. A subquery in it sees what is around
// the SELECT, not what stands beside it.
func (r *reaches) from(n gsql.ASTNode, own *names, nested bool) {
	switch x := n.(type) {
	case *gsql.ASTTablePathExpression:
		r.table(x, own)
	case *gsql.ASTTableSubquery:
		own.alias(own.variables, must(x.Alias()))
		lateral := must(x.IsLateral())
		children(x, func(child gsql.ASTNode) {
			switch q, ok := child.(*gsql.ASTQuery); {
			case ok && !lateral:
				r.query(q, own.outer, nested)
			default:
				r.around(child, own)
			}
		})
	case *gsql.ASTTVF:
		own.alias(own.variables, must(x.Alias()))
		first := true
		children(x, func(child gsql.ASTNode) {
			if !first { // its name
				r.around(child, own)
			}
			first = false
		})
	case *gsql.ASTJoin, *gsql.ASTParenthesizedJoin:
		children(x, func(child gsql.ASTNode) {
			switch child.(type) {
			case *gsql.ASTTablePathExpression, *gsql.ASTTableSubquery, *gsql.ASTTVF, *gsql.ASTJoin, *gsql.ASTParenthesizedJoin:
				r.from(child, own, nested)
			default:
				r.around(child, own)
			}
		})
	default:
		r.around(n, own)
	}
}

// around walks what stands beside a table in FROM.
func (r *reaches) around(n gsql.ASTNode, own *names) {
	switch x := n.(type) {
	case nil:
	case *gsql.ASTWithOffset:
		if a := must(x.Alias()); a != nil {
			own.alias(own.variables, a)
		} else {
			own.variables["offset"] = true
		}
	case *gsql.ASTAlias:
		own.alias(own.variables, x)
	case *gsql.ASTPivotClause:
		own.alias(own.variables, must(x.OutputAlias()))
		r.below(x, own, true)
	case *gsql.ASTUnpivotClause:
		own.alias(own.variables, must(x.OutputAlias()))
		r.below(x, own, true)
	default:
		r.node(n, own, true)
	}
}

func (r *reaches) table(n *gsql.ASTTablePathExpression, own *names) {
	path := must(n.PathExpr())
	if path == nil {
		own.alias(own.variables, must(n.Alias()))
		r.below(n, own, true) // UNNEST
		children(n, func(child gsql.ASTNode) {
			if _, ok := child.(*gsql.ASTWithOffset); ok {
				r.around(child, own)
			}
		})
		return
	}
	if must(path.NumNames()) > 1 { // perhaps an array of what is around
		r.named(strings.ToLower(must(must(path.FirstName()).GetAsString())), own)
	}
	start, _ := span(path)
	t := variable{name: strings.ToLower(must(must(path.LastName()).GetAsString())), place: r.places[start]}
	if a := must(n.Alias()); a != nil {
		t.name = strings.ToLower(must(a.GetAsString()))
	}
	own.variables[t.name] = true
	own.tables = append(own.tables, t)
	children(n, func(child gsql.ASTNode) {
		switch child.(type) {
		case *gsql.ASTPathExpression, *gsql.ASTAlias:
		case *gsql.ASTPivotClause, *gsql.ASTUnpivotClause: // groups by, or turns, columns that the text does not name
			t.row()
			r.around(child, own)
		default:
			r.around(child, own)
		}
	})
}

func (own *names) alias(into map[string]bool, a *gsql.ASTAlias) {
	if a != nil {
		into[strings.ToLower(must(a.GetAsString()))] = true
	}
}

func (t variable) row() {
	if t.place != nil {
		t.place.Row = true
	}
}

// star takes in all columns of the tables of one SELECT.
func (own *names) star() {
	if own == nil || own.blind {
		return
	}
	for _, t := range own.tables {
		t.row()
	}
}

// dotStar takes in all fields of a value: of a table's row, or of a STRUCT that a table may hold.
func (r *reaches) dotStar(of gsql.ASTNode, in *names) {
	path, plain := of.(*gsql.ASTPathExpression)
	for own := in; own != nil; own = own.outer {
		if plain {
			if first := strings.ToLower(must(must(path.FirstName()).GetAsString())); own.variables[first] {
				own.whole(first)
				return
			}
		}
		for _, t := range own.tables {
			t.row()
		}
	}
}

// path is a name in an expression.
func (r *reaches) path(n *gsql.ASTPathExpression, in *names) {
	first := strings.ToLower(must(must(n.FirstName()).GetAsString()))
	own := r.named(first, in)
	if own != nil && must(n.NumNames()) == 1 {
		own.whole(first)
	}
}

// whole is the name of a table as a value.
func (own *names) whole(name string) {
	for _, t := range own.tables {
		if t.name == name {
			t.row()
		}
	}
}

// named notes the first part of a name with the tables that it passes on the way out, and gives the
// SELECT that has a table of that name.
func (r *reaches) named(first string, in *names) *names {
	for own := in; own != nil; own = own.outer {
		if own.variables[first] {
			return own
		}
		if !own.nested && !(own.late && own.aliases[first]) {
			continue
		}
		for _, t := range own.tables {
			if t.place != nil {
				t.place.Names = append(t.place.Names, first)
			}
		}
	}
	return nil
}
