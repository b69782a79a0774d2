//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
	"github.com/bqgate/bqgate/internal/config"
)

const principalOfDemo = "principal://iam.googleapis.com/projects/481516234200/locations/global/workloadIdentityPools/" +
	"bqgate-requesters/subject/demo:"

// TestFederation runs queries as whoever asks, through the real Envoy, at a stand-in for Google
// that verifies what the gateway signs.
func TestFederation(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--policy", "e2e/testdata/federation/policy.yaml", "--seed", "e2e/testdata/federation/seed.sql")
	f := &federation{demo: d, sts: stsOf(t, d)}
	t.Run("own rows", f.ownRows)
	t.Run("one exchange", f.oneExchange)
	t.Run("A46", f.attackSTS)
	t.Run("shared subjects", f.sharedSubjects)
	t.Run("a hold longer than the token", f.longHold)
	t.Run("faults", f.faults)
	f.noTokenLeft(t)
	d.searchCanaries()
}

type federation struct {
	*demo
	sts    sts
	tokens []string  // all that agents had
	before []arrival // all that had arrived when they were forgotten
}

// forget begins to count anew, and keeps what arrived for the search at the end.
func (f *federation) forget(t *testing.T) {
	t.Helper()
	f.before = append(f.before, f.arrived()...)
	f.demo.forget(t)
}

// agent is a token of an agent.
func (f *federation) agent(subject, group string, claims map[string]any) string {
	token := f.mint(map[string]any{"subject": subject, "groups": []string{group}, "claims": claims})
	f.tokens = append(f.tokens, token)
	return token
}

func (f *federation) ask(token, sql string) answer {
	return f.call("POST", queriesOfDemo, token, plain(sql))
}

// exchanges counts what STS was asked for the requesters' pool.
func (f *federation) exchanges() (n int) {
	for _, r := range f.arrived() {
		if r.Service == "sts" && strings.Contains(r.Body, "bqgate-requesters") {
			n++
		}
	}
	return n
}

// SESSION_USER() and a row access policy by it mean whoever asks: two agents get their own name and
// their own rows, masked as ever. Under the account of all both are refused.
func (f *federation) ownRows(t *testing.T) {
	for subject, want := range map[string]string{
		"one@agents.example": "[[1 XXXXX0001] [4 XXXXX0004]]", "two@agents.example": "[[2 XXXXX0002]]", "three@agents.example": "[]",
	} {
		token := f.agent(subject, "ai-agents", nil)
		who := f.ask(token, "SELECT SESSION_USER() AS u")
		if who.Status != 200 || fmt.Sprint(who.rows(t)) != "[["+principalOfDemo+subject+"]]" {
			t.Errorf("%s: SESSION_USER(): status %d %s", subject, who.Status, who.Body)
		}
		rows := f.ask(token, "SELECT id, ssn FROM crm.mine ORDER BY id")
		if got := fmt.Sprint(rows.rows(t)); rows.Status != 200 || got != want {
			t.Errorf("%s: status %d, rows %s, want %s; %s", subject, rows.Status, got, want, rows.message())
		}
	}
	for _, sql := range []string{"SELECT SESSION_USER() AS u", "SELECT id FROM crm.mine"} {
		if a := f.ask(f.agent("one@agents.example", "shared", nil), sql); a.Status != 403 {
			t.Errorf("%s under the account of all: status %d %s", sql, a.Status, a.Body)
		}
	}
	for _, r := range f.arrived() {
		if r.Service == "bigquery" && strings.Contains(r.Body, "crm.mine") && r.Method == "POST" &&
			!strings.Contains(r.Body, `"dryRun":true`) && !strings.HasPrefix(r.Account, principalOfDemo) {
			t.Errorf("a query of crm.mine ran as %s", r.Account)
		}
	}
}

// However often an agent asks, and by however many sessions and raw tokens: one exchange.
func (f *federation) oneExchange(t *testing.T) {
	f.forget(t)
	token := f.agent("often@agents.example", "ai-agents", nil)
	status, session, _, says := f.exchanged(t, token)
	if status != 200 {
		t.Fatalf("session: status %d %s", status, says)
	}
	for i := range 10 {
		bearer := []string{token, session, f.agent("often@agents.example", "ai-agents", nil)}[i%3]
		if a := f.ask(bearer, fmt.Sprintf("SELECT id FROM crm.orders WHERE id > %d", i)); a.Status != 200 {
			t.Fatalf("status %d %s", a.Status, a.message())
		}
	}
	if n := f.exchanges(); n != 1 {
		t.Errorf("%d exchanges, want one", n)
	}
	// Other groups are another thing to tell the pool, which may give rights by them (A58).
	if a := f.ask(f.agent("often@agents.example", "analysts", nil), "SELECT id FROM crm.orders"); a.Status != 200 {
		t.Fatalf("status %d %s", a.Status, a.message())
	}
	if n := f.exchanges(); n != 2 {
		t.Errorf("%d exchanges with two sets of groups, want two", n)
	}
}

// A46: whatever an agent can hold is worth nothing at STS, for no pool; nor does it pass at
// BigQuery.
func (f *federation) attackSTS(t *testing.T) {
	c, err := config.Read(filepath.Join(f.dir, "bqgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	requesters := c.Credentials.Accounts["federated"].Federated.Audience
	const own = "//iam.googleapis.com/projects/481516234200/locations/global/workloadIdentityPools/bqgate/providers/demo"
	subject := "one@agents.example"
	for name, token := range map[string]string{
		"its own":                 f.mint(map[string]any{"subject": subject, "groups": []string{"ai-agents"}}),
		"for the pool's provider": f.mint(map[string]any{"subject": "demo:" + subject, "audience": []string{"https:" + requesters}}),
		"for the gateway's pool":  f.mint(map[string]any{"subject": subject, "audience": []string{"https:" + own}}),
		"that claims the gateway's issuer": f.mint(map[string]any{"subject": "demo:" + subject, "audience": []string{"https:" + requesters},
			"claims": map[string]any{"iss": c.Credentials.Issuer.URL, "issuer": "demo"}}),
	} {
		t.Run(name, func(t *testing.T) {
			for _, audience := range []string{requesters, own} {
				if status, out := f.sts.exchange(t, audience, token); status == 200 || out["access_token"] != nil {
					t.Errorf("%s: STS gave a token: %v", audience, out)
				}
			}
		})
	}
}

// A subject that many share is never federated: it is refused with a reason, and nothing is asked.
func (f *federation) sharedSubjects(t *testing.T) {
	f.forget(t)
	for name, c := range map[string]struct {
		subject string
		claims  map[string]any
	}{
		"pull request":        {"repo:acme/app:pull_request", nil},
		"pull request target": {"repo:acme/app:ref:refs/heads/main", map[string]any{"event_name": "pull_request_target"}},
		"merge request":       {"project_path:acme/app:ref_type:branch:ref:main", map[string]any{"pipeline_source": "merge_request_event"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.ask(f.agent(c.subject, "ai-agents", c.claims), "SELECT id FROM crm.orders")
			if a.Status != 403 || !strings.Contains(a.message(), "your own principal at Google, and you have none") ||
				!strings.Contains(a.message(), "policy/own") {
				t.Errorf("status %d %s", a.Status, a.message())
			}
			if a := f.ask(f.agent(c.subject, "shared", c.claims), "SELECT id FROM crm.orders"); a.Status != 200 {
				t.Errorf("under an account of all: status %d %s", a.Status, a.message())
			}
		})
	}
	if n := f.exchanges(); n != 0 {
		t.Errorf("STS was asked %d times", n)
	}
}

// A10: a query is held for longer than the token lived with which it was asked. Nothing is signed
// or exchanged while it waits, nor when it is approved, nor for the token that is over; a new token
// of the same run runs it, under the requester's own principal.
func (f *federation) longHold(t *testing.T) {
	f.forget(t)
	short := func(seconds int) string {
		token := f.mint(map[string]any{"subject": "holder@agents.example", "groups": []string{"ai-agents"}, "ttl_seconds": seconds})
		f.tokens = append(f.tokens, token)
		return token
	}
	first := short(4)
	held := f.ask(first, "SELECT employee FROM finance.payroll")
	if held.Status != 200 || held.json(t)["jobComplete"] != false {
		t.Fatalf("status %d %s", held.Status, held.Body)
	}
	poll := queriesOfDemo + "/" + held.json(t)["jobReference"].(map[string]any)["jobId"].(string) + "?timeoutMs=0&location=US"
	for deadline := time.Now().Add(time.Minute); f.call("GET", poll, first, nil).Status == 200; { // until the token is over
		if time.Now().After(deadline) {
			t.Fatal("the token never ends")
		}
	}
	f.approveAll(t)
	if a := f.call("GET", poll, first, nil); a.Status != 403 || !strings.Contains(a.message(), "expired") {
		t.Errorf("with the token of then: status %d %s", a.Status, a.message())
	}
	if n := f.exchanges(); n != 0 {
		t.Errorf("%d exchanges while it waited", n)
	}
	for _, r := range f.arrived() {
		if r.Service == "bigquery" && strings.HasPrefix(r.Account, "principal://") {
			t.Errorf("%s %s reached BigQuery as %s", r.Method, r.Path, r.Account)
		}
	}
	if a := f.call("GET", poll, short(600), nil); a.Status != 200 || a.json(t)["jobComplete"] != true || len(a.rows(t)) != 2 {
		t.Errorf("with a new token: status %d %s", a.Status, a.Body)
	}
	if n := f.exchanges(); n != 1 {
		t.Errorf("%d exchanges for the run, want one", n)
	}
	inserted := false
	for _, r := range f.arrived() {
		inserted = inserted || r.Service == "bigquery" && r.Method == "POST" && r.Account == principalOfDemo+"holder@agents.example"
	}
	if !inserted {
		t.Error("it did not run as the requester")
	}
}

// Where STS does not answer, or not as it should, nothing reaches BigQuery, and others are not
// harmed.
func (f *federation) faults(t *testing.T) {
	other := f.agent("other@agents.example", "ai-agents", nil)
	if a := f.ask(other, "SELECT id FROM crm.orders"); a.Status != 200 { // has its token
		t.Fatalf("status %d %s", a.Status, a.message())
	}
	for i, mode := range []outage.Mode{outage.Down, outage.Frozen, outage.Full, outage.Nonsense, outage.Garbage} {
		t.Run(string(mode), func(t *testing.T) {
			f.breakSTS(t, mode)
			defer f.breakSTS(t, outage.Well)
			f.forget(t)
			token := f.agent(fmt.Sprintf("fault%d@agents.example", i), "ai-agents", nil)
			if a := f.ask(token, "SELECT id FROM crm.orders WHERE id = 1"); a.Status != 503 || strings.Contains(string(a.Body), "eyJ") {
				t.Errorf("status %d %s", a.Status, a.Body)
			}
			if a := f.ask(other, "SELECT id FROM crm.orders WHERE id = 2"); a.Status != 200 {
				t.Errorf("another agent, whose token is there: status %d %s", a.Status, a.message())
			}
			for _, r := range f.arrived() {
				if r.Service == "bigquery" && strings.Contains(r.Account, "fault") {
					t.Errorf("%s %s reached BigQuery", r.Method, r.Path)
				}
			}
		})
	}
}

func (f *federation) breakSTS(t *testing.T, mode outage.Mode) {
	t.Helper()
	resp, err := http.Post(f.Fake+"/_fake/outage", "application/json",
		strings.NewReader(fmt.Sprintf(`{"service": "sts", "mode": %q}`, mode)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("outage: status %d", resp.StatusCode)
	}
}

// noTokenLeft searches every byte that reached STS, IAM and BigQuery, and all that was written, for
// the agents' tokens, and what was written for those that the gateway signed and got.
func (f *federation) noTokenLeft(t *testing.T) {
	var signed []string
	for _, r := range append(f.before, f.arrived()...) {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if form, err := url.ParseQuery(r.Body); err == nil && r.Service == "sts" && strings.Contains(r.Body, "bqgate-requesters") {
			signed = append(signed, form.Get("subject_token"))
		}
		for _, token := range f.tokens {
			if part := token[strings.LastIndexByte(token, '.')+1:]; strings.Contains(string(text), part) {
				t.Errorf("a token of an agent reached %s: %s %s", r.Service, r.Method, r.Path)
			}
		}
	}
	if len(signed) == 0 {
		t.Error("nothing was signed: the search finds nothing")
	}
	for place, text := range f.written() {
		for _, token := range append(signed, f.tokens...) {
			if part := token[strings.LastIndexByte(token, '.')+1:]; strings.Contains(string(text), part) {
				t.Errorf("%s holds a token", place)
			}
		}
		if strings.Contains(string(text), "ya29.fake-") {
			t.Errorf("%s holds a token of Google's", place)
		}
	}
}

// sts is the stand-in's token endpoint, as an agent may reach Google's.
type sts struct {
	url    string
	client *http.Client
}

func stsOf(t *testing.T, d *demo) sts {
	t.Helper()
	c, err := config.Read(filepath.Join(d.dir, "bqgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	e := c.Credentials.STSEndpoint
	text, err := os.ReadFile(e.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return sts{"https://" + e.Address + "/v1/token",
		&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: e.ServerName}}}}
}

func (s sts) exchange(t *testing.T, audience, token string) (int, map[string]any) {
	t.Helper()
	resp, err := s.client.PostForm(s.url, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {audience},
		"scope": {"https://www.googleapis.com/auth/bigquery"}, "subject_token": {token},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, out
}
