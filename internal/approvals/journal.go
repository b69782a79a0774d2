package approvals

import (
	"context"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// Journal is the audit journal. ApprovalEvent returns when the event is durable; after an error
// nothing that it announces may happen.
type Journal interface {
	ApprovalEvent(ctx context.Context, e Event) error
}

// Kind says what happens to a request.
type Kind string

// Kinds of events.
const (
	EventHeld      Kind = "requested"
	EventApprove   Kind = "approved"
	EventDeny      Kind = "denied"
	EventCancelled Kind = "cancelled"
	EventExpired   Kind = "expired"   // nobody decided on it, or ran it, in time
	EventReleasing Kind = "releasing" // its query is about to be submitted
	EventUsed      Kind = "used"
	EventFailed    Kind = "failed"  // submitting failed; the approval stands
	EventLapsed    Kind = "lapsed"  // something changed since the review; the approval is void
	EventRun       Kind = "run"     // a run was taken from a grant
	EventGranted   Kind = "granted" // a request was made that runs on the grant of another
	EventRevoked   Kind = "revoked" // a grant was taken back
	EventSeen      Kind = "seen"    // of no request: what other replicas told in Redis was read
)

// Phase tells an announcement from its fulfilment.
type Phase string

// Phases.
const (
	PhaseAttempt   Phase = "attempt"   // about to be committed. On its own it proves nothing
	PhaseCommitted Phase = "committed" // it happened
)

// Event is one step in the life of a request, without its SQL. An attempt counts only if a
// committed event has its Nonce, or a later event of the request has it as Previous.
type Event struct {
	At       time.Time // by the clock of Redis
	Request  string    // id
	Kind     Kind
	Phase    Phase
	Version  int64  // the version of the request that this step makes
	Nonce    string // names the step
	Previous string // nonce of the step it follows, "" for the first
	State    State  // the state that this step leads to

	Issuer string   // who acts: the reviewer, or the owner for everything else
	Sub    string   //
	People []string //
	By     string   // how the reviewer is shown
	Reason string   // the reviewer's words, or why it ended

	Owner  string // whose request it is
	Digest string // of what was reviewed
	Job    bigquery.JobReference
	// Decision is the id of the decision that held the query.
	Decision string

	Epoch int64     // number of the ledger's message that tells of it; 0 on an attempt, and where it is not known
	Link  string    // digest of that message
	Marks []Reached // of an EventSeen: what was read, up to Epoch
	Grant string    // id of the request on whose grant this one runs
	Until time.Time // from when on nobody needs to remember the version
}
