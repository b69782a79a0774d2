package masking

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// How BigQuery names what the query does not name.
var (
	anonymousColumn = regexp.MustCompile(`^f[0-9]+_$`)
	anonymousField  = regexp.MustCompile(`^_field_[0-9]+$`)
	// madeUnique is what BigQuery puts behind a name that is taken: of two columns a the second is
	// a_1.
	madeUnique = regexp.MustCompile(`^(_[0-9]+)*$`)
)

// Match says where the columns that an answer tells of, all clear, are not those of the plan. The
// plan is right: an answer that differs is not the answer that was decided on. Columns are matched
// by their places; names and types must agree.
func (p Plan) Match(told []Column) error {
	if !p.Untold() {
		return match(told, p.Columns, false)
	}
	for i, c := range told {
		named := func(other Column) bool { return strings.EqualFold(other.Name, c.Name) }
		if !slices.ContainsFunc(p.Columns, named) || slices.ContainsFunc(told[:i], named) {
			return fmt.Errorf("field %d is a column that the plan does not have", i)
		}
	}
	return Plan{Columns: told}.Check()
}

func match(told, columns []Column, nested bool) error {
	if len(told) != len(columns) {
		return fmt.Errorf("the answer has %d fields where the plan has %d", len(told), len(columns))
	}
	for i, field := range told {
		column := columns[i]
		if !column.named(field.Name, nested) {
			return fmt.Errorf("field %d is not named as in the plan", i)
		}
		if kind := KindOf(field.Type); kind == "" || kind != KindOf(column.Type) {
			return fmt.Errorf("field %d is a %q where the plan has %q", i, field.Type, column.Type)
		}
		if field.Repeated != column.Repeated {
			return fmt.Errorf("field %d is an array, or none, where the plan has it otherwise", i)
		}
		if err := match(field.Fields, column.Fields, true); err != nil {
			return fmt.Errorf("field %d: %w", i, err)
		}
	}
	return nil
}

// named says whether BigQuery may call the column so.
func (c Column) named(name string, nested bool) bool {
	switch {
	case c.Ambiguous && !nested:
		rest, ok := cutPrefixFold(name, c.Name)
		if !ok && anonymousColumn.MatchString(c.Name) { // BigQuery may count on past the names that are taken
			_, rest, ok = strings.Cut(name, "_")
			ok = ok && anonymousColumn.MatchString(name[:len(name)-len(rest)])
		}
		if ok && rest != "" && strings.HasSuffix(c.Name, "_") && rest[0] != '_' {
			rest = "_" + rest // f0_1
		}
		return ok && madeUnique.MatchString(rest)
	case c.Name != "":
		return strings.EqualFold(name, c.Name)
	case nested:
		return anonymousField.MatchString(name)
	default:
		return anonymousColumn.MatchString(name)
	}
}

func cutPrefixFold(text, prefix string) (rest string, found bool) {
	if len(text) < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
		return "", false
	}
	return text[len(prefix):], true
}
