package identity

import (
	"fmt"
	"net/http"
	"strings"
)

// Code says for machines why an identity was refused.
type Code string

// Codes of Error.
const (
	CodeMissing     Code = "missing"     // no credential was sent
	CodeMalformed   Code = "malformed"   // not one well-formed bearer token
	CodeSession     Code = "session"     // the gateway session is expired, revoked or unknown
	CodeIssuer      Code = "issuer"      // the token's issuer is not configured
	CodeAlgorithm   Code = "algorithm"   // signed with an algorithm that the issuer may not use
	CodeSignature   Code = "signature"   // not signed by a key of the issuer
	CodeAudience    Code = "audience"    // made for someone else
	CodeExpired     Code = "expired"     // past its `exp`
	CodeTimes       Code = "times"       // `iat`, `nbf` or `exp` missing, in the future or too far apart
	CodeClaims      Code = "claims"      // lacks a claim that its keys need, or carries one that forbids use as a bearer token
	CodeRevoked     Code = "revoked"     // a session of the token was revoked, and the token with it, or its subject was
	CodeUnavailable Code = "unavailable" // the issuer or Redis did not answer
)

// Error is a refused identity. Its Message is written for the client: what was wrong and what would
// be right; it never holds a token.
type Error struct {
	Status  int    // 401 where sending another credential would help a stock client (none sent, session over), else 403
	Reason  string // BigQuery's error reason: "required", "authError" or "accessDenied"
	Code    Code
	Message string
	Err     error // the cause, for the gateway's own log; nil if there is none
	// Subject is whose token it is (issuer, sub and Budget alone), where the issuer's signature
	// shows that: one that is expired, revoked, for another audience or lacks a claim. The zero
	// Subject: nobody knows who asked.
	Subject Subject
}

// Error is Message and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

func refuse(code Code, cause error, format string, args ...any) *Error {
	e := &Error{Status: http.StatusForbidden, Reason: "accessDenied", Code: code, Message: fmt.Errorf(format, args...).Error(), Err: cause}
	switch code {
	case CodeMissing:
		e.Status, e.Reason = http.StatusUnauthorized, "required"
	case CodeSession:
		e.Status, e.Reason = http.StatusUnauthorized, "authError"
	}
	return e
}

// of says whose token was refused.
func (e *Error) of(s Subject) *Error {
	e.Subject = Subject{Issuer: s.Issuer, Name: s.Name, Sub: s.Sub, Budget: s.Budget}
	return e
}

// quote shows a value of the client's own token in a message: short, and without anything that
// could forge a line.
func quote(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
