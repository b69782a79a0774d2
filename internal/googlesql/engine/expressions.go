package engine

import (
	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// steer evaluates an expression that decides about rows.
func (w *walk) steer(in googlesql.UseIn, e gsql.ResolvedExprNode) {
	w.use(in, w.expression(e), location(e))
}

func (w *walk) optional(in googlesql.UseIn, e gsql.ResolvedExprNode) {
	if e != nil {
		w.steer(in, e)
	}
}

// correlated counts references that only announce columns of an outer query; their values are
// known.
func (w *walk) correlated(refs []*gsql.ResolvedColumnRef) {
	for _, r := range refs {
		w.expression(r)
	}
}

func (w *walk) ordering(in googlesql.UseIn, items []*gsql.ResolvedOrderByItem) {
	for _, item := range items {
		ref := must(item.ColumnRef())
		w.use(in, w.expression(ref), near(ref, item))
		if must(item.CollationName()) != nil || collates(must(item.Collation())) {
			refuse(location(ref), "collations are not analysed")
		}
		must(item.IsDescending())
		must(item.NullOrder())
	}
}

// collates reports whether a collation is there: comparisons with one are not those of the bytes.
func collates(c *gsql.ResolvedCollation) bool { return c != nil && !must(c.Empty()) }

// computed evaluates and defines a computed column.
func (w *walk) computed(c gsql.ResolvedComputedColumnBaseNode) *value {
	switch x := c.(type) {
	case *gsql.ResolvedComputedColumn:
		v := w.expression(must(x.Expr()))
		w.define(must(x.Column()), v)
		return v
	case *gsql.ResolvedDeferredComputedColumn:
		v := w.expression(must(x.Expr()))
		w.define(must(x.Column()), v)
		w.define(must(x.SideEffectColumn()), derive(v))
		return v
	}
	refuse(-1, "a part of this statement is not known to bqgate")
	return nil
}

// operands evaluates what an operator takes. What it reads unchanged is noted: if it does not flow
// into the output it is a use.
func (w *walk) operands(expressions []gsql.ResolvedExprNode) []*value {
	values := make([]*value, len(expressions))
	for i, e := range expressions {
		values[i] = w.operand(e)
	}
	return values
}

func (w *walk) operand(e gsql.ResolvedExprNode) *value {
	v := w.expression(e)
	direct := false
	v.each(func(s source) { direct = direct || !s.derived })
	if direct {
		w.reads = append(w.reads, read{v, location(e)})
	}
	return v
}

// expression is what an expression carries.
func (w *walk) expression(e gsql.ResolvedExprNode) *value {
	switch n := e.(type) {
	case *gsql.ResolvedColumnRef:
		if !w.repeat {
			w.refs++
		}
		must(n.IsCorrelated())
		v := w.column(must(n.Column()))
		w.touch(v)
		return v
	case *gsql.ResolvedLiteral:
		check(n.MarkFieldsAccessed()) // a literal is its value, whatever it says of itself
		return constant
	case *gsql.ResolvedParameter:
		check(n.MarkFieldsAccessed())
		return constant
	case *gsql.ResolvedArgumentRef: // in the body of a function: what the caller passes is accounted for at the call
		check(n.MarkFieldsAccessed())
		return constant
	case *gsql.ResolvedGetStructField:
		must(n.FieldExprIsPositional())
		return w.expression(must(n.Expr())).field(int(must(n.FieldIdx())))
	case *gsql.ResolvedGetJsonField:
		must(n.FieldName())
		return derive(w.operand(must(n.Expr())))
	case *gsql.ResolvedMakeStruct:
		return w.makeStruct(n)
	case *gsql.ResolvedCast:
		return w.cast(n)
	case *gsql.ResolvedSubqueryExpr:
		return w.subquery(n)
	case *gsql.ResolvedFunctionCall:
		return w.call(n)
	case *gsql.ResolvedAggregateFunctionCall:
		return w.aggregate(n)
	case *gsql.ResolvedAnalyticFunctionCall:
		return w.analytic(n)
	case *gsql.ResolvedWithExpr:
		for _, a := range must(n.AssignmentList()) {
			w.computed(a)
		}
		return w.expression(must(n.Expr()))
	case nil:
		refuse(-1, "a part of this statement is not known to bqgate")
	case *gsql.ResolvedSystemVariable:
		return systemVariable(n)
	default:
		refuse(location(e), "%s expressions are not analysed", must(e.NodeKindString()))
	}
	return nil
}

func (w *walk) makeStruct(n *gsql.ResolvedMakeStruct) *value {
	kind := must(must(n.Type()).AsStruct())
	list := must(n.FieldList())
	if kind == nil || len(must(kind.Fields())) != len(list) {
		refuse(location(n), "this STRUCT is not analysed")
	}
	v := &value{names: make([]string, len(list)), fields: make([]*value, len(list))}
	for i, f := range must(kind.Fields()) {
		v.names[i], v.fields[i] = f.Name, w.expression(list[i])
	}
	return v
}

func (w *walk) cast(n *gsql.ResolvedCast) *value {
	values := []*value{w.operand(must(n.Expr()))}
	for _, e := range []gsql.ResolvedExprNode{must(n.Format()), must(n.TimeZone())} {
		if e != nil {
			values = append(values, w.operand(e))
		}
	}
	if must(n.ExtendedCast()) != nil {
		refuse(location(n), "this CAST is not analysed")
	}
	must(n.ReturnNullOnError())
	must(n.TypeModifiers())
	return derive(values...)
}

// subquery walks a query used as an expression. Its outer columns are known by then.
func (w *walk) subquery(n *gsql.ResolvedSubqueryExpr) *value {
	w.correlated(must(n.ParameterList()))
	query := must(n.Subquery())
	before, rows := len(w.open), len(w.rows)
	w.scan(query)
	w.rows = w.rows[:rows] // its rows are in a value, and make none
	if must(n.HintListSize()) > 0 || collates(must(n.InCollation())) {
		refuse(location(n), "hints and collations are not analysed")
	}
	kind := must(n.SubqueryType())
	if kind == gsql.ResolvedSubqueryExprEnums_SubqueryTypeExists {
		w.counted(before)
		return constant
	}
	columns := listed(query)
	if len(columns) != 1 {
		refuse(location(n), "a subquery with %d columns is not analysed", len(columns))
	}
	v := w.column(columns[0])
	switch kind {
	case gsql.ResolvedSubqueryExprEnums_SubqueryTypeScalar:
		if !oneRow(query) {
			w.counted(before) // NULL without rows, an error with two
		}
		return v
	case gsql.ResolvedSubqueryExprEnums_SubqueryTypeArray:
		return &value{element: v}
	default: // IN, LIKE ANY and the like compare with each row
		needle := w.expression(must(n.InExpr()))
		w.use(googlesql.UseFilter, v, location(n))
		w.use(googlesql.UseFilter, needle, location(n))
		return derive(v, needle)
	}
}
