package fakegoogle

import (
	"encoding/json"
	"errors"
	"net/http"
)

// apiError is Google's error: the body of every answer that is not 2xx, and the errorResult of a
// failed job.
type apiError struct {
	Code         int    // HTTP
	Reason       string // BigQuery's word
	Message      string
	Status       string // Google's canonical code; derived from Code where empty
	Location     string
	LocationType string
}

func (e *apiError) Error() string { return e.Reason + ": " + e.Message }

var statusWords = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS",
	429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE",
}

// body is the JSON Google writes.
func (e *apiError) body() object {
	one := object{{"message", e.Message}, {"domain", "global"}, {"reason", e.Reason},
		{"debugInfo", "[" + e.Reason + "] " + internals(e.Message)}}
	if e.Location != "" {
		one = append(one, member{"location", e.Location}, member{"locationType", e.LocationType})
	}
	word := e.Status
	if word == "" {
		word = statusWords[e.Code]
	}
	return object{{"error", object{
		{"code", json.Number(itoa(e.Code))}, {"message", e.Message}, {"errors", []any{one}}, {"status", word},
		{"details", []any{object{{"@type", "type.googleapis.com/google.rpc.DebugInfo"},
			{"detail", "[" + word + "] " + internals(e.Message)}}}},
	}}}
}

// InternalsCanary is in what errors tell of Google's own machines, and in nothing else:
// error.details[] with its google.rpc.DebugInfo ("A list of messages that carry the error details",
// "Additional debugging information provided by the server",
// https://cloud.google.com/apis/design/errors), and debugInfo of an ErrorProto ("This property is
// internal to Google and should not be used").
const InternalsCanary = "bq-router-7f3kq.prod.example"

func internals(message string) string {
	return "at " + InternalsCanary + "/QueryService.Run (dremel_worker.cc:1822): " + message
}

// proto is the ErrorProto of a job's status.
func (e *apiError) proto() object {
	out := object{{"reason", e.Reason}}
	if e.Location != "" {
		out = append(out, member{"location", e.Location})
	}
	return append(out, member{"debugInfo", "[" + e.Reason + "] " + internals(e.Message)}, member{"message", e.Message})
}

func (e *apiError) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	frontEndHeaders(w.Header())
	if e.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/"`)
	}
	w.WriteHeader(e.Code)
	w.Write(e.body().encode(true))
}

func errLoginRequired() *apiError {
	return &apiError{
		Code: http.StatusUnauthorized, Reason: "required", Location: "Authorization", LocationType: "header",
		Message: "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid " +
			"authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
	}
}

func errInvalidCredentials() *apiError {
	return &apiError{
		Code: http.StatusUnauthorized, Reason: "authError", Location: "Authorization", LocationType: "header",
		Message: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid " +
			"authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
	}
}

func errInvalid(message string) *apiError {
	return &apiError{Code: http.StatusBadRequest, Reason: "invalid", Message: message}
}

func errNotFound(message string) *apiError {
	return &apiError{Code: http.StatusNotFound, Reason: "notFound", Message: message}
}

func errDenied(message string) *apiError {
	return &apiError{Code: http.StatusForbidden, Reason: "accessDenied", Message: message}
}

// reasonCodes is BigQuery's table of reasons and HTTP codes.
var reasonCodes = map[string]int{
	"accessDenied": 403, "billingNotEnabled": 403, "blocked": 403, "quotaExceeded": 403, "rateLimitExceeded": 403, "responseTooLarge": 403,
	"notFound": 404, "duplicate": 409,
	"invalid": 400, "invalidQuery": 400, "resourcesExceeded": 400, "resourceInUse": 400, "bytesBilledLimitExceeded": 400, "stopped": 400,
	"backendError": 503, "internalError": 500, "notImplemented": 501,
}

// queryFailure turns an engine's error into Google's.
func queryFailure(err error) *apiError {
	var api *apiError
	if errors.As(err, &api) {
		return api
	}
	var q *QueryError
	if !errors.As(err, &q) {
		return &apiError{Code: 500, Reason: "internalError",
			Message: "An internal error occurred and the request could not be completed: " + err.Error()}
	}
	out := &apiError{Code: reasonCodes[q.Reason], Reason: q.Reason, Message: q.Message}
	if out.Code == 0 {
		out.Code, out.Reason = 500, "internalError"
	}
	if q.Reason == "invalidQuery" {
		out.Location, out.LocationType = "q", "parameter"
	}
	return out
}
