package policies

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/masking"
)

// SensitiveColumn is a leaf column that an entry of `columns` masks.
type SensitiveColumn struct {
	Path string // project.dataset.table.column[.field…]
	Rule masking.Rule
}

// SensitiveColumns lists the leaf columns of a table that the policy's `columns` entries mask, in
// the order of the schema. Exemptions do not matter here, nor do columns that are masked only
// because nobody listed them.
func (s *Set) SensitiveColumns(table *bigquery.Table) []SensitiveColumn {
	if s == nil || table == nil {
		return nil
	}
	v := s.view(table, nil)
	var all []SensitiveColumn
	seen := map[string]bool{}
	v.everyLeaf(func(l leaf) bool {
		path := v.name + "." + strings.Join(l.path, ".")
		if l.rule != masking.Clear && !l.unlisted && !seen[path] {
			seen[path] = true
			all = append(all, SensitiveColumn{Path: path, Rule: l.rule})
		}
		return true
	})
	return all
}

// view is one table as one subject may see it.
type view struct {
	id      bigquery.TableID
	name    string
	schema  []bigquery.Field
	members []string           // of a wildcard table
	others  []bigquery.Schema  // of members of a wildcard table that differ from schema
	origins []*view            // the tables whose rows this one shows, as far as they are there
	gone    bool               // one of them is not there any more
	ids     []bigquery.TableID // its own name and those of all of its origins: who speaks of one of them to restrict speaks of it
	stored  bool               // a table with rows of its own, not a view
	entries []*columnRule      // that speak of the table
	exempt  []pattern          // clear patterns of the rules by which the subject reads it
	granted []RuleRef          // of the rule of each exempt pattern

	highValue bool
	maskRest  bool // columns that no entry lists are masked
	saysRest  bool // because an entry of tables says so of the table by its own name
	rest      RuleRef
}

// leaf is what holds for one leaf column.
type leaf struct {
	path     []string // in the schema's spelling
	typ      string
	rule     masking.Rule // masking.Clear where it is not sensitive
	unlisted bool         // masked only because no entry lists it
	exempt   bool         // sensitive, but the subject may see it
	other    string       // what happens to a use other than selecting it as it is; useRewrite, useApprove or useDeny
	ref      RuleRef      // of the entry that masks it
	grant    RuleRef      // of the rule that exempts it
}

// masked is the rule that holds for the subject.
func (l leaf) masked() masking.Rule {
	if l.exempt {
		return masking.Clear
	}
	return l.rule
}

// view gathers what the policy says of a table, for a subject who reads it by these rules.
func (s *Set) view(table *bigquery.Table, rules []*rule) *view {
	v := &view{id: table.TableReference, name: table.TableReference.String(), schema: table.Schema.Fields, stored: table.Type != "VIEW" &&
		table.Type != "MATERIALIZED_VIEW" && table.View == nil && table.MaterializedView == nil}
	v.members, v.others, v.ids = table.Members, table.Others, []bigquery.TableID{v.id}
	for _, o := range table.Origins {
		if o.Table == nil {
			v.gone, v.ids = true, append(v.ids, o.ID)
			continue
		}
		origin := s.view(o.Table, nil)
		v.origins, v.ids, v.gone = append(v.origins, origin), append(v.ids, origin.ids...), v.gone || origin.gone
	}
	for i := range s.columns {
		if v.touchedBy(s.columns[i].match) {
			v.entries = append(v.entries, &s.columns[i])
		}
	}
	v.applyTables(s.tables)
	for _, r := range rules {
		for _, p := range r.clear {
			if p.coversTable(v.id) {
				v.exempt, v.granted = append(v.exempt, p), append(v.granted, r.ref)
			}
		}
	}
	return v
}

// touchedBy says whether a pattern that restricts speaks of the table, by its own name or by one of
// those that it shows the rows of.
func (v *view) touchedBy(p pattern) bool { return slices.ContainsFunc(v.ids, p.touchesTable) }

// applyTables decides about high value and about columns that nobody listed (A18): masked if any
// entry says so, clear if one says that and none the opposite, otherwise masked beside sensitive
// columns.
func (v *view) applyTables(tables []tableRule) {
	mask, shown := false, false
	for i := range tables {
		t := &tables[i]
		if !v.touchedBy(t.match) {
			continue
		}
		v.highValue = v.highValue || t.highValue
		switch {
		case t.unlisted == "mask":
			mask, v.rest = true, t.ref
			v.saysRest = v.saysRest || t.match.touchesTable(v.id)
		case t.unlisted == "clear" && t.match.coversTable(v.id):
			shown = true
		}
	}
	switch {
	case mask:
		v.maskRest = true
	case shown:
	default:
		if entry := v.sensitiveEntry(); entry != nil {
			v.maskRest, v.rest = true, entry.ref
		}
	}
}

// sensitiveEntry finds an entry that makes this a table with sensitive columns. One that names the
// table itself does so even if the column is gone: it may have been renamed.
func (v *view) sensitiveEntry() *columnRule {
	for _, entry := range v.entries {
		if entry.mask == "" {
			continue
		}
		if entry.match.literalTable() || v.speaksOf(entry.match) {
			return entry
		}
	}
	return nil
}

// leaf says what holds for a column path; typ is the leaf's type, in any spelling.
func (v *view) leaf(path []string, typ string) leaf {
	l := leaf{path: path, typ: typ, rule: masking.Clear}
	folded := foldAll(path)
	var rules []masking.Rule
	listed := false
	for _, entry := range v.entries {
		covered, below := entry.match.columnDepth(folded)
		switch {
		case entry.mask != "" && (covered || below): // a pattern that points into a leaf, such as a JSON column, masks all of it
			rules = append(rules, entry.mask.For(typ))
			l.other = strictestUse(l.other, entry.otherUse)
			if l.ref.Name == "" {
				l.ref = entry.ref
			}
		case entry.mask == "" && covered && entry.match.coversTable(v.id):
			listed = true
		}
	}
	switch {
	case len(rules) > 0:
		l.rule = strictest(rules)
	case !listed && v.maskRest && !v.clearAtOrigin(path, typ):
		l.rule, l.unlisted, l.ref = masking.DefaultMaskingValue.For(typ), true, v.rest
		l.other = useRewrite
	default:
		return l
	}
	for i, p := range v.exempt {
		if covered, _ := p.columnDepth(folded); covered {
			l.exempt, l.grant = true, v.granted[i]
			break
		}
	}
	return l
}

// strictestUse is the stricter of two answers to another use; "" is none.
func strictestUse(a, b string) string {
	for _, use := range []string{useDeny, useApprove, useRewrite} {
		if a == use || b == use {
			return use
		}
	}
	return useDeny
}

// strictest joins rules in one order, whatever the order of the policy: rules that each show a part
// first, since two of them together give DEFAULT_MASKING_VALUE.
func strictest(rules []masking.Rule) masking.Rule {
	order := masking.Rules() // strictest first
	slices.SortFunc(rules, func(a, b masking.Rule) int { return slices.Index(order, b) - slices.Index(order, a) })
	joined := rules[0]
	for _, r := range rules[1:] {
		joined = masking.Stricter(joined, r)
	}
	return joined
}

// clearAtOrigin says whether the policy leaves the column clear in the table whose rows this one
// shows. Only one that is there and has the column says so, and none that speaks for itself is
// asked: a clone may have got columns of its own.
func (v *view) clearAtOrigin(path []string, typ string) bool {
	if len(v.origins) != 1 || v.gone || len(v.others) > 0 || v.saysRest {
		return false
	}
	origin := v.origins[0]
	found := false
	origin.walk(origin.schema, nil, func(p []string, t string) bool {
		found = t == typ && slices.Equal(foldAll(p), foldAll(path))
		return !found
	})
	return found && origin.leaf(path, typ).rule == masking.Clear
}

// schemas are all that the table's columns could be: its own, and those of members of a wildcard.
func (v *view) schemas() [][]bigquery.Field {
	all := [][]bigquery.Field{v.schema}
	for _, s := range v.others {
		all = append(all, s.Fields)
	}
	return all
}

// everyLeaf calls visit for each leaf of all schemas until it returns false.
func (v *view) everyLeaf(visit func(leaf) bool) {
	more := true
	for _, schema := range v.schemas() {
		if more {
			v.leaves(schema, nil, func(l leaf) bool { more = visit(l); return more })
		}
	}
}

// leaves calls visit for each leaf at or below fields until it returns false.
func (v *view) leaves(fields []bigquery.Field, prefix []string, visit func(leaf) bool) {
	v.walk(fields, prefix, func(path []string, typ string) bool { return visit(v.leaf(slices.Clone(path), typ)) })
}

func (v *view) walk(fields []bigquery.Field, prefix []string, visit func(path []string, typ string) bool) bool {
	for i := range fields {
		f := &fields[i]
		path := append(prefix[:len(prefix):len(prefix)], f.Name)
		if len(f.Fields) > 0 {
			if !v.walk(f.Fields, path, visit) {
				return false
			}
		} else if !visit(path, f.Type) {
			return false
		}
	}
	return true
}

// at lists the leaves that a column path stands for: itself, those below a STRUCT, or the leaf
// above it (a field inside JSON). A path that the schema does not know, such as a pseudo column, is
// a leaf of unknown type.
func (v *view) at(path []string) []leaf {
	fields, spelt := v.schema, make([]string, 0, len(path))
	for _, name := range path {
		i := slices.IndexFunc(fields, func(f bigquery.Field) bool { return fold(f.Name) == fold(name) })
		if i < 0 {
			return []leaf{v.leaf(path, "")}
		}
		f := &fields[i]
		spelt = append(spelt, f.Name)
		if len(f.Fields) == 0 {
			return []leaf{v.leaf(spelt, f.Type)}
		}
		fields = f.Fields
	}
	var all []leaf
	v.leaves(fields, spelt, func(l leaf) bool { all = append(all, l); return true })
	return all
}

// sensitive says whether the table has a column that is masked for the subject. An entry that names
// the table counts even if its column is gone.
func (v *view) sensitive() bool {
	if len(v.entries) == 0 && !v.maskRest {
		return false
	}
	found, named := false, map[*columnRule]bool{}
	v.everyLeaf(func(l leaf) bool {
		folded := foldAll(l.path)
		for _, entry := range v.entries {
			if covered, below := entry.match.columnDepth(folded); covered || below {
				named[entry] = true
			}
		}
		found = l.masked() != masking.Clear
		return !found
	})
	return found || slices.ContainsFunc(v.entries, func(entry *columnRule) bool {
		return entry.mask != "" && entry.match.literalTable() && !named[entry]
	})
}

// sensitiveRef is the entry that makes the table sensitive.
func (v *view) sensitiveRef() RuleRef {
	if entry := v.sensitiveEntry(); entry != nil {
		return entry.ref
	}
	return v.rest
}

func foldAll(path []string) []string {
	folded := make([]string, len(path))
	for i, part := range path {
		folded[i] = fold(part)
	}
	return folded
}
