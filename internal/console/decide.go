package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/refusal/table"
)

func (u *ui) decide(choice approvals.Choice) pageHandler {
	return func(w http.ResponseWriter, r *http.Request, v *visitor) {
		q, ok := u.find(w, r, v)
		if !ok {
			return
		}
		in, ok := u.form(w, r, v, q)
		if !ok {
			return
		}
		if choice == approvals.Deny {
			in.Terms = approvals.Terms{} // the choice beside the other button
		}
		done, err := u.Approvals.Vote(r.Context(), q.ID, v.decider, choice, in.Reason, in.Terms)
		if err != nil {
			u.Log.Info("vote refused", "request", q.ID, "choice", choice, "subject", v.decider.Subject, "why", err)
			u.undecided(w, r, v, q, in.Reason, err)
			return
		}
		u.Log.Info("vote", "request", done.ID, "choice", choice, "subject", v.decider.Subject, "state", done.State, "by", "console")
		http.Redirect(w, r, "/requests/"+q.ID, http.StatusSeeOther)
	}
}

// revoke takes an approval back.
func (u *ui) revoke(w http.ResponseWriter, r *http.Request, v *visitor) {
	q, ok := u.find(w, r, v)
	if !ok {
		return
	}
	in, ok := u.form(w, r, v, q)
	if !ok {
		return
	}
	if _, err := u.Approvals.Revoke(r.Context(), q.ID, v.decider, in.Reason); err != nil {
		u.Log.Info("revocation refused", "request", q.ID, "subject", v.decider.Subject, "why", err)
		u.undecided(w, r, v, q, in.Reason, err)
		return
	}
	u.Log.Info("approval revoked", "request", q.ID, "subject", v.decider.Subject, "by", "console")
	http.Redirect(w, r, "/requests/"+q.ID, http.StatusSeeOther)
}

// form reads what a person decided with; otherwise it has answered.
func (u *ui) form(w http.ResponseWriter, r *http.Request, v *visitor, q approvals.Request) (ballot, bool) {
	in, refused := readForm(w, r)
	if refused != nil {
		u.showRequest(w, r, v, refused.Code(), q, answered{Problem: refused.What})
		return in, false
	}
	return in, true
}

// undecided shows the request as it stands now, with the reason why the decision was not taken.
func (u *ui) undecided(w http.ResponseWriter, r *http.Request, v *visitor, q approvals.Request, reason string, err error) {
	e := table.ForPage(err)
	if e == nil {
		u.broken(w, r, v, err)
		return
	}
	if now, err := u.Approvals.Get(r.Context(), q.ID); err == nil && now.VisibleTo(v.decider) {
		q = now
	}
	u.showRequest(w, r, v, e.Code(), q, answered{Problem: e.What, Reason: reason})
}

func sentence(err error) string { return refusal.Sentence(err.Error()) }

// readForm reads a vote as a browser sends it: a reason, and how far an approval reaches where
// the policy lets people choose.
func readForm(w http.ResponseWriter, r *http.Request) (in ballot, refused *refusal.Refusal) {
	if r.URL.RawQuery != "" {
		return in, &refusal.Refusal{Status: http.StatusBadRequest, What: "The address of a decision takes no parameters."}
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/x-www-form-urlencoded" {
		return in, &refusal.Refusal{Status: http.StatusUnsupportedMediaType, What: "A decision is sent as a form."}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return in, &refusal.Refusal{Status: http.StatusRequestEntityTooLarge, What: "The reason is too long; at most 1000 characters."}
		}
		return in, &refusal.Refusal{Status: http.StatusBadRequest, What: "The form could not be read."}
	}
	odd := &refusal.Refusal{Status: http.StatusBadRequest, What: "The form has a field that it should not have."}
	for name, values := range r.PostForm {
		if !slices.Contains([]string{"reason", "terms", "uses", "hours"}, name) || len(values) != 1 {
			return in, odd
		}
	}
	in.Reason = strings.TrimSpace(strings.ReplaceAll(r.PostForm.Get("reason"), "\r\n", "\n"))
	switch r.PostForm.Get("terms") {
	case "", "once": // the numbers stand in the form all the same
	case "standing":
		for name, to := range map[string]*int{"uses": &in.Uses, "hours": &in.Hours} {
			n, err := strconv.Atoi(r.PostForm.Get(name))
			if err != nil || n < 1 {
				return in, &refusal.Refusal{Status: http.StatusBadRequest, What: "Runs and hours must be whole numbers of at least 1."}
			}
			*to = n
		}
	default:
		return in, odd
	}
	return in, nil
}
