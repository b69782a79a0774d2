package policies

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/spelling"
)

// unlooked: tables that are said to be of high value, and no approval of those who read them looks
// at that.
func (l *linter) unlooked() {
	for i := range l.set.tables {
		t := &l.set.tables[i]
		if !t.highValue || slices.ContainsFunc(l.set.approvals, func(a approval) bool { return l.looks(&a, t) }) {
			continue
		}
		l.find(t.ref, "tables entry %s: high_value: true holds no query, since no approval looks at it: "+
			"write one with when: tables.exists(t, t.high_value)",
			t.match.text)
	}
}

// looks says whether an approval could hold a query because of an entry's high_value.
func (l *linter) looks(a *approval, t *tableRule) bool {
	if readers := l.readers(t.match); len(a.groups) > 0 && len(readers) > 0 && !anyOf(a.groups, readers) {
		return false
	}
	reads, alone := a.when.readsHighValue()
	if !reads || !alone || !t.match.literalTable() {
		return reads
	}
	// The condition speaks of nothing but tables, and this one has a name: try it. One that cannot
	// be answered holds.
	values := map[string]any{"tables": []Table{{
		Name: t.match.text, Project: t.match.parts[0], Dataset: t.match.parts[1], Table: t.match.parts[2], HighValue: true,
	}}}
	holds, err := a.when.eval(values)
	return holds || err != nil
}

// readers are the groups that rules let read a table of the pattern.
func (l *linter) readers(match pattern) []string {
	var all []string
	for _, r := range l.set.rules {
		if slices.ContainsFunc(r.read, func(p pattern) bool { return overlap(p, match) }) {
			all = append(all, r.groups...)
		}
	}
	return all
}

// readsHighValue says whether a condition of an approval reads high_value of a table, and whether
// it reads nothing but tables. A text that does not compile reads all: it is not loaded.
func (c condition) readsHighValue() (reads, alone bool) {
	env, err := approvalEnv()
	if err != nil {
		return true, false
	}
	checked, issues := env.Compile(c.text)
	if issues.Err() != nil {
		return true, false
	}
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		reads = reads || e.Kind() == ast.SelectKind && e.AsSelect().FieldName() == "high_value"
	}))
	return reads, !readsOther(checked)
}

// readsOther says whether a condition reads a variable other than tables.
func readsOther(checked *cel.Ast) bool {
	for _, reference := range checked.NativeRep().ReferenceMap() {
		for _, other := range []string{"subject.", "claims", "estimate.", "kinds", "groups", "other_use"} {
			if strings.HasPrefix(reference.Name, other) {
				return true
			}
		}
	}
	return false
}

// cleared: what one entry clears and another masks. Which of the two holds is certain; that it was
// meant is not.
func (l *linter) cleared() {
	for i := range l.set.columns {
		c := &l.set.columns[i]
		if c.mask != "" {
			continue
		}
		if masked := l.maskedBy(c.match); masked != nil {
			l.find(c.ref, "columns entry %s says clear: true, and %s (%s:%d) masks it or a part of it: the mask holds; "+
				"a rule's clear exempts a group, and unlisted: clear leaves the other columns of a table as they are",
				c.match.text, masked.match.text, masked.ref.File, masked.ref.Line)
		}
	}
	for i := range l.set.rules {
		r := &l.set.rules[i]
		for _, p := range r.clear {
			masked := l.maskedBy(p)
			if masked == nil {
				continue
			}
			if strings.Contains(strings.Join(p.parts[tableParts:], ""), "*") {
				l.find(r.ref, "rule %s clears %s, and with it what %s (%s:%d) masks: name the columns that are meant",
					r.ref.Name, p.text, masked.match.text, masked.ref.File, masked.ref.Line)
			}
			l.alsoMasked(r, p)
		}
	}
}

// alsoMasked finds other rules by which the same groups read masked what a rule clears: for them it
// is clear.
func (l *linter) alsoMasked(r *rule, cleared pattern) {
	for i := range l.set.rules {
		other := &l.set.rules[i]
		at := slices.IndexFunc(r.groups, func(g string) bool { return slices.Contains(other.groups, g) })
		switch {
		case other == r || at < 0:
		case !slices.ContainsFunc(other.read, func(p pattern) bool { return overlap(p, cleared) }):
		case slices.ContainsFunc(other.clear, func(p pattern) bool { return overlap(p, cleared) && sameColumns(p, cleared) }):
		default:
			l.find(r.ref, "rule %s clears %s for group %s, and rule %s (%s:%d), which reads the same table for it, "+
				"leaves it masked: it is clear",
				r.ref.Name, cleared.text, r.groups[at], other.ref.Name, other.ref.File, other.ref.Line)
		}
	}
}

// maskedBy is an entry that masks a column of the pattern, or a part of one.
func (l *linter) maskedBy(p pattern) *columnRule {
	i := slices.IndexFunc(l.set.columns, func(c columnRule) bool { return c.mask != "" && overlap(c.match, p) && sameColumns(c.match, p) })
	if i < 0 {
		return nil
	}
	return &l.set.columns[i]
}

// sameColumns says whether the column parts of two patterns have a column in common, or one leads
// into that of the other.
func sameColumns(a, b pattern) bool {
	for i := tableParts; i < min(len(a.folded), len(b.folded)); i++ {
		if !touches(a.folded[i], b.folded[i]) {
			return false
		}
	}
	return true
}

// meant is " (did you mean X?)" for a name of a table or a column that a catalog does not have.
func (l *linter) meant(p pattern, tables []*bigquery.Table) string {
	if !p.literal() {
		return ""
	}
	// One part of the name is wrong, more often than two: what is compared is the part that
	// differs.
	beside, names := map[string]string{}, [tableParts][]string{}
	for _, t := range tables {
		if p.touchesTable(t.TableReference) {
			if len(p.parts) > tableParts {
				return spelling.DidYouMean(strings.Join(p.parts[tableParts:], "."), l.set.view(t, nil).paths())
			}
			return ""
		}
		id := t.TableReference
		parts, differs, n := [tableParts]string{id.Project, id.Dataset, id.Table}, 0, 0
		for i, part := range parts {
			if fold(part) != p.folded[i] {
				differs, n = i, n+1
			}
		}
		if n == 1 {
			names[differs] = append(names[differs], parts[differs])
			beside[parts[differs]] = id.String()
		}
	}
	for i := tableParts - 1; i >= 0; i-- {
		if nearest := spelling.Nearest(p.parts[i], names[i]); nearest != "" {
			return " (did you mean " + beside[nearest] + "?)"
		}
	}
	return ""
}
