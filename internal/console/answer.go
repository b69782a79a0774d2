package console

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/refusal/table"
)

// fail refuses a caller of the endpoint. reason is a word for programs.
func fail(w http.ResponseWriter, status int, reason, message string) {
	(&refusal.Refusal{Status: status, Reason: reason, What: message}).Endpoint(w)
}

// refuse answers by what an error is. What is not known is a fault, and no decision.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, id string, err error) {
	e := table.ForEndpoint(err)
	if e == nil {
		a.fault(w, r, err)
		return
	}
	if errors.Is(err, approvals.ErrDecided) {
		e.What += "; GET /api/v1/requests/" + id + " shows it"
	}
	e.Endpoint(w)
}

// fault answers a fault of the gateway or of what it depends on. The cause goes to
// the log only.
func (a *api) fault(w http.ResponseWriter, r *http.Request, err error) {
	if e := table.ForEndpoint(err); e != nil && e.Faulty() {
		e.Endpoint(w)
		return
	}
	a.Log.Error("approval endpoint could not answer", "method", r.Method, "route", r.Pattern, "error", err)
	(&refusal.Refusal{
		Status: http.StatusServiceUnavailable, Reason: "unavailable",
		What: "the gateway could not do this just now; try again, and look at the request before you decide on it again",
	}).Endpoint(w)
}

func (a *api) answer(w http.ResponseWriter, r *http.Request, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		a.fault(w, r, err)
		return
	}
	write(w, http.StatusOK, text)
}

func write(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the caller has gone
}

// headers go with every answer. Nothing here may be kept, framed, or run: it holds other people's
// SQL.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
