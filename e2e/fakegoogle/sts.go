package fakegoogle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// stsLifetime is how long a federated token lives.
const stsLifetime = time.Hour

// securityTokenService is `POST /v1/token`: RFC 8693 token exchange for one workload identity pool
// provider. Subject tokens are verified for real: signature by the issuer's published keys, issuer,
// audience, time.
type securityTokenService struct {
	provider  string
	audiences []string
	issuers   []string
	tokens    *tokens

	mu        sync.Mutex
	providers map[string]*oidc.Provider
}

func newSTS(opts Options, t *tokens) *securityTokenService {
	audiences := opts.AllowedAudiences
	if len(audiences) == 0 {
		audiences = []string{opts.Provider, "https:" + opts.Provider}
	}
	return &securityTokenService{provider: opts.Provider, audiences: audiences, issuers: opts.Issuers, tokens: t,
		providers: map[string]*oidc.Provider{}}
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
	case form["audience"] != s.provider:
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
		subject, err := s.verify(r.Context(), form["subject_token"])
		if err != nil {
			oauthError(w, http.StatusBadRequest, "invalid_grant", err.Error())
			return
		}
		token := s.tokens.mint(minted{subject: subject, scopes: scopes, expires: time.Now().Add(stsLifetime)})
		controlJSON(w, http.StatusOK, map[string]any{
			"access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
			"token_type": "Bearer", "expires_in": int(stsLifetime / time.Second),
		})
	}
}

// verify checks a subject token against the issuer that it names, if that issuer is configured.
func (s *securityTokenService) verify(ctx context.Context, raw string) (string, error) {
	if raw == "" {
		return "", errors.New("subject_token must be given")
	}
	last := errors.New("no issuer is configured for this provider")
	for _, issuer := range s.issuers {
		p, err := s.find(ctx, issuer)
		if err != nil {
			last = err
			continue
		}
		// The audience is checked below: Google takes any of several.
		token, err := p.Verifier(&oidc.Config{SkipClientIDCheck: true}).Verify(ctx, raw)
		if err != nil {
			last = fmt.Errorf("the subject token is not valid: %w", err)
			continue
		}
		if !slices.ContainsFunc(token.Audience, func(a string) bool { return slices.Contains(s.audiences, a) }) {
			return "", errors.New("the audience in ID Token does not match the expected audience")
		}
		if token.Subject == "" {
			return "", errors.New("the subject token has no sub")
		}
		return token.Subject, nil
	}
	return "", last
}

func (s *securityTokenService) find(ctx context.Context, issuer string) (*oidc.Provider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.providers[issuer]; p != nil {
		return p, nil
	}
	// The provider outlives this request: its key set is fetched again when an unknown key appears.
	p, err := oidc.NewProvider(context.WithoutCancel(ctx), issuer)
	if err != nil {
		return nil, fmt.Errorf("discover the issuer: %w", err)
	}
	s.providers[issuer] = p
	return p, nil
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
