package console

import (
	"net/http"

	"github.com/bqgate/bqgate/internal/approvals"
)

// grants lists the approvals that the caller may see: what they allow, what came of them, until
// when they stand.
func (a *api) grants(w http.ResponseWriter, r *http.Request, caller approvals.Decider) {
	state, err := wordParameter(r, approvals.GrantStates())
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	found, err := a.Approvals.List(r.Context(), approvals.Filter{For: &caller, Match: func(q approvals.Request) bool {
		g, ok := q.Grant()
		return ok && (state == "" || g.State == state)
	}})
	if err != nil {
		a.fault(w, r, err)
		return
	}
	grants := []approvals.Grant{}
	for _, q := range found.Requests {
		g, _ := q.Grant()
		grants = append(grants, g)
	}
	a.answer(w, r, struct {
		Grants []approvals.Grant `json:"grants"`
		More   bool              `json:"more,omitempty"` // older ones were left out
	}{grants, found.More})
}

// revoke takes an approval back.
func (a *api) revoke(w http.ResponseWriter, r *http.Request, caller approvals.Decider, id string, in ballot) {
	if in.Terms != (approvals.Terms{}) {
		fail(w, http.StatusBadRequest, "invalid", "revoking takes a reason, and no uses or hours")
		return
	}
	request, err := a.Approvals.Revoke(r.Context(), id, caller, in.Reason)
	if err != nil {
		a.Log.Info("revocation refused", "request", loggable(id), "subject", caller.Subject, "why", err)
		a.refuse(w, r, id, err)
		return
	}
	a.Log.Info("approval revoked", "request", id, "subject", caller.Subject)
	g, _ := request.Grant()
	a.answer(w, r, g)
}

// notifications lists messages that wait to be sent or were given up, of requests that the caller
// may see.
func (a *api) notifications(w http.ResponseWriter, r *http.Request, caller approvals.Decider) {
	state, err := wordParameter(r, []string{approvals.NotificationWaiting, approvals.NotificationDead})
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	found, err := a.Approvals.Notifications(r.Context(), state, func(q approvals.Request) bool { return q.VisibleTo(caller) })
	if err != nil {
		a.fault(w, r, err)
		return
	}
	a.answer(w, r, map[string]any{"notifications": found})
}
