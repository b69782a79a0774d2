package policies

import (
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
)

// Groups lists the policy groups that a subject is in, sorted. Whatever a group gives, only these
// give it.
func (s *Set) Groups(subject identity.Subject) []string { return s.Membership(subject).Groups }

// MayReview says whether members of these policy groups may decide on any request at all.
func (s *Set) MayReview(groups []string) bool {
	return s != nil && (slices.ContainsFunc(s.approvals, func(a approval) bool { return anyOf(a.reviewers, groups) }) ||
		slices.ContainsFunc(s.beyondBudgets(), func(a *approval) bool { return anyOf(a.reviewers, groups) }))
}

// MaxAuthAge is the shortest time within which a decision wants a login of its reviewer; 0 where no
// approval asks for that.
func (s *Set) MaxAuthAge() time.Duration {
	shortest := time.Duration(0)
	for _, a := range s.approvals {
		if a.authAge > 0 && (shortest == 0 || a.authAge < shortest) {
			shortest = a.authAge
		}
	}
	return shortest
}

// Known says whether the policy gives these policy groups any part at all: something to read or to
// review.
func (s *Set) Known(groups []string) bool {
	return s != nil && (s.MayReview(groups) || len(s.rulesOf(groups)) > 0)
}

// rulesOf are the rules for these groups, in the order of the files.
func (s *Set) rulesOf(groups []string) []*rule {
	var all []*rule
	for i := range s.rules {
		if anyOf(s.rules[i].groups, groups) {
			all = append(all, &s.rules[i])
		}
	}
	return all
}

func anyOf(a, b []string) bool {
	return slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) })
}
