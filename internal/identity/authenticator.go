package identity

import (
	"context"
	"errors"
	"strings"
)

// Authenticator is the first step of every request: the Authorization header becomes a Subject. The
// zero Authenticator refuses everybody.
type Authenticator struct {
	Verifier *Verifier
	Sessions *Sessions
	Audience string // the `aud` that a raw OIDC token must be made for
}

// NewAuthenticator makes the Authenticator of the data path.
func NewAuthenticator(verifier *Verifier, sessions *Sessions) (*Authenticator, error) {
	if verifier == nil || sessions == nil {
		return nil, errors.New("authenticator needs a verifier and sessions")
	}
	return &Authenticator{Verifier: verifier, Sessions: sessions, Audience: verifier.config.Audience}, nil
}

// Authenticate takes the values of all Authorization headers of a request, each as it was sent.
// There must be exactly one, "Bearer" and one token: where two credentials arrive, two readers may
// choose differently. Every error is an *Error.
func (a *Authenticator) Authenticate(ctx context.Context, values []string) (Subject, error) {
	raw, refused := a.bearer(values)
	if refused != nil {
		return Subject{}, refused
	}
	if a.Verifier == nil || a.Sessions == nil || a.Audience == "" {
		return Subject{}, refuse(CodeUnavailable, errors.New("authenticator is not set up"), "no credential can be checked here")
	}
	if strings.HasPrefix(raw, SessionPrefix) {
		subject, err := a.Sessions.Authenticate(ctx, raw)
		if err != nil {
			return Subject{}, err
		}
		if issuer, ok := a.Verifier.issuers[subject.Issuer]; !ok || issuer.Name != subject.Name {
			return Subject{}, refuse(CodeSession, nil,
				"the gateway session is of an issuer that is no longer configured; exchange a new OIDC token at /v1/token").of(subject)
		}
		return subject, nil
	}
	subject, err := a.Verifier.Verify(ctx, raw, a.Audience)
	if err != nil {
		return Subject{}, err
	}
	subject.Token = a.Sessions.TokenDigest(raw)
	if a.Sessions.Banned(subject.Token) {
		return Subject{}, refuse(CodeRevoked, nil,
			"the token was revoked with a gateway session that it opened; request a new one from your identity provider").of(subject)
	}
	a.Sessions.revoked.saw(subject.Issuer, subject.Issued, a.Sessions.now())
	if a.Sessions.Over(subject) {
		return Subject{}, refuse(CodeRevoked, nil, "%s", a.Sessions.revokedAt(subject)).of(subject)
	}
	return subject, nil
}

// bearer returns the token of the one Authorization header (RFC 6750 section 2.1).
func (a *Authenticator) bearer(values []string) (string, *Error) {
	switch {
	case len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "":
		return "", refuse(CodeMissing, nil, "no credential was sent; send `Authorization: Bearer` with an OIDC token of audience %q, or "+
			"exchange one at /v1/token", a.Audience)
	case len(values) > 1:
		return "", refuse(CodeMalformed, nil, "%d Authorization headers were sent; send one", len(values))
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || !isToken68(raw) {
		return "", refuse(CodeMalformed, nil, "the Authorization header is not `Bearer` and one token; send `Authorization: Bearer` with "+
			"an OIDC token of audience %q", a.Audience)
	}
	if len(raw) > maxTokenSize {
		return "", refuse(CodeMalformed, nil,
			"the bearer token is longer than %d bytes; send the OIDC token as your identity provider issued it", maxTokenSize)
	}
	return raw, nil
}

// isToken68 is the b64token of RFC 6750: no space, comma, quote or control character, so never two
// credentials in one value.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if !token68[body[i]] {
			return false
		}
	}
	return body != ""
}

var token68 = func() (t [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") {
		t[c] = true
	}
	return t
}()
