package table

import (
	"net/http"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/refusal"
)

const notTaken = "Your decision was not taken: "

// reviewerRows are about requests for approval.
var reviewerRows = []row{
	{
		name: "a request for approval that is not there", find: is(approvals.ErrNotFound),
		endpoint: fixed(refusal.Refusal{Status: http.StatusNotFound, Reason: "notFound",
			What: "there is no such request among those you may see; GET /api/v1/requests lists them"}),
		page: fixed(refusal.Refusal{What: "You are not among the reviewers of this request."}),
	}, {
		name: "one's own request", find: is(approvals.ErrOwn),
		endpoint: all(refusal.Refusal{Reason: "ownRequest"}), page: sentence(refusal.Refusal{}),
	}, {
		name: "a reviewer whom nobody knows", find: is(approvals.ErrNoPerson),
		endpoint: all(refusal.Refusal{Reason: "forbidden"}), page: sentence(refusal.Refusal{}),
	}, {
		name: "a login of too long ago", find: is(approvals.ErrStale), // RFC 9470
		endpoint: all(refusal.Refusal{Status: http.StatusUnauthorized, Reason: "staleLogin",
			Challenge: refusal.Bearer("insufficient_user_authentication")}),
		page: sentence(refusal.Refusal{What: notTaken}),
	}, {
		name: "a request that was decided", find: is(approvals.ErrDecided),
		endpoint: all(refusal.Refusal{Status: http.StatusConflict, Reason: "alreadyDecided"}),
		page:     sentence(refusal.Refusal{Status: http.StatusConflict, What: notTaken}),
	}, {
		name: "a request that has expired", find: is(approvals.ErrExpired),
		endpoint: fixed(refusal.Refusal{Status: http.StatusConflict, Reason: "expired",
			What: "the request has expired and can no longer be decided on; the requester may run the query again to ask again"}),
		page: fixed(refusal.Refusal{Status: http.StatusConflict,
			What: notTaken + "the request has expired. The requester may run the query again to ask again."}),
	}, {
		name: "no approval that could be taken back", find: is(approvals.ErrNotApproved),
		endpoint: all(refusal.Refusal{Status: http.StatusConflict, Reason: "notApproved"}),
		page:     nothingTaken,
	}, {
		name: "a run under way", find: is(approvals.ErrReleasing),
		endpoint: fixed(refusal.Refusal{Status: http.StatusConflict, Reason: "releasing",
			What: "its one run is just being submitted and cannot be taken back"}),
		page: nothingTaken,
	}, {
		name: "a reason that is none", find: is(approvals.ErrReason),
		endpoint: all(refusal.Refusal{Status: http.StatusBadRequest, Reason: "invalid"}),
		page:     sentence(refusal.Refusal{Status: http.StatusBadRequest}),
	}, {
		name: "terms that the policy does not allow", find: is(approvals.ErrTerms),
		endpoint: all(refusal.Refusal{Status: http.StatusBadRequest, Reason: "invalid"}),
		page:     sentence(refusal.Refusal{Status: http.StatusBadRequest}),
	}, {
		// Trying again opens nothing; approvals has logged why, once.
		name: "approvals that are closed", find: is(approvals.ErrRolledBack),
		endpoint: fixed(refusal.Refusal{Status: http.StatusServiceUnavailable, Reason: "approvalsClosed", Lasting: true, What: Closed}),
	},
}

// Closed are what people read while approvals are closed. Why is in the operator's log.
const Closed = "approvals are closed: Redis has lost some of what was approved, used or revoked, or shows it otherwise. Nothing is " +
	"approved or run until the gateway's operator has opened them again; " +
	"the gateway's log says how"

func nothingTaken(whole, _ error) *refusal.Refusal {
	return &refusal.Refusal{Status: http.StatusConflict, What: "Nothing was taken back: " + whole.Error() + ".", Err: whole}
}

// sentence says what the error says as a sentence, behind what is there already.
func sentence(r refusal.Refusal) words {
	return func(whole, _ error) *refusal.Refusal {
		r := r
		r.What, r.Err = r.What+refusal.Sentence(whole.Error()), whole
		return &r
	}
}
