package masking

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// MaxDepth is the depth of nested STRUCTs that a plan may have; BigQuery allows 15.
const MaxDepth = 32

// structType is the type name of a column with Fields.
const structType = "STRUCT"

func isStruct(typ string) bool { return typ == structType || typ == "RECORD" }

// Masks says whether any cell is changed by the plan.
func (p Plan) Masks() bool {
	for _, column := range p.Columns {
		if column.masks() {
			return true
		}
	}
	return false
}

func (c Column) masks() bool {
	if !isStruct(c.Type) {
		return c.Mask.For(c.Type) != Clear
	}
	if cover(c) != Clear {
		return true
	}
	for _, field := range c.Fields {
		if field.masks() {
			return true
		}
	}
	return false
}

// cover is the rule that a STRUCT lays over everything below it. A STRUCT without a rule of its own
// leaves it to its fields, each of which is masked by the strictest rule if it has none either.
func cover(c Column) Rule {
	if c.Mask == "" {
		return Clear
	}
	return c.Mask
}

// Check says why a plan cannot be used: a type or rule that is not known, a STRUCT without fields,
// too much depth.
func (p Plan) Check() error {
	if p.Metadata && p.Masks() {
		return errors.New("mask plan: of columns that only the answer tells of none can be masked")
	}
	for i, column := range p.Columns {
		if err := column.check(0); err != nil {
			return fmt.Errorf("mask plan, column %d: %w", i, err)
		}
	}
	return nil
}

func (c Column) check(depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("more than %d nested STRUCTs", MaxDepth)
	}
	if _, ok := strength[c.Expect]; !ok && c.Expect != "" {
		return fmt.Errorf("%q: unknown rule %q", c.Name, c.Expect)
	}
	if _, ok := strength[c.Mask]; !ok && c.Mask != "" {
		return fmt.Errorf("%q: unknown rule %q", c.Name, c.Mask)
	}
	if !isStruct(c.Type) {
		if scalarType(c.Type) == "" {
			return fmt.Errorf("%q: unknown type %q", c.Name, c.Type)
		}
		if len(c.Fields) != 0 {
			return fmt.Errorf("%q: a %s has no fields", c.Name, c.Type)
		}
		return nil
	}
	if len(c.Fields) == 0 {
		return fmt.Errorf("%q: STRUCT without fields", c.Name)
	}
	for _, field := range c.Fields {
		if err := field.check(depth + 1); err != nil {
			return fmt.Errorf("%q: %w", c.Name, err)
		}
	}
	return nil
}

// ErrShape is returned by StricterPlan for plans of results of different shape.
var ErrShape = errors.New("the plans are of results of different shape")

// StricterPlan is the plan under which a reader sees no more than under either. What a cell is
// expected to be is the first plan's word, where it has one. Both must be plans of the same result:
// names, types and order agree.
func StricterPlan(a, b Plan) (Plan, error) {
	if a.Metadata && b.Metadata && !a.Masks() && !b.Masks() { // one may have the columns that an answer told of, all clear
		a.Sensitive = a.Sensitive || b.Sensitive
		return a, nil
	}
	columns, err := stricterColumns(a.Columns, b.Columns, Clear, Clear)
	if err != nil {
		return Plan{}, err
	}
	return Plan{Columns: columns, Sensitive: a.Sensitive || b.Sensitive}, nil
}

// stricterColumns joins leaf by leaf: what lies over a STRUCT is carried down first, since Stricter
// is only right for the rules that the two plans really use.
func stricterColumns(a, b []Column, overA, overB Rule) ([]Column, error) {
	if len(a) != len(b) {
		return nil, fmt.Errorf("%d and %d columns: %w", len(a), len(b), ErrShape)
	}
	joined := make([]Column, len(a))
	for i := range a {
		x, y := a[i], b[i]
		if !sameColumn(x, y) || x.Repeated != y.Repeated || KindOf(x.Type) == "" || KindOf(x.Type) != KindOf(y.Type) {
			return nil, fmt.Errorf("column %d is %q %s and %q %s: %w", i, x.Name, x.Type, y.Name, y.Type, ErrShape)
		}
		joined[i] = Column{Name: x.Name, Type: x.Type, Repeated: x.Repeated, Ambiguous: x.Ambiguous || y.Ambiguous}
		if !isStruct(x.Type) {
			joined[i].Expect = cmp.Or(x.Expect, y.Expect)
			joined[i].Mask = Stricter(Stricter(overA, x.Mask).For(x.Type), Stricter(overB, y.Mask).For(y.Type))
			continue
		}
		downA, downB := Stricter(overA, cover(x)), Stricter(overB, cover(y))
		// A rule over the STRUCT also hides whether it is NULL, so the stricter one stays on it.
		joined[i].Mask = Stricter(downA, downB)
		fields, err := stricterColumns(x.Fields, y.Fields, downA, downB)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", x.Name, err)
		}
		joined[i].Fields = fields
	}
	return joined, nil
}

// sameColumn says whether two names are those of one column. One of them may be what BigQuery made
// of it.
func sameColumn(a, b Column) bool {
	return strings.EqualFold(a.Name, b.Name) || a.Ambiguous && b.Ambiguous && (a.named(b.Name, false) || b.named(a.Name, false))
}

// KindOf is the type by which two descriptions of a column are compared: a scalar's plain name, or
// STRUCT; "" if unknown.
func KindOf(typ string) string {
	if isStruct(typ) {
		return structType
	}
	return scalarType(typ)
}
