package fakegoogle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// stsLifetime is how long a federated token lives.
const stsLifetime = time.Hour

// securityTokenService is `POST /v1/token`: RFC 8693 token exchange for the providers of workload
// identity pools. Subject tokens are verified for real: signature by the issuer's published keys,
// issuer, audience, time, the provider's condition.
type securityTokenService struct {
	providers []*provider
	tokens    *tokens
}

// newSTS makes the providers of Options. The first ones are those of Options.Issuers.
func newSTS(opts Options, t *tokens) (*securityTokenService, error) {
	s := &securityTokenService{tokens: t}
	var all []PoolProvider
	for _, issuer := range opts.Issuers {
		all = append(all, PoolProvider{Name: opts.Provider, Issuer: issuer, Audiences: opts.AllowedAudiences, Condition: opts.Condition})
	}
	for _, p := range append(all, opts.Providers...) {
		made, err := newProvider(p)
		if err != nil {
			return nil, fmt.Errorf("workload identity pool: %w", err)
		}
		s.providers = append(s.providers, made)
	}
	return s, nil
}

// named are the providers of a name.
func (s *securityTokenService) named(name string) []*provider {
	var all []*provider
	for _, p := range s.providers {
		if p.Name == name {
			all = append(all, p)
		}
	}
	return all
}

func (s *securityTokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/token" || r.Method != http.MethodPost {
		oauthError(w, http.StatusNotFound, "invalid_request", "POST /v1/token is all there is")
		return
	}
	form := map[string]string{}
	if mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.EqualFold(strings.TrimSpace(mediaType),
		"application/json") {
		var camel map[string]any
		if err := json.NewDecoder(r.Body).Decode(&camel); err != nil {
			oauthError(w, http.StatusBadRequest, "invalid_request", "the body is not JSON")
			return
		}
		for k, v := range camel {
			if text, ok := v.(string); ok {
				form[snake(k)] = text
			}
		}
	} else {
		if err := r.ParseForm(); err != nil {
			oauthError(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
			return
		}
		for k, v := range r.PostForm {
			if len(v) != 1 {
				oauthError(w, http.StatusBadRequest, "invalid_request", fmt.Sprintf("%s must be given once", k))
				return
			}
			form[k] = v[0]
		}
	}
	scopes := strings.Fields(form["scope"])
	switch {
	case form["grant_type"] != "urn:ietf:params:oauth:grant-type:token-exchange":
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type must be urn:ietf:params:oauth:grant-type:token-exchange")
	case len(s.named(form["audience"])) == 0:
		oauthError(w, http.StatusBadRequest, "invalid_target", "The target service indicated by the \"audience\" parameters is invalid.")
	case form["requested_token_type"] != "urn:ietf:params:oauth:token-type:access_token":
		oauthError(w, http.StatusBadRequest, "invalid_request",
			"requested_token_type must be urn:ietf:params:oauth:token-type:access_token")
	case form["subject_token_type"] != "urn:ietf:params:oauth:token-type:jwt" &&
		form["subject_token_type"] != "urn:ietf:params:oauth:token-type:id_token":
		oauthError(w, http.StatusBadRequest, "invalid_request",
			"subject_token_type must be urn:ietf:params:oauth:token-type:jwt or …:id_token")
	case len(scopes) == 0:
		oauthError(w, http.StatusBadRequest, "invalid_scope", "scope must be given")
	default:
		m, err := s.verify(r.Context(), form["audience"], form["subject_token"])
		if err != nil {
			oauthError(w, http.StatusBadRequest, "invalid_grant", err.Error())
			return
		}
		m.scopes, m.expires = scopes, time.Now().Add(stsLifetime)
		token := s.tokens.mint(m)
		controlJSON(w, http.StatusOK, map[string]any{
			"access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
			"token_type": "Bearer", "expires_in": int(stsLifetime / time.Second),
		})
	}
}

// verify checks a subject token against the providers of a name.
func (s *securityTokenService) verify(ctx context.Context, name, raw string) (minted, error) {
	if raw == "" {
		return minted{}, errors.New("subject_token must be given")
	}
	last := errors.New("no issuer is configured for this provider")
	for _, p := range s.named(name) {
		m, err := p.verify(ctx, raw)
		if err == nil {
			return m, nil
		}
		last = err
	}
	return minted{}, last
}

func oauthError(w http.ResponseWriter, status int, code, description string) {
	controlJSON(w, status, map[string]string{"error": code, "error_description": description})
}

// snake turns camelCase into snake_case.
func snake(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}
