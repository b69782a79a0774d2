package policies

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
)

// Reach is what a subject may know to exist: what the rules of its groups read. What is outside is not told apart from what is not there. The zero Reach
// reaches nothing.
type Reach struct {
	Groups []string // policy groups the subject is in, sorted
	rules  []*rule
}

// Reach says what the subject may know to exist.
func (s *Set) Reach(subject identity.Subject) Reach {
	if s == nil {
		return Reach{}
	}
	groups := s.Groups(subject)
	return Reach{Groups: groups, rules: s.rulesOf(groups)}
}

// Nothing says that no rule is for the subject.
func (r Reach) Nothing() bool { return len(r.rules) == 0 }

// Table says whether the subject may read the table, with or without approval, and the first rule that says so.
func (r Reach) Table(id bigquery.TableID) (RuleRef, bool) {
	if strings.Contains(id.Project+id.Dataset+id.Table, "*") {
		return RuleRef{}, false // a name of many tables is none
	}
	rules := covering(r.rules, id)
	if len(rules) == 0 {
		return RuleRef{}, false
	}
	return rules[0].ref, true
}

// Reads says whether the subject may read what an analysis calls by a full name: a table, a wildcard table, a view of INFORMATION_SCHEMA, or a function
// ("project.dataset.function()"). It is for googlesql.Request.Reach.
func (r Reach) Reads(name string) bool { return len(coveringName(r.rules, name)) > 0 }

// Dataset says whether the subject may read a table of the dataset, if there are any, and the first rule that says so.
func (r Reach) Dataset(project, dataset string) (RuleRef, bool) {
	if strings.HasPrefix(dataset, "_") {
		return RuleRef{}, false // hidden: results of others
	}
	for _, rule := range r.rules {
		if slices.ContainsFunc(rule.read, func(p pattern) bool { return covers(p.parts[0], project) && covers(p.parts[1], dataset) }) {
			return rule.ref, true
		}
	}
	return RuleRef{}, false
}

// Project says whether the subject may read a table of the project, if there are any, and the first rule that says so.
func (r Reach) Project(project string) (RuleRef, bool) {
	for _, rule := range r.rules {
		if slices.ContainsFunc(rule.read, func(p pattern) bool { return covers(p.parts[0], project) }) {
			return rule.ref, true
		}
	}
	return RuleRef{}, false
}

// Projects lists the projects that the rules name, sorted. A pattern that stands for many names none.
func (r Reach) Projects() []string {
	var all []string
	for _, rule := range r.rules {
		for _, p := range rule.read {
			if !strings.Contains(p.parts[0], "*") {
				all = append(all, p.parts[0])
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
