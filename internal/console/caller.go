package console

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/refusal"
)

// authenticate finds out who calls, by one bearer token made for the console.
func (a *api) authenticate(r *http.Request) (approvals.Decider, *refusal.Refusal) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return approvals.Decider{},
			unauthorized("", fmt.Sprintf("no token; send `Authorization: Bearer` and an OIDC token with audience %s", a.Audience))
	}
	raw, ok := bearer(values)
	if !ok {
		return approvals.Decider{},
			unauthorized("invalid_request", fmt.Sprintf("Authorization must be `Bearer` and one OIDC token with audience %s", a.Audience))
	}
	subject, err := a.Verifier.Verify(r.Context(), raw, a.Audience)
	var refused *identity.Error
	switch {
	case errors.As(err, &refused) && refused.Code != identity.CodeUnavailable:
		return approvals.Decider{}, unauthorized("invalid_token", refused.Message)
	case err != nil:
		a.Log.Error("token could not be verified", "error", err)
		return approvals.Decider{}, &refusal.Refusal{Status: http.StatusServiceUnavailable, Reason: "unavailable",
			What: "your token could not be verified just now; try again"}
	case subject.Issuer == "" || subject.Sub == "":
		return approvals.Decider{}, unauthorized("invalid_token", "your token names no subject")
	case a.Bans != nil && a.Bans.Over(subject):
		return approvals.Decider{}, unauthorized("invalid_token", "your token was revoked; get a new one from your identity provider")
	}
	groups := a.Groups(subject)
	if len(groups) == 0 || !a.Known(groups) {
		return approvals.Decider{}, &refusal.Refusal{
			Status: http.StatusForbidden, Reason: "noRole",
			What: "your token is valid, but you are in no group of the policy; ask its owner to be put into one that reviews requests",
		}
	}
	return approvals.Decider{Subject: subject, Groups: groups, AuthTime: authTime(subject)}, nil
}

// bearer takes the token out of exactly one Authorization header (RFC 6750 section 2.1).
func bearer(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " ,\t") {
		return "", false
	}
	return token, true
}

func unauthorized(code, message string) *refusal.Refusal {
	return &refusal.Refusal{Status: http.StatusUnauthorized, Reason: "unauthorized", What: message, Challenge: refusal.Bearer(code)}
}
