package policies

import (
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/masking"
)

// Effect is what happens to a request.
type Effect int

// Effects. The zero Effect refuses.
const (
	Refuse Effect = iota
	Hold          // a person must approve first
	Allow
)

// String is "refuse", "hold" or "allow".
func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case Hold:
		return "hold"
	default:
		return "refuse"
	}
}

// Decision is the answer of a policy to one analysed request. The zero Decision refuses.
type Decision struct {
	Effect  Effect
	Rule    RuleRef // the rule that decided; zero when no rule matched
	Message string  // for a refusal: what was refused and why, in the words an agent reads, without the "bqgate: " prefix
	Remedy  string  // what would pass, "" where unknown
	Cause   string  // of a refusal for a fault of the policy: what an operator has to mend, with file and line. It is not for agents
	Invalid bool    // of a refusal: BigQuery itself would not run the SQL; no policy is to blame
	// Exceeded is, of a refusal, the unit of the budget of which too little is left for the
	// request; empty where it is refused for another reason.
	Exceeded Unit
	Cites    []RuleRef // every other rule that took part (masks, exemptions, approvals), for explain and reviewers

	Groups []string // policy groups the subject is in, sorted
	// Unknown are the groups of which nobody can say whether the subject is in them: they gave
	// nothing, and their restrictions hold.
	Unknown    []UnknownGroup
	Credential string // name of the configured credential to run with
	// AsRequester says that the credential is the requester's own Google identity, whom
	// SESSION_USER() and row access policies then mean: see Options.Federated.
	AsRequester bool
	MaxBytes    int64 // upper bound for maximumBytesBilled, 0 for none
	MaxRows     int64 // most rows that a result may have, 0 for no limit
	// MaxResultBytes is how much of a result may be read, in bytes of all answers together, 0 for
	// no limit.
	MaxResultBytes int64
	// Budgets are what the request counts against, and Bills is what it is billed at least, in
	// bytes, as far as is known.
	Budgets    []Charge
	Bills      int64
	MaxSession time.Duration // how long after the identity token's iat access ends, 0 for no such end
	JobsIn     []string      // projects in which the rule lets its jobs run, among them the request's; none where that is not known

	Mask      masking.Plan // how the answer is masked; complete for Allow and Hold
	Sensitive []string     // sensitive columns touched, "project.dataset.table.column", sorted
	Masked    []string     // those of them that the answer shows masked, sorted

	// MaskedFirst lists the leaf columns that are masked before the query reads them, for Allow and
	// Hold of a rewritten query; nil otherwise.
	MaskedFirst []MaskedLeaf
	// Transforms are what would have to be made in the query's text for the refusal not to stand,
	// in their order: see Facts.Rewrite.
	Transforms Transforms

	Approval *Approval // set for Hold
}

// Approval says who may release a held request.
type Approval struct {
	Rule      RuleRef
	Why       string   // one sentence for the reviewer and the agent: why it was held
	Reviewers []string // policy groups, any member of which may decide: all those of Needs, sorted
	Quorum    int      // different people who must approve, at least 1
	Needs     []Need   // each must be met as well; none: anybody of Reviewers counts
	Expires   time.Duration
	// MaxAuthAge is how long ago a reviewer may have logged in at the identity provider; 0 for any
	// time.
	MaxAuthAge time.Duration
	NoWait     bool     // the query is refused at once, and runs at the next try after it was approved
	Standing   Standing // zero: one run
}

// Need is a set of groups of which so many different people must approve.
type Need struct {
	Groups []string `json:"groups"` // sorted
	Quorum int      `json:"quorum"`
}

// Standing bounds an approval that is good for more than one run.
type Standing struct {
	MaxUses  int
	MaxHours int
}

// RuleRef names a rule: policy file, line and the rule's name, as people find it ("agents-read-crm
// (policies/crm.yaml:31)").
type RuleRef struct {
	Policy string // policy name: the file's base name without extension
	Name   string
	File   string
	Line   int
}

// ID is "policy/rule", or "" for the zero RuleRef.
func (r RuleRef) ID() string {
	if r.Name == "" {
		return ""
	}
	return r.Policy + "/" + r.Name
}

// Least is the smaller of two limits; 0 is no limit.
func Least(a, b int64) int64 {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	default:
		return min(a, b)
	}
}

// Union is what is in either of two lists, sorted, each once; nil for nothing.
func Union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}
