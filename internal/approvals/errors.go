package approvals

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart. Their texts, and those of errors that wrap them, are written for
// the client that asked.
var (
	// ErrNotFound is returned for a request that is not there, or not the caller's to see.
	ErrNotFound = errors.New("no such request for approval")
	// ErrTampered is an ErrNotFound: Redis holds an entry that this gateway did not write, or an
	// older one than it has seen. It is logged where it is found.
	ErrTampered = fmt.Errorf("%w: its stored state is not the one that was written", ErrNotFound)
	// ErrExists is returned by Hold when the job id or requestId belongs to another query of the
	// same owner.
	ErrExists = errors.New("this job id or requestId is already taken by another query of yours that was held; use a new one")
	// ErrTooMany is returned by Hold when too much waits already: see Full.
	ErrTooMany = errors.New("too many queries wait for approval")
	// ErrTooLarge is returned by Hold for a query that is too big to be kept: see TooLarge.
	ErrTooLarge = errors.New("the query is too large to wait for approval")

	// ErrOwn is returned by Vote to the requester, to the people behind a request, and to every
	// workload.
	ErrOwn = errors.New("nobody decides on their own request; someone else in the reviewers' groups can")
	// ErrNoPerson is returned by Vote when the reviewer's token names nobody whom others know, so
	// that nobody can tell them from the requester.
	ErrNoPerson = errors.New("your token names no person whom others know, so it cannot be told that the request is not your own; " +
		"log in with an account whose e-mail address the identity provider has verified (email_verified), or ask the operator to enter " +
		"yours in the issuer's people_map")
	// ErrStale is returned by Vote when the policy wants a fresher login than the reviewer's.
	ErrStale = errors.New("the policy wants a login of you before you decide")
	// ErrDecided is returned by Vote when the request is decided or ended, or the same person has
	// voted before.
	ErrDecided = errors.New("already decided")
	// ErrExpired is returned for a request that nobody decided, or that its owner did not run, in
	// time.
	ErrExpired = errors.New("the request has expired; run the query again to ask again")
	// ErrReason is returned by Vote for a reason that is missing or not printable text.
	ErrReason = errors.New("reason must be printable text of at most 1000 characters")

	// ErrTerms is returned by Vote for uses or hours that the policy does not allow.
	ErrTerms = errors.New("the policy does not allow an approval of this many runs or hours")
	// ErrRevoked is returned by BeginRelease for a run on a grant that was taken back.
	ErrRevoked = errors.New("the approval was revoked; run the query again to ask again")
	// ErrRolledBack is returned for everything once Redis was seen to have lost, undone or altered
	// what replicas told. Approvals are closed until an operator acknowledges it.
	ErrRolledBack = errors.New("approvals are closed: Redis does not show what is known to have been there")

	// ErrNotApproved is returned by BeginRelease for a request without a live approval.
	ErrNotApproved = errors.New("the request is not approved")
	// ErrReleasing is returned while another release of the same request is under way.
	ErrReleasing = errors.New("the approved query is just being submitted; poll again")
	// ErrUsed is returned by BeginRelease when the approval has been used. An approval is good for
	// one run.
	ErrUsed = errors.New("the approval has been used; run the query again to ask again")
	// ErrLeaseLost is returned by FinishRelease when another release has begun since.
	ErrLeaseLost = errors.New("another release of this request has begun since")

	// ErrBusy is returned when others kept changing the request for as long as was waited.
	ErrBusy = errors.New("the request is being changed by someone else; try again")
)
