package policies

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
)

// A rule's `for` bounds how old the identity token may be that it is used with: access under the
// rule ends so long after the token's `iat`, for a session, a bearer token, a held query and the
// reading of results alike.

// ageOf is how old a subject's identity token is. One from the future is new; without both times it
// is older than anything.
func ageOf(s identity.Subject, now time.Time) time.Duration {
	if s.Issued.IsZero() || now.IsZero() {
		return math.MaxInt64
	}
	return max(0, now.Sub(s.Issued))
}

// over says whether a rule gives no more access to a token of this age.
func (r *rule) over(age time.Duration) bool {
	return r.session > 0 && age > r.session+identity.ClockSkew
}

// shortest is the rule with the shortest `for`; nil where none has one.
func shortest(rules []*rule) *rule {
	var found *rule
	for _, r := range rules {
		if r.session > 0 && (found == nil || r.session < found.session) {
			found = r
		}
	}
	return found
}

// tooOld are the words for a rule that is over.
func tooOld(r *rule, s identity.Subject) error {
	issued := ""
	if !s.Issued.IsZero() {
		issued = ", which was at " + s.Issued.UTC().Format(time.RFC3339)
	}
	return refuse(r.ref, "the same request with a new identity token of your identity provider",
		"access under rule %s ends %s after the identity token was issued (iat)%s", r.ref.Name, r.session, issued)
}

// age: of the rules that cover what the query reads, the one that ends first counts. It comes
// before all that tells of tables.
func (e *evaluation) age() error {
	if e.statement == nil {
		return e.within(slices.Concat(e.covering, e.possibleRules()))
	}
	return e.within(e.restricting())
}

// within refuses where one of these rules is over.
func (e *evaluation) within(rules []*rule) error {
	r := shortest(rules)
	if r == nil {
		return nil
	}
	e.decision.MaxSession = r.session
	if r.over(ageOf(e.input.Subject, e.input.Now)) {
		return tooOld(r, e.input.Subject)
	}
	return nil
}

// Aged says that the subject's identity token is too old for reading these tables, by their full
// names, and then refuses: for a request that waits, of which no more is known. It says nothing of
// anything else.
func (s *Set) Aged(subject identity.Subject, tables []string, now time.Time) (Decision, bool) {
	if s == nil {
		return Decision{}, false
	}
	member := s.Membership(subject)
	rules := s.rulesOf(member.possible()) // who may be in a group has its limits
	var all []*rule
	for _, name := range tables {
		if id, ok := parseTable(name); ok {
			all = append(all, covering(rules, id)...)
		}
	}
	if len(all) == 0 {
		all = rules // as for a query without a table
	}
	r := shortest(all)
	if r == nil || !r.over(ageOf(subject, now)) {
		return Decision{}, false
	}
	return refused(tooOld(r, subject), member.Groups), true
}

// AccessUntil is when the last rule for the subject ends; limited is false where one of them has no
// end, or there is none.
func (s *Set) AccessUntil(subject identity.Subject) (until time.Time, limited bool) {
	if s == nil {
		return time.Time{}, false
	}
	var longest time.Duration
	rules := s.rulesOf(s.Groups(subject))
	for _, r := range rules {
		if r.session == 0 {
			return time.Time{}, false
		}
		longest = max(longest, r.session)
	}
	return subject.Issued.Add(longest), len(rules) > 0
}

// Over says that all rules for the subject have ended, and then refuses.
func (r Reach) Over() (Decision, bool) {
	if len(r.rules) > 0 || len(r.over) == 0 {
		return Decision{}, false
	}
	longest := r.over[0]
	for _, rule := range r.over[1:] {
		if rule.session > longest.session {
			longest = rule
		}
	}
	return refused(tooOld(longest, r.subject), r.Groups), true
}

// refused is the Decision that an error of a question makes.
func refused(err error, groups []string) Decision {
	d := Decision{Message: err.Error(), Groups: groups}
	var known *objection
	if errors.As(err, &known) {
		d.Rule, d.Remedy = known.rule, known.remedy
	}
	return d
}
