package approvals

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
)

// State is where a request stands. The zero State is none of them and opens nothing.
type State string

// States, as the approval HTTP endpoint spells them.
const (
	StatePending   State = "pending"
	StateApproved  State = "approved" // also while the approved query is being submitted
	StateDenied    State = "denied"
	StateExpired   State = "expired"
	StateCancelled State = "cancelled" // withdrawn by its owner, or lapsed because something changed
	StateUsed      State = "used"      // every run that was approved has been submitted

	stateReleasing State = "releasing" // stored only; reported as approved
)

// States lists the states that a Request can report.
func States() []State {
	return []State{StatePending, StateApproved, StateDenied, StateExpired, StateCancelled, StateUsed}
}

// Choice is what a vote says.
type Choice string

// Choices.
const (
	Approve Choice = "approve"
	Deny    Choice = "deny"
)

// Request is a held query as reviewers see it. Marshalled, it is the request of the approval HTTP
// endpoint.
type Request struct {
	ID        string `json:"id"`
	State     State  `json:"state"`
	Releasing bool   `json:"releasing,omitempty"` // approved, and just being submitted

	Subject     string            `json:"subject"` // the token's `sub`
	Issuer      string            `json:"issuer"`
	Workload    bool              `json:"workload"`
	Groups      []string          `json:"groups"`
	People      []string          `json:"people"`       // the humans behind the request
	Person      string            `json:"person"`       // who asks, as people are shown: the subject where nobody is known
	PeopleKnown bool              `json:"people_known"` // false: there may be others
	Claims      map[string]string `json:"claims"`       // repository, commit, run …, where the token has them

	SQL string `json:"sql"`
	// bytes that the SQL had, where it is not shown whole: of a large request that has ended only
	// the beginning is kept here, and of its parameters nothing. The audit journal has the whole.
	SQLBytes int `json:"sql_bytes,omitempty"`
	// what will run, where the tables are masked before the query reads them
	ForwardedSQL   string                     `json:"forwarded_sql,omitempty"`
	ParameterMode  string                     `json:"parameter_mode,omitempty"`
	Parameters     json.RawMessage            `json:"parameters,omitempty"`
	DefaultDataset *bigquery.DatasetReference `json:"default_dataset,omitempty"`

	Tables             []string `json:"tables"`
	SensitiveColumns   []string `json:"sensitive_columns"`
	EstimatedBytes     *int64   `json:"estimated_bytes"` // null where unknown
	EstimatedCost      *float64 `json:"estimated_cost"`  // in Currency; null where unknown
	Currency           string   `json:"currency"`
	MaximumBytes       int64    `json:"maximum_bytes_billed,omitempty"` // what BigQuery will be told to stop at
	MaximumRows        int64    `json:"maximum_rows,omitempty"`         // rows that the result may have
	MaximumResultBytes int64    `json:"maximum_result_bytes,omitempty"` // bytes of the result that may be read

	Project  string `json:"project"`
	Location string `json:"location"`
	JobID    string `json:"job_id"`

	Why       string    `json:"why"`     // why it was held, in one sentence
	Rule      string    `json:"rule"`    // "policy/rule"
	RuleAt    string    `json:"rule_at"` // "policies/finance.yaml:12"
	Reviewers []string  `json:"reviewers"`
	Quorum    int       `json:"quorum"`                         // different people who must approve
	Needs     []NeedMet `json:"needs"`                          // sets of groups, each of which must approve as well
	MaxAge    int       `json:"max_auth_age_seconds,omitempty"` // how long ago who decides may have logged in; left out for any time
	// the client was refused; the query runs at the next try after it was approved
	NoWait bool `json:"no_wait,omitempty"`
	// how far an approval may reach beyond one run; left out where it may not
	Standing *StandingBounds `json:"standing,omitempty"`
	Digest   string          `json:"digest"` // of all that reviewers see and that the approval is bound to
	URL      string          `json:"url"`

	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Votes   []Vote    `json:"decisions"`
	Ended   string    `json:"ended,omitempty"`        // why it was cancelled
	Failure string    `json:"last_failure,omitempty"` // why the last attempt to submit it failed

	Uses    int       `json:"uses,omitempty"`    // runs that were approved
	Used    int       `json:"used,omitempty"`    // those of them that were begun
	Until   time.Time `json:"until,omitzero"`    // when the approval ends
	Revoked bool      `json:"revoked,omitempty"` // the approval was taken back
	Under   string    `json:"under,omitempty"`   // id of the approved request that this one runs on

	// Review is for the console's pages.
	Review Review `json:"-"`

	// Repeated is set by Hold when the same query was held before under the same job id or
	// requestId.
	Repeated bool `json:"-"`

	owner string
	runs  []run
}

// NeedMet is a set of groups of which so many different people must approve, and how many have.
type NeedMet struct {
	Groups   []string `json:"any_of"`
	Quorum   int      `json:"quorum"`
	Approved int      `json:"approved"`
}

// StandingBounds are how far a standing approval may reach.
type StandingBounds struct {
	MaxUses  int `json:"max_uses"`
	MaxHours int `json:"max_hours"`
}

// Vote is what one reviewer said of a request.
type Vote struct {
	By     string    `json:"by"`
	Choice Choice    `json:"verdict"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Decider is who reads or decides through the console. Groups are the policy groups of the subject.
type Decider struct {
	Subject identity.Subject
	Groups  []string
	// AuthTime is when the issuer says that the person logged in (auth_time of OpenID Connect);
	// zero where it does not say.
	AuthTime time.Time
}

// VisibleTo says whether d may see the request: as one of its reviewers, or since it is d's own. A
// workload's own requests are those of the same run: one `sub` is shared by all pull requests of a
// repository (attack A7).
func (r Request) VisibleTo(d Decider) bool { return r.reviewedBy(d) || r.madeBy(d) }

// MayDecide says why d could not decide on the request as it stands, nil if d could. Vote asks
// again.
func (r Request) MayDecide(d Decider) error {
	if !r.reviewedBy(d) {
		return ErrNotFound
	}
	return r.barred(d)
}

// MadeBy says whether the request is d's own, or of a person behind d.
func (r Request) MadeBy(d Decider) bool { return r.madeBy(d) }

func (r Request) reviewedBy(d Decider) bool {
	return slices.ContainsFunc(r.Reviewers, func(g string) bool { return slices.Contains(d.Groups, g) })
}

func (r Request) madeBy(d Decider) bool {
	switch {
	case d.Subject.Owner != "" && d.Subject.Owner == r.owner:
		return true
	case d.Subject.Workload:
		return false
	default:
		return sameSubject(r.Issuer, r.Subject, d.Subject) || shareAPerson(r.People, d.Subject.People)
	}
}

// barred says why d must not decide whatever groups d is in, nil if nothing stands against it.
func (r Request) barred(d Decider) error {
	switch {
	case d.Subject.Workload:
		return fmt.Errorf("a workload never decides on a request: %w", ErrOwn)
	case r.madeBy(d):
		return ErrOwn
	case !d.Subject.Mapped || len(persons(d.Subject.People)) == 0: // d may be behind the request, under another name (A61)
		return ErrNoPerson
	default:
		return nil
	}
}

func sameSubject(issuer, sub string, s identity.Subject) bool {
	return issuer == s.Issuer && sub == s.Sub
}

func shareAPerson(a, b []string) bool {
	known := persons(a)
	return slices.ContainsFunc(persons(b), func(p string) bool {
		return slices.ContainsFunc(known, func(k string) bool { return identity.SamePerson(k, p) })
	})
}

// persons spells names one way, so that a difference of case or space makes nobody a second person.
func persons(names []string) []string {
	var out []string
	for _, name := range names {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			out = append(out, name)
		}
	}
	return out
}
