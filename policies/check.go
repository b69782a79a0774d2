package policies

import (
	"fmt"
	"strings"
)

// Line is one entry of a policy in few words, for people who look it over.
type Line struct {
	Kind string // "group", "column", "table", "rule" or "approval"
	Name string // of the entry, or what it matches
	What string // what it says
	Ref  RuleRef
}

// Outline says what was loaded, one line an entry.
func (s *Set) Outline() []Line {
	var all []Line
	row := func(kind, name, what string, ref RuleRef) { all = append(all, Line{kind, name, what, ref}) }
	for _, g := range s.groups {
		issuer := g.issuer
		if issuer == "" {
			issuer = "the only configured issuer"
		}
		row("group", g.name, fmt.Sprintf("of %s when %s", issuer, oneLine(g.when.text)), g.ref)
	}
	for _, c := range s.columns {
		what := "not sensitive"
		if c.mask != "" {
			what = string(c.mask)
		}
		row("column", c.match.text, what, c.ref)
	}
	for _, t := range s.tables {
		var what []string
		if t.highValue {
			what = append(what, "high value")
		}
		if t.unlisted != "" {
			what = append(what, "unlisted columns: "+t.unlisted)
		}
		row("table", t.match.text, strings.Join(what, ", "), t.ref)
	}
	for _, r := range s.rules {
		what := strings.Join(r.groups, ", ") + " read " + texts(r.read)
		if len(r.clear) > 0 {
			what += ", clear " + texts(r.clear)
		}
		if len(r.rowAccess) > 0 {
			what += ", in spite of row access policies " + texts(r.rowAccess)
		}
		if r.maxBytes > 0 {
			what += ", at most " + formatSize(r.maxBytes)
		}
		if len(r.budgets) > 0 {
			what += ", " + budgetWords(r.budgets)
		}
		if r.session > 0 {
			what += ", for " + r.session.String()
		}
		if r.namedJobs {
			what += ", jobs in " + strings.Join(r.jobsIn, ", ")
		}
		row("rule", r.ref.Name, what+", with credential "+r.credential, r.ref)
	}
	for _, a := range s.approvals {
		who := "everybody"
		if len(a.groups) > 0 {
			who = strings.Join(a.groups, ", ")
		}
		row("approval", a.ref.Name, fmt.Sprintf("%s need %s when %s", who, describeNeeds(a.needs, a.quorum), oneLine(a.when.text)), a.ref)
	}
	return all
}

// Files is how many files the policy was loaded from.
func (s *Set) Files() int { return len(s.files) }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func texts(patterns []pattern) string {
	all := make([]string, len(patterns))
	for i, p := range patterns {
		all[i] = p.text
	}
	return strings.Join(all, ", ")
}
