package fakegoogle

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Scopes that matter here. Google knows more; the product must ask for no more than the first.
const (
	ScopeBigQuery      = "https://www.googleapis.com/auth/bigquery"
	scopeCloudPlatform = "https://www.googleapis.com/auth/cloud-platform"
	scopeIAM           = "https://www.googleapis.com/auth/iam"
)

// tokenPrefix marks the tokens of this stand-in, so that a leak is easy to search for.
const tokenPrefix = "ya29.fake-"

// tokens holds every access token that was minted. They are opaque, as Google's are.
type tokens struct {
	mu   sync.Mutex
	live map[string]minted
	last map[string]minted // the newest of each federated principal
}

// minted is what a token stands for: a service account (account set), or a federated principal
// (pool and subject set), never both.
type minted struct {
	account    string
	pool       string
	subject    string
	groups     []string
	attributes map[string]string
	scopes     []string
	expires    time.Time
}

func newTokens() *tokens { return &tokens{live: map[string]minted{}, last: map[string]minted{}} }

func (t *tokens) mint(m minted) string {
	token := tokenPrefix + rand.Text() + rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live[token] = m
	if m.subject != "" {
		t.last[m.principal()] = m
	}
	return token
}

// newest is what the newest token of a federated principal stands for, the zero one for any other
// name.
func (t *tokens) newest(principal string) minted {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last[principal]
}

// find returns what a token stands for, if it is known and has not expired.
func (t *tokens) find(token string) (minted, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.live[token]
	return m, ok && time.Now().Before(m.expires)
}

// who is a service account's e-mail, or a federated principal's name.
func (m minted) who() string {
	if m.subject != "" {
		return m.principal()
	}
	return m.account
}

// MintToken makes an access token of a service account past STS and IAM, for tests that need one of
// their own ("the agent brings a Google token"). A lifetime of zero or less gives an expired one.
func (s *Server) MintToken(account string, lifetime time.Duration) string {
	return s.tokens.mint(minted{account: account, scopes: []string{ScopeBigQuery}, expires: time.Now().Add(lifetime)})
}

// bearer returns the one bearer token of a request. Google reads `access_token` of the query string
// as well, and prefers it.
func bearer(r *http.Request) (string, *apiError) {
	if q := r.URL.Query(); q.Has("access_token") {
		return q.Get("access_token"), nil
	}
	values := r.Header.Values("Authorization")
	switch len(values) {
	case 0:
		return "", errLoginRequired()
	case 1:
	default:
		return "", errInvalidCredentials()
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " ,") {
		return "", errInvalidCredentials()
	}
	return token, nil
}

// authenticate finds who is behind a BigQuery request: the e-mail of a service account, or the name
// of a federated principal.
func (s *Server) authenticate(r *http.Request) (string, *apiError) {
	token, apiErr := bearer(r)
	if apiErr != nil {
		return "", apiErr
	}
	m, ok := s.tokens.find(token)
	if !ok {
		return "", errInvalidCredentials()
	}
	who := m.who()
	s.rec.setAccount(r.Context(), who)
	for _, scope := range m.scopes {
		if scope == ScopeBigQuery || scope == scopeCloudPlatform {
			return who, nil
		}
	}
	return "", &apiError{Code: http.StatusForbidden, Reason: "insufficientPermissions",
		Message: "Request had insufficient authentication scopes.", Status: "PERMISSION_DENIED"}
}
