package policies

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

// masks: builds the plan of the answer. A sensitive column that is carried into the result as it
// is, alone, is masked there: hiding the cells hides all of it. Any other use would compute on raw
// values, and the errors, counts, order or time of that tell them bit by bit (A2 to A4). Such a
// query is refused as it stands, and the refusal says which tables must be masked first
// (rewrite.go); who has done so asks again.
func (e *evaluation) masks() error {
	for _, v := range e.tables {
		e.decision.Mask.Sensitive = e.decision.Mask.Sensitive || v.sensitive()
	}
	if err := e.certain(); err != nil {
		return err
	}
	if e.input.Transformed != nil {
		if err := e.masked(); err != nil {
			return err
		}
	}
	columns, err := e.sources(e.statement)
	if err != nil {
		return err
	}
	used := e.uses()
	slices.Sort(e.decision.Sensitive)
	e.decision.Sensitive = slices.Compact(e.decision.Sensitive)
	slices.Sort(e.decision.Masked)
	e.decision.Masked = slices.Compact(e.decision.Masked)
	if used != nil {
		return used
	}
	if len(columns) == 0 {
		return errors.New("the statement returns no columns")
	}
	if err := e.plan(columns); err != nil {
		return err
	}
	if len(e.demands) > 0 {
		return e.maskFirst()
	}
	if e.input.Transformed != nil {
		e.decision.Mask.Columns = expect(e.decision.Mask.Columns, e.expected)
	}
	return nil
}

// sources looks up what each output column carries.
func (e *evaluation) sources(s *googlesql.Statement) ([][]carried, error) {
	columns := make([][]carried, len(s.Columns))
	for i, c := range s.Columns {
		for _, source := range c.Sources {
			all, err := e.carried(source)
			if err != nil {
				return nil, err
			}
			columns[i] = append(columns[i], all...)
		}
	}
	return columns, nil
}

// plan says how each output column is masked in flight.
func (e *evaluation) plan(columns [][]carried) error {
	d := &e.decision
	anonymous, nameless := 0, make([]bool, len(e.statement.Columns))
	for i, c := range e.statement.Columns {
		name := c.Name
		if name == "" {
			name, nameless[i] = fmt.Sprintf("f%d_", anonymous), true
			anonymous++
		}
		column, err := e.column(name, c, columns[i])
		if err != nil {
			return err
		}
		d.Mask.Columns = append(d.Mask.Columns, column)
	}
	ambiguous(d.Mask.Columns, nameless)
	d.Mask.Metadata = e.metadata() && !d.Mask.Masks()
	if err := d.Mask.Check(); err != nil {
		d.Mask = masking.Plan{Sensitive: d.Mask.Sensitive}
		return fmt.Errorf("the result cannot be masked: %w", err)
	}
	return nil
}

// carried is a leaf column at a place inside an output column.
type carried struct {
	path   []string // folded
	column string   // full name; "" for a literal, parameter or generated value
	direct bool
	leaf   leaf
}

// carried looks a source up. A whole STRUCT that is carried as it is becomes its leaves, each at
// its own place.
func (e *evaluation) carried(source googlesql.Source) ([]carried, error) {
	var path []string
	if source.Path != "" {
		path = foldAll(strings.Split(source.Path, "."))
	}
	direct := source.Carry == googlesql.CarryDirect
	if source.Column == "" {
		return []carried{{path: path, leaf: leaf{rule: masking.Clear}}}, nil
	}
	v, in := e.view(source.Column)
	if err := e.traced(v, source.Column); err != nil {
		return nil, err
	}
	var all []carried
	for _, l := range v.at(in) {
		c := carried{path: path, column: v.name + "." + strings.Join(l.path, "."), direct: direct, leaf: l}
		if direct && len(l.path) > len(in) {
			c.path = append(path[:len(path):len(path)], foldAll(l.path[len(in):])...)
		}
		e.touch(c.column, l)
		all = append(all, c)
	}
	return all, nil
}

// traced refuses a column that lineage did not follow to a stored table that the query is known to
// read.
func (e *evaluation) traced(v *view, column string) error {
	switch {
	case v == nil:
		return fmt.Errorf("%s is a column of a table that the query is not known to read", e.input.short(column))
	case !v.stored:
		return fmt.Errorf("%s is a view whose columns are not traced to their tables", e.input.short(v.name))
	default:
		return nil
	}
}

// touch notes a sensitive column for reviewers and the record, also one that the subject may see.
func (e *evaluation) touch(column string, l leaf) {
	if l.rule == masking.Clear {
		return
	}
	e.decision.Sensitive = append(e.decision.Sensitive, column)
	if l.masked() != masking.Clear {
		e.decision.Masked = append(e.decision.Masked, column)
	}
	e.cite(l.ref)
	if l.exempt {
		e.cite(l.grant)
	}
}

// uses demands that a sensitive column that decides about the result is masked first, or refuses
// it. Of several refused ones the first in the text is named.
func (e *evaluation) uses() error {
	all := slices.Clone(e.statement.Uses)
	// Those of unknown place (0 or less, which becomes the largest) stand last.
	slices.SortStableFunc(all, func(a, b googlesql.Use) int { return cmp.Compare(uint(a.Offset-1), uint(b.Offset-1)) })
	var first error
	for _, use := range all {
		v, in := e.view(use.Column)
		if err := e.traced(v, use.Column); err != nil {
			return err
		}
		for _, l := range v.at(in) {
			column := v.name + "." + strings.Join(l.path, ".")
			e.touch(column, l)
			if l.masked() == masking.Clear || first != nil {
				continue
			}
			where, remedy := e.useWords(use.In)
			first = e.demand(column, l, remedy, "%s is used in %s%s", e.input.short(column), where, e.input.place(use.Offset))
		}
	}
	return first
}

// why says what makes the column sensitive.
func why(l leaf) string {
	if l.unlisted {
		return "it stands beside sensitive columns and the policy does not list it as clear"
	}
	return "it is sensitive"
}

var filterWord = regexp.MustCompile(`(?i)\b(WHERE|HAVING|QUALIFY|ON)\b`)

// useWords names a use in the words of SQL, and what would pass instead.
func (e *evaluation) useWords(in googlesql.UseIn) (where, remedy string) {
	switch in {
	case googlesql.UseFilter:
		words := map[string]bool{}
		for _, word := range filterWord.FindAllString(e.input.SQL, -1) {
			words[strings.ToUpper(word)] = true
		}
		where = "a filter (WHERE, HAVING, QUALIFY, IN or EXISTS)"
		for word := range words {
			if len(words) == 1 {
				where = word
			}
		}
		return where, "the same query without that condition"
	case googlesql.UseJoin:
		return "a join condition", "the same query joined on another column"
	case googlesql.UseGroup:
		return "GROUP BY, DISTINCT, PIVOT or a set operation", "the same query grouped by another column"
	case googlesql.UseOrder:
		return "ORDER BY", "the same query ordered by another column"
	case googlesql.UseWindow:
		return "a window (PARTITION BY, ORDER BY)", "the same query with a window over other columns"
	case googlesql.UseAggregate:
		return "an aggregate's ORDER BY, HAVING or filter", "the same query without it"
	case googlesql.UseExpression:
		return "an expression", "the same query without that expression"
	default:
		return "a part of the query other than its select list", "the same query without it"
	}
}

// column masks one output column, leaf by leaf.
func (e *evaluation) column(name string, c googlesql.Column, sources []carried) (masking.Column, error) {
	return placed(name, c.Type, sources, func(here []carried) (masking.Rule, error) { return e.leafRule(name, here) })
}

// placed gives the output column's shape a rule at each leaf, by what stands there.
func placed(name, typ string, sources []carried, ruleOf func(here []carried) (masking.Rule, error)) (masking.Column, error) {
	column, err := columnOf(name, typ)
	if err != nil {
		return column, fmt.Errorf("the type of output column %q is not understood: %w", shorten(name), err)
	}
	found := make([]bool, len(sources))
	var mask func(c *masking.Column, path []string) error
	mask = func(c *masking.Column, path []string) error {
		if len(c.Fields) > 0 {
			for i := range c.Fields {
				if err := mask(&c.Fields[i], append(path[:len(path):len(path)], fold(c.Fields[i].Name))); err != nil {
					return err
				}
			}
			return nil
		}
		var here []carried
		for i, source := range sources {
			if isPrefix(source.path, path) || isPrefix(path, source.path) {
				here, found[i] = append(here, source), true
			}
		}
		rule, err := ruleOf(here)
		if err != nil {
			return err
		}
		c.Mask = rule.For(c.Type)
		return nil
	}
	if err := mask(&column, nil); err != nil {
		return column, err
	}
	if i := slices.Index(found, false); i >= 0 {
		return column, fmt.Errorf("the lineage of output column %q does not fit its type %s", shorten(name), shorten(typ))
	}
	return column, nil
}

// leafRule is the one rule under which a leaf of an output column can be masked in flight. Without
// sensitive sources it is clear; with one, every row must come unchanged from masked columns under
// the same rule (A3); if not, the columns have to be masked before anything computes on them.
func (e *evaluation) leafRule(name string, sources []carried) (masking.Rule, error) {
	rule, apart := soleRule(sources)
	if apart == nil {
		return rule, nil
	}
	for _, c := range sources {
		if c.leaf.masked() == masking.Clear {
			continue
		}
		var err error
		switch {
		case !c.direct:
			err = e.demand(c.column, c.leaf, "the column selected as it is (its values are then masked), or the query without it",
				"%s is used in an expression (output column %s)", e.input.short(c.column), shorten(name))
		default:
			err = e.demand(c.column, c.leaf, "each of them in an output column of its own", "%s shares output column %s with other values",
				e.input.short(c.column), shorten(name))
		}
		if err != nil {
			return "", err
		}
	}
	if e.collecting {
		return masking.Clear, nil // nothing is masked by it: see evaluation.expected
	}
	return masking.AlwaysNull, nil
}

// soleRule is the rule of a leaf that masking in flight hides wholly: masking.Clear without
// sensitive sources. A source that stands against it is returned.
func soleRule(sources []carried) (masking.Rule, *carried) {
	i := slices.IndexFunc(sources, func(c carried) bool { return c.leaf.masked() != masking.Clear })
	if i < 0 {
		return masking.Clear, nil
	}
	rule := sources[i].leaf.masked()
	for j, c := range sources {
		if !c.direct || c.leaf.masked() != rule {
			return masking.AlwaysNull, &sources[j]
		}
	}
	return rule, nil
}

func isPrefix(a, b []string) bool { return len(a) <= len(b) && slices.Equal(a, b[:len(a)]) }
