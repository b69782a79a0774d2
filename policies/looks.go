package policies

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// look is one place where a condition looks at a claim, and what it compares the claim with there.
type look struct {
	path   []string // the claim, and the way into it; or a variable of the subject: "subject.workload"
	values []any    // strings, float64s and bools
	list   bool     // the claim is taken for a list of these
}

// claim is the claim that a look is at: of subject.sub too.
func (l look) claim() string {
	if l.path[0] == "subject.sub" {
		return "sub"
	}
	return l.path[0]
}

// looksOf are the looks of a checked condition.
func looksOf(e ast.Expr) []look {
	var all []look
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.CallKind:
			call := e.AsCall()
			args := slices.Clone(call.Args())
			if call.IsMemberFunction() {
				args = append([]ast.Expr{call.Target()}, args...)
			}
			for i, arg := range args {
				if path := pathOf(arg); len(path) > 0 {
					all = append(all, lookIn(call.FunctionName(), path, args, i))
				}
			}
		case ast.ComprehensionKind:
			if path := pathOf(e.AsComprehension().IterRange()); len(path) > 0 {
				all = append(all, look{path, literals(e.AsComprehension().LoopStep()), true})
			}
		case ast.SelectKind, ast.IdentKind:
			if path := pathOf(e); len(path) > 0 {
				all = append(all, look{path: path})
			}
		}
	}))
	return all
}

// lookIn is a look at one argument of a call, beside the others.
func lookIn(function string, path []string, args []ast.Expr, at int) look {
	l := look{path: path, list: function == operators.In && at == 1 || function == "size"}
	for i, other := range args {
		if i != at {
			l.values = append(l.values, literals(other)...)
		}
	}
	if function == "matches" {
		for i, v := range l.values {
			if text, ok := v.(string); ok {
				l.values[i] = matching(text)
			}
		}
	}
	return l
}

// pathOf is the way to a claim that an expression is: claims.a.b, claims["a"].b; nil for others.
func pathOf(e ast.Expr) []string {
	switch e.Kind() {
	case ast.IdentKind:
		if name := e.AsIdent(); strings.HasPrefix(name, "subject.") {
			return []string{name}
		}
	case ast.SelectKind:
		s := e.AsSelect()
		if isClaims(s.Operand()) {
			return []string{s.FieldName()}
		}
		if of := pathOf(s.Operand()); of != nil {
			return append(slices.Clone(of), s.FieldName())
		}
	case ast.CallKind:
		call := e.AsCall()
		args := call.Args()
		if call.FunctionName() == operators.In && isClaims(args[1]) && literal(args[0]) != "" {
			return []string{literal(args[0])}
		}
		if call.FunctionName() != operators.Index || len(args) != 2 || literal(args[1]) == "" {
			return nil
		}
		if isClaims(args[0]) {
			return []string{literal(args[1])}
		}
		if of := pathOf(args[0]); of != nil {
			return append(slices.Clone(of), literal(args[1]))
		}
	}
	return nil
}

// literals are all literals in an expression.
func literals(e ast.Expr) []any {
	var all []any
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.LiteralKind {
			return
		}
		switch v := e.AsLiteral().(type) {
		case types.String:
			all = append(all, string(v))
		case types.Int:
			all = append(all, float64(v))
		case types.Double:
			all = append(all, float64(v))
		case types.Bool:
			all = append(all, bool(v))
		}
	}))
	return all
}

// matching is a text that a regular expression matches, where a simple one is found; else the
// expression itself.
func matching(expression string) string {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return expression
	}
	var b strings.Builder
	write(&b, parsed.Simplify())
	if !regexp.MustCompile(expression).MatchString(b.String()) {
		return expression
	}
	return b.String()
}

func write(b *strings.Builder, e *syntax.Regexp) {
	switch e.Op {
	case syntax.OpLiteral:
		b.WriteString(string(e.Rune))
	case syntax.OpCharClass:
		r := 'a'
		if len(e.Rune) > 0 && !slices.Contains(e.Rune, 'a') {
			r = e.Rune[0]
		}
		for i := 0; i+1 < len(e.Rune); i += 2 {
			if e.Rune[i] <= 'a' && 'a' <= e.Rune[i+1] {
				r = 'a'
			}
		}
		b.WriteRune(r)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteRune('a')
	case syntax.OpPlus, syntax.OpRepeat:
		for range max(1, e.Min) {
			write(b, e.Sub[0])
		}
	case syntax.OpAlternate, syntax.OpCapture:
		write(b, e.Sub[0])
	case syntax.OpConcat:
		for _, sub := range e.Sub {
			write(b, sub)
		}
	}
}
