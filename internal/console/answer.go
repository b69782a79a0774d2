package console

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/bqgate/bqgate/internal/approvals"
)

// failure is a refusal, as {"error": {"code", "message"}}. Code is the HTTP status, as in Google's
// errors; reason is a word for programs.
type failure struct {
	status    int
	reason    string
	message   string
	challenge string // WWW-Authenticate
}

func (f *failure) write(w http.ResponseWriter) {
	if f.challenge != "" {
		w.Header().Set("WWW-Authenticate", f.challenge)
	}
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	fail(w, f.status, f.reason, f.message)
}

func fail(w http.ResponseWriter, status int, reason, message string) {
	type body struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Reason  string `json:"reason"`
	}
	text, err := json.Marshal(map[string]body{"error": {status, message, reason}})
	if err != nil { // cannot be: an int and two strings
		text = []byte(`{"error":{"code":500,"message":"error without words","reason":"fault"}}`)
		status = http.StatusInternalServerError
	}
	write(w, status, text)
}

// fault answers a fault of the gateway or of what it depends on. The cause goes to
// the log only.
func (a *api) fault(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, approvals.ErrRolledBack) { // trying again opens nothing; approvals has logged why, once
		fail(w, http.StatusServiceUnavailable, "approvalsClosed", closedWords)
		return
	}
	a.Log.Error("approval endpoint could not answer", "method", r.Method, "route", r.Pattern, "error", err)
	f := failure{
		status: http.StatusServiceUnavailable, reason: "unavailable",
		message: "the gateway could not do this just now; try again, and look at the request before you decide on it again",
	}
	f.write(w)
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
