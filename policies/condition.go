package policies

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/spelling"
)

const (
	maxCondition  = 4096   // characters of a condition
	conditionCost = 50_000 // CEL's cost units of one evaluation; a few microseconds a hundred
)

// condition is a compiled CEL expression that answers yes or no.
type condition struct {
	text         string
	program      cel.Program
	estimate     bool // reads estimate.bytes
	tableSubject bool // reads tables
	otherUse     bool // reads other_use
	groups       bool // reads groups
	people       bool // reads subject.people
	// unsure are the claims that it uses without asking first whether they are there.
	unsure []string
	looks  []look // what it looks at, and compares that with
}

// conditionError says what is wrong with a condition and, where known, where in its text.
type conditionError struct {
	message string
	offset  int // in characters from the start of the text, -1 where unknown
}

func (e *conditionError) Error() string { return e.message }

// Table is what conditions of approvals see of a table.
type Table struct {
	Name      string `cel:"name"` // project.dataset.table
	Project   string `cel:"project"`
	Dataset   string `cel:"dataset"`
	Table     string `cel:"table"`
	HighValue bool   `cel:"high_value"`
}

const peopleName = "subject.people"

var subjectVariables = []cel.EnvOption{
	cel.Variable("subject.sub", cel.StringType),
	cel.Variable("subject.issuer", cel.StringType), // the issuer's configured name
	cel.Variable("subject.workload", cel.BoolType),
	cel.Variable("subject.mapped", cel.BoolType),
	cel.Variable(peopleName, cel.ListType(cel.StringType)),
}

func subjectValues(s identity.Subject) map[string]any {
	return map[string]any{
		"subject.sub": s.Sub, "subject.issuer": s.Name, "subject.workload": s.Workload, "subject.mapped": s.Mapped, peopleName: s.Known,
	}
}

// approvalEnv is what conditions of approvals are checked against.
var approvalEnv = sync.OnceValues(func() (*cel.Env, error) {
	return newEnv(
		ext.NativeTypes(reflect.TypeFor[Table](), ext.ParseStructTags(true)),
		cel.Variable("tables", cel.ListType(cel.ObjectType("policies.Table"))),
		cel.Variable("estimate.bytes", cel.IntType),
		cel.Variable("kinds", cel.ListType(cel.StringType)),
		cel.Variable("groups", cel.ListType(cel.StringType)),
		// Columns with `other_use: approve` that the query does more with than select them.
		cel.Variable("other_use", cel.ListType(cel.StringType)),
		size("KiB", 1<<10), size("MiB", 1<<20), size("GiB", 1<<30), size("TiB", 1<<40),
	)
})

func newEnv(options ...cel.EnvOption) (*cel.Env, error) {
	options = append(options, subjectVariables...)
	options = append(options,
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()))
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("make CEL environment: %w", err)
	}
	return env, nil
}

// size is a function such as GiB(1).
func size(name string, unit int64) cel.EnvOption {
	return cel.Function(name, cel.Overload(name+"_int", []*cel.Type{cel.IntType}, cel.IntType, cel.UnaryBinding(func(v ref.Val) ref.Val {
		n, ok := v.(types.Int)
		if !ok || n < 0 || int64(n) > math.MaxInt64/unit {
			return types.NewErr("%s(%v) is out of range", name, v)
		}
		return types.Int(int64(n) * unit)
	})))
}

// compile type-checks a condition.
func compile(env *cel.Env, text string) (condition, error) {
	if strings.TrimSpace(text) == "" {
		return condition{}, &conditionError{"the condition is empty; write true if it is meant to hold always", -1}
	}
	if len(text) > maxCondition {
		return condition{}, &conditionError{fmt.Sprintf("the condition has more than %d characters", maxCondition), -1}
	}
	checked, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		if len(issues.Errors()) == 0 {
			return condition{}, &conditionError{firstLine(err.Error()), -1}
		}
		one := issues.Errors()[0]
		message := one.Message
		if rest, undeclared := strings.CutPrefix(message, "undeclared reference to '"); undeclared {
			word, _, _ := strings.Cut(rest, "'")
			message = fmt.Sprintf("%s is not known here%s", word, spelling.DidYouMean(word, variables(env)))
		}
		return condition{}, &conditionError{"the condition does not hold together: " + firstLine(message),
			offsetOf(text, one.Location.Line(), one.Location.Column())}
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return condition{}, &conditionError{
			fmt.Sprintf("the condition must be true or false, this one is %s", cel.FormatCELType(checked.OutputType())), -1,
		}
	}
	c := condition{text: text}
	if env.HasFunction(callSame) {
		made, err := strict(env, checked)
		if err != nil {
			return condition{}, &conditionError{firstLine(err.Error()), -1}
		}
		checked, c.unsure, c.looks = made.ast, made.unsure(), made.looks
	}
	program, err := env.Program(checked, cel.CostLimit(conditionCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return condition{}, &conditionError{firstLine(err.Error()), -1}
	}
	c.program = program
	for _, reference := range checked.NativeRep().ReferenceMap() {
		c.estimate = c.estimate || reference.Name == "estimate.bytes"
		c.tableSubject = c.tableSubject || reference.Name == "tables"
		c.otherUse = c.otherUse || reference.Name == "other_use"
		c.groups = c.groups || reference.Name == "groups"
		c.people = c.people || reference.Name == peopleName
	}
	return c, nil
}

func variables(env *cel.Env) []string {
	var names []string
	for _, v := range env.Variables() {
		if v.Type().Kind() != types.TypeKind {
			names = append(names, v.Name())
		}
	}
	for name := range env.Functions() {
		if !strings.HasPrefix(name, "@") {
			names = append(names, name)
		}
	}
	return names
}

// offsetOf turns CEL's line (1-based) and column (0-based, in characters) into an offset in the
// text's characters; -1 if the text has several lines.
func offsetOf(text string, line, column int) int {
	if line != 1 || strings.Contains(text, "\n") {
		return -1
	}
	return column
}

// errNotBool cannot happen with a checked condition.
var errNotBool = errors.New("the condition gave neither true nor false")

// eval is the condition's answer. A claim that is missing, or a cost over the limit, is an error;
// who asks must take it as the stricter answer.
func (c condition) eval(values map[string]any) (bool, error) {
	if c.program == nil {
		return false, errNotBool
	}
	out, _, err := c.program.Eval(values)
	if err != nil {
		return false, err
	}
	answer, ok := out.(types.Bool)
	if !ok {
		return false, errNotBool
	}
	return bool(answer), nil
}
