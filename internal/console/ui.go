package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/policies"
)

// ui serves the pages. Who looks is known by a session, which begins with a login at the identity provider.
type ui struct {
	Options
	sessions sessions
	provider provider
	hub      *hub
	streams  streams
}

// visitor is who looks at a page.
type visitor struct {
	session session
	decider approvals.Decider
	name    string
	reviews bool
}

func newUI(ctx context.Context, o Options) *ui {
	if o.now == nil {
		o.now = time.Now
	}
	u := &ui{Options: o, hub: newHub(o.Approvals, o.Log)}
	u.sessions = sessions{
		store: storeOf(o.Redis, o.Keys, o.Bans, o.Log, o.now), bans: o.Bans,
		life: o.Login.Session, secure: strings.HasPrefix(o.Login.URL, "https:"), now: o.now,
	}
	go u.hub.run(ctx)
	return u
}

func (u *ui) routes(mux *http.ServeMux) {
	methods := map[string]string{}
	get := func(path string, h http.HandlerFunc) {
		mux.HandleFunc("GET "+path, h)
		methods[path] = "GET"
	}
	post := func(path string, h http.HandlerFunc) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			if !u.sameOrigin(r) {
				u.Log.Warn("a post of another origin was refused", "route", r.Pattern)
				u.problem(w, r, nil, http.StatusForbidden, "Nothing was done", "This did not come from a page of this console, so it was refused.")
				return
			}
			h(w, r)
		})
		methods[path] = "POST"
	}
	get("/assets/{name}", asset)
	get("/login", u.begin)
	get("/login/callback", u.callback)
	get("/logged-out", func(w http.ResponseWriter, r *http.Request) {
		u.signedOut(w, r, http.StatusOK, "You are logged out", "Your session at bqgate has ended. The one at your identity provider may go on.")
	})
	post("/logout", u.logout)
	get("/{$}", u.page(u.queue))
	get("/events", u.stream(u.queueEvents))
	get("/requests/{id}", u.page(u.request))
	get("/requests/{id}/events", u.stream(u.requestEvents))
	post("/requests/{id}/approve", u.page(u.decide(approvals.Approve)))
	post("/requests/{id}/deny", u.page(u.decide(approvals.Deny)))
	post("/requests/{id}/revoke", u.page(u.revoke))
	get("/history", u.page(u.history))
	get("/grants", u.page(u.grants))
	get("/policies", u.page(u.policies))
	get("/messages", u.page(u.messages))
	for path, method := range methods {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", method)
			u.problem(w, r, nil, http.StatusMethodNotAllowed, "This is not how this page is asked for", "It takes "+method+".")
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		u.problem(w, r, nil, http.StatusNotFound, "There is nothing here", "The address is not one of this console.")
	})
}

// pageHandler serves a visitor who has a part in the policy.
type pageHandler func(w http.ResponseWriter, r *http.Request, v *visitor)

// page finds out who looks before h is asked.
func (u *ui) page(h pageHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := u.visitor(r)
		switch {
		case errors.Is(err, errNoSession) && r.Method == http.MethodGet:
			http.Redirect(w, r, loginPath(r.URL.Path), http.StatusSeeOther)
		case errors.Is(err, errNoSession):
			u.signedOut(w, r, http.StatusUnauthorized, "Nothing was decided", "Your session has ended. Log in again and look at the request once more.")
		case err != nil:
			u.broken(w, r, nil, err)
		case !u.hasRole(v):
			u.show(w, r, http.StatusForbidden, noRolePage(shell{Title: "No role", Visitor: v}))
		default:
			h(w, r, v)
		}
	}
}

func (u *ui) visitor(r *http.Request) (*visitor, error) {
	s, err := u.sessions.of(r)
	if err != nil {
		return nil, err
	}
	return u.visitorOf(s), nil
}

func (u *ui) visitorOf(s session) *visitor {
	groups := u.Groups(s.Subject)
	return &visitor{
		session: s, decider: approvals.Decider{Subject: s.Subject, Groups: groups, AuthTime: s.AuthTime}, name: s.Subject.DisplayName(), reviews: u.Policies().MayReview(groups),
	}
}

func (u *ui) hasRole(v *visitor) bool { return len(v.decider.Groups) > 0 && u.Known(v.decider.Groups) }

// show renders a page whole before its first byte is sent.
func (u *ui) show(w http.ResponseWriter, r *http.Request, status int, page templ.Component) {
	var out bytes.Buffer
	if err := page.Render(r.Context(), &out); err != nil {
		u.Log.Error("page could not be rendered", "route", r.Pattern, "error", err)
		fail(w, http.StatusInternalServerError, "fault", "the page could not be made")
		return
	}
	pageHeaders(w.Header(), u.sessions.secure)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.Copy(w, &out) // the visitor has gone
}

// pageHeaders loosen what headers sets for the endpoint by what pages need: their own files, their own forms, their own stream. No script or style stands in a page.
func pageHeaders(h http.Header, secure bool) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "+
		"frame-ancestors 'none'; base-uri 'none'")
	// With no-referrer a browser hides the Origin of forms, which tells our own from others.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// problem is a page that says what went wrong.
func (u *ui) problem(w http.ResponseWriter, r *http.Request, v *visitor, status int, title, words string) {
	u.show(w, r, status, problemPage(shell{Title: title, Visitor: v}, words))
}

// broken is for what is nobody's mistake but the gateway's or its neighbours'. The cause goes to the log only.
func (u *ui) broken(w http.ResponseWriter, r *http.Request, v *visitor, err error) {
	if errors.Is(err, approvals.ErrRolledBack) { // it was logged, with what to do
		u.problem(w, r, v, http.StatusServiceUnavailable, "Approvals are closed", sentence(errors.New(closedWords)))
		return
	}
	u.Log.Error("console could not answer", "method", r.Method, "route", r.Pattern, "error", err)
	w.Header().Set("Retry-After", "2")
	u.problem(w, r, v, http.StatusServiceUnavailable, "bqgate does not answer just now", "Try again in a moment, and look at the request before you decide on it again.")
}

func (u *ui) signedOut(w http.ResponseWriter, r *http.Request, status int, title, words string) {
	u.show(w, r, status, signedOutPage(shell{Title: title}, words, loginPath(r.URL.Path)))
}

func (u *ui) queue(w http.ResponseWriter, r *http.Request, v *visitor) {
	list, err := u.hub.fresh(r.Context())
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	q := u.queueOf(list, v)
	if q.Undelivered, err = u.undelivered(r.Context(), v); err != nil {
		u.broken(w, r, v, err)
		return
	}
	u.show(w, r, http.StatusOK, queuePage(shell{Title: fmt.Sprintf("%d waiting", q.waiting()), Visitor: v, Here: "/", Live: true}, q))
}

func (u *ui) request(w http.ResponseWriter, r *http.Request, v *visitor) {
	q, ok := u.find(w, r, v)
	if ok {
		u.showRequest(w, r, v, http.StatusOK, q, answered{})
	}
}

// find returns the request of the path if the visitor may see it; otherwise it has answered.
func (u *ui) find(w http.ResponseWriter, r *http.Request, v *visitor) (approvals.Request, bool) {
	q, err := u.Approvals.Get(r.Context(), r.PathValue("id"))
	if err == nil && !q.VisibleTo(v.decider) {
		err = approvals.ErrNotFound
	}
	if errors.Is(err, approvals.ErrNotFound) {
		u.problem(w, r, v, http.StatusNotFound, "There is no such request", "It is not among those you may see, or it was forgotten: requests are kept for about a day after they end.")
		return q, false
	}
	if err != nil {
		u.broken(w, r, v, err)
		return q, false
	}
	return q, true
}

func (u *ui) showRequest(w http.ResponseWriter, r *http.Request, v *visitor, status int, q approvals.Request, a answered) {
	others, err := u.Approvals.History(r.Context(), q.ID, 20)
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	page := u.requestOf(q, v, a)
	if v.reviews {
		page.Acts = u.Activity.of(q.Issuer, q.Subject)
	}
	for _, o := range others {
		if o.VisibleTo(v.decider) {
			page.Others = append(page.Others, u.itemOf(o, v))
		}
	}
	u.show(w, r, status, requestPage(shell{Title: page.Title(), Visitor: v, Live: true}, page))
}

// answered is what became of a decision that could not be taken.
type answered struct {
	Problem string // in words; "" for none
	Reason  string // what the reviewer had written
}

func (u *ui) decide(verdict approvals.Verdict) pageHandler {
	return func(w http.ResponseWriter, r *http.Request, v *visitor) {
		q, ok := u.find(w, r, v)
		if !ok {
			return
		}
		in, ok := u.form(w, r, v, q)
		if !ok {
			return
		}
		if verdict == approvals.Deny {
			in.Terms = approvals.Terms{} // the choice beside the other button
		}
		done, err := u.Approvals.Decide(r.Context(), q.ID, v.decider, verdict, in.Reason, in.Terms)
		if err != nil {
			u.Log.Info("decision refused", "request", q.ID, "verdict", verdict, "subject", v.decider.Subject, "why", err)
			u.undecided(w, r, v, q, in.Reason, err)
			return
		}
		u.Log.Info("decision", "request", done.ID, "verdict", verdict, "subject", v.decider.Subject, "state", done.State, "by", "console")
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
func (u *ui) form(w http.ResponseWriter, r *http.Request, v *visitor, q approvals.Request) (decision, bool) {
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
		status, words = http.StatusConflict, "Your decision was not taken: the request has expired. The requester may run the query again to ask again."
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

// readForm reads a decision as a browser sends it: a reason, and how far an approval reaches where the policy lets people choose.
func readForm(w http.ResponseWriter, r *http.Request) (in decision, refused *failure) {
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

func (u *ui) history(w http.ResponseWriter, r *http.Request, v *visitor) {
	state, err := stateParameter(r)
	if err != nil {
		u.problem(w, r, v, http.StatusBadRequest, "This list is not known", sentence(err))
		return
	}
	u.listing(w, r, v, approvals.Filter{State: state, Limit: 200}, func(items []item, more bool) templ.Component {
		return historyPage(shell{Title: "History", Visitor: v, Here: "/history"}, state, items, more)
	})
}

// grants are approvals: first those that may still be used.
func (u *ui) grants(w http.ResponseWriter, r *http.Request, v *visitor) {
	found, err := u.Approvals.List(r.Context(), approvals.Filter{Limit: 200, Match: func(q approvals.Request) bool {
		_, ok := q.Grant()
		return ok && q.VisibleTo(v.decider)
	}})
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	var live, over []grantView
	for _, q := range found.Requests {
		g, _ := q.Grant()
		view := grantView{Grant: g, Who: q.Person, Reads: tablesOf(q), Now: u.now()}
		if g.State == approvals.GrantLive {
			live = append(live, view)
		} else {
			over = append(over, view)
		}
	}
	u.show(w, r, http.StatusOK, grantsPage(shell{Title: "Grants", Visitor: v, Here: "/grants"}, live, over, found.More))
}

// messages are what could not be told yet, and what was given up: the requests still wait, but somebody may not know.
func (u *ui) messages(w http.ResponseWriter, r *http.Request, v *visitor) {
	found, err := u.Approvals.Notifications(r.Context(), "", func(q approvals.Request) bool { return q.VisibleTo(v.decider) })
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	var dead, waiting []approvals.Notification
	for _, n := range found {
		if n.State == approvals.NotificationDead {
			dead = append(dead, n)
		} else {
			waiting = append(waiting, n)
		}
	}
	u.show(w, r, http.StatusOK, messagesPage(shell{Title: "Messages", Visitor: v, Here: "/messages"}, dead, waiting, u.now()))
}

// undelivered counts the messages that were given up, for the first page.
func (u *ui) undelivered(ctx context.Context, v *visitor) (int, error) {
	found, err := u.Approvals.Notifications(ctx, approvals.NotificationDead, func(q approvals.Request) bool { return q.VisibleTo(v.decider) })
	return len(found), err
}

// grantView is an approval in the list of grants.
type grantView struct {
	approvals.Grant
	Who, Reads string
	Now        time.Time
}

// countGrants says how much is open.
func countGrants(live []grantView) string {
	runs := 0
	for _, g := range live {
		runs += g.Uses - g.Used
	}
	switch len(live) {
	case 0:
		return "No grant may still be used."
	case 1:
		return "1 grant may still be used, for " + plural(runs, "run") + " in all."
	default:
		return fmt.Sprintf("%d grants may still be used, for %s in all.", len(live), plural(runs, "run"))
	}
}

func (u *ui) listing(w http.ResponseWriter, r *http.Request, v *visitor, f approvals.Filter, page func([]item, bool) templ.Component) {
	f.Match = func(q approvals.Request) bool { return q.VisibleTo(v.decider) }
	found, err := u.Approvals.List(r.Context(), f)
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	var items []item
	for _, q := range found.Requests {
		items = append(items, u.itemOf(q, v))
	}
	u.show(w, r, http.StatusOK, page(items, found.More))
}

// policies are shown to those who decide by them; what is sensitive is nobody else's business.
func (u *ui) policies(w http.ResponseWriter, r *http.Request, v *visitor) {
	if !v.reviews {
		u.problem(w, r, v, http.StatusForbidden, "The policy is for reviewers", "You are in no group that reviews requests.")
		return
	}
	set := u.Policies()
	u.show(w, r, http.StatusOK, policiesPage(shell{Title: "Policies", Visitor: v, Here: "/policies"}, policyFiles(set.Entries()), set.Digest()))
}

// policyFile is the entries of one file, as the policies page shows them.
type policyFile struct {
	Name    string
	Entries []policies.Entry
}

func policyFiles(entries []policies.Entry) []policyFile {
	var files []policyFile
	for _, e := range entries {
		if len(files) == 0 || files[len(files)-1].Name != e.Ref.File {
			files = append(files, policyFile{Name: e.Ref.File})
		}
		last := &files[len(files)-1]
		last.Entries = append(last.Entries, e)
	}
	return files
}

// policySection is a run of entries of one kind.
type policySection struct {
	Name    string
	Entries []policies.Entry
}

// Sections are the entries by kind, in the order of the file.
func (f policyFile) Sections() []policySection {
	var all []policySection
	for _, e := range f.Entries {
		if len(all) == 0 || all[len(all)-1].Name != e.Section {
			all = append(all, policySection{Name: e.Section})
		}
		last := &all[len(all)-1]
		last.Entries = append(last.Entries, e)
	}
	return all
}
