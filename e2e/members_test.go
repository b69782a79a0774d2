//go:build e2e

package e2e

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// membersPolicy is the demo's policy with a group that restricts by a claim that not every token
// has.
func membersPolicy(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repoRoot(t), "policies", "examples", "demo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	policy := strings.Replace(string(text), "\ngroups:\n", "\ngroups:\n  away:\n    issuer: demo\n    when: 'claims.site != \"hq\"'\n", 1)
	policy = strings.Replace(policy, "\napprovals:\n",
		"\napprovals:\n  - {name: away, when: 'tables.exists(t, t.table == \"orders\")', groups: [away], reviewers: [data-owners], "+
			"expires: 2h}\n", 1)
	path := filepath.Join(t.TempDir(), "members.yaml")
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Who somebody is decides what may run and who may say so: absent and odd claims, people whom
// nobody knows, names that look like another's, tokens for two doors.
func TestMembers(t *testing.T) {
	d := startDemo(t, "--policy", membersPolicy(t))
	t.Run("A59 absent claims", func(t *testing.T) { attackAbsentClaims(t, d) })
	t.Run("A61 unknown people", func(t *testing.T) { attackUnknownPeople(t, d) })
	t.Run("A42 names", func(t *testing.T) { attackNames(t, d) })
	t.Run("two audiences", func(t *testing.T) { attackTwoAudiences(t, d) })
	d.searchCanaries()
}

func (d *demo) asks(token, sql string) answer {
	d.t.Helper()
	return d.call("POST", "/bigquery/v2/projects/demo/queries", token, map[string]any{"query": sql, "useLegacySql": false})
}

func attackAbsentClaims(t *testing.T, d *demo) {
	ask := func(groups any, site ...any) answer {
		claims := map[string]any{"groups": groups}
		if len(site) > 0 {
			claims["site"] = site[0]
		}
		return d.asks(d.mint(map[string]any{"subject": "agent@demo.example", "claims": claims}), "SELECT id FROM crm.orders")
	}
	agents := []string{"ai-agents"}
	if a := ask(agents, "hq"); a.Status != 200 || len(a.rows(t)) == 0 {
		t.Errorf("at the site: status %d %s", a.Status, a.message())
	}
	for name, site := range map[string][]any{
		"elsewhere": {"lab"}, "absent": {}, "null": {nil}, "a list": {[]string{"hq"}}, "a number": {1}, "true": {true},
		"an object": {map[string]any{"hq": true}}, "empty": {""},
	} {
		t.Run("site "+name, func(t *testing.T) {
			before := len(d.rowRequests())
			a := ask(agents, site...)
			if a.Status != 200 || a.json(t)["jobComplete"] != false || len(d.rowRequests()) != before {
				t.Errorf("status %d, complete %v, ran %d: want it held", a.Status, a.json(t)["jobComplete"], len(d.rowRequests())-before)
			}
		})
	}
	for name, groups := range map[string]any{
		"an object with the key": map[string]any{"ai-agents": false}, "an object that says so": map[string]any{"ai-agents": true},
		"text": "ai-agents", "text that holds it": "x ai-agents y",
		"a list of lists": []any{[]string{"ai-agents"}}, "a list with a number": []any{"ai-agents", 1},
		"a list with null": []any{"ai-agents", nil}, "a list of objects": []any{map[string]any{"ai-agents": 1}},
		"true": true, "a number": 1,
	} {
		t.Run("groups are "+name, func(t *testing.T) {
			if a := ask(groups, "hq"); a.Status != 403 {
				t.Errorf("status %d %s", a.Status, tail(a.Body, 300))
			}
		})
	}
}

// decide votes with a token of its own.
func (d *demo) decide(t *testing.T, token, id, verb string) answer {
	t.Helper()
	ctx, cancel := contextTimeout(30 * time.Second)
	defer cancel()
	a, err := d.do(ctx, "POST", d.Console+"/api/v1/requests/"+id+"/"+verb, token, nil, map[string]any{"reason": "x"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func attackUnknownPeople(t *testing.T, d *demo) {
	owner := func(subject string, claims map[string]any) string {
		return d.mint(map[string]any{"subject": subject, "groups": []string{"data-owners"}, "claims": claims, "audience": "bqgate-console"})
	}
	const pairwise = "8f3c0a1e-5b7d-4a52-9c1e-0d5b7f2a9c11"
	unknown := map[string]string{
		"an opaque sub":             owner("u-7781", nil),
		"a pairwise sub":            owner(pairwise, nil),
		"an address not verified":   owner("u-7782", map[string]any{"email": "lead@demo.example", "email_verified": false}),
		"nor its sub":               owner("lead@demo.example", map[string]any{"email_verified": false}),
		"not verified, as text":     owner("u-7783", map[string]any{"email": "x@demo.example", "email_verified": "false"}),
		"a chosen name":             owner("u-7784", map[string]any{"preferred_username": "lead@demo.example"}),
		"a name that is no address": owner("u-7785", map[string]any{"name": "Lea Lead", "preferred_username": "lead"}),
	}
	id := d.hold(t, "agent", payroll+" -- who decides")
	r := d.request(t, "reviewer", id)["id"].(string)
	for name, token := range unknown {
		for _, verb := range []string{"approve", "deny"} {
			if a := d.decide(t, token, r, verb); a.Status != 403 || !strings.Contains(string(a.Body), "people_map") {
				t.Errorf("%s: %s is %d %s", name, verb, a.Status, tail(a.Body, 300))
			}
		}
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(unknown["a pairwise sub"]), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "approvals", "approve", "--console", d.Console,
		"--token-file", file, r, "--reason", "x").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "names no person whom others know") {
		t.Errorf("the command line decides for somebody unknown: %v %s", err, out)
	}
	if a := d.console("reviewer", "POST", "/api/v1/requests/"+r+"/approve", map[string]any{"reason": "ok"}); a.Status != 200 ||
		a.json(t)["state"] != "approved" {
		t.Errorf("a known reviewer: status %d %s", a.Status, a.Body)
	}

	// One human, two opaque subjects: asks as one, approves as the other. Their own request needs
	// two whom others know.
	asks := d.asks(d.mint(map[string]any{"subject": "u-9001", "groups": []string{"ai-agents"}}), payroll+" -- two subjects")
	if asks.Status != 200 || asks.json(t)["jobComplete"] != false {
		t.Fatalf("status %d %s", asks.Status, asks.message())
	}
	mine := d.request(t, "reviewer", asks.json(t)["jobReference"].(map[string]any)["jobId"].(string))
	if mine["quorum"] != 2.0 || mine["people_known"] != false || mine["person"] != "u-9001" {
		t.Errorf("quorum %v, known %v, shown as %v", mine["quorum"], mine["people_known"], mine["person"])
	}
	r = mine["id"].(string)
	if a := d.decide(t, owner("u-9002", nil), r, "approve"); a.Status != 403 {
		t.Errorf("the other subject approves: %d", a.Status)
	}
	for i, persona := range []string{"reviewer", "lead"} {
		want := []string{"pending", "approved"}[i]
		if a := d.console(persona, "POST", "/api/v1/requests/"+r+"/approve", map[string]any{"reason": "ok"}); a.Status != 200 ||
			a.json(t)["state"] != want {
			t.Errorf("%s: status %d, state %v, want %s", persona, a.Status, a.json(t)["state"], want)
		}
	}
}

func attackNames(t *testing.T, d *demo) {
	// Somebody who is an agent and a data owner asks by name, and approves under a name that a
	// careless reader, or a careless folding, takes for another's.
	own := d.asks(d.mint(map[string]any{"subject": "mal@demo.example", "groups": []string{"ai-agents"}}), payroll+" -- own request")
	if own.Status != 200 {
		t.Fatalf("status %d %s", own.Status, own.message())
	}
	r := d.request(t, "reviewer", own.json(t)["jobReference"].(map[string]any)["jobId"].(string))["id"].(string)
	names := map[string]string{
		"zero width space": "mal\u200b@demo.example", "soft hyphen": "m\u00adal@demo.example", "word joiner": "mal@de\u2060mo.example",
		"trailing dot": "mal@demo.example.", "comment": "mal(x)@demo.example",
		"quoted local part": `"mal"@demo.example`, "Cyrillic a": "m\u0430l@demo.example", "full width": "\uff4dal@demo.example",
		"right-to-left mark": "mal\u200f@demo.example", "space": "mal@demo.example ",
		"domain comment": "mal@demo.example(x)", "variation selector": "mal\ufe0f@demo.example", "accent apart": "mal\u0301@demo.example",
	}
	for kind, name := range names {
		t.Run(kind, func(t *testing.T) {
			for claim, body := range map[string]map[string]any{
				"sub": {"subject": name, "groups": []string{"ai-agents", "data-owners"}},
				"email": {"subject": "u-1", "groups": []string{"ai-agents", "data-owners"},
					"claims": map[string]any{"email": name, "email_verified": true}},
				"username": {"subject": "u-1", "groups": []string{"ai-agents", "data-owners"},
					"claims": map[string]any{"preferred_username": name}},
			} {
				if a := d.asks(d.mint(body), payroll+" -- "+claim); a.Status != 403 ||
					!strings.Contains(a.message(), "names of people are made of") {
					t.Errorf("%s: a query of such a person: status %d %s", claim, a.Status, a.message())
				}
				body["audience"] = "bqgate-console"
				if a := d.decide(t, d.mint(body), r, "approve"); a.Status != 401 && a.Status != 403 {
					t.Errorf("%s: approves: status %d %s", claim, a.Status, tail(a.Body, 300))
				}
			}
		})
	}
	// In other letters, or with a tag, it is still their own.
	for _, name := range []string{"MAL@demo.example", "Mal@Demo.Example", "mal+approver@demo.example"} {
		token := d.mint(map[string]any{"subject": name, "groups": []string{"data-owners"}, "audience": "bqgate-console"})
		if a := d.decide(t, token, r, "approve"); a.Status != 403 || !strings.Contains(string(a.Body), "their own request") {
			t.Errorf("%s: status %d %s", name, a.Status, tail(a.Body, 300))
		}
	}
}

func attackTwoAudiences(t *testing.T, d *demo) {
	for _, audience := range [][]string{{"bqgate", "bqgate-console"}, {"bqgate-console", "bqgate"},
		{"x", "bqgate", "y", "bqgate-console"}} {
		both := d.mint(map[string]any{"subject": "lead@demo.example", "groups": []string{"ai-agents", "data-owners"}, "audience": audience})
		if a := d.asks(both, "SELECT 1 AS x"); a.Status != 403 || !strings.Contains(a.message(), "alone") {
			t.Errorf("%v: a query: status %d %s", audience, a.Status, a.message())
		}
		form := url.Values{
			"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "subject_token": {both},
		}
		response, err := http.PostForm(d.TokenURL, form)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 400 {
			t.Errorf("%v: an exchange: status %d", audience, response.StatusCode)
		}
		ctx, cancel := contextTimeout(30 * time.Second)
		a, err := d.do(ctx, "GET", d.Console+"/api/v1/requests", both, nil, nil)
		cancel()
		if err != nil || a.Status != 401 {
			t.Errorf("%v: the console: status %d, %v", audience, a.Status, err)
		}
	}
	if a := d.asks(d.mint(map[string]any{"subject": "agent@demo.example", "groups": []string{"ai-agents"},
		"claims": map[string]any{"site": "hq"}, "audience": []string{"other", "bqgate"}}), "SELECT 1 AS x"); a.Status != 200 {
		t.Errorf("beside an audience of somebody else: status %d %s", a.Status, a.message())
	}
}
