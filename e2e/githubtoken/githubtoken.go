// Package githubtoken stands in for the token endpoint of a GitHub Actions job: the address in
// ACTIONS_ID_TOKEN_REQUEST_URL, which gives the job an OIDC token for any audience it names.
//
// It is as strict as GitHub's: the request token is a bearer token and good for one job, the
// address keeps its api-version, tokens live five minutes, and a job without `id-token: write` has
// neither. https://docs.github.com/actions/reference/security/oidc
package githubtoken

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"
)

// Life is how long a token of GitHub's lives.
const Life = 5 * time.Minute

// Mint signs claims for an audience, for Life.
type Mint func(subject string, claims map[string]any, audience string) (string, error)

// Endpoint is the token endpoint of one job.
type Endpoint struct {
	server *httptest.Server
	mint   Mint
	claims map[string]any
	secret string
	path   string

	mu     sync.Mutex
	ended  bool
	asked  []string // audiences that tokens were given for
	denied int
}

// Job are the claims of a job's token at GitHub; changes replace or (nil) remove some.
func Job(changes map[string]any) map[string]any {
	all := map[string]any{
		"sub":        "repo:acme@4411/app@74:environment:ci",
		"repository": "acme/app", "repository_id": "74", "repository_owner": "acme", "repository_owner_id": "4411",
		"repository_visibility": "private", "environment": "ci",
		"ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true", "sha": "9f3182061f1e2cca4702c368cbc039b7dc9d4485",
		"workflow": "query", "workflow_ref": "acme/app/.github/workflows/query.yml@refs/heads/main",
		"workflow_sha":     "9f3182061f1e2cca4702c368cbc039b7dc9d4485",
		"job_workflow_ref": "acme/app/.github/workflows/query.yml@refs/heads/main",
		"job_workflow_sha": "9f3182061f1e2cca4702c368cbc039b7dc9d4485",
		"event_name":       "workflow_dispatch", "head_ref": "", "base_ref": "", "actor": "alice-gh", "actor_id": "12",
		"run_id": "1001", "run_number": "10", "run_attempt": "1", "runner_environment": "github-hosted", "check_run_id": "55",
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// Start serves the endpoint of one job until Close.
func Start(mint Mint, claims map[string]any) *Endpoint {
	e := &Endpoint{mint: mint, claims: claims, secret: rand.Text(), path: "/1/idtoken/" + rand.Text() + "/" + rand.Text()}
	e.server = httptest.NewServer(e)
	return e
}

// Close stops serving.
func (e *Endpoint) Close() { e.server.Close() }

// Environment is what the job finds.
func (e *Endpoint) Environment() []string {
	return []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + e.server.URL + e.path + "?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" +
		e.secret}
}

// Secret is the request token, which must be found nowhere afterwards.
func (e *Endpoint) Secret() string { return e.secret }

// End is the end of the job: its request token is good for nothing any more.
func (e *Endpoint) End() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
}

// Asked are the audiences that tokens were given for, and how many requests were refused.
func (e *Endpoint) Asked() (audiences []string, denied int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked), e.denied
}

// ServeHTTP answers one request for a token.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	refuse := func(status int, why string) {
		e.denied++
		http.Error(w, why, status)
	}
	q := r.URL.Query()
	authorization := r.Header.Values("Authorization")
	switch {
	case r.URL.Path != e.path:
		refuse(http.StatusNotFound, "no such job")
		return
	case r.Method != http.MethodGet:
		refuse(http.StatusMethodNotAllowed, "GET only")
		return
	case len(authorization) != 1 || subtle.ConstantTimeCompare([]byte(authorization[0]), []byte("Bearer "+e.secret)) != 1 || e.ended:
		refuse(http.StatusUnauthorized, "the request token is not of a job that runs")
		return
	case q.Get("api-version") != "2.0":
		refuse(http.StatusBadRequest, "api-version is missing")
		return
	case len(q["audience"]) > 1:
		refuse(http.StatusBadRequest, "one audience")
		return
	}
	audience := q.Get("audience")
	if audience == "" {
		audience = "https://github.com/acme"
	}
	token, err := e.mint(e.claims["sub"].(string), e.claims, audience)
	if err != nil {
		refuse(http.StatusInternalServerError, err.Error())
		return
	}
	e.asked = append(e.asked, audience)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	json.NewEncoder(w).Encode(map[string]any{"count": len(token), "value": token})
}
