package approvals

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/bqgate/bqgate/policies"
)

// record is a request as it is stored: the one value that is sealed.
type record struct {
	ID      string    `json:"id"`
	Version int64     `json:"version"`
	State   State     `json:"state"`
	Nonce   string    `json:"nonce"` // of the transition that wrote this version
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`

	Held       Held   `json:"held"`
	Parameters []byte `json:"parameters,omitempty"` // Held.Operation.Query.Parameters byte for byte; JSON inside JSON would be respelled

	Votes   []vote   `json:"votes,omitempty"`
	Release *release `json:"release,omitempty"`
	Ran     bool     `json:"ran,omitempty"`   // its own job was submitted
	Grant   *grant   `json:"grant,omitempty"` // what approving it allowed
	Under   *under   `json:"under,omitempty"` // the grant of another request that this one runs on
	Ended   string   `json:"ended,omitempty"`
	Failure string   `json:"failure,omitempty"`
	Cut     *cut     `json:"cut,omitempty"` // it has ended, and not all of it is kept
}

// vote is a Vote with what is needed to know the same person again.
type vote struct {
	Vote
	Issuer string   `json:"issuer"`
	Sub    string   `json:"sub"`
	People []string `json:"people"`
	Groups []string `json:"groups"` // those of the reviewers' groups that they were in
	Terms  *Terms   `json:"terms,omitempty"`
	// AuthTime is when they had logged in, where their token says that.
	AuthTime time.Time `json:"auth_time,omitzero"`
}

// fresh says whether the login was as recent at the vote as an approval wants it.
func (v vote) fresh(within time.Duration) bool {
	age := v.At.Sub(v.AuthTime)
	return within == 0 || !v.AuthTime.IsZero() && age <= within && age >= -clockSkew
}

// release is one attempt to submit the query.
type release struct {
	Nonce   string    `json:"nonce"`
	Until   time.Time `json:"until"`
	Attempt int       `json:"attempt"`
}

// purpose binds a sealed record to its id: copied under another id it opens nothing.
func purpose(id string) string { return "approval/" + id }

func (s *Store) seal(r record) (string, error) {
	query := *r.Held.Operation.Query
	r.Parameters, query.Parameters = query.Parameters, nil
	r.Held.Operation.Query = &query
	return s.keys.Seal(purpose(r.ID), r)
}

func (s *Store) unseal(id, text string) (record, error) {
	var r record
	if err := s.keys.Open(purpose(id), text, &r); err != nil {
		return record{}, err
	}
	if r.ID != id || r.Held.Operation.Query == nil {
		return record{}, fmt.Errorf("record of request %s is for %q", id, r.ID)
	}
	r.Held.Operation.Query.Parameters = json.RawMessage(r.Parameters)
	r.Parameters = nil
	return r, nil
}

// faithful makes sure that what will be run is what was asked: an operation that does not survive
// storage is not held.
func (s *Store) faithful(r record, text string) error {
	back, err := s.unseal(r.ID, text)
	if err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	if !reflect.DeepEqual(back.Held.Operation, r.Held.Operation) {
		return fmt.Errorf("hold: the operation does not survive storage")
	}
	return nil
}

// state is what the record says at a time of Redis's clock.
func (r record) state(now time.Time) (state State, releasing bool) {
	late := !now.Before(r.ends())
	switch r.State {
	case StatePending, StateApproved:
		if late {
			return StateExpired, false
		}
		return r.State, false
	case stateReleasing:
		if r.Release != nil && now.Before(r.Release.Until) {
			return StateApproved, true
		}
		if r.Grant != nil && r.Grant.Revoked {
			return StateCancelled, false
		}
		if late { // the release was abandoned, and nothing may begin another
			return StateExpired, false
		}
		return StateApproved, false
	case StateDenied, StateCancelled, StateUsed, StateExpired:
		return r.State, false
	default:
		return "", false
	}
}

// ends is when the request, or what it allows, is over.
func (r record) ends() time.Time {
	if r.Grant != nil {
		return r.Grant.Until
	}
	return r.Expires
}

// garbage is when nobody needs to know of the record any more.
func (s *Store) garbage(r record) time.Time {
	end := r.Expires
	if r.Grant != nil && r.Grant.Until.After(end) {
		end = r.Grant.Until
	}
	return end.Add(s.options.Retention)
}

// met says whether votes are what an approval asks for: enough different people, who had logged in
// lately enough, and enough of each set of groups.
func met(a policies.Approval, votes []vote) bool {
	votes = slices.DeleteFunc(slices.Clone(votes), func(v vote) bool { return !v.fresh(a.MaxAuthAge) })
	if len(different(votes, nil)) < max(1, a.Quorum) {
		return false
	}
	for _, need := range a.Needs {
		if len(different(votes, need.Groups)) < max(1, need.Quorum) {
			return false
		}
	}
	return true
}

// different are approvals by different people, all of them in one of the groups if any are named.
func different(votes []vote, groups []string) []vote {
	var counted []vote
	for _, v := range votes {
		in := len(groups) == 0 || slices.ContainsFunc(v.Groups, func(g string) bool { return slices.Contains(groups, g) })
		if v.Choice == Approve && in && !v.repeats(counted) {
			counted = append(counted, v)
		}
	}
	return counted
}

func (v vote) repeats(others []vote) bool {
	for _, o := range others {
		if (v.Issuer == o.Issuer && v.Sub == o.Sub) || shareAPerson(v.People, o.People) {
			return true
		}
	}
	return false
}

// view is the record as reviewers see it.
func (s *Store) view(r record, now time.Time) Request {
	state, releasing := r.state(now)
	h, q := r.Held, r.Held.Operation.Query
	out := Request{
		ID: r.ID, State: state, Releasing: releasing,
		Subject: h.Subject.Sub, Issuer: h.Subject.Issuer, Workload: h.Subject.Workload, Groups: list(h.Groups),
		People: list(h.Subject.People),
		Person: h.Subject.DisplayName(), PeopleKnown: h.Subject.Mapped, Claims: summary(h.Subject.Claims),
		SQL: q.SQL, ForwardedSQL: h.Review.Forwarded, ParameterMode: q.ParameterMode, Parameters: q.Parameters,
		DefaultDataset: q.DefaultDataset,
		Tables:         list(h.Tables), SensitiveColumns: list(h.Sensitive), Currency: "USD", MaximumBytes: h.MaxBytes,
		MaximumRows: h.MaxRows, MaximumResultBytes: h.MaxResultBytes,
		Project: h.Job.ProjectID, Location: h.Job.Location, JobID: h.Job.JobID,
		Why: h.Approval.Why, Rule: h.Approval.Rule.ID(), Reviewers: list(h.Approval.Reviewers), Quorum: h.Approval.Quorum,
		Needs: needs(h.Approval, r.Votes), NoWait: h.NoWait, Digest: h.Digest,
		URL: s.url(r.ID), Created: r.Created, Expires: r.Expires, Votes: []Vote{}, Ended: r.Ended, Failure: r.Failure,
		Review: h.Review, owner: h.Subject.Owner,
	}
	if h.Approval.Rule.File != "" {
		out.RuleAt = fmt.Sprintf("%s:%d", h.Approval.Rule.File, h.Approval.Rule.Line)
	}
	if h.Estimated {
		out.EstimatedBytes = &h.EstimatedBytes
	}
	if h.EstimatedCost > 0 {
		out.EstimatedCost = &h.EstimatedCost
	}
	for _, v := range r.Votes {
		out.Votes = append(out.Votes, v.Vote)
	}
	if m := h.Approval.Standing; m.MaxUses > 0 {
		out.Standing = &StandingBounds{MaxUses: m.MaxUses, MaxHours: m.MaxHours}
	}
	out.MaxAge = int(h.Approval.MaxAuthAge / time.Second)
	if r.Grant != nil {
		out.Uses, out.Used, out.Until, out.Revoked = r.Grant.Uses, len(r.Grant.Runs), r.Grant.Until, r.Grant.Revoked
		out.runs = r.Grant.Runs
	}
	if r.Under != nil {
		out.Under = r.Under.Grant
	}
	if r.Cut != nil {
		out.SQLBytes = r.Cut.SQL
	}
	return out
}

// needs says of each set of groups how many of its people have approved.
func needs(a policies.Approval, votes []vote) []NeedMet {
	out := []NeedMet{}
	for _, n := range a.Needs {
		out = append(out, NeedMet{Groups: n.Groups, Quorum: n.Quorum, Approved: len(different(votes, n.Groups))})
	}
	return out
}

// list keeps JSON lists from being null.
func list(values []string) []string {
	if values == nil {
		return []string{}
	}
	return values
}
