package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/refusal/table"
)

// ui serves the pages. Who looks is known by a session, which begins with a login at the identity
// provider.
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
				u.problem(w, r, nil, http.StatusForbidden, "Nothing was done",
					"This did not come from a page of this console, so it was refused.")
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
		u.signedOut(w, r, http.StatusOK, "You are logged out",
			"Your session at bqgate has ended. The one at your identity provider may go on.")
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
	get("/budgets", u.page(u.budgets))
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
			http.Redirect(w, r, loginPath(r.URL.Path), http.StatusSeeOther) //nolint:gosec // G710: to the console's own /login
		case errors.Is(err, errNoSession):
			u.signedOut(w, r, http.StatusUnauthorized, "Nothing was decided",
				"Your session has ended. Log in again and look at the request once more.")
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
		session: s, decider: approvals.Decider{Subject: s.Subject, Groups: groups, AuthTime: s.AuthTime}, name: s.Subject.DisplayName(),
		reviews: u.Policies().MayReview(groups),
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

// pageHeaders loosen what headers sets for the endpoint by what pages need: their own files, their
// own forms, their own stream. No script or style stands in a page.
func pageHeaders(h http.Header, secure bool) {
	h.Set("Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "+
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

// broken answers a fault of the gateway or of what it depends on. The cause goes to
// the log only.
func (u *ui) broken(w http.ResponseWriter, r *http.Request, v *visitor, err error) {
	if errors.Is(err, approvals.ErrRolledBack) { // it was logged, with what to do
		u.problem(w, r, v, http.StatusServiceUnavailable, "Approvals are closed", refusal.Sentence(table.Closed))
		return
	}
	u.Log.Error("console could not answer", "method", r.Method, "route", r.Pattern, "error", err)
	w.Header().Set("Retry-After", "2")
	u.problem(w, r, v, http.StatusServiceUnavailable, "bqgate does not answer just now",
		"Try again in a moment, and look at the request before you decide on it again.")
}

func (u *ui) signedOut(w http.ResponseWriter, r *http.Request, status int, title, words string) {
	u.show(w, r, status, signedOutPage(shell{Title: title}, words, loginPath(r.URL.Path)))
}
