package bigquery

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// errorBody is the error JSON of Google's APIs in the form that BigQuery uses
// (https://cloud.google.com/bigquery/docs/error-messages).
type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code    int          `json:"code"`
	Message string       `json:"message"`
	Errors  []errorEntry `json:"errors"`
	Status  string       `json:"status"`
}

type errorEntry struct {
	Message string `json:"message"`
	Domain  string `json:"domain"`
	Reason  string `json:"reason"`
}

// ErrorBody is a whole error answer: `{"error": {code, message, errors[], status}}`. Clients find
// the reason in errors[0], and without a body the Python client shows no text at all.
func ErrorBody(status int, reason, message string) []byte {
	out, err := compactJSON(errorBody{Error: errorDetail{
		Code: status, Message: message, Status: canonicalStatus(status),
		Errors: []errorEntry{{Message: message, Domain: "global", Reason: reason}},
	}})
	if err != nil { // not reached: strings and an int
		return []byte(`{"error":{"code":503,"message":"bqgate: the error could not be ` +
			`written","errors":[{"reason":"backendError"}],"status":"UNAVAILABLE"}}`)
	}
	return out
}

// canonicalStatus is the google.rpc.Code that Google writes beside an HTTP status.
func canonicalStatus(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ALREADY_EXISTS"
	case http.StatusPreconditionFailed:
		return "FAILED_PRECONDITION"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusInternalServerError:
		return "INTERNAL"
	case http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	case http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	case http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	}
	if status >= 400 && status < 500 {
		return "INVALID_ARGUMENT"
	}
	return "UNKNOWN"
}

// reasons are the error reasons that BigQuery documents. Anything else is not repeated to a client.
var reasons = []string{
	"accessDenied", "attributeError", "authError", "backendError", "badGateway", "badRequest", "billingNotEnabled",
	"billingTierLimitExceeded", "blocked",
	"bytesBilledLimitExceeded", "duplicate", "internalError", "invalid", "invalidParameter", "invalidQuery", "invalidUser",
	"jobBackendError", "jobInternalError",
	"jobRateLimitExceeded", "notFound", "notImplemented", "policyViolation", "quotaExceeded", "rateLimitExceeded", "required",
	"resourceInUse", "resourceNotFound", "resourcesExceeded",
	"responseTooLarge", "stopped", "tableUnavailable", "timeout",
}

// knownReason keeps a documented reason and gives a plain one for the status otherwise.
func knownReason(reason string, status int) string {
	switch {
	case slices.Contains(reasons, reason):
		return reason
	case reason == "userRateLimitExceeded": // of Google's APIs at large; clients of BigQuery wait for the other
		return "rateLimitExceeded"
	}
	switch status {
	case http.StatusUnauthorized:
		return "authError"
	case http.StatusForbidden:
		return "accessDenied"
	case http.StatusNotFound:
		return "notFound"
	case http.StatusConflict:
		return "duplicate"
	case http.StatusTooManyRequests:
		return "rateLimitExceeded"
	case http.StatusNotImplemented:
		return "notImplemented"
	}
	if status >= 400 && status < 500 {
		return "invalid"
	}
	return "backendError"
}

// jobReason keeps a documented reason of a failed job. One that is not known is invalid, which no
// client takes for a reason to run the job again.
func jobReason(reason string) string { return knownReason(reason, http.StatusBadRequest) }

// ErrorView says how much of an upstream error its reader may see.
type ErrorView struct {
	// Sensitive is set where the query touches a sensitive column: the text of a run-time error can
	// carry a value, and which text it is can carry a bit of one (A2). One fixed text a reason is
	// shown then, whatever went wrong: the reason itself is what clients act on, and is always
	// told.
	Sensitive bool
	Cap       BytesCap // of the query: what a query that would bill more is told
}

// maxErrorText bounds the message of an upstream error that is shown.
const maxErrorText = 4 << 10

const unreadableErrorText = "bqgate: BigQuery answered with an error that could not be read"

// upstreamError is what is read of an error answer. Details, debugInfo, locations and further
// entries are not.
type upstreamError struct {
	Error struct {
		Message string `json:"message"`
		Errors  []struct {
			Reason string `json:"reason"`
		} `json:"errors"`
	} `json:"error"`
}

// FilterError rebuilds an upstream error answer from its status, a documented reason and, where the
// view allows it, its message. What is not an error of BigQuery becomes a fixed text.
func FilterError(status int, body []byte, v ErrorView) (int, []byte) {
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	reason, message, err := readError(status, body)
	switch {
	case status == http.StatusUnauthorized:
		// The credential that BigQuery refused is the gateway's. Its text must not make the client
		// think of its own.
		message = "bqgate: BigQuery did not accept the gateway's credential; ask an operator"
	case (err != nil || message == "") && !v.Sensitive:
		message = unreadableErrorText
	default:
		message = shownWords(reason, message, v)
	}
	return status, ErrorBody(status, reason, message)
}

func readError(status int, body []byte) (reason, message string, err error) {
	var e upstreamError
	if _, err := oneValue(body); err != nil {
		return knownReason("", status), "", err
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return knownReason("", status), "", err
	}
	if len(e.Error.Errors) > 0 {
		reason = e.Error.Errors[0].Reason
	}
	return knownReason(reason, status), boundText(e.Error.Message), nil
}

func boundText(s string) string {
	if len(s) > maxErrorText {
		return strings.ToValidUTF8(s[:maxErrorText], "") + "…"
	}
	return s
}
