package masking

import (
	"fmt"
	"slices"
	"strings"
)

// Open says whether only an answer with a schema says what the columns are called, or which there
// are.
func (p Plan) Open() bool {
	return p.Untold() || slices.ContainsFunc(p.Columns, func(c Column) bool { return c.Ambiguous })
}

// Untold says whether only an answer's schema says which columns there are.
func (p Plan) Untold() bool { return p.Metadata && !p.Told }

// Shown is the plan with what an answer told of its columns (Head.Columns). They are matched by
// their places, and masked as the plan says.
func (p Plan) Shown(columns []Column) (Plan, error) {
	if p.Untold() {
		for i, c := range columns {
			named := func(o Column) bool { return strings.EqualFold(o.Name, c.Name) }
			if c.masks() || !slices.ContainsFunc(p.Columns, named) || slices.ContainsFunc(columns[:i], named) {
				return Plan{}, fmt.Errorf("column %d is %q: %w", i, c.Name, ErrShape)
			}
		}
		p.Columns, p.Told = columns, true
		return p, p.Check()
	}
	if len(columns) != len(p.Columns) {
		return Plan{}, fmt.Errorf("%d and %d columns: %w", len(columns), len(p.Columns), ErrShape)
	}
	p.Columns = slices.Clone(p.Columns)
	for i := range p.Columns {
		c, shown := &p.Columns[i], columns[i] //nolint:gosec // G602: both are as long, above
		if !c.named(shown.Name, false) || KindOf(c.Type) != KindOf(shown.Type) || c.Repeated != shown.Repeated {
			return Plan{}, fmt.Errorf("column %d is %q %s and %q %s: %w", i, c.Name, c.Type, shown.Name, shown.Type, ErrShape)
		}
		c.Name = shown.Name
	}
	return p, p.Check()
}
