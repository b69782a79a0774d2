package engine

import (
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/functions"
)

// function notes a function that a node calls, and returns the engine's own name for it, lower
// case. One that is not in the table is refused.
func (w *walk) function(f *gsql.Function, n gsql.ResolvedNode) string {
	if group := must(f.GetGroup()); group != builtinGroup {
		refuse(location(n), "the function %s is not analysed", must(f.FullName(false)))
	}
	name := strings.ToLower(must(f.FullName(false)))
	known, ok := functions.Lookup(name)
	switch {
	case !ok && strings.HasPrefix(name, "$"):
		refuse(location(n), "this operator is not known to bqgate (%s)", name)
	case !ok || known.Refused != "":
		refuse(location(n), "%s", functions.Refusal(name))
	case w.madeUp >= 0 && location(n) == w.madeUp:
	case !strings.HasPrefix(name, "$"):
		w.functions[known.Name] = true
	case strings.HasPrefix(name, "$extract"):
		w.functions["EXTRACT"] = true
	case name == "$count_star":
		w.functions["COUNT"] = true
	}
	return name
}

func (w *walk) call(n *gsql.ResolvedFunctionCall) *value {
	if r := w.routine(must(n.Function())); r != nil {
		return w.routineCall(n, r)
	}
	name := w.function(must(n.Function()), n)
	must(n.Signature())
	must(n.ErrorMode())
	check(noExtras(n, must(n.HintListSize()), must(n.CollationListSize())))
	arguments := must(n.ArgumentList())
	switch name {
	case "$array_at_offset", "$array_at_ordinal", "$safe_array_at_offset", "$safe_array_at_ordinal":
		if len(arguments) == 2 {
			// Whether the element is there, NULL or an error tells how long the array is.
			array := w.expression(arguments[0])
			w.reads = append(w.reads, read{array, location(arguments[0])})
			w.steer(googlesql.UseExpression, arguments[1])
			return array.item()
		}
	case "$make_array":
		values := make([]*value, len(arguments))
		for i, a := range arguments {
			values[i] = w.expression(a)
		}
		if len(values) == 0 {
			return constant
		}
		return &value{element: merge(values...)}
	}
	values := w.operands(arguments)
	// Lambdas come with their call's arguments in a list of their own; their parameters range over
	// the arrays among them.
	generic := must(n.GenericArgumentList())
	for _, g := range generic {
		if x := must(g.Expr()); x != nil {
			values = append(values, w.operand(x))
		}
	}
	for _, g := range generic {
		if x := must(g.Expr()); x != nil {
			continue
		}
		lambda := must(g.InlineLambda())
		if lambda == nil {
			refuse(location(n), "an argument of %s is not analysed", strings.ToUpper(name))
		}
		w.correlated(must(lambda.ParameterList()))
		parameter := derive(values...)
		for _, c := range must(lambda.ArgumentList()) {
			w.define(c, parameter)
		}
		values = append(values, w.operand(must(lambda.Body())))
	}
	return derive(values...)
}

// near is the place of the first of these nodes whose place is known: the engine computes what is
// ordered or grouped elsewhere.
func near(nodes ...gsql.ResolvedNode) int {
	for _, n := range nodes {
		if at := location(n); at >= 0 {
			return at
		}
	}
	return -1
}

// place is where a computed column's expression stands.
func place(c *gsql.ResolvedComputedColumn) int { return location(must(c.Expr())) }

func noExtras(n gsql.ResolvedNode, hints, collations int32) error {
	if hints > 0 {
		refuse(location(n), "hints are not analysed; leave them out")
	}
	if collations > 0 {
		refuse(location(n), "collations are not analysed")
	}
	return nil
}

func (w *walk) aggregate(n *gsql.ResolvedAggregateFunctionCall) *value {
	w.function(must(n.Function()), n)
	must(n.Signature())
	must(n.ErrorMode())
	must(n.NullHandlingModifier())
	check(noExtras(n, must(n.HintListSize()), must(n.CollationListSize())))
	if must(n.GroupByListSize())+must(n.GroupByAggregateListSize())+must(n.GenericArgumentListSize()) > 0 {
		refuse(location(n), "this form of aggregation is not analysed")
	}
	values := w.operands(must(n.ArgumentList()))
	if must(n.Distinct()) {
		for i, v := range values {
			w.use(googlesql.UseGroup, v, location(must(n.ArgumentList())[i]))
		}
	}
	w.optional(googlesql.UseAggregate, must(n.WhereExpr()))
	w.optional(googlesql.UseAggregate, must(n.HavingExpr()))
	w.optional(googlesql.UseAggregate, must(n.Limit()))
	if h := must(n.HavingModifier()); h != nil {
		must(h.Kind())
		w.steer(googlesql.UseAggregate, must(h.HavingExpr()))
	}
	w.ordering(googlesql.UseAggregate, must(n.OrderByItemList()))
	return derive(values...)
}

// windows evaluates the analytic functions that share a window.
func (w *walk) windows(g *gsql.ResolvedAnalyticFunctionGroup, before int) {
	if p := must(g.PartitionBy()); p != nil {
		for _, ref := range must(p.PartitionByList()) {
			w.use(googlesql.UseWindow, w.expression(ref), near(ref, p, g))
		}
		check(noExtras(p, must(p.HintListSize()), must(p.CollationListSize())))
	}
	if o := must(g.OrderBy()); o != nil {
		w.ordering(googlesql.UseWindow, must(o.OrderByItemList()))
		check(noExtras(o, must(o.HintListSize()), 0))
	}
	for _, c := range must(g.AnalyticFunctionList()) {
		if !w.computed(c).sourced() {
			w.counted(before)
		}
	}
}

func (w *walk) analytic(n *gsql.ResolvedAnalyticFunctionCall) *value {
	w.function(must(n.Function()), n)
	must(n.Signature())
	must(n.ErrorMode())
	must(n.NullHandlingModifier())
	check(noExtras(n, must(n.HintListSize()), must(n.CollationListSize())))
	if must(n.GenericArgumentListSize()) > 0 {
		refuse(location(n), "this form of analytic function is not analysed")
	}
	values := w.operands(must(n.ArgumentList()))
	if must(n.Distinct()) {
		for i, v := range values {
			w.use(googlesql.UseGroup, v, location(must(n.ArgumentList())[i]))
		}
	}
	w.optional(googlesql.UseWindow, must(n.WhereExpr()))
	if f := must(n.WindowFrame()); f != nil {
		must(f.FrameUnit())
		for _, bound := range []*gsql.ResolvedWindowFrameExpr{must(f.StartExpr()), must(f.EndExpr())} {
			if bound == nil {
				continue
			}
			must(bound.BoundaryType())
			w.optional(googlesql.UseWindow, must(bound.Expression()))
		}
	}
	return derive(values...)
}
