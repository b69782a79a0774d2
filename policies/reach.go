package policies

import (
	"slices"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
)

// Reach is what a subject may know to exist: what the rules of its groups read. What is outside is
// not told apart from what is not there. The zero Reach reaches nothing.
type Reach struct {
	Groups  []string // policy groups the subject is in, sorted
	rules   []*rule
	over    []*rule // rules for the subject that have ended
	limits  []*rule // those of groups that it may be in
	subject identity.Subject
	set     *Set
}

// Reach says what the subject may know to exist now.
func (s *Set) Reach(subject identity.Subject, now time.Time) Reach {
	if s == nil {
		return Reach{}
	}
	member, age := s.Membership(subject), ageOf(subject, now)
	r := Reach{Groups: member.Groups, subject: subject, set: s}
	for _, rule := range s.rulesOf(r.Groups) {
		if rule.over(age) {
			r.over = append(r.over, rule)
		} else {
			r.rules = append(r.rules, rule)
		}
	}
	for _, rule := range s.rulesOf(member.unknown()) { // who may be in a group has its limits
		if rule.over(age) {
			r.limits = append(r.limits, rule)
		}
	}
	return r
}

// Nothing says that no rule is for the subject, or all have ended.
func (r Reach) Nothing() bool { return len(r.rules) == 0 }

// Table says whether the subject may read the table, with or without approval, and the first rule
// that says so.
func (r Reach) Table(id bigquery.TableID) (RuleRef, bool) {
	if strings.Contains(id.Project+id.Dataset+id.Table, "*") {
		return RuleRef{}, false // a name of many tables is none
	}
	rules := covering(r.rules, id)
	if len(rules) == 0 || len(covering(r.over, id))+len(covering(r.limits, id)) > 0 { // of several rules the one that ends first counts
		return RuleRef{}, false
	}
	return rules[0].ref, true
}

// Reads says whether the subject may read what an analysis calls by a full name: a table, a
// wildcard table, a view of INFORMATION_SCHEMA, or a function ("project.dataset.function()"), or
// might before its rules ended, which Decide tells. It is for googlesql.Query.Reach.
func (r Reach) Reads(name string) bool {
	return len(coveringName(r.rules, name)) > 0 || len(coveringName(r.over, name)) > 0
}

// Sight is how much of a dataset a subject may know. The zero Sight is nothing.
type Sight int

// Sights.
const (
	Unseen Sight = iota
	// SeenByName: it may be known only where it holds a table that the subject may read, since the
	// rules stand for many datasets, and for some tables of them.
	SeenByName
	Seen // it may be known, whatever it holds: a rule names it, or reads all of it
)

// Dataset says how much of the dataset the subject may know, and the first rule that says so.
func (r Reach) Dataset(project, dataset string) (Sight, RuleRef) {
	sight, ref := Unseen, RuleRef{}
	for _, rule := range r.rules {
		for _, p := range rule.read {
			if !p.coversDataset(project, dataset) {
				continue
			}
			if p.literalDataset() || p.parts[2] == "*" || metadata(p.parts[1], p.parts[2]) {
				return Seen, rule.ref
			}
			if sight == Unseen {
				sight, ref = SeenByName, rule.ref
			}
		}
	}
	return sight, ref
}

// Tables are the tables of a dataset that the rules name, sorted. All is false where a pattern
// stands for many.
func (r Reach) Tables(project, dataset string) (names []string, all bool) {
	all = true
	for _, rule := range r.rules {
		for _, p := range rule.read {
			switch {
			case !p.coversDataset(project, dataset) || metadata(p.parts[1], p.parts[2]):
			case strings.Contains(p.parts[2], "*"):
				all = false
			default:
				names = append(names, p.parts[2])
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), all
}

// coversDataset says whether the pattern covers tables of the dataset. No pattern covers those of a
// hidden one: they are results of others.
func (p pattern) coversDataset(project, dataset string) bool {
	return !strings.HasPrefix(dataset, "_") && covers(p.parts[0], project) && covers(p.parts[1], dataset)
}

// literalDataset says whether the pattern names one dataset.
func (p pattern) literalDataset() bool { return !strings.Contains(p.parts[0]+p.parts[1], "*") }

// Project says whether the subject may read a table of the project, if there are any, and the first
// rule that says so. Named says that a rule names the project: otherwise it may be known only where
// it holds a dataset that may.
func (r Reach) Project(project string) (ref RuleRef, named, ok bool) {
	for _, rule := range r.rules {
		for _, p := range rule.read {
			if !covers(p.parts[0], project) {
				continue
			}
			if !ok {
				ref, ok = rule.ref, true
			}
			named = named || p.parts[0] == project
		}
	}
	return ref, named, ok
}

// Projects lists the projects that the rules name, sorted. A pattern that stands for many names
// none.
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
