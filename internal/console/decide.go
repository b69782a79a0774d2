package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/bqgate/bqgate/internal/approvals"
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
		u.showRequest(w, r, v, refused.status, q, answered{Problem: refused.message})
		return in, false
	}
	return in, true
}

// undecided shows the request as it stands now, with the reason why the decision was not taken.
func (u *ui) undecided(w http.ResponseWriter, r *http.Request, v *visitor, q approvals.Request, reason string, err error) {
	status, words := 0, ""
	switch {
	case errors.Is(err, approvals.ErrNotFound):
		status, words = http.StatusForbidden, "You are not among the reviewers of this request."
	case errors.Is(err, approvals.ErrOwn), errors.Is(err, approvals.ErrNoPerson):
		status, words = http.StatusForbidden, sentence(err)
	case errors.Is(err, approvals.ErrStale):
		status, words = http.StatusForbidden, "Your decision was not taken: "+sentence(err)
	case errors.Is(err, approvals.ErrDecided):
		status, words = http.StatusConflict, "Your decision was not taken: "+sentence(err)
	case errors.Is(err, approvals.ErrExpired):
		status, words = http.StatusConflict,
			"Your decision was not taken: the request has expired. The requester may run the query again to ask again."
	case errors.Is(err, approvals.ErrNotApproved), errors.Is(err, approvals.ErrReleasing):
		status, words = http.StatusConflict, "Nothing was taken back: "+err.Error()+"."
	case errors.Is(err, approvals.ErrReason), errors.Is(err, approvals.ErrTerms):
		status, words = http.StatusBadRequest, sentence(err)
	default:
		u.broken(w, r, v, err)
		return
	}
	if now, err := u.Approvals.Get(r.Context(), q.ID); err == nil && now.VisibleTo(v.decider) {
		q = now
	}
	u.showRequest(w, r, v, status, q, answered{Problem: words, Reason: reason})
}

func sentence(err error) string {
	text := err.Error()
	if text == "" {
		return ""
	}
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// readForm reads a vote as a browser sends it: a reason, and how far an approval reaches where
// the policy lets people choose.
func readForm(w http.ResponseWriter, r *http.Request) (in ballot, refused *failure) {
	if r.URL.RawQuery != "" {
		return in, &failure{status: http.StatusBadRequest, message: "The address of a decision takes no parameters."}
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/x-www-form-urlencoded" {
		return in, &failure{status: http.StatusUnsupportedMediaType, message: "A decision is sent as a form."}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return in, &failure{status: http.StatusRequestEntityTooLarge, message: "The reason is too long; at most 1000 characters."}
		}
		return in, &failure{status: http.StatusBadRequest, message: "The form could not be read."}
	}
	odd := &failure{status: http.StatusBadRequest, message: "The form has a field that it should not have."}
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
				return in, &failure{status: http.StatusBadRequest, message: "Runs and hours must be whole numbers of at least 1."}
			}
			*to = n
		}
	default:
		return in, odd
	}
	return in, nil
}
