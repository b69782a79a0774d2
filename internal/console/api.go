package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/policies"
)

// Verifier turns a raw OIDC token into a Subject. *identity.Verifier is one.
type Verifier interface {
	Verify(ctx context.Context, raw, audience string) (identity.Subject, error)
}

// Options are the parts of the endpoint. All but Log are needed.
type Options struct {
	Approvals *approvals.Store
	Verifier  Verifier
	Groups    func(identity.Subject) []string // policy groups of a subject
	Known     func(groups []string) bool      // whether any of the groups plays a part in the policy: reads, or reviews
	Audience  string                          // of reviewers' tokens ("bqgate-console")
	Log       *slog.Logger                    // default slog.Default()

	// The pages need these too. Without Login there are none.
	Login    *Login
	Policies func() *policies.Set
	Redis    redis.UniversalClient
	Keys     *sealed.Keyring
	Bans     Bans
	Activity *Activity // what subjects did without a person; nil shows none
	// Budgets is what is spent of the policy's budgets; nil shows none.
	Budgets func(ctx context.Context) ([]budgets.Line, error)

	now func() time.Time // for tests
}

type api struct {
	Options
}

// New makes the console: the endpoint, and the pages where people can log in. What the pages follow
// ends with ctx.
func New(ctx context.Context, o Options) (http.Handler, error) {
	if o.Login == nil {
		return NewAPI(o), nil
	}
	if o.Approvals == nil || o.Verifier == nil || o.Groups == nil || o.Known == nil || o.Policies == nil || o.Redis == nil ||
		o.Keys == nil || o.Bans == nil || o.Login.Client == nil ||
		o.Login.ClientID == "" || o.Login.URL == "" || o.Login.Session <= 0 {
		return nil, errors.New("the console's pages lack a part")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	mux := http.NewServeMux()
	(&api{o}).routes(mux)
	newUI(ctx, o).routes(mux)
	endpoint := sameOriginOnly(mux)
	return headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			endpoint.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r) // pages ask for more: see sameOrigin
	})), nil
}

// NewAPI makes the endpoint alone, with a page that says how it is used. A handler whose parts are
// missing refuses everything with 503.
func NewAPI(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	a := &api{o}
	mux := http.NewServeMux()
	a.routes(mux)
	mux.HandleFunc("GET /{$}", a.page)
	mux.HandleFunc("GET /requests/{id}", a.page)
	mux.HandleFunc("GET /style.css", a.style)
	for _, path := range []string{"/{$}", "/requests/{id}", "/style.css"} {
		mux.HandleFunc(path, wrongMethod("GET"))
	}
	mux.HandleFunc("/", unknownPath)
	return headers(sameOriginOnly(mux))
}

// HealthPath answers 200 to anybody while the console serves.
const HealthPath = "/healthz"

func (a *api) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+HealthPath, a.health)
	mux.Handle("GET /api/v1/requests", a.as(a.list))
	mux.Handle("GET /api/v1/requests/{id}", a.as(a.get))
	mux.Handle("POST /api/v1/requests/{id}/approve", a.as(a.decide(approvals.Approve)))
	mux.Handle("POST /api/v1/requests/{id}/deny", a.as(a.decide(approvals.Deny)))
	mux.HandleFunc("GET /api/v1/openapi.yaml", a.openapi)
	mux.Handle("GET /api/v1/notifications", a.as(a.notifications))
	mux.Handle("GET /api/v1/grants", a.as(a.grants))
	mux.Handle("POST /api/v1/grants/{id}/revoke", a.as(withBallot(a.revoke)))
	mux.HandleFunc("/api/", unknownPath)
	for path, method := range map[string]string{
		HealthPath: "GET", "/api/v1/requests": "GET", "/api/v1/requests/{id}": "GET", "/api/v1/requests/{id}/approve": "POST",
		"/api/v1/requests/{id}/deny": "POST",
		"/api/v1/grants":             "GET", "/api/v1/notifications": "GET", "/api/v1/openapi.yaml": "GET",
		"/api/v1/grants/{id}/revoke": "POST",
	} {
		mux.HandleFunc(path, wrongMethod(method))
	}
}

// sameOriginOnly guards the endpoint. Browsers carry no credential that a foreign page could use
// there; a request from one is a mistake or worse all the same.
func sameOriginOnly(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusForbidden, "crossOrigin", "requests from pages of another origin are refused; call the endpoint directly")
	}))
	return crossOrigin.Handler(next)
}

// handler serves an authenticated caller.
type handler func(w http.ResponseWriter, r *http.Request, caller approvals.Decider)

// as finds out who calls before h is asked.
func (a *api) as(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.Approvals == nil || a.Verifier == nil || a.Groups == nil || a.Known == nil || a.Audience == "" {
			a.fault(w, r, errors.New("the approval endpoint is not configured"))
			return
		}
		caller, refused := a.authenticate(r)
		if refused != nil {
			refused.Endpoint(w)
			return
		}
		h(w, r, caller)
	})
}

func (a *api) list(w http.ResponseWriter, r *http.Request, caller approvals.Decider) {
	f, err := pageParameters(r)
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	f.For = &caller
	found, err := a.Approvals.List(r.Context(), f)
	if err != nil {
		a.fault(w, r, err)
		return
	}
	a.answer(w, r, struct {
		Requests []approvals.Request `json:"requests"`
		More     bool                `json:"more,omitempty"` // older ones were left out: ?after=NEXT has them
		Next     string              `json:"next,omitempty"`
	}{found.Requests, found.More, found.Next})
}

func (a *api) get(w http.ResponseWriter, r *http.Request, caller approvals.Decider) {
	if err := noParameters(r); err != nil {
		fail(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	id := r.PathValue("id")
	request, err := a.Approvals.Get(r.Context(), id)
	if err == nil && !request.VisibleTo(caller) {
		err = approvals.ErrNotFound
	}
	if err != nil {
		a.refuse(w, r, id, err)
		return
	}
	a.answer(w, r, request)
}

func (a *api) decide(choice approvals.Choice) handler {
	return withBallot(func(w http.ResponseWriter, r *http.Request, caller approvals.Decider, id string, in ballot) {
		request, err := a.Approvals.Vote(r.Context(), id, caller, choice, in.Reason, in.Terms)
		if err != nil {
			a.Log.Info("vote refused", "request", loggable(id), "choice", choice, "subject", caller.Subject, "why", err)
			a.refuse(w, r, id, err)
			return
		}
		a.Log.Info("vote", "request", id, "choice", choice, "subject", caller.Subject, "state", request.State)
		a.answer(w, r, request)
	})
}

// withBallot reads what a caller says to a request, its id from the path and the rest from the
// body.
func withBallot(do func(w http.ResponseWriter, r *http.Request, caller approvals.Decider, id string, in ballot)) handler {
	return func(w http.ResponseWriter, r *http.Request, caller approvals.Decider) {
		if err := noParameters(r); err != nil {
			fail(w, http.StatusBadRequest, "invalid", err.Error())
			return
		}
		in, refused := readBallot(w, r)
		if refused != nil {
			refused.Endpoint(w)
			return
		}
		do(w, r, caller, r.PathValue("id"), in)
	}
}

// loggable keeps text of the caller's own making out of the log.
func loggable(id string) string {
	if !approvals.ValidID(id) {
		return "(not an id)"
	}
	return id
}

// health says that the process serves. It asks nobody else: a Redis that is down is no reason to
// restart the gateway.
func (a *api) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // the caller has gone
}

func unknownPath(w http.ResponseWriter, _ *http.Request) {
	fail(w, http.StatusNotFound, "notFound", "there is nothing under this path; / says what there is")
}

func wrongMethod(allowed string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		(&refusal.Refusal{
			Status: http.StatusMethodNotAllowed, Reason: "methodNotAllowed", What: "this path takes " + allowed, Allow: allowed,
		}).Endpoint(w)
	}
}
