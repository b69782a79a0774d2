package policies

import (
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Claims have whatever type an identity provider gives them, and CEL compares values of two types
// without a complaint: "ai-agents" is in {"ai-agents": false}, and ["hq"] is not "hq". A condition
// says of what type it takes a claim by what it does with it. So each place where a condition uses
// a value of unknown type becomes a call that fails where the value is of another type than is
// wanted there; what fails is unknown, and no answer (membership.go).
//
//	claims.site == "hq"        @same     text is wanted; so with !=
//	"x" in claims.groups       @within   a list is wanted, of text alone
//	claims.site in ["hq"]      @within   text is wanted
//	claims.groups.exists(…)    @list     a list is wanted, of one type; so with all, map, filter
//	size(claims.groups)        @list
//	has(claims.a), "a" in claims   @has  null is neither there nor not there
//	has(claims.a.b)            @has      claims.a must be an object
//
// What else CEL has fails by itself: startsWith on a list, < between a number and text.
const (
	callSame   = "@same"
	callWithin = "@within"
	callList   = "@list"
	callHas    = "@has"
)

const claimsName = "claims"

// claimFunctions declares the calls. No condition can write them: @ begins no name in CEL.
func claimFunctions() []cel.EnvOption {
	a, b := cel.TypeParamType("A"), cel.TypeParamType("B")
	call := func(name, overload string, args []*cel.Type, result *cel.Type, f func(args ...ref.Val) ref.Val) cel.EnvOption {
		return cel.Function(name, cel.Overload(overload, args, result, cel.FunctionBinding(f)))
	}
	text, yes := cel.StringType, cel.BoolType
	return []cel.EnvOption{
		call(callSame, "claim_same", []*cel.Type{a, b, text, text}, yes, func(v ...ref.Val) ref.Val {
			return same(v[0], v[1], word(v[2]), word(v[3]))
		}),
		call(callWithin, "claim_within", []*cel.Type{a, b, text, text}, yes, func(v ...ref.Val) ref.Val {
			return within(v[0], v[1], word(v[2]), word(v[3]))
		}),
		call(callList, "claim_list", []*cel.Type{a, text}, a, func(v ...ref.Val) ref.Val {
			if err := listOf(v[0], word(v[1])); err != nil {
				return err
			}
			return v[0]
		}),
		call(callHas, "claim_has", []*cel.Type{a, text, text}, yes, func(v ...ref.Val) ref.Val {
			return hasKey(v[0], v[1], word(v[2]))
		}),
	}
}

func word(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

// claimed is a checked condition over claims, with the claims that it reads.
type claimed struct {
	ast *cel.Ast
	// reads are the names of claims whose value it uses, asks those that it asks about first.
	reads, asks []string
	looks       []look
}

// unsure are the claims that it uses without asking first whether they are there, sorted.
func (c claimed) unsure() []string {
	var names []string
	for _, name := range c.reads {
		if !slices.Contains(c.asks, name) && !slices.Contains(inEveryToken, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// strict puts the calls into a checked condition and checks it again.
func strict(env *cel.Env, checked *cel.Ast) (claimed, error) {
	r := rewriting{ast: checked.NativeRep(), fac: ast.NewExprFactory()}
	r.next = ast.MaxID(r.ast)
	c := claimed{}
	ast.PreOrderVisit(r.ast.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if name, test := claimOf(e); name != "" && test {
			c.asks = append(c.asks, name)
		} else if name != "" {
			c.reads = append(c.reads, name)
		}
	}))
	c.looks = looksOf(r.ast.Expr())
	ast.PostOrderVisit(r.ast.Expr(), ast.NewExprVisitor(r.visit))
	again, issues := env.Check(checked)
	if err := issues.Err(); err != nil {
		return claimed{}, err
	}
	c.ast = again
	return c, nil
}

// claimOf is the claim that an expression is, and whether it is only asked whether it is there.
func claimOf(e ast.Expr) (name string, test bool) {
	switch e.Kind() {
	case ast.SelectKind:
		if s := e.AsSelect(); isClaims(s.Operand()) {
			return s.FieldName(), s.IsTestOnly()
		}
	case ast.CallKind:
		call := e.AsCall()
		args := call.Args()
		switch {
		case call.FunctionName() == operators.Index && isClaims(args[0]):
			return literal(args[1]), false
		case call.FunctionName() == operators.In && isClaims(args[1]):
			return literal(args[0]), true
		}
	}
	return "", false
}

func literal(e ast.Expr) string {
	if e.Kind() != ast.LiteralKind {
		return ""
	}
	return word(e.AsLiteral())
}

func isClaims(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == claimsName }

type rewriting struct {
	ast  *ast.AST
	fac  ast.ExprFactory
	next int64
}

func (r *rewriting) id() int64 {
	r.next++
	return r.next
}

func (r *rewriting) text(s string) ast.Expr { return r.fac.NewLiteral(r.id(), types.String(s)) }

// dyn says that the type of an expression is not known before it is evaluated.
func (r *rewriting) dyn(e ast.Expr) bool { return holdsDyn(r.ast.GetType(e.ID())) }

func holdsDyn(t *types.Type) bool {
	if t == nil || t.Kind() == types.DynKind || t.Kind() == types.AnyKind {
		return true
	}
	return slices.ContainsFunc(t.Parameters(), holdsDyn)
}

// visit puts the calls in, the innermost expressions first.
func (r *rewriting) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.CallKind:
		r.call(e)
	case ast.SelectKind:
		if s := e.AsSelect(); s.IsTestOnly() {
			e.SetKindCase(r.fac.NewCall(e.ID(), callHas, s.Operand(), r.text(s.FieldName()), r.text(describeExpr(s.Operand()))))
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		if c.HasIterVar2() || isClaims(c.IterRange()) || !r.dyn(c.IterRange()) {
			return
		}
		list := r.list(c.IterRange())
		e.SetKindCase(r.fac.NewComprehension(e.ID(), list, c.IterVar(), c.AccuVar(), c.AccuInit(), c.LoopCondition(), c.LoopStep(),
			c.Result()))
	}
}

func (r *rewriting) call(e ast.Expr) {
	call := e.AsCall()
	args := slices.Clone(call.Args())
	if call.IsMemberFunction() {
		args = append([]ast.Expr{call.Target()}, args...)
	}
	switch call.FunctionName() {
	case operators.Equals, operators.NotEquals:
		if isNull(args[0]) || isNull(args[1]) || !r.dyn(args[0]) && !r.dyn(args[1]) {
			return // of null a condition asks by its name
		}
		id := e.ID()
		if call.FunctionName() == operators.NotEquals {
			id = r.id()
		}
		equal := r.fac.NewCall(id, callSame, args[0], args[1], r.text(describeExpr(args[0])), r.text(describeExpr(args[1])))
		if call.FunctionName() == operators.NotEquals {
			equal = r.fac.NewCall(e.ID(), operators.LogicalNot, equal)
		}
		e.SetKindCase(equal)
	case operators.In:
		switch {
		case isClaims(args[1]):
			e.SetKindCase(r.fac.NewCall(e.ID(), callHas, args[1], args[0], r.text(claimsName)))
		case r.dyn(args[0]) || r.dyn(args[1]):
			of, in := r.text(describeExpr(args[0])), r.text(describeExpr(args[1]))
			e.SetKindCase(r.fac.NewCall(e.ID(), callWithin, args[0], args[1], of, in))
		}
	case "size":
		if len(args) == 1 && !isClaims(args[0]) && r.dyn(args[0]) {
			e.SetKindCase(r.fac.NewCall(e.ID(), "size", r.list(args[0])))
		}
	}
}

func (r *rewriting) list(e ast.Expr) ast.Expr {
	return r.fac.NewCall(r.id(), callList, e, r.text(describeExpr(e)))
}

func isNull(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue
}

// describeExpr is the path of a claim as the condition writes it, "" for anything else.
func describeExpr(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		if of := describeExpr(e.AsSelect().Operand()); of != "" && !e.AsSelect().IsTestOnly() {
			return of + "." + e.AsSelect().FieldName()
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() == operators.Index && len(call.Args()) == 2 {
			if of, key := describeExpr(call.Args()[0]), literal(call.Args()[1]); of != "" && key != "" {
				return of + "." + key
			}
		}
	case ast.ComprehensionKind:
		return ""
	}
	return ""
}

// groupEnv is what conditions of groups are checked against.
var groupEnv = sync.OnceValues(func() (*cel.Env, error) {
	return newEnv(append(claimFunctions(), cel.Variable(claimsName, cel.MapType(cel.StringType, cel.DynType)))...)
})
