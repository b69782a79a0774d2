// Package keytokens stands in for oauth2.googleapis.com/token, where a service account's key is
// exchanged for access tokens: the JWT bearer grant of RFC 7523, as
// https://developers.google.com/identity/protocols/oauth2/service-account describes it.
//
// It is strict: the assertion must be RS256 by a key of the account that is registered and not
// revoked, named by kid, for this endpoint, at most an hour long and good now. A token lives an
// hour, whatever the assertion asks for, as Google's do.
package keytokens

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Host is the name that clients know the service by, Audience what assertions must be for.
const (
	Host     = "oauth2.googleapis.com"
	Audience = "https://" + Host + "/token"
)

const (
	grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	lifetime  = time.Hour - time.Second // Google says 3599
	skew      = 5 * time.Minute
)

// Mint makes an access token of an account.
type Mint func(account string, scopes []string, expires time.Time) string

// Service is the stand-in. Make it with New.
type Service struct {
	mint Mint

	mu         sync.Mutex
	keys       map[string]key // by kid
	assertions []string
	broken     int // HTTP status to answer with; 0 for none
}

type key struct {
	account string
	public  *rsa.PublicKey
	revoked bool
}

// New makes a Service.
func New(mint Mint) *Service { return &Service{mint: mint, keys: map[string]key{}} }

// Add registers a key of an account.
func (s *Service) Add(account, id string, public *rsa.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[id] = key{account: account, public: public}
}

// Revoke disables a key, as `gcloud iam service-accounts keys disable` does.
func (s *Service) Revoke(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[id]
	k.revoked = true
	s.keys[id] = k
}

// Break answers with an HTTP status from now on; 0 makes it well.
func (s *Service) Break(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = status
}

// Assertions are those that came, good or bad.
func (s *Service) Assertions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.assertions)
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken != 0 {
		w.WriteHeader(broken)
		return
	}
	switch {
	case r.URL.Path != "/token" || r.Method != http.MethodPost:
		http.NotFound(w, r)
		return
	case r.Host != Host:
		http.Error(w, "unknown host "+r.Host, http.StatusNotFound)
		return
	case r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.ParseForm() != nil:
		refuse(w, "invalid_request", "Bad Request")
		return
	case r.PostForm.Get("grant_type") != grantType:
		refuse(w, "unsupported_grant_type", "Invalid grant_type: "+r.PostForm.Get("grant_type"))
		return
	}
	assertion := r.PostForm.Get("assertion")
	s.mu.Lock()
	s.assertions = append(s.assertions, assertion)
	s.mu.Unlock()
	account, scopes, code, why := s.verify(assertion, time.Now())
	if code != "" {
		refuse(w, code, why)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client is gone
		"access_token": s.mint(
			account,
			scopes,
			time.Now().Add(lifetime),
		), "expires_in": int(lifetime / time.Second), "token_type": "Bearer",
	})
}

// verify returns the account and scopes of an assertion, or the error that Google answers.
func (s *Service) verify(assertion string, now time.Time) (account string, scopes []string, code, why string) {
	parsed, err := jose.ParseSignedCompact(assertion, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(parsed.Signatures) != 1 {
		return "", nil, "invalid_request", "Invalid assertion format. 3 dot separated segments required."
	}
	s.mu.Lock()
	k, known := s.keys[parsed.Signatures[0].Header.KeyID]
	s.mu.Unlock()
	if !known || k.revoked {
		return "", nil, "invalid_grant", "Invalid JWT Signature."
	}
	text, err := parsed.Verify(k.public)
	if err != nil {
		return "", nil, "invalid_grant", "Invalid JWT Signature."
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Scope    string `json:"scope"`
		Audience string `json:"aud"`
		Issued   int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		return "", nil, "invalid_grant", "Invalid JWT: the claims cannot be read"
	}
	issued, expires := time.Unix(claims.Issued, 0), time.Unix(claims.Expires, 0)
	switch {
	case claims.Issuer != k.account:
		return "", nil, "invalid_grant", "Invalid grant: account not found"
	case claims.Subject != "" && claims.Subject != claims.Issuer:
		return "", nil, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method."
	case claims.Audience != Audience:
		return "", nil, "invalid_grant", fmt.Sprintf("Invalid JWT: Failed audience check. The right audience is %s", Audience)
	case claims.Issued == 0 || claims.Expires == 0 || expires.Sub(issued) > time.Hour || issued.After(now.Add(skew)) || expires.Before(now):
		return "", nil, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
			"Check your iat and exp values in the JWT claim."
	case strings.TrimSpace(claims.Scope) == "":
		return "", nil, "invalid_scope", "Empty or missing scope not allowed."
	}
	return k.account, strings.Fields(claims.Scope), "", ""
}

func refuse(w http.ResponseWriter, code, description string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description}) // the client is gone
}
