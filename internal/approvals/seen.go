package approvals

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// An approval is of what its reviewers saw, whole (attack A58): not of the statement alone, but of
// who asks in which groups, how the answer is masked, how much may be read and who had to approve.
// Held.Digest is of all of that. A run that another token asks for, at the release or by a later
// try, is the stricter of what was seen and of what today's policy says to that token.

// digest is of everything in h that reviewers see or that bounds the run. Two holds of the same
// request differ in their job and decision only, which are not in it.
func (h Held) digest() (string, error) {
	q, s := h.Operation.Query, h.Subject
	text, err := json.Marshal(struct {
		Statement, SQL, ParameterMode string
		Parameters                    []byte
		DefaultDataset                *bigquery.DatasetReference
		Project, Location             string

		Issuer, Sub, Grant, Person string
		Workload, Mapped           bool
		People, Known, Groups      []string
		Claims                     map[string]string

		Tables, Sensitive, Masked         []string
		Estimated                         bool
		EstimatedBytes                    int64
		EstimatedCost                     float64
		SizeUnknown                       bool `json:",omitempty"`
		MaxBytes, MaxRows, MaxResultBytes int64
		Plan                              masking.Plan
		Credential                        string
		NoWait                            bool
		Approval                          policies.Approval
		Review                            Review
	}{
		h.Statement, q.SQL, q.ParameterMode, q.Parameters, q.DefaultDataset, h.Job.ProjectID, h.Job.Location,
		s.Issuer, s.Sub, s.Grant, s.Person, s.Workload, s.Mapped, s.People, s.Known, h.Groups, summary(s.Claims),
		h.Tables, h.Sensitive, h.Masked, h.Estimated, h.EstimatedBytes, h.EstimatedCost, h.SizeUnknown,
		h.MaxBytes, h.MaxRows, h.MaxResultBytes, h.Plan, h.Credential, h.NoWait, h.Approval, h.Review,
	})
	if err != nil {
		return "", fmt.Errorf("digest of what is reviewed: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// intact says whether the digest is of what stands beside it.
func (h Held) intact() bool {
	digest, err := h.digest()
	return err == nil && digest == h.Digest
}

// Grew says whether a dry run of today says more than reviewers were shown, beyond the room for
// BigQuery's rounding that the cap they saw leaves. What was approved without its size being known
// cannot grow.
func (h Held) Grew(today policies.Estimate) bool {
	return h.Estimated && today.Exceeds(h.estimate(), len(h.Tables))
}

// estimate is what the dry run said, 0 bytes where none was asked for.
func (h Held) estimate() policies.Estimate {
	return policies.Estimate{Bytes: h.EstimatedBytes, Unknown: h.SizeUnknown}
}

// within is h with no more than was seen of an approved request: the stricter plan and the smaller
// caps. What reviewers saw stays what they saw. It fails for results of different shape.
func (h Held) within(seen Held) (Held, error) {
	plan, err := masking.StricterPlan(seen.Plan, h.Plan)
	if err != nil {
		return Held{}, err
	}
	h.Plan, h.Review = plan, seen.Review
	h.MaxBytes = policies.Least(seen.MaxBytes, h.MaxBytes)
	h.MaxRows = policies.Least(seen.MaxRows, h.MaxRows)
	h.MaxResultBytes = policies.Least(seen.MaxResultBytes, h.MaxResultBytes)
	h.Sensitive = policies.Union(seen.Sensitive, h.Sensitive)
	h.Masked = policies.Union(seen.Masked, h.Masked)
	return h, nil
}

// asksTheSame says whether a reviewer of h would look at what a reviewer of o looks at, and be one
// of the same people. The bytes of a dry run may differ a little from try to try.
func (h Held) asksTheSame(o Held) bool {
	a, b := h.Approval, o.Approval
	return h.Statement == o.Statement && h.Subject.Grant == o.Subject.Grant && reflect.DeepEqual(h.Plan, o.Plan) &&
		a.Quorum == b.Quorum && a.MaxAuthAge == b.MaxAuthAge && reflect.DeepEqual(a.Needs, b.Needs) &&
		reflect.DeepEqual(a.Reviewers, b.Reviewers) && !h.Grew(o.estimate()) && h.SizeUnknown == o.SizeUnknown
}

// covers says whether the approval of r is one of h as well: the same statement for the same grant
// key, no larger than was seen, approved by who must approve h, and not for longer or more often
// than h's policy lets an approval stand.
func (r *record) covers(h Held, now time.Time) bool {
	if r.Held.Statement != h.Statement || r.Held.Subject.Grant != h.Subject.Grant || !r.Held.intact() || r.Held.Grew(h.estimate()) {
		return false
	}
	if _, err := h.within(r.Held); err != nil {
		return false
	}
	votes := usable(r.Votes, h.Subject)
	return met(h.Approval, votes) && met(r.Held.Approval, votes) && r.standsFor(h.Approval, now)
}

// standsFor says whether an approval as old and as used as this one is one that a lets stand.
func (r *record) standsFor(a policies.Approval, now time.Time) bool {
	if _, standing := leastTerms(r.Votes); !standing {
		return now.Before(r.Created.Add(a.Expires))
	}
	granted := r.Votes[len(r.Votes)-1].At
	return len(r.Grant.Runs) < a.Standing.MaxUses && now.Before(granted.Add(time.Duration(a.Standing.MaxHours)*time.Hour))
}

// Votes are the approvals that a run was allowed by.
type Votes []vote

// Meet says whether these votes are the ones that a asks for, none of them by a person behind s.
func (v Votes) Meet(a policies.Approval, s identity.Subject) bool { return met(a, usable(v, s)) }
