package console

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sessionstore"
)

// Login says how people log in: by OpenID Connect's authorization code flow with PKCE at one
// issuer.
type Login struct {
	Issuer       identity.Issuer
	Client       *http.Client // reaches the issuer
	ClientID     string
	ClientSecret string        // "" for a public client
	Scopes       []string      // default openid, email, profile
	URL          string        // of the console, as browsers know it: "https://console.example"
	Session      time.Duration // how long a login lasts
}

// anyAge is asked for as max_age where only auth_time is wanted.
const anyAge = 30 * 24 * time.Hour

// loginLife is how long somebody may take at the issuer.
const loginLife = 10 * time.Minute

// attempt is a login under way. The browser that began it holds it, sealed, in a cookie; so only
// that browser can end it, and strangers make the gateway store nothing.
type attempt struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // RFC 7636
	To       string    `json:"to"`       // the page that was wanted
	Expires  time.Time `json:"expires"`
}

const attemptPurpose = "cookie/console-login/v1"

const usedStateKey = "bqgate:console-login:" // states whose login has been completed

// provider is the issuer's own description of its endpoints, read once an hour.
type provider struct {
	mu       sync.Mutex
	endpoint oauth2.Endpoint
	read     time.Time
}

func (u *ui) oauth(ctx context.Context) (*oauth2.Config, error) {
	u.provider.mu.Lock()
	defer u.provider.mu.Unlock()
	if u.provider.endpoint.AuthURL == "" || u.now().Sub(u.provider.read) > time.Hour {
		found, err := oidc.NewProvider(oidc.ClientContext(ctx, u.Login.Client), u.Login.Issuer.URL)
		if err != nil {
			return nil, fmt.Errorf("discover issuer %s: %w", u.Login.Issuer.Name, err)
		}
		endpoint := found.Endpoint()
		for _, raw := range []string{endpoint.AuthURL, endpoint.TokenURL} {
			if err := identity.CheckEndpoint(raw); err != nil {
				return nil, fmt.Errorf("discover issuer %s: %w", u.Login.Issuer.Name, err)
			}
		}
		if u.Login.ClientSecret == "" {
			endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client has nothing to put into a header
		}
		u.provider.endpoint, u.provider.read = endpoint, u.now()
	}
	scopes := u.Login.Scopes
	if len(scopes) == 0 {
		scopes = []string{oidc.ScopeOpenID, "email", "profile"}
	}
	return &oauth2.Config{
		ClientID: u.Login.ClientID, ClientSecret: u.Login.ClientSecret, Endpoint: u.provider.endpoint,
		RedirectURL: u.Login.URL + "/login/callback", Scopes: scopes,
	}, nil
}

// begin sends the browser to the issuer.
func (u *ui) begin(w http.ResponseWriter, r *http.Request) {
	query, err := parameters(r, "to", "again")
	if err != nil {
		u.problem(w, r, nil, http.StatusBadRequest, "This link is not complete", err.Error())
		return
	}
	config, err := u.oauth(r.Context())
	if err != nil {
		u.Log.Error("login could not begin", "error", err)
		u.problem(w, r, nil, http.StatusServiceUnavailable, "The login does not answer",
			"The identity provider could not be reached. Try again in a moment.")
		return
	}
	a := attempt{State: sessionstore.NewSecret(), Nonce: sessionstore.NewSecret(), Verifier: oauth2.GenerateVerifier(),
		To: localPath(query.Get("to")), Expires: u.now().Add(loginLife)}
	text, err := u.Keys.Seal(attemptPurpose, a)
	if err != nil {
		u.broken(w, r, nil, err)
		return
	}
	u.sessions.setCookie(w, u.sessions.name(loginCookie), text, loginLife)
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	maxAge := u.Policies().MaxAuthAge()
	if query.Get("again") != "" {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	} else if maxAge > 0 {
		maxAge = anyAge // to look needs no fresh login
	}
	if maxAge > 0 {
		options = append(options, oauth2.SetAuthURLParam("max_age", fmt.Sprint(int(maxAge/time.Second)))) // makes the issuer say auth_time
	}
	http.Redirect(w, r, config.AuthCodeURL(a.State, options...), http.StatusSeeOther)
}

// The words for a login that did not come to an end. None of them tells an attacker which check
// failed.
const (
	loginOver = "This login is over, or was begun in another browser. Begin again."
	loginBad  = "The identity provider's answer could not be accepted. Begin again; if it stays, tell the operator of bqgate."
)

// callback ends a login: the issuer sent the browser back with a code.
func (u *ui) callback(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, words string, cause error) {
		u.Log.Warn("login refused", "status", status, "cause", cause)
		u.signedOut(w, r, status, "You are not logged in", words)
	}
	text, ok := u.sessions.cookie(r, loginCookie)
	u.sessions.dropCookie(w, loginCookie)
	var a attempt
	if !ok || u.Keys.Open(attemptPurpose, text, &a) != nil || !u.now().Before(a.Expires) {
		refuse(http.StatusBadRequest, loginOver, errors.New("no login is under way in this browser"))
		return
	}
	query := r.URL.Query()
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(query[name]) > 1 {
			refuse(http.StatusBadRequest, loginBad, fmt.Errorf("parameter %s came twice", name))
			return
		}
	}
	if a.State == "" || subtle.ConstantTimeCompare([]byte(a.State), []byte(query.Get("state"))) != 1 {
		refuse(http.StatusBadRequest, loginOver, errors.New("state is not the one of this browser"))
		return
	}
	if iss := query.Get("iss"); iss != "" && iss != u.Login.Issuer.URL { // RFC 9207
		refuse(http.StatusBadRequest, loginBad, errors.New("the answer is of another issuer"))
		return
	}
	if query.Get("error") != "" || query.Get("code") == "" {
		refuse(http.StatusForbidden, "The identity provider did not log you in. Begin again.",
			errors.New("the issuer answered without a code"))
		return
	}
	subject, err := u.redeem(r.Context(), a, query.Get("code"))
	if err != nil {
		status := http.StatusForbidden
		var refused *identity.Error
		if errors.As(err, &refused) && refused.Code == identity.CodeUnavailable {
			status = http.StatusServiceUnavailable
		}
		refuse(status, loginBad, err)
		return
	}
	if subject.Workload {
		refuse(http.StatusForbidden, "This account stands for a workload. Only people decide on requests; log in as yourself.",
			errors.New("subject is a workload"))
		return
	}
	// The code is the issuer's to use once; the state is ours.
	first, err := u.Redis.SetNX(r.Context(), usedStateKey+sessionstore.ID(a.State), 1, loginLife).Result()
	if err != nil {
		u.broken(w, r, nil, fmt.Errorf("mark login as used in Redis: %w", err))
		return
	}
	if !first {
		refuse(http.StatusBadRequest, loginOver, errors.New("the login was completed before"))
		return
	}
	if err = u.sessions.end(r); err == nil {
		err = u.sessions.open(r.Context(), w, subject, authTime(subject))
	}
	if err != nil {
		u.broken(w, r, nil, err)
		return
	}
	u.Log.Info("login", "subject", subject)
	http.Redirect(w, r, a.To, http.StatusSeeOther)
}

// redeem exchanges the code for an ID token and says whom it names, and since when that is proven.
func (u *ui) redeem(ctx context.Context, a attempt, code string) (identity.Subject, error) {
	config, err := u.oauth(ctx)
	if err != nil {
		return identity.Subject{}, err
	}
	token, err := config.Exchange(oidc.ClientContext(ctx, u.Login.Client), code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		var answered *oauth2.RetrieveError
		if errors.As(err, &answered) { // its text holds the issuer's whole answer
			err = fmt.Errorf("the issuer answered %d %.40q", answered.Response.StatusCode, answered.ErrorCode)
		}
		return identity.Subject{}, fmt.Errorf("exchange code: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	subject, err := u.Verifier.Verify(ctx, raw, u.Login.ClientID)
	if err != nil {
		return identity.Subject{}, fmt.Errorf("verify ID token: %w", err)
	}
	nonce, _ := subject.Claims["nonce"].(string)
	azp, hasAzp := subject.Claims["azp"]
	switch {
	case subject.Issuer != u.Login.Issuer.URL:
		return identity.Subject{}, errors.New("the ID token is of another issuer")
	case a.Nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(a.Nonce)) != 1:
		return identity.Subject{}, errors.New("nonce of the ID token is not the one of this login")
	case hasAzp && azp != u.Login.ClientID: // OpenID Connect Core section 3.1.3.7
		return identity.Subject{}, errors.New("the ID token was made for another client")
	}
	return subject, nil
}

// authTime is when the issuer says that a person logged in; zero where it does not say.
func authTime(s identity.Subject) time.Time {
	seconds, ok := s.Claims["auth_time"].(float64)
	if !ok || seconds < 1 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

func (u *ui) logout(w http.ResponseWriter, r *http.Request) {
	if err := u.sessions.end(r); err != nil {
		u.broken(w, r, nil, err)
		return
	}
	u.sessions.dropCookie(w, sessionCookie)
	http.Redirect(w, r, "/logged-out", http.StatusSeeOther)
}

var requestPath = regexp.MustCompile(`^/requests/([^/]+)$`)

// localPath keeps a login from leading anywhere but to a page of the console (open redirects).
func localPath(to string) string {
	if m := requestPath.FindStringSubmatch(to); m != nil && approvals.ValidID(m[1]) {
		return to
	}
	if slices.Contains([]string{"/", "/history", "/grants", "/policies", "/messages"}, to) {
		return to
	}
	return "/"
}

func loginPath(to string) string {
	if to = localPath(to); to == "/" {
		return "/login"
	}
	return "/login?to=" + url.QueryEscape(to)
}

// sameOrigin refuses what a page of another origin sent (CSRF). A browser says by Sec-Fetch-Site
// where a request comes from, or by Origin; who says neither is no browser, and has the endpoint
// under /api/v1.
func (u *ui) sameOrigin(r *http.Request) bool {
	site, origin := r.Header.Values("Sec-Fetch-Site"), r.Header.Values("Origin")
	if len(site) > 1 || len(origin) > 1 {
		return false
	}
	if len(site) == 1 && site[0] != "same-origin" {
		return false
	}
	if len(origin) == 1 {
		return strings.EqualFold(origin[0], u.Login.URL)
	}
	return len(site) == 1
}
