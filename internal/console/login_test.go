package console

import (
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sessionstore"
	"github.com/bqgate/bqgate/policies"
)

func TestLogin(t *testing.T) {
	b := newWeb(t)
	r := b.hold("")
	v := b.browser()
	page := "/requests/" + r.ID
	if a := v.get(page); a.status != 303 || a.location != "/login?to="+url.QueryEscape(page) {
		t.Fatalf("without a session: %d %s", a.status, a.location)
	}
	authorize := v.atIssuer("?to=" + url.QueryEscape(page))
	asked, _ := url.Parse(authorize)
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		t.Run(name, func(t *testing.T) {
			if len(asked.Query().Get(name)) < 43 {
				t.Errorf("%s is %q", name, asked.Query().Get(name))
			}
		})
	}
	back := v.choose(authorize, "dana")
	a := v.get(back)
	if a.status != 303 || a.location != page {
		t.Fatalf("login ends with %d %s", a.status, a.location)
	}
	for _, c := range a.header.Values("Set-Cookie") {
		if strings.HasPrefix(c, sessionCookie+"=") && (!strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") ||
			!strings.Contains(c, "Path=/") || strings.Contains(c, "Domain")) {
			t.Errorf("session cookie: %s", c)
		}
	}
	if v.cookie(loginCookie) != nil {
		t.Error("the cookie of the login is left")
	}
	if a := v.get(page); a.status != 200 || !strings.Contains(a.text, "dana@acme.example") {
		t.Errorf("with a session: %d %s", a.status, a.text)
	}
	// Redis holds neither the cookie nor who it is in the clear, and the log no secret.
	value := v.cookie(sessionCookie).Value
	ctx := context.Background()
	for _, key := range b.redis.Keys(ctx, "*").Val() {
		if text := b.redis.Get(ctx, key).Val(); strings.Contains(key+text, value) || strings.Contains(text, "dana") {
			t.Errorf("Redis shows %s = %s", key, text)
		}
	}
	code, _ := url.Parse(back)
	for _, private := range []string{value, code.Query().Get("code"), code.Query().Get("state"), "SELECT"} {
		t.Run(private, func(t *testing.T) {
			if strings.Contains(b.logged(), private) {
				t.Errorf("the log has %s", private)
			}
		})
	}
	// A second login makes another session, and ends the first.
	if v.get(v.choose(v.atIssuer(""), "erin")); v.cookie(sessionCookie).Value == value {
		t.Error("the cookie of before the login is that of after it")
	}
	if _, err := b.redis.Get(ctx, consoleSessionKey+sessionstore.ID(value)).Result(); err == nil {
		t.Error("the session of before is still there")
	}
}

// Whoever tampers with one step of a login has none.
func TestLoginAttacks(t *testing.T) {
	b := newWeb(t)
	change := func(raw, name, value string) string {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if value == "" {
			q.Del(name)
		} else {
			q.Set(name, value)
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	for name, attack := range map[string]func(v *visit) seen{
		"another state": func(v *visit) seen { return v.get(change(v.choose(v.atIssuer(""), "dana"), "state", "x")) },
		"no state":      func(v *visit) seen { return v.get(change(v.choose(v.atIssuer(""), "dana"), "state", "")) },
		"no code":       func(v *visit) seen { return v.get(change(v.choose(v.atIssuer(""), "dana"), "code", "")) },
		"invented code": func(v *visit) seen { return v.get(change(v.choose(v.atIssuer(""), "dana"), "code", "x")) },
		"two codes":     func(v *visit) seen { return v.get(v.choose(v.atIssuer(""), "dana") + "&code=x") },
		"other issuer": func(v *visit) seen {
			return v.get(change(v.choose(v.atIssuer(""), "dana"), "iss", "https://evil.example"))
		},
		"an error": func(v *visit) seen { return v.get(v.choose(v.atIssuer(""), "dana") + "&error=access_denied") },
		"nonce of another login": func(v *visit) seen {
			return v.get(v.choose(change(v.atIssuer(""), "nonce", "bm9uY2Vub25jZW5vbmNlbm9uY2Vub25jZW5vbmNlbm9u"), "dana"))
		},
		"challenge of another login": func(v *visit) seen {
			return v.get(v.choose(change(v.atIssuer(""), "code_challenge", strings.Repeat("A", 43)), "dana"))
		},
		// Login CSRF: the victim's browser is led to the end of a login that the attacker began.
		"login of another browser": func(v *visit) seen {
			attacker := b.browser()
			return v.get(attacker.choose(attacker.atIssuer(""), "erin"))
		},
		"code of another login": func(v *visit) seen {
			attacker := b.browser()
			stolen, _ := url.Parse(attacker.choose(attacker.atIssuer(""), "erin"))
			return v.get(change(v.choose(v.atIssuer(""), "dana"), "code", stolen.Query().Get("code")))
		},
		"a login that took too long": func(v *visit) seen {
			back := v.choose(v.atIssuer(""), "dana")
			b.late.Store(int64(loginLife))
			defer b.late.Store(0)
			return v.get(back)
		},
		"a forged attempt": func(v *visit) seen {
			back, _ := url.Parse(v.choose(v.atIssuer(""), "dana"))
			at, _ := url.Parse(b.http.URL)
			v.client.Jar.SetCookies(at,
				[]*http.Cookie{{Name: loginCookie,
					Value: base64.RawURLEncoding.EncodeToString([]byte(`{"state":"` + back.Query().Get("state") + `"}`)), Path: "/"}})
			return v.get(back.String())
		},
		"a workload": func(v *visit) seen { return v.get(v.choose(v.atIssuer(""), "robot")) },
	} {
		t.Run(name, func(t *testing.T) {
			v := b.browser()
			a := attack(v)
			if a.status < 400 || a.status == 503 || !strings.Contains(a.text, "not logged in") {
				t.Errorf("%d %s\n%s", a.status, a.location, a.text)
			}
			if v.cookie(sessionCookie) != nil || v.loggedIn() {
				t.Error("there is a session")
			}
		})
	}
	t.Run("replay", func(t *testing.T) {
		v := b.browser()
		back := v.choose(v.atIssuer(""), "dana")
		kept := v.cookie(loginCookie)
		if a := v.get(back); a.status != 303 {
			t.Fatalf("login: %d", a.status)
		}
		thief := b.browser()
		at, _ := url.Parse(b.http.URL)
		thief.client.Jar.SetCookies(at, []*http.Cookie{{Name: loginCookie, Value: kept.Value, Path: "/"}})
		if a := thief.get(back); a.status < 400 || thief.loggedIn() {
			t.Errorf("the same login works twice: %d", a.status)
		}
	})
	if strings.Contains(b.logged(), "eyJ") {
		t.Error("a token is in the log")
	}
}

func TestOpenRedirect(t *testing.T) {
	b := newWeb(t)
	for _, to := range []string{
		"https://evil.example/", "//evil.example", `/\evil.example`, "/%2f/evil.example", "/requests/r-1/../../x", "/requests/%2e%2e",
		"/logout", "/login", "javascript:alert(1)", "", "/history?x",
		"/requests/r-01ARZ3NDEKTSV4RRFFQ69G5FAV\n", "\thttps://evil.example",
	} {
		t.Run(to, func(t *testing.T) {
			v := b.browser()
			if a := v.get(v.choose(v.atIssuer("?to="+url.QueryEscape(to)), "dana")); a.status != 303 || a.location != "/" {
				t.Errorf("%q leads to %q", to, a.location)
			}
		})
	}
	for _, to := range []string{"/history", "/requests/r-01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		v := b.browser()
		if a := v.get(v.choose(v.atIssuer("?to="+url.QueryEscape(to)), "dana")); a.location != to {
			t.Errorf("%q leads to %q", to, a.location)
		}
	}
}

func TestSessionEnds(t *testing.T) {
	b := newWeb(t)
	ctx := context.Background()
	at, _ := url.Parse(b.http.URL)
	plant := func(v *visit, value string) {
		v.client.Jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: value, Path: "/"}})
	}
	for name, end := range map[string]func(v *visit){
		"expired": func(*visit) { b.late.Store(int64(time.Hour)) },
		"revoked": func(v *visit) { b.redis.Del(ctx, consoleSessionKey+sessionstore.ID(v.cookie(sessionCookie).Value)) },
		"logout": func(v *visit) {
			value := v.cookie(sessionCookie).Value
			if a := v.post("/logout", nil); a.status != 303 || a.location != "/logged-out" {
				t.Errorf("logout: %d %s", a.status, a.location)
			}
			if v.cookie(sessionCookie) != nil {
				t.Error("the cookie is left")
			}
			plant(v, value) // a copy that somebody kept
		},
		"put back into Redis after the logout": func(v *visit) {
			value := v.cookie(sessionCookie).Value
			key := consoleSessionKey + sessionstore.ID(value)
			kept := b.redis.Get(ctx, key).Val()
			v.post("/logout", nil)
			b.redis.Set(ctx, key, kept, 0)
			plant(v, value)
		},
		"ended by the operator": func(v *visit) {
			id := sessionstore.ID(v.cookie(sessionCookie).Value)
			kept := b.redis.Get(ctx, consoleSessionKey+id).Val()
			list, err := ListSessions(ctx, b.redis, b.keys, b.bans)
			at := slices.IndexFunc(list, func(s identity.Session) bool { return s.ID == id })
			if err != nil || at < 0 || list[at].Subject != "id-of-dana" || list[at].Issuer != b.issuer.URL() || !list[at].Console ||
				list[at].Forged {
				t.Fatalf("listed %+v, %v", list, err)
			}
			b.bans.LearnRevoked(id, list[at].Expiry) // as the gateway does from the journal
			if err := RevokeSession(ctx, b.redis, id); err != nil {
				t.Fatal(err)
			}
			b.redis.Set(ctx, consoleSessionKey+id, kept, 0)
			if list, err = ListSessions(ctx, b.redis, b.keys, b.bans); err != nil ||
				slices.ContainsFunc(list, func(s identity.Session) bool { return s.ID == id }) {
				t.Errorf("it is listed still: %+v, %v", list, err)
			}
		},
		"another cookie": func(v *visit) { plant(v, sessionstore.NewSecret()) },
		"malformed":      func(v *visit) { plant(v, "x") },
		"planted in full": func(v *visit) {
			b.redis.Set(ctx, consoleSessionKey+sessionstore.ID("mine"), `{"subject":{}}`, 0)
			plant(v, "mine")
		},
		"copied from another key": func(v *visit) {
			b.redis.Set(ctx, consoleSessionKey+sessionstore.ID("mine"),
				b.redis.Get(ctx, consoleSessionKey+sessionstore.ID(v.cookie(sessionCookie).Value)).Val(), 0)
			plant(v, "mine")
		},
		"another type": func(v *visit) {
			key := consoleSessionKey + sessionstore.ID("list")
			b.redis.Del(ctx, key)
			b.redis.LPush(ctx, key, "x")
			plant(v, "list")
		},
		"sealed for something else": func(v *visit) {
			text, err := b.keys.Seal("redis/session/v1/"+sessionstore.ID("mine"),
				session{ID: sessionstore.ID("mine"), Subject: identity.Subject{Issuer: "i", Sub: "s"}, Expires: time.Now().Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			b.redis.Set(ctx, consoleSessionKey+sessionstore.ID("mine"), text, 0)
			plant(v, "mine")
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer b.late.Store(0)
			v := b.as("dana")
			if !v.loggedIn() {
				t.Fatal("no session to begin with")
			}
			r := b.hold("")
			end(v)
			if v.loggedIn() {
				t.Error("the session goes on")
			}
			if a := v.post("/requests/"+r.ID+"/approve", url.Values{"reason": {"x"}}); a.status != 401 {
				t.Errorf("a decision: %d", a.status)
			}
			if a := v.get("/events"); a.text != onlyEnded {
				t.Errorf("the stream: %d %q", a.status, a.text)
			}
			if q, err := b.store.Get(ctx, r.ID); err != nil || len(q.Votes) != 0 {
				t.Errorf("decided: %v %v", q.Votes, err)
			}
		})
	}
	t.Run("two cookies", func(t *testing.T) {
		v := b.as("dana")
		r, _ := http.NewRequest("GET", b.http.URL+"/history", nil)
		r.Header.Set("Cookie", sessionCookie+"=x; "+sessionCookie+"="+v.cookie(sessionCookie).Value)
		if a := b.browser().send(r); a.status != 303 {
			t.Errorf("%d", a.status)
		}
	})
}

// Behind https the cookies have the prefix that keeps other hosts and plain http from setting them.
func TestSecureCookies(t *testing.T) {
	b := newWeb(t, func(l *Login) { l.URL = "https://console.example" })
	a := b.browser().get("/login")
	c := a.header.Get("Set-Cookie")
	if !strings.HasPrefix(c, "__Host-bqgate-login=") || !strings.Contains(c, "Secure") || !strings.Contains(c, "Path=/;") {
		t.Errorf("cookie %s", c)
	}
	if to, _ := url.Parse(a.location); to.Query().Get("redirect_uri") != "https://console.example/login/callback" {
		t.Errorf("redirect_uri %s", a.location)
	}
	if h := b.browser().get("/logged-out").header.Get("Strict-Transport-Security"); h == "" {
		t.Error("no HSTS")
	}
}

// Only a page of the console posts.
func TestPostsOfOthers(t *testing.T) {
	b := newWeb(t)
	v := b.as("dana")
	r := b.hold("")
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			if value == "" {
				r.Header.Del(name)
			} else {
				r.Header.Set(name, value)
			}
		}
	}
	for name, change := range map[string][]func(*http.Request){
		"cross-site":       {set("Sec-Fetch-Site", "cross-site"), set("Origin", "https://evil.example")},
		"same site":        {set("Sec-Fetch-Site", "same-site")},
		"typed":            {set("Sec-Fetch-Site", "none")},
		"foreign origin":   {set("Sec-Fetch-Site", ""), set("Origin", "https://evil.example")},
		"origin null":      {set("Sec-Fetch-Site", ""), set("Origin", "null")},
		"other port":       {set("Sec-Fetch-Site", ""), set("Origin", "http://127.0.0.1:1")},
		"liar":             {set("Origin", "https://evil.example")},
		"says nothing":     {set("Sec-Fetch-Site", ""), set("Origin", "")},
		"two origins":      {func(r *http.Request) { r.Header.Add("Origin", "https://evil.example") }},
		"two fetch values": {func(r *http.Request) { r.Header.Add("Sec-Fetch-Site", "cross-site") }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/requests/" + r.ID + "/approve", "/requests/" + r.ID + "/deny", "/requests/" + r.ID + "/revoke",
				"/logout"} {
				if a := v.post(path, url.Values{"reason": {"csrf"}}, change...); a.status != 403 {
					t.Errorf("%s on %s: %d", name, path, a.status)
				}
			}
		})
	}
	if q, _ := b.store.Get(context.Background(), r.ID); len(q.Votes) != 0 || !v.loggedIn() {
		t.Errorf("something was done: %v", q.Votes)
	}
	// The cookie opens nothing of the endpoint, which takes tokens.
	if a := v.get("/api/v1/requests"); a.status != 401 {
		t.Errorf("the endpoint takes the cookie: %d", a.status)
	}
	for name, change := range map[string][]func(*http.Request){
		"fetch metadata alone": {set("Origin", "")},
		"origin alone":         {set("Sec-Fetch-Site", "")},
	} {
		t.Run(name, func(t *testing.T) {
			q := b.hold("")
			if a := v.post("/requests/"+q.ID+"/approve", nil, change...); a.status != 303 {
				t.Errorf("%s: %d", name, a.status)
			}
		})
	}
}

// What is asked in another way than pages ask it does nothing.
func TestOtherWays(t *testing.T) {
	b := newWeb(t)
	v := b.as("dana")
	r := b.hold("")
	page := "/requests/" + r.ID
	method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
	kind := func(k string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Content-Type", k) } }
	reason := url.Values{"reason": {"x"}}
	for name, c := range map[string]struct {
		got  seen
		want int
	}{
		"get on a decision":        {v.get(page + "/approve?reason=x"), 405},
		"get on logout":            {v.get("/logout"), 405},
		"post on a page":           {v.post(page, reason), 405},
		"put":                      {v.post(page+"/approve", reason, method("PUT")), 405},
		"post on the stream":       {v.post("/events", reason), 405},
		"json":                     {v.post(page+"/approve", reason, kind("application/json")), 415},
		"text":                     {v.post(page+"/approve", reason, kind("text/plain")), 415},
		"parameters":               {v.post(page+"/approve?reason=y", reason), 400},
		"two reasons":              {v.post(page+"/approve", url.Values{"reason": {"x", "y"}}), 400},
		"unknown field":            {v.post(page+"/approve", url.Values{"reason": {"x"}, "quorum": {"0"}}), 400},
		"standing without numbers": {v.post(page+"/approve", url.Values{"reason": {"x"}, "terms": {"standing"}}), 400},
		"standing not allowed":     {v.post(page+"/approve", url.Values{"terms": {"standing"}, "uses": {"5"}, "hours": {"5"}}), 400},
		"unknown terms":            {v.post(page+"/approve", url.Values{"terms": {"always"}}), 400},
		"too long":                 {v.post(page+"/deny", url.Values{"reason": {strings.Repeat("x", 1001)}}), 400},
		"far too long":             {v.post(page+"/deny", url.Values{"reason": {strings.Repeat("x", 20<<10)}}), 413},
		"no reason to deny":        {v.post(page+"/deny", url.Values{"reason": {" "}}), 400},
		"hidden characters":        {v.post(page+"/approve", url.Values{"reason": {"a\u202eb"}}), 400},
		"revoke of nothing":        {v.post(page+"/revoke", reason), 409},
		"unknown request":          {v.post("/requests/r-01ARZ3NDEKTSV4RRFFQ69G5FAV/approve", reason), 404},
		"no id":                    {v.get("/requests/%3Cscript%3E"), 404},
		"unknown page":             {v.get("/admin"), 404},
		"unknown list":             {v.get("/history?state=open"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			if c.got.status != c.want {
				t.Errorf("%s: %d, want %d", name, c.got.status, c.want)
			}
			if strings.Contains(c.got.text, "<script>") {
				t.Errorf("%s: the address is repeated", name)
			}
		})
	}
	if q, _ := b.store.Get(context.Background(), r.ID); len(q.Votes) != 0 {
		t.Errorf("something was decided: %v", q.Votes)
	}
}

// Where the operator asks for it, a decision wants a fresh proof of who decides. Where the policy
// wants a fresh login of whoever decides, an old one decides nothing: not with a form that is sent
// all the same, nor with a token.
func TestMaxAuthAge(t *testing.T) {
	b := newWeb(t)
	const policy = webPolicy + "\n    max_auth_age: 10m\n"
	set, err := policies.LoadBytes("policies/web.yaml", []byte(policy), policies.Options{Issuers: []string{"login"}})
	if err != nil {
		t.Fatal(err)
	}
	b.set = set
	fresh := func(h *approvals.Held) { h.Approval.MaxAuthAge = 10 * time.Minute }
	loggedInAt := func(claim any) {
		people := webPeople()
		for i := range people {
			people[i].Token.Claims = maps.Clone(people[i].Token.Claims)
			if people[i].Token.Claims == nil {
				people[i].Token.Claims = map[string]any{}
			}
			people[i].Token.Claims["auth_time"] = claim
		}
		b.issuer.SetClient(oidcissuer.Client{ID: webClient, RedirectURI: b.http.URL + "/login/callback", People: people})
	}
	for name, claim := range map[string]any{
		"long ago": time.Now().Add(-11 * time.Minute).Unix(), "not said": nil, "in words": "now",
		"in the future": time.Now().Add(time.Hour).Unix(), "zero": 0, "negative": -1,
	} {
		t.Run(name, func(t *testing.T) {
			loggedInAt(claim)
			v := b.as("dana")
			r := b.hold("", fresh)
			page := "/requests/" + r.ID
			if a := v.get(page); a.status != 200 || !strings.Contains(a.text, "Log in again") || strings.Contains(a.text, `name="reason"`) {
				t.Errorf("page: %d", a.status)
			}
			for _, verdict := range []string{"approve", "deny"} {
				if a := v.post(page+"/"+verdict, url.Values{"reason": {"x"}}); a.status != 403 ||
					!strings.Contains(a.text, "policy wants a login") {
					t.Errorf("%s: %d", verdict, a.status)
				}
			}
			if a := v.get(page); !strings.Contains(a.text, "Waiting") {
				t.Errorf("it waits no more: %s", a.text)
			}
			// What the policy does not ask that of is decided with the same login.
			if a := v.post("/requests/"+b.hold("").ID+"/approve", url.Values{"reason": {"x"}}); a.status != 303 {
				t.Errorf("another request: %d", a.status)
			}
		})
	}
	loggedInAt(time.Now().Add(-11 * time.Minute).Unix())
	v := b.as("dana")
	r := b.hold("", fresh)
	page := "/requests/" + r.ID
	loggedInAt(time.Now().Unix())
	if q, _ := url.Parse(v.atIssuer("")); q.Query().Get("prompt") != "" || q.Query().Get("max_age") == "600" ||
		q.Query().Get("max_age") == "" {
		t.Errorf("a login to look asks for %s", q.RawQuery)
	}
	authorize := v.atIssuer("?again=yes&to=" + url.QueryEscape(page))
	if q, _ := url.Parse(authorize); q.Query().Get("prompt") != "login" || q.Query().Get("max_age") != "600" {
		t.Errorf("asked %s", authorize)
	}
	v.get(v.choose(authorize, "dana"))
	if a := v.post(page+"/approve", url.Values{"reason": {"x"}}); a.status != 303 {
		t.Errorf("after logging in again: %d %s", a.status, a.text)
	}
}
