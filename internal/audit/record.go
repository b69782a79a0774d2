package audit

import "time"

// Record is one of Asked, Decision, Frame, Outcome, Approval, Seen, Session, Budget, Unrecorded and
// Unauthenticated.
type Record interface {
	kind() string
	stamp(now time.Time) Record // with its time set, if it had none
}

// Subject is who a record is about, without claims.
type Subject struct {
	Issuer  string   `json:"issuer"`
	Sub     string   `json:"sub"`
	Owner   string   `json:"owner,omitempty"`
	People  []string `json:"people,omitempty"`
	Groups  []string `json:"groups,omitempty"`
	Session string   `json:"session,omitempty"`
}

// Job names a BigQuery job.
type Job struct {
	ProjectID string `json:"project_id"`
	JobID     string `json:"job_id"`
	Location  string `json:"location,omitempty"`
}

// Effects of a Decision.
const (
	EffectAllow  = "allow"
	EffectHold   = "hold"
	EffectRefuse = "refuse"
)

// Asked is a request whose decision needs facts that the gateway has yet to look up at Google, as
// schemas or what a query would read. It is durable before the first of them is asked for
// (invariant I1). The Decision follows.
type Asked struct {
	Time     time.Time `json:"time"`
	Decision string    `json:"decision"` // id that the decision will have
	Subject  Subject   `json:"subject"`
	Method   string    `json:"method"`
	Digest   string    `json:"digest"`           // hex SHA-256 of the request: method, path and body
	SQL      string    `json:"sql,omitempty"`    // as asked
	Tables   []string  `json:"tables,omitempty"` // that a request without SQL names
	Job      Job       `json:"job,omitzero"`     // that it names
	Cut      []Cut     `json:"cut,omitempty"`    // what of it is not whole
}

// Decision is what was decided on one request. It is durable before the answer is given (invariant
// I1).
type Decision struct {
	Time    time.Time `json:"time"`
	ID      string    `json:"id"`
	Subject Subject   `json:"subject"`
	Method  string    `json:"method"`            // "jobs.query"; "" where the request was not understood
	Effect  string    `json:"effect"`            // EffectAllow, EffectHold or EffectRefuse
	Rule    string    `json:"rule"`              // "policy/rule", "" if none matched
	Place   string    `json:"place,omitempty"`   // the rule's file and line
	Message string    `json:"message,omitempty"` // what was refused, and why; of a fault, its cause
	Remedy  string    `json:"remedy,omitempty"`  // what would pass, as the client was told
	Status  int       `json:"status,omitempty"`  // of the gateway's own answer; 0 where the request was forwarded
	Reply   string    `json:"reply,omitempty"`   // that answer's body as the client got it, where no Frame holds it

	SQL          string   `json:"sql,omitempty"`           // as asked
	ForwardedSQL string   `json:"forwarded_sql,omitempty"` // as forwarded, where it was rewritten
	Forwarded    bool     `json:"forwarded,omitempty"`     // Envoy sends the request on, so an Outcome follows
	Tables       []string `json:"tables,omitempty"`
	Sensitive    []string `json:"sensitive_columns,omitempty"` // columns touched, "project.dataset.table.column"
	Masked       []string `json:"masked_columns,omitempty"`    // columns that the answer shows masked, named the same way
	Credential   string   `json:"credential,omitempty"`        // name of the configured credential that the request ran with
	// Principal is whom Google knew it as: an account's e-mail, or the requester's own principal,
	// whose subject may be a digest.
	Principal string `json:"principal,omitempty"`

	EstimatedBytes int64  `json:"estimated_bytes,omitempty"`
	EstimatedCost  string `json:"estimated_cost,omitempty"` // with its currency, as the reviewer saw it
	Job            Job    `json:"job,omitzero"`
	RequestID      string `json:"request_id,omitempty"` // of the approval that it waits for or ran under
	// Labels are those that the job has at Google, and what they stand for.
	Labels []Label `json:"labels,omitempty"`
	Client string  `json:"client,omitempty"` // the user agent
	Cut    []Cut   `json:"cut,omitempty"`    // what of it is not whole

	// Cause is why, in the words of operators, where the client is not told: of a fault, and of a
	// refusal for something that is broken or set up otherwise.
	Cause string `json:"cause,omitempty"`
}

// Label is a label of a job at Google.
type Label struct {
	Key   string `json:"key"`   // "bqgate_repository"
	Value string `json:"value"` // as it stands there
	Of    string `json:"of"`    // what it stands for, of which Value may be a digest
}

// Frame is a piece of an answer exactly as the agent gets it, after masking. It is durable before
// it is released (invariant I1).
type Frame struct {
	Time     time.Time `json:"time"`
	Decision string    `json:"decision"`
	Seq      uint64    `json:"seq"` // from 0, without gaps
	Bytes    []byte    `json:"-"`
	// Same is set in place of Bytes where the answer is a page that stands in this file already.
	// Then the agent got what the Outcome counts of it, from its beginning, and no more than all.
	Same *Same `json:"same,omitempty"`
	// At is where in the answer Bytes stand, behind a Same that held no longer; 0 for behind the
	// frame before.
	At uint64 `json:"at,omitempty"`
}

// How an answer ended.
const (
	StateComplete = "complete" // the agent got all of it
	StateBroken   = "broken"   // it was broken off
	StateUnknown  = "unknown"  // nobody can tell any more
)

// Outcome closes a Decision.
type Outcome struct {
	Time     time.Time `json:"time"`
	Decision string    `json:"decision"`
	State    string    `json:"state"`
	Status   int       `json:"status"` // HTTP status that the agent got, 0 if none
	Rows     uint64    `json:"rows"`
	Bytes    uint64    `json:"bytes"` // of the answer's body, as released
	Reason   string    `json:"reason,omitempty"`
	Job      Job       `json:"job,omitzero"` // where the decision did not know it yet
}

// Phases of an Approval.
const (
	PhaseAttempt   = "attempt"   // about to be done; alone it proves nothing
	PhaseCommitted = "committed" // done
)

// ApprovalRequested is the Kind of an Approval that begins: approvals.EventHeld.
const ApprovalRequested = "requested"

// Approval is one thing done to an approval request.
type Approval struct {
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id"`
	Kind      string    `json:"verdict"`         // of approvals.Event: requested, approved, denied, …
	Phase     string    `json:"phase,omitempty"` // PhaseAttempt or PhaseCommitted
	By        string    `json:"by,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Decision  string    `json:"decision,omitempty"` // the decision that held it
	Nonce     string    `json:"nonce,omitempty"`    // names the step
	Previous  string    `json:"previous,omitempty"` // nonce of the step before, which it proves to have been committed
	State     string    `json:"state,omitempty"`    // the state that the step leads to
	Version   int64     `json:"version,omitempty"`  // of the request that the step makes
	Owner     string    `json:"owner,omitempty"`
	Digest    string    `json:"digest,omitempty"` // of what was reviewed
	Epoch     int64     `json:"epoch,omitempty"`  // of Redis after the step; what Redis shows later is never less
	Link      string    `json:"link,omitempty"`   // digest of the message of that number
	Grant     string    `json:"grant,omitempty"`  // request id of the approval that it runs on, where that is another's
	Until     time.Time `json:"until,omitzero"`   // how long the version must be remembered
	Job       Job       `json:"job,omitzero"`
}

// Seen is what this gateway has read in Redis of what others did: the messages up to Epoch.
type Seen struct {
	Time  time.Time `json:"time"`
	Epoch int64     `json:"epoch"` // number of the last message that was read
	Link  string    `json:"link"`  // digest of it
	Marks []Mark    `json:"marks,omitempty"`
}

// Reopened says that an operator opened approvals again after Redis had lost what replicas had told
// each other there, and what was found.
type Reopened struct {
	Time         time.Time `json:"time"`
	By           string    `json:"by"`
	Reason       string    `json:"reason,omitempty"`
	Why          string    `json:"why"`          // approvals were closed
	Acknowledged int64     `json:"acknowledged"` // the number of the last message that may be lost
	Known        int64     `json:"known"`        // messages that the journals of the host knew of
	Shown        int64     `json:"shown"`        // messages that Redis showed
	// What was told anew: requests by where they stood, and sessions that were revoked.
	Waiting  int `json:"waiting"`
	Approved int `json:"approved"`
	Ended    int `json:"ended"`
	Revoked  int `json:"revoked"`
	Lost     int `json:"lost"` // requests that were known, and not there as they were
}

// Mark is a version that a request for approval, or what else is versioned, has reached.
type Mark struct {
	ID      string    `json:"id"`
	Version int64     `json:"version"`
	Until   time.Time `json:"until"` // from when on nobody needs to remember it
}

// Events of a Session.
const (
	SessionCreated = "created"
	SessionRevoked = "revoked" // ended by somebody

	// SubjectRevoked ends every token of a subject that was issued up to UpTo. SubjectEnding says
	// which of its jobs a gateway is about to cancel for that, SubjectEnded what came of it there.
	SubjectRevoked = "subject revoked"
	SubjectEnding  = "subject ending"
	SubjectEnded   = "subject ended"
)

// Unrecorded counts answers that have no record of their own: to clients that poll while a person
// has not decided yet, and to clients that are given their session once more.
type Unrecorded struct {
	Time    time.Time `json:"time"`
	What    string    `json:"what"`
	Answers int       `json:"answers"` // since the record before, or since Since
	// Who and Since are of a sum by who asked: identity.Subject.Budget, and when counting began.
	Who   string    `json:"who,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// Session is one thing done to a gateway session, or to all that a subject has.
type Session struct {
	Time    time.Time `json:"time"`
	ID      string    `json:"id"` // "" where it is of a subject
	Event   string    `json:"event"`
	Subject Subject   `json:"subject,omitzero"`
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Expires time.Time `json:"expires,omitzero"`

	// Token is the keyed digest of the OIDC token that opened the session (identity.Subject.Token),
	// and TokenExpires when that token expires. A revocation is of the token too.
	Token        string    `json:"token,omitempty"`
	TokenExpires time.Time `json:"token_expires,omitzero"`

	// Of a subject: when it was revoked, until when that is remembered being Expires.
	UpTo     time.Time  `json:"up_to,omitzero"`
	Requests []string   `json:"requests,omitempty"` // ids of the requests for approval that were ended
	Jobs     []EndedJob `json:"jobs,omitempty"`
	Failed   string     `json:"failed,omitempty"` // what could not be ended, and why
}

// EndedJob is a job of a revoked subject.
type EndedJob struct {
	Job
	// State is how it stood after BigQuery was asked to cancel it: JobCancelled, JobDone,
	// JobUnknown or JobFailed; "" before.
	State string `json:"state,omitempty"`
}

// States of an EndedJob.
const (
	JobCancelled = "cancelled"
	JobDone      = "done"    // it had ended before
	JobUnknown   = "unknown" // BigQuery has no such job, or none yet
	JobFailed    = "failed"  // it could not be cancelled
)

func (Asked) kind() string      { return "asked" }
func (Decision) kind() string   { return "decision" }
func (Frame) kind() string      { return "frame" }
func (Outcome) kind() string    { return "outcome" }
func (Approval) kind() string   { return "approval" }
func (Session) kind() string    { return "session" }
func (Seen) kind() string       { return "seen" }
func (Reopened) kind() string   { return "reopened" }
func (Unrecorded) kind() string { return "unrecorded" }
func (Budget) kind() string     { return "budget" }

func at(t, now time.Time) time.Time {
	if t.IsZero() {
		t = now
	}
	return t.UTC()
}

func (r Asked) stamp(now time.Time) Record      { r.Time = at(r.Time, now); return r }
func (r Decision) stamp(now time.Time) Record   { r.Time = at(r.Time, now); return r }
func (r Frame) stamp(now time.Time) Record      { r.Time = at(r.Time, now); return r }
func (r Outcome) stamp(now time.Time) Record    { r.Time = at(r.Time, now); return r }
func (r Approval) stamp(now time.Time) Record   { r.Time = at(r.Time, now); return r }
func (r Session) stamp(now time.Time) Record    { r.Time = at(r.Time, now); return r }
func (r Seen) stamp(now time.Time) Record       { r.Time = at(r.Time, now); return r }
func (r Reopened) stamp(now time.Time) Record   { r.Time = at(r.Time, now); return r }
func (r Unrecorded) stamp(now time.Time) Record { r.Time = at(r.Time, now); return r }
func (r Budget) stamp(now time.Time) Record     { r.Time = at(r.Time, now); return r }
