package console

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/net/html"

	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/approvals/approvalstest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/policies"
)

const webPolicy = `version: bqgate/v1
groups:
  data-owners:
    when: '"data-owners" in claims.groups'
  analysts:
    when: '"analysts" in claims.groups'
rules:
  - name: read
    groups: [analysts]
    read: ["acme.finance.*"]
approvals:
  - name: payroll
    when: "true"
    reviewers: [data-owners]
`

// web is a console with pages, its identity provider and its Redis.
type web struct {
	t      *testing.T
	issuer *oidcissuer.Issuer
	store  *approvals.Store
	redis  *redis.Client
	keys   *sealed.Keyring
	set    *policies.Set
	http   *httptest.Server
	late   atomic.Int64 // nanoseconds that the console's clock is ahead
	stop   context.CancelFunc

	targets  []string // of notifications
	activity Activity
	bans     *identity.Sessions
	mu       sync.Mutex
	log      bytes.Buffer
}

func (b *web) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func (b *web) logged() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

const webClient = "the-console"

func webPeople() []oidcissuer.Person {
	ttl := int64(600)
	person := func(name string, groups ...string) oidcissuer.Person {
		return oidcissuer.Person{Name: name, Token: oidcissuer.Mint{
			Subject: "id-of-" + name, Groups: groups, Claims: map[string]any{"email": name + "@acme.example", "email_verified": true},
			TTLSeconds: &ttl,
		}}
	}
	robot := person("robot", "data-owners")
	robot.Token.Claims = map[string]any{"repository_id": "1", "run_id": "2", "run_attempt": "1", "workflow_ref": "w", "ref": "r",
		"actor": "dana"}
	ghost, claimed := person("ghost", "data-owners"), person("claimed", "data-owners")
	ghost.Token.Subject, ghost.Token.Claims = "8f3c0a1e-5b7d-4a52-9c1e-0d5b7f2a9c11",
		map[string]any{"preferred_username": "erin@acme.example"}
	claimed.Token.Claims = map[string]any{"email": "aaron@acme.example", "email_verified": false}
	return []oidcissuer.Person{
		ghost, claimed,
		person("dana", "data-owners"), person("erin", "data-owners"), person("carol", "data-owners"), person("alan", "analysts"),
		person("stranger"), robot,
	}
}

func newWeb(t *testing.T, change ...func(*Login)) *web {
	t.Helper()
	b := &web{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	b.keys = sealedtest.Keyring(t, 7)
	log := slog.New(slog.NewTextHandler(b, nil))
	b.redis = redis.NewClient(&redis.Options{Addr: redistest.Start(t)})
	t.Cleanup(func() { b.redis.Close() })
	b.store, err = approvals.New(approvals.Options{Redis: b.redis, Keys: b.keys, Journal: &approvalstest.Journal{},
		ConsoleURL: "https://console.example", Log: log,
		Notify: func(approvals.Request, approvals.Kind) []string { return b.targets }})
	must(err)
	t.Cleanup(b.store.Close)
	b.issuer, err = oidcissuer.Start("127.0.0.1:0")
	must(err)
	t.Cleanup(func() { b.issuer.Close() })
	verifier, err := identity.NewVerifier(identity.Config{Issuers: []identity.Issuer{{Name: "login", URL: b.issuer.URL()}}})
	must(err)
	t.Cleanup(verifier.Close)
	b.set, err = policies.LoadBytes("policies/web.yaml", []byte(webPolicy), policies.Options{Issuers: []string{"login"}})
	must(err)

	b.bans, err = identity.NewSessions(b.redis, b.keys, identity.Config{}, log)
	must(err)
	var handler http.Handler
	b.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(b.http.Close)
	b.issuer.SetClient(oidcissuer.Client{ID: webClient, RedirectURI: b.http.URL + "/login/callback", People: webPeople()})
	issuer, client, _ := verifier.Client("login")
	login := &Login{Issuer: issuer, Client: client, ClientID: webClient, URL: b.http.URL, Session: time.Hour}
	for _, c := range change {
		c(login)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	t.Cleanup(cancel)
	handler, err = New(ctx, Options{
		Approvals: b.store, Verifier: verifier, Audience: audience, Groups: b.set.Groups, Known: b.set.Known, Log: log,
		Login: login, Policies: func() *policies.Set { return b.set }, Redis: b.redis, Keys: b.keys, Bans: b.bans, Activity: &b.activity,
		now: func() time.Time { return time.Now().Add(time.Duration(b.late.Load())) },
	})
	must(err)
	return b
}

// hold makes a request of a pipeline that carol started, or of a person where name is one.
func (b *web) hold(name string, change ...func(*approvals.Held)) approvals.Request {
	b.t.Helper()
	subject := callers["run1"]
	if name != "" {
		subject = identity.Subject{
			Issuer: b.issuer.URL(), Sub: "id-of-" + name, Owner: "login|" + name, Grant: "login|" + name,
			People: []string{name + "@acme.example"}, Mapped: true, Groups: []string{"analysts"},
		}
	}
	h := approvals.Held{
		Operation: bigquery.Operation{Method: bigquery.MethodQuery,
			Query: &bigquery.QueryRequest{SQL: "SELECT salary\nFROM finance.payroll"}},
		Job:     bigquery.JobReference{ProjectID: "acme", JobID: fmt.Sprintf("job_%d", time.Now().UnixNano()), Location: "US"},
		Subject: subject, Groups: []string{"analysts"}, Statement: "d", Decision: "d-1", Credential: "reader",
		Tables: []string{"acme.finance.payroll"}, Sensitive: []string{"acme.finance.payroll.salary"}, Estimated: true,
		EstimatedBytes: 5 << 30, EstimatedCost: 0.03, MaxBytes: 10 << 30,
		Approval: policies.Approval{Why: "approval payroll holds this query: it reads finance.payroll", Reviewers: []string{"data-owners"},
			Quorum: 1, Expires: time.Hour},
		Review: approvals.Review{Policy: b.set.Digest()},
	}
	for _, c := range change {
		c(&h)
	}
	r, err := b.store.Hold(context.Background(), h)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// visit is a browser: it keeps cookies and says where its requests come from. It follows no
// redirect by itself.
type visit struct {
	*web
	client *http.Client
}

func (b *web) browser() *visit {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &visit{b, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type seen struct {
	status   int
	header   http.Header
	text     string
	location string
}

func (v *visit) send(r *http.Request) seen {
	v.t.Helper()
	response, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return seen{response.StatusCode, response.Header, string(text), response.Header.Get("Location")}
}

func (v *visit) get(to string) seen {
	v.t.Helper()
	if !strings.HasPrefix(to, "http") {
		to = v.http.URL + to
	}
	r, err := http.NewRequest("GET", to, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.send(r)
}

// post sends a form as a page of the console does; change makes it another's.
func (v *visit) post(path string, form url.Values, change ...func(*http.Request)) seen {
	v.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = v.http.URL + path
	}
	r, err := http.NewRequest("POST", path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", v.http.URL)
	for _, c := range change {
		c(r)
	}
	return v.send(r)
}

// atIssuer begins a login and returns the address of the issuer's page.
func (v *visit) atIssuer(to string) string {
	v.t.Helper()
	a := v.get(loginPath("/") + to)
	if a.status != 303 || !strings.HasPrefix(a.location, v.issuer.URL()+"/authorize?") {
		v.t.Fatalf("login begins with %d %s\n%s", a.status, a.location, a.text)
	}
	return a.location
}

// choose picks a person at the issuer and returns the address that the browser is sent back to.
func (v *visit) choose(authorize, person string) string {
	v.t.Helper()
	a := v.post(authorize, url.Values{"person": {person}})
	if a.status != 303 {
		v.t.Fatalf("the issuer answers %d %s", a.status, a.text)
	}
	return a.location
}

func (b *web) as(person string) *visit {
	b.t.Helper()
	v := b.browser()
	if a := v.get(v.choose(v.atIssuer(""), person)); a.status != 303 || a.location != "/" {
		b.t.Fatalf("login of %s ends with %d %s\n%s", person, a.status, a.location, a.text)
	}
	return v
}

func (v *visit) cookie(name string) *http.Cookie {
	at, _ := url.Parse(v.http.URL)
	all := v.client.Jar.Cookies(at)
	if i := slices.IndexFunc(all, func(c *http.Cookie) bool { return c.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// loggedIn says whether the console knows the browser.
func (v *visit) loggedIn() bool {
	v.t.Helper()
	return v.get("/history").status != 303
}

// elements parses a page and returns all its elements.
func elements(t *testing.T, page string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var all []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}
