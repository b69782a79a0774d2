package identity

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth/credentials"
	"github.com/alicebob/miniredis/v2"

	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/redistest"
)

func (g *gate) handler(t testing.TB) http.Handler {
	t.Helper()
	handler, err := TokenHandler(g.verifier, g.sessions, g.limits, slog.New(slog.NewJSONHandler(&syncWriter{w: g.log}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// stockForm is what the Python client sends for an external_account file.
func stockForm(raw string) url.Values {
	return url.Values{
		"grant_type": {grantTokenExchange}, "audience": {"bq-gateway"}, "scope": {"https://www.googleapis.com/auth/cloud-platform"},
		"requested_token_type": {typeAccessToken}, "subject_token": {raw}, "subject_token_type": {typeJWT},
	}
}

func post(handler http.Handler, target, body string, header http.Header) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	maps.Copy(request.Header, header)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func TestTokenExchange(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		handler := g.handler(t)
		raw := g.issuer.mint(g.clock.now(), nil)
		minimal := url.Values{"grant_type": {grantTokenExchange}, "subject_token": {raw}, "subject_token_type": {typeIDToken}}
		for name, form := range map[string]url.Values{"stock": stockForm(raw), "minimal": minimal} {
			t.Run(name, func(t *testing.T) {
				recorder := post(handler, TokenPath, form.Encode(), nil)
				if recorder.Code != 200 {
					t.Fatalf("%s: %d %s", name, recorder.Code, recorder.Body)
				}
				var answer map[string]any
				if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
					t.Fatal(err)
				}
				access, _ := answer["access_token"].(string)
				if answer["issued_token_type"] != typeAccessToken || answer["token_type"] != "Bearer" || answer["expires_in"] != 600.0 {
					t.Errorf("%s: answer %v", name, answer)
				}
				if recorder.Header().Get("Cache-Control") != "no-store" || recorder.Header().Get("Content-Type") != "application/json" {
					t.Errorf("%s: header %v", name, recorder.Header())
				}
				subject, err := g.ask(access)
				if err != nil || subject.Sub != "alice" {
					t.Errorf("%s: %+v, %v", name, subject, err)
				}
				assertNoToken(t, g.log.String(), access)
				// A session cannot be exchanged for a longer one.
				if again := post(handler, TokenPath, stockForm(access).Encode(), nil); again.Code != 400 {
					t.Errorf("%s: a session is exchanged: %d", name, again.Code)
				}
			})
		}
		assertNoToken(t, g.log.String(), raw)
	})
}

func TestTokenExchangeRefuses(t *testing.T) {
	g := newGate(t, miniredis.RunT(t).Addr(), nil)
	handler := g.handler(t)
	now := g.clock.now()
	raw := g.issuer.mint(now, nil)
	revoked := g.issuer.mint(now, claims{"jti": "revoked"})
	if err := g.sessions.Revoke(t.Context(), g.mustExchange(t, revoked).session.ID); err != nil {
		t.Fatal(err)
	}
	spent := g.issuer.mint(now, claims{"jti": "spent"})
	g.spend(t, spent)
	with := func(name string, values ...string) string {
		form := stockForm(raw)
		form[name] = values
		if len(values) == 0 {
			delete(form, name)
		}
		return form.Encode()
	}
	tests := []struct {
		name   string
		target string
		body   string
		header http.Header
		status int
		code   string
	}{
		{"another path", "/v1/token/", with("x"), nil, 404, "invalid_request"},
		{"token in the URL", TokenPath + "?subject_token=" + raw, with("subject_token"), nil, 400, "invalid_request"},
		{"empty query", TokenPath + "?", with("x"), nil, 400, "invalid_request"},
		{"JSON", TokenPath, `{"grant_type":"x"}`, http.Header{"Content-Type": {"application/json"}}, 400, "invalid_request"},
		{"no content type", TokenPath, with("x"), http.Header{"Content-Type": nil}, 400, "invalid_request"},
		{"compressed", TokenPath, with("x"), http.Header{"Content-Encoding": {"gzip"}}, 400, "invalid_request"},
		{"client authentication", TokenPath, with("x"), http.Header{"Authorization": {"Basic YTpi"}}, 400, "invalid_request"},
		{"no grant type", TokenPath, with("grant_type"), nil, 400, "unsupported_grant_type"},
		{"password grant", TokenPath, with("grant_type", "password"), nil, 400, "unsupported_grant_type"},
		{"grant type twice", TokenPath, with("grant_type", grantTokenExchange, grantTokenExchange), nil, 400, "invalid_request"},
		{"two subject tokens", TokenPath, with("subject_token", raw, revoked), nil, 400, "invalid_request"},
		{"no subject token", TokenPath, with("subject_token"), nil, 400, "invalid_request"},
		{"no subject token type", TokenPath, with("subject_token_type"), nil, 400, "invalid_request"},
		{"SAML", TokenPath, with("subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), nil, 400, "invalid_request"},
		{"a refresh token wanted", TokenPath, with("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), nil, 400,
			"invalid_request"},
		{"delegation", TokenPath, with("actor_token", raw), nil, 400, "invalid_request"},
		{"resource", TokenPath, with("resource", "https://x"), nil, 400, "invalid_target"},
		{"unknown parameter", TokenPath, with("options", `{"userProject":"x"}`), nil, 400, "invalid_request"},
		{"broken encoding", TokenPath, with("x") + "&a=%zz", nil, 400, "invalid_request"},
		{"semicolon", TokenPath, with("x") + ";a=b", nil, 400, "invalid_request"},
		{"too long", TokenPath, with("scope", strings.Repeat("a", maxForm)), nil, 413, "invalid_request"},
		{"not a JWT", TokenPath, with("subject_token", "abc"), nil, 400, "invalid_request"},
		{"expired", TokenPath, with("subject_token", g.issuer.mint(now, claims{"exp": now.Unix()})), nil, 400, "invalid_request"},
		{"console audience", TokenPath, with("subject_token", g.issuer.mint(now, claims{"aud": "bqgate-console"})), nil, 400,
			"invalid_request"},
		{"revoked", TokenPath, stockForm(revoked).Encode(), nil, 400, "invalid_request"},
		{"too many sessions", TokenPath, stockForm(spent).Encode(), nil, 400, "invalid_request"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			recorder := post(handler, test.target, test.body, test.header)
			var answer map[string]string
			if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
				t.Fatalf("%d %s: %v", recorder.Code, recorder.Body, err)
			}
			if recorder.Code != test.status || answer["error"] != test.code || len(answer) != 2 {
				t.Fatalf("%d %v, want %d %s", recorder.Code, answer, test.status, test.code)
			}
			if d := answer["error_description"]; d == "" || strings.ContainsAny(d, "\"\\\n") {
				t.Errorf("description %q", d)
			}
			assertNoToken(t, recorder.Body.String(), raw)
			if recorder.Header().Get("Cache-Control") != "no-store" {
				t.Error("the answer may be cached")
			}
		})
	}
	for _, method := range []string{"GET", "PUT", "OPTIONS", "HEAD"} {
		t.Run(method, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(method, TokenPath, nil))
			if recorder.Code != 405 || recorder.Header().Get("Allow") != "POST" {
				t.Errorf("%s: %d", method, recorder.Code)
			}
		})
	}
	assertNoToken(t, g.log.String(), raw)
}

func TestTokenExchangeWhileSomethingIsDown(t *testing.T) {
	mini := miniredis.RunT(t)
	g := newGate(t, mini.Addr(), nil)
	handler := g.handler(t)
	g.issuer.down.Store(true)
	raw := g.issuer.mint(g.clock.now(), nil)
	for _, what := range []string{"issuer", "Redis"} {
		recorder := post(handler, TokenPath, stockForm(raw).Encode(), nil)
		if recorder.Code != 503 || recorder.Header().Get("Retry-After") == "" ||
			!strings.Contains(recorder.Body.String(), "temporarily_unavailable") {
			t.Errorf("%s down: %d %s", what, recorder.Code, recorder.Body)
		}
		assertNoToken(t, recorder.Body.String()+g.log.String(), raw)
		g.issuer.down.Store(false)
		g.clock.add(10 * time.Second)
		mini.Close()
	}
}

// TestStockGoogleClient lets Google's own library exchange the token, as agents' clients do.
func TestStockGoogleClient(t *testing.T) {
	g := newGate(t, redistest.Start(t), nil)
	server := httptest.NewServer(g.handler(t))
	defer server.Close()
	subjects := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, g.issuer.mint(g.clock.now(), nil))
	}))
	defer subjects.Close()
	adc, err := json.Marshal(map[string]any{
		"type": "external_account", "audience": "bq-gateway", "subject_token_type": typeJWT, "token_url": server.URL + TokenPath,
		"universe_domain": "gw.corp.example", "credential_source": map[string]string{"url": subjects.URL},
	})
	if err != nil {
		t.Fatal(err)
	}
	creds, err := credentials.NewCredentialsFromJSON(credentials.ExternalAccount, adc,
		&credentials.DetectOptions{Scopes: []string{"https://www.googleapis.com/auth/bigquery"}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := creds.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	subject, err := g.ask(token.Value)
	if err != nil || subject.Sub != "alice" || subject.Session == "" {
		t.Fatalf("subject %+v, %v", subject, err)
	}
	if left := time.Until(token.Expiry); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("the client believes in %s", left)
	}
}

func FuzzCheckForm(f *testing.F) {
	f.Add(stockForm("a.b.c").Encode())
	f.Add("grant_type=x&grant_type=y")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil || checkForm(form) != nil {
			return
		}
		if len(form["subject_token"]) != 1 || len(form["grant_type"]) != 1 || form.Get("grant_type") != grantTokenExchange ||
			form.Has("actor_token") {
			t.Fatalf("accepted %q", body)
		}
	})
}

// One owner's exchanges beyond its budget leave the others theirs, and so does what is malformed or
// signed by nobody, however often it comes.
func TestExchangesBeyondABudget(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *gate) {
		g.limits = limits.New(limits.Config{"token_exchanges": {Burst: 3, PerSecond: 0.001}})
		handler := g.handler(t)
		code := func(form url.Values) int { return post(handler, TokenPath, form.Encode(), nil).Code }
		raw := g.issuer.mint(g.clock.now(), nil)
		forged := raw[:len(raw)-8] + "AAAAAAAA"
		for range 20 {
			if got := code(url.Values{"x": {"1"}}); got != 400 {
				t.Fatalf("malformed: %d", got)
			}
			if got := code(stockForm(forged)); got != 400 {
				t.Fatalf("forged: %d", got)
			}
		}
		for n, want := range []int{200, 200, 200, 429, 429} {
			got := post(handler, TokenPath, stockForm(raw).Encode(), nil)
			if wait := got.Header().Get("Retry-After"); got.Code != want || (wait == "1000") != (want == 429) {
				t.Errorf("exchange %d: %d, Retry-After %q; want %d", n, got.Code, wait, want)
			}
		}
		other := g.issuer.mint(g.clock.now(), map[string]any{"sub": "another@corp.example", "email": "another@corp.example"})
		if got := code(stockForm(other)); got != 200 {
			t.Errorf("another owner: %d", got)
		}
	})
}
