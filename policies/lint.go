package policies

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/spelling"
)

// Finding is something in a policy that is allowed and probably not meant.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Message string `json:"message"`
}

// ClearColumn is a column that somebody sees as it is.
type ClearColumn struct {
	Column string   `json:"column"` // project.dataset.table.column[.field…]
	Groups []string `json:"groups"` // who sees it so
	Why    string   `json:"why"`
}

// Lint looks for what is probably not meant, and lists every column of a catalog folder that
// somebody sees clear (A18). Without a folder it says only what the files themselves tell, and
// without the issuers nothing of their pitfalls.
func (s *Set) Lint(catalog string, issuers ...identity.Issuer) ([]Finding, []ClearColumn, error) {
	l := &linter{set: s}
	l.pitfalls(issuers)
	l.groups()
	l.ends()
	l.budgets()
	l.jobsIn()
	l.undecided()
	l.unlooked()
	l.cleared()
	if catalog == "" {
		return l.done(), nil, nil
	}
	tables, err := catalogTables(catalog)
	if err != nil {
		return nil, nil, err
	}
	l.unreached(tables)
	inClear := l.inClear(tables)
	return l.done(), inClear, nil
}

type linter struct {
	set      *Set
	findings []Finding
}

func (l *linter) find(ref RuleRef, format string, args ...any) {
	l.findings = append(l.findings, Finding{ref.File, ref.Line, fmt.Sprintf(format, args...)})
}

func (l *linter) done() []Finding {
	slices.SortStableFunc(l.findings, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	return l.findings
}

// ends: a rule's `for` that another rule for the same groups always cuts short.
func (l *linter) ends() {
	rules := l.set.rules
	for i := range rules {
		for j := range rules {
			r, o := &rules[i], &rules[j]
			if r.session == 0 || o.session == 0 || o.session >= r.session ||
				slices.ContainsFunc(r.groups, func(g string) bool { return !slices.Contains(o.groups, g) }) {
				continue
			}
			cut := !slices.ContainsFunc(r.read, func(p pattern) bool {
				id := tableID{Project: p.parts[0], Dataset: p.parts[1], Table: p.parts[2]}
				return !slices.ContainsFunc(o.read, func(q pattern) bool { return q.coversTable(id) })
			})
			if cut {
				l.find(r.ref, "rule %s: its for: %s never counts, since rule %s reads the same tables for the same groups and ends after "+
					"%s", r.ref.Name, r.session, o.ref.Name, o.session)
				break
			}
		}
	}
}

// jobsIn: projects that look like another one that the policy names.
func (l *linter) jobsIn() {
	named := map[string]int{}
	for i := range l.set.rules {
		r := &l.set.rules[i]
		for _, p := range r.read {
			named[p.parts[0]]++
		}
		for _, project := range r.jobsIn {
			named[project]++
		}
	}
	for i := range l.set.rules {
		r := &l.set.rules[i]
		for _, project := range r.jobsIn {
			if !r.namedJobs || named[project] > 1 {
				continue
			}
			others := slices.DeleteFunc(slices.Collect(maps.Keys(named)), func(other string) bool {
				return other == project || strings.Contains(other, "*")
			})
			slices.Sort(others)
			if near := spelling.Nearest(project, others); near != "" {
				l.find(r.ref, "rule %s lets jobs run in %s, which nothing else names (did you mean %s?)", r.ref.Name, project, near)
			}
		}
	}
}

var quoted = regexp.MustCompile(`"([^"\\]+)"|'([^'\\]+)'`)

// groups: those that play no part, and names inside their conditions that look like slips of the
// pen. A group that a rule names and nobody defined does not load.
func (l *linter) groups() {
	reads, reviews := map[string]bool{}, map[string]bool{}
	for _, r := range l.set.rules {
		for _, g := range r.groups {
			reads[g] = true
		}
	}
	for _, a := range l.set.approvals {
		for _, g := range a.reviewers {
			reviews[g] = true
		}
	}
	var names []string
	for _, g := range l.set.groups {
		names = append(names, g.name)
	}
	for _, g := range l.set.groups {
		if !reads[g.name] && !reviews[g.name] {
			l.find(g.ref, "group %s reads nothing and reviews nothing: no rule and no approval names it", g.name)
		}
		for _, m := range quoted.FindAllStringSubmatch(g.when.text, -1) {
			word := m[1] + m[2]
			for _, name := range names {
				// Two letters off is near only in a long name: owners and others are two words.
				if d := levenshtein.ComputeDistance(word, name); (d == 1 && len(name) > 3 || d == 2 && len(name) > 8) &&
					!slices.Contains(names, word) {
					l.find(g.ref, "the condition of group %s compares with %q: did you mean %q?", g.name, word, name)
				}
			}
		}
	}
	for _, a := range l.set.approvals {
		if len(a.groups) > 0 && !slices.ContainsFunc(a.groups, func(g string) bool { return reads[g] }) {
			l.find(a.ref, "approval %s holds nobody's queries: no rule lets %s read anything", a.ref.Name, strings.Join(a.groups, ", "))
		}
	}
}

// unreached: entries that speak of no table, or no column, of the catalog.
func (l *linter) unreached(tables []*bigquery.Table) {
	touched := func(p pattern) bool {
		return slices.ContainsFunc(tables, func(t *bigquery.Table) bool { return p.touchesTable(t.TableReference) })
	}
	column := func(p pattern) bool {
		return slices.ContainsFunc(tables, func(t *bigquery.Table) bool {
			return p.touchesTable(t.TableReference) && hasColumn(l.set.view(t, nil), p)
		})
	}
	for _, r := range l.set.rules {
		for _, p := range r.read {
			if !slices.ContainsFunc(tables, func(t *bigquery.Table) bool { return p.coversTable(t.TableReference) }) {
				l.find(r.ref, "rule %s reads %s, and no table of the catalog has such a name%s", r.ref.Name, p.text,
					l.sameFolded(p, touched))
			}
		}
		for _, p := range r.rowAccess {
			if !slices.ContainsFunc(tables, func(t *bigquery.Table) bool { return p.coversTable(t.TableReference) }) {
				l.find(r.ref, "rule %s names %s under row_access_policies, and no table of the catalog has such a name%s", r.ref.Name,
					p.text, l.sameFolded(p, touched))
			}
		}
		for _, p := range r.clear {
			if !column(p) {
				l.find(r.ref, "rule %s clears %s, and no column of the catalog has such a name%s", r.ref.Name, p.text, l.meant(p, tables))
			}
		}
	}
	for i := range l.set.columns {
		c := &l.set.columns[i]
		if !column(c.match) {
			closed := ""
			if slices.ContainsFunc(tables, func(t *bigquery.Table) bool {
				return c.match.touchesTable(t.TableReference) && l.set.view(t, nil).lacks(c)
			}) {
				closed = "; no query of the table is answered until that is mended"
			}
			l.find(c.ref, "columns entry %s: no column of the catalog has such a name%s%s", c.match.text, l.meant(c.match, tables), closed)
		}
	}
	for _, t := range l.set.tables {
		if !touched(t.match) {
			l.find(t.ref, "tables entry %s: no table of the catalog has such a name%s", t.match.text, l.meant(t.match, tables))
		}
	}
}

func (l *linter) sameFolded(p pattern, touched func(pattern) bool) string {
	if touched(p) {
		return " in this case of letters"
	}
	return ""
}

func hasColumn(v *view, p pattern) bool {
	found := false
	v.leaves(v.schema, nil, func(leaf leaf) bool {
		covered, below := p.columnDepth(foldAll(leaf.path))
		found = covered || below
		return !found
	})
	return found
}

// inClear lists what is seen as it is, group by group, and finds columns among it whose names are
// like those of sensitive ones: a copy that nobody listed.
func (l *linter) inClear(tables []*bigquery.Table) []ClearColumn {
	sensitive := l.sensitiveNames(tables)
	var all []ClearColumn
	for _, t := range tables {
		if t.Type == "VIEW" || t.View != nil {
			continue // its columns are as clear as those of the tables behind it
		}
		seen := map[string]*ClearColumn{}
		var order []string
		for _, g := range l.set.groups {
			rules := covering(l.set.rulesOf([]string{g.name}), t.TableReference)
			if len(rules) == 0 {
				continue
			}
			v := l.set.view(t, rules)
			v.leaves(t.Schema.Fields, nil, func(leaf leaf) bool {
				if leaf.masked() != masking.Clear {
					return true
				}
				name := v.name + "." + strings.Join(leaf.path, ".")
				why := l.why(v, leaf)
				key := name + "\x00" + why
				if seen[key] == nil {
					seen[key] = &ClearColumn{Column: name, Why: why}
					order = append(order, key)
					if like := resembles(leaf.path, sensitive); like != "" && !leaf.exempt && !l.listed(v, leaf) {
						l.find(rules[0].ref, "%s is seen as it is, and its name is like that of the sensitive column %s: give it a mask, "+
							"or say clear: true", name, like)
					}
				}
				seen[key].Groups = append(seen[key].Groups, g.name)
				return true
			})
		}
		for _, key := range order {
			all = append(all, *seen[key])
		}
	}
	return all
}

// why says which entry leaves a column clear.
func (l *linter) why(v *view, leaf leaf) string {
	switch {
	case leaf.exempt:
		return fmt.Sprintf("rule %s (%s:%d) clears it", leaf.grant.Name, leaf.grant.File, leaf.grant.Line)
	case l.listed(v, leaf):
		return "listed with clear: true"
	}
	for _, t := range l.set.tables {
		if t.unlisted == "clear" && t.match.coversTable(v.id) {
			return fmt.Sprintf("not listed, and the table says unlisted: clear (%s:%d)", t.ref.File, t.ref.Line)
		}
	}
	return "no column of the table is listed as sensitive"
}

// listed says whether an entry of columns says that the leaf is not sensitive.
func (l *linter) listed(v *view, leaf leaf) bool {
	return slices.ContainsFunc(v.entries, func(entry *columnRule) bool {
		covered, _ := entry.match.columnDepth(foldAll(leaf.path))
		return entry.mask == "" && covered && entry.match.coversTable(v.id)
	})
}

// sensitiveNames are the last words of sensitive columns that are long enough to be told from
// others, with a column of that name.
func (l *linter) sensitiveNames(tables []*bigquery.Table) map[string]string {
	names := map[string]string{}
	for _, t := range tables {
		for _, c := range l.set.SensitiveColumns(t) {
			word := fold(c.Path[strings.LastIndexByte(c.Path, '.')+1:])
			if len(word) >= 3 && names[word] == "" {
				names[word] = c.Path
			}
		}
	}
	return names
}

// resembles finds a sensitive name among the words of a column's: ssn in ssn_backup, and in
// old.ssn.
func resembles(path []string, sensitive map[string]string) string {
	words := strings.FieldsFunc(fold(path[len(path)-1]), func(r rune) bool {
		return r == '_' || r == '-' || r == ' ' || r >= '0' && r <= '9'
	})
	for i := range words {
		for j := i + 1; j <= len(words); j++ {
			if column := sensitive[strings.Join(words[i:j], "_")]; column != "" {
				return column
			}
		}
	}
	return ""
}
