package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bqgate/bqgate/internal/identity"
)

// Membership is what the policy's groups say of a subject. A group has one of three answers: in it,
// not in it, or unknown: its condition looks at a claim that the token does not have, or has as
// another type than the condition takes it for. Who may or may not be in a group gets nothing that
// the group gives (tables, exemptions, credentials, the right to review) and every restriction that
// it brings: the approvals that hold its members' queries, and the limits of its rules (A59).
type Membership struct {
	Groups  []string       // it is in, sorted
	Unknown []UnknownGroup // by name

	waits *sync.Map // by pattern: what withApproval says of it; nil where it is not remembered
}

// UnknownGroup is a group of which nobody can say whether a subject is in it.
type UnknownGroup struct {
	Name string `json:"name"`
	Why  string `json:"why"` // what is wrong with the claims; never a claim's value
}

// Membership asks the condition of every group of the subject's issuer. It is in no group of
// another issuer.
//
// The answer hangs on the policy and the token alone, so it is worked out once for each token: its
// lists must not be changed.
func (s *Set) Membership(subject identity.Subject) Membership {
	if s == nil || subject.Name == "" {
		return Membership{}
	}
	if subject.Token == "" || s.members == nil {
		return s.membership(subject)
	}
	key := subject.Name + " " + subject.Token
	if m, ok := s.members.Get(key); ok {
		return m
	}
	m := s.membership(subject)
	m.waits = &sync.Map{}
	s.members.Add(key, m)
	return m
}

// membersKept bounds the tokens whose groups are remembered.
const membersKept = 4096

func (s *Set) membership(subject identity.Subject) Membership {
	var m Membership
	var values map[string]any
	for _, g := range s.groups {
		if g.issuer != subject.Name {
			continue
		}
		if values == nil {
			values = subjectValues(subject)
			values[claimsName] = subject.Claims
		}
		switch member, err := g.when.member(values, subject); {
		case err != nil:
			m.Unknown = append(m.Unknown, UnknownGroup{Name: g.name, Why: whyUnknown(err)})
		case member:
			m.Groups = append(m.Groups, g.name)
		}
	}
	m.Groups, m.Unknown = slices.Clip(m.Groups), slices.Clip(m.Unknown)
	return m
}

// errPeople is why a condition over names of people has no answer.
var errPeople = errors.New("a name of a person that the condition looks at is not known for certain")

// member asks a condition that may look at names of people. Some of them a person may choose, and
// some nobody has verified: these count neither for the person nor against.
func (c condition) member(values map[string]any, subject identity.Subject) (bool, error) {
	member, err := c.eval(values)
	if err != nil || !c.people {
		return member, err
	}
	for _, people := range namesOf(subject) {
		values[peopleName] = people
		other, wrong := c.eval(values)
		if wrong == nil && other != member {
			wrong = errPeople
		}
		if wrong != nil {
			values[peopleName] = subject.Known
			return false, wrong
		}
	}
	values[peopleName] = subject.Known
	return member, nil
}

// namesOf are what subject.people may stand for: the names by which the people are known, and all
// that a token says.
func namesOf(s identity.Subject) [][]string {
	if slices.Equal(s.Known, s.People) {
		return [][]string{s.Known}
	}
	return [][]string{s.Known, s.People}
}

// unknown are the names of the groups of which nobody can say whether the subject is in them.
func (m Membership) unknown() []string {
	var names []string
	for _, g := range m.Unknown {
		names = append(names, g.Name)
	}
	return names
}

// possible are all groups that the subject is in or may be in.
func (m Membership) possible() []string { return append(slices.Clone(m.Groups), m.unknown()...) }

// describeUnknown is "it is not known whether the requester is in group offsite (there is no claim
// site)".
func describeUnknown(groups []UnknownGroup) string {
	var parts []string
	for _, g := range groups {
		parts = append(parts, fmt.Sprintf("group %s (%s)", g.Name, g.Why))
	}
	return "it is not known whether the requester is in " + strings.Join(parts, ", ")
}

// possibleRules are the rules of groups that the subject may be in, without those that are its own:
// they give nothing, and their limits hold.
func (e *evaluation) possibleRules() []*rule {
	return slices.DeleteFunc(e.set.rulesOf(e.membership.unknown()), func(r *rule) bool { return slices.Contains(e.rules, r) })
}

// restricting are the rules whose limits hold for the query: those that cover a table of it, or one
// that a table of it stands for, and those that would if the subject is in their groups.
func (e *evaluation) restricting() []*rule {
	all := slices.Clone(e.covering)
	for _, r := range e.standingRules(slices.Concat(e.rules, e.possibleRules())) {
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	for _, r := range e.possibleRules() {
		names := slices.Concat(e.statement.Tables, e.statement.Routines)
		covers := slices.ContainsFunc(names, func(name string) bool { return len(coveringName([]*rule{r}, name)) > 0 })
		if (covers || len(names) == 0) && !slices.Contains(all, r) { // without a table every rule counts
			all = append(all, r)
		}
	}
	return all
}

// perhaps are the unknown groups for whose sake an approval holds that does not do so for certain.
func (e *evaluation) perhaps(held, certain []*approval) []UnknownGroup {
	return slices.DeleteFunc(slices.Clone(e.membership.Unknown), func(g UnknownGroup) bool {
		return !slices.ContainsFunc(held, func(a *approval) bool {
			return !slices.Contains(certain, a) && (a.when.groups || slices.Contains(a.groups, g.Name))
		})
	})
}

// maxAssignments bounds how often one condition is evaluated for want of knowledge of groups.
const maxAssignments = 1 << 5

// holds says whether an approval holds the query, and whether it does so for certain. Where it
// looks at groups and some are unknown, it holds if it does in one of the cases that there may be.
func (e *evaluation) holds(a *approval, values map[string]any) (holds, certain bool, err error) {
	certain = len(a.groups) == 0 || anyOf(a.groups, e.decision.Groups)
	people, unknown := [][]string{e.input.Subject.Known}, []string(nil)
	if a.when.people {
		people = namesOf(e.input.Subject)
	}
	if a.when.groups {
		unknown = e.membership.unknown()
	}
	cases := len(people) << min(len(unknown), 30)
	if cases > maxAssignments {
		return true, false, nil
	}
	for i := range cases {
		groups := slices.Clone(e.membership.Groups)
		for bit, name := range unknown {
			if i/len(people)&(1<<bit) != 0 {
				groups = append(groups, name)
			}
		}
		slices.Sort(groups)
		values["groups"], values[peopleName] = groups, people[i%len(people)]
		one, err := a.when.eval(values)
		if err != nil {
			return false, false, err
		}
		holds, certain = holds || one, certain && one
	}
	values["groups"], values[peopleName] = e.decision.Groups, e.input.Subject.Known
	return holds, certain, nil
}
