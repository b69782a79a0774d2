package oidcissuer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Client is the one that people may log in to: a public client, which has to prove by PKCE that it
// began the login.
type Client struct {
	ID          string
	RedirectURI string
	People      []Person // whom a browser may log in as, without a password
}

// Person is somebody at the issuer's login page.
type Person struct {
	Name  string
	About string
	Token Mint // what their ID token says; the audience is the client's
}

// grant is a code that was given out.
type grant struct {
	person    Person
	challenge string
	nonce     string
	at        time.Time
}

const codeLife = time.Minute

// SetClient opens the login page. Without a client there is none.
func (i *Issuer) SetClient(c Client) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.client, i.codes = c, map[string]grant{}
}

var challengeShape = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in to the demo</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.375rem; }
button { font: inherit; display: block; width: 100%; text-align: left; padding: .625rem 1rem; margin: 0 0 .5rem; border: 1px solid; border-radius: .5rem; background: none; color: inherit; cursor: pointer; }
small { display: block; opacity: .8; }
</style>
</head>
<body>
<main>
<h1>Log in to the demo</h1>
<p>This stands in for the identity provider of an organisation. It believes whatever you choose.</p>
<form method="post">
{{range .}}<button name="person" value="{{.Name}}">Log in as <strong>{{.Name}}</strong><small>{{.About}}</small></button>
{{end}}</form>
</main>
</body>
</html>
`))

// authorize is the authorization endpoint (RFC 6749 section 4.1, RFC 7636, OpenID Connect Core
// section 3.1.2). What is wrong with the client or its redirect URI is said here, never sent there.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	client := i.client
	i.mu.Unlock()
	q := r.URL.Query()
	for name, values := range q {
		if len(values) != 1 {
			http.Error(w, "parameter "+name+" is repeated", http.StatusBadRequest)
			return
		}
	}
	switch {
	case client.ID == "" || q.Get("client_id") != client.ID:
		http.Error(w, "unknown client_id", http.StatusBadRequest)
		return
	case q.Get("redirect_uri") != client.RedirectURI:
		http.Error(w, "redirect_uri is not the registered one", http.StatusBadRequest)
		return
	}
	answer := url.Values{"iss": {i.url}}
	if s := q.Get("state"); s != "" {
		answer.Set("state", s)
	}
	if problem := checkAuthorization(q); problem != nil {
		answer.Set("error", "invalid_request")
		answer.Set("error_description", problem.Error())
		http.Redirect(w, r, client.RedirectURI+"?"+answer.Encode(), http.StatusSeeOther)
		return
	}
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_ = loginPage.Execute(w, client.People) // the browser has gone
		return
	}
	at := slices.IndexFunc(client.People, func(p Person) bool { return p.Name == r.PostFormValue("person") })
	if at < 0 {
		http.Error(w, "there is nobody of this name", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	i.mu.Lock()
	i.codes[code] = grant{client.People[at], q.Get("code_challenge"), q.Get("nonce"), time.Now()}
	i.mu.Unlock()
	answer.Set("code", code)
	http.Redirect(w, r, client.RedirectURI+"?"+answer.Encode(), http.StatusSeeOther)
}

func checkAuthorization(q url.Values) error {
	switch {
	case q.Get("response_type") != "code":
		return errors.New("response_type must be code")
	case !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		return errors.New("scope must have openid")
	case q.Get("state") == "" || q.Get("nonce") == "":
		return errors.New("state and nonce are needed")
	case q.Get("code_challenge_method") != "S256" || !challengeShape.MatchString(q.Get("code_challenge")):
		return errors.New("a code_challenge with method S256 is needed")
	default:
		return nil
	}
}

// token is the token endpoint. A code is good once, whether it is redeemed or not.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(code, why string) {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": why})
	}
	if err := r.ParseForm(); err != nil || r.URL.RawQuery != "" || r.Header.Get("Authorization") != "" {
		refuse("invalid_request", "the body must be a form, without parameters in the address and without a credential")
		return
	}
	f := r.PostForm
	i.mu.Lock()
	client := i.client
	g, known := i.codes[f.Get("code")]
	delete(i.codes, f.Get("code"))
	i.mu.Unlock()
	sum := sha256.Sum256([]byte(f.Get("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	switch {
	case f.Get("grant_type") != "authorization_code":
		refuse("unsupported_grant_type", "grant_type must be authorization_code")
		return
	case client.ID == "" || f.Get("client_id") != client.ID:
		refuse("invalid_client", "unknown client_id")
		return
	case !known || time.Since(g.at) > codeLife:
		refuse("invalid_grant", "the code is unknown, used or over")
		return
	case f.Get("redirect_uri") != client.RedirectURI:
		refuse("invalid_grant", "redirect_uri is not the one of the code")
		return
	case subtle.ConstantTimeCompare([]byte(challenge), []byte(g.challenge)) != 1:
		refuse("invalid_grant", "code_verifier does not fit the code_challenge")
		return
	}
	m := g.person.Token
	m.Audience = Audience{client.ID}
	claims := map[string]any{"nonce": g.nonce, "auth_time": g.at.Unix(), "azp": client.ID}
	for name, value := range m.Claims {
		claims[name] = value
	}
	m.Claims = claims
	token, err := i.Token(m)
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 60, "id_token": token})
}
