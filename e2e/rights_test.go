//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRights tries on the real Envoy how long access lasts and where jobs may run.
func TestRights(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--policy", "e2e/testdata/rights/policy.yaml")
	t.Run("the token's age", func(t *testing.T) { ageOfTokens(t, d) })
	t.Run("sessions", func(t *testing.T) { ageOfSessions(t, d) })
	t.Run("a held query", func(t *testing.T) { ageOfHeld(t, d) })
	t.Run("where jobs run", func(t *testing.T) { whereJobsRun(t, d) })
	t.Run("an answer on its way", func(t *testing.T) { endsOnItsWay(t, d) }) // at its end the agent is revoked
	d.searchCanaries()
}

// aged is a token of the agent's that was issued so long ago.
func (d *demo) aged(age time.Duration) string {
	now := time.Now()
	return d.mint(map[string]any{
		"subject": d.Personas["agent"].Subject, "groups": []string{"ai-agents"},
		"claims": map[string]any{"iat": now.Add(-age).Unix(), "exp": now.Add(15 * time.Minute).Unix()},
	})
}

const (
	queriesOfDemo = "/bigquery/v2/projects/demo/queries"
	jobsOfDemo    = "/bigquery/v2/projects/demo/jobs"
)

func plain(sql string) map[string]any { return map[string]any{"query": sql, "useLegacySql": false} }

// Access ends when the token is older than the rule's minute, and a minute for clocks: for new
// queries and for what ran before, also between two pages.
func ageOfTokens(t *testing.T, d *demo) {
	const sql = "SELECT id, ssn FROM crm.customers ORDER BY id"
	young, old := d.aged(100*time.Second), d.aged(125*time.Second)
	first := d.call("POST", queriesOfDemo, young, map[string]any{"query": sql, "useLegacySql": false, "maxResults": 1})
	if first.Status != 200 {
		t.Fatalf("within the minute for clocks: status %d %s", first.Status, first.message())
	}
	v := first.json(t)
	job, page := v["jobReference"].(map[string]any)["jobId"].(string), url.QueryEscape(v["pageToken"].(string))
	next := queriesOfDemo + "/" + job + "?location=US&maxResults=1&pageToken=" + page
	config := map[string]any{"query": plain(sql)}
	for name, ask := range map[string]func(token string) answer{
		"a query": func(token string) answer { return d.call("POST", queriesOfDemo, token, plain(sql)) },
		"a job": func(token string) answer {
			return d.call("POST", jobsOfDemo, token, map[string]any{"configuration": config})
		},
		"the next page": func(token string) answer { return d.call("GET", next, token, nil) },
		"the job":       func(token string) answer { return d.call("GET", jobsOfDemo+"/"+job+"?location=US", token, nil) },
		"a dry run": func(token string) answer {
			return d.call("POST", queriesOfDemo, token, map[string]any{"query": sql, "useLegacySql": false, "dryRun": true})
		},
		"a table's schema": func(token string) answer {
			return d.call("GET", "/bigquery/v2/projects/demo/datasets/crm/tables/customers", token, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if a := ask(young); a.Status != 200 {
				t.Errorf("100 s: status %d %s", a.Status, a.message())
			}
			a := ask(old)
			if a.Status != 403 || !strings.HasPrefix(a.message(), "accessDenied: bqgate: refused: ") {
				t.Errorf("125 s: status %d %s", a.Status, a.Body)
			}
			if name != "a table's schema" && (!strings.Contains(a.message(), "ends 1m0s after the identity token was issued") ||
				!strings.Contains(a.message(), "policy/crm") || !strings.Contains(a.message(), "a new identity token")) {
				t.Errorf("125 s: %s", a.message())
			}
		})
	}
	if a := d.call("POST", jobsOfDemo+"/"+job+"/cancel?location=US", old, nil); a.Status != 200 {
		t.Errorf("a job is stopped whoever asks: status %d %s", a.Status, a.message())
	}
	if a := d.call("POST", queriesOfDemo, d.aged(-20*time.Second), plain(sql)); a.Status != 200 {
		t.Errorf("issued 20 s in the future: status %d %s", a.Status, a.message())
	}
	// Another rule's longer time is not lent.
	if a := d.call("POST", queriesOfDemo, old,
		plain("SELECT c.id FROM crm.customers c JOIN finance.payroll p ON c.name = p.employee")); a.Status != 403 ||
		!strings.Contains(a.message(), "policy/crm") {
		t.Errorf("two rules: status %d %s", a.Status, a.message())
	}
}

// exchanged is what /v1/token answers.
func (d *demo) exchanged(t *testing.T, token string) (status int, access string, expiresIn int64, says string) {
	t.Helper()
	resp, err := http.PostForm(d.TokenURL, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, out.AccessToken, out.ExpiresIn, out.Description
}

// A session keeps its token's iat, and is told the end of the rule that lasts longest, which the
// operator sees too.
func ageOfSessions(t *testing.T, d *demo) {
	const sql = "SELECT id FROM crm.customers"
	status, access, told, _ := d.exchanged(t, d.aged(100*time.Second))
	if status != 200 || told < 190 || told > 201 {
		t.Fatalf("status %d, expires_in %d, want the 5 minutes of rule finance less 100 s", status, told)
	}
	if a := d.call("POST", queriesOfDemo, access, plain(sql)); a.Status != 200 {
		t.Errorf("within its minute: status %d %s", a.Status, a.message())
	}
	list := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "sessions", "list", "--config",
		filepath.Join(d.dir, "bqgate.yaml"), "--json")
	text, err := list.Output()
	var out struct {
		Sessions []struct{ Created, Expiry time.Time }
	}
	if err != nil || json.Unmarshal(text, &out) != nil || len(out.Sessions) != 1 {
		t.Fatalf("sessions list: %v %s", err, text)
	}
	if listed := out.Sessions[0].Expiry.Sub(out.Sessions[0].Created); listed < time.Duration(told)*time.Second ||
		listed > time.Duration(told+1)*time.Second {
		t.Errorf("the list says %s, the client was told %d s", listed, told)
	}
	_, second, _, _ := d.exchanged(t, d.aged(130*time.Second)) // a later exchange of an older token does not make it younger
	if a := d.call("POST", queriesOfDemo, second, plain(sql)); a.Status != 403 || !strings.Contains(a.message(), "policy/crm") {
		t.Errorf("a session of an old token: status %d %s", a.Status, a.message())
	}
	status, access, _, says := d.exchanged(t, d.aged(7*time.Minute))
	if status != 400 || access != "" || !strings.Contains(says, "request a new one") {
		t.Errorf("a token with which nothing may be read any more: status %d %q", status, says)
	}
}

// An approval does not lengthen anything, and waits for a new token of the same run.
func ageOfHeld(t *testing.T, d *demo) {
	held := d.call("POST", queriesOfDemo, d.aged(0), plain("SELECT employee FROM finance.payroll"))
	if held.Status != 200 || held.json(t)["jobComplete"] != false {
		t.Fatalf("status %d %s", held.Status, held.Body)
	}
	poll := queriesOfDemo + "/" + held.json(t)["jobReference"].(map[string]any)["jobId"].(string) + "?timeoutMs=0&location=US"
	old := d.aged(5*time.Minute + 65*time.Second)
	if a := d.call("GET", poll, old, nil); a.Status != 403 || !strings.Contains(a.message(), "ends 5m0s after") {
		t.Errorf("while it waits: status %d %s", a.Status, a.message())
	}
	d.approveAll(t)
	if a := d.call("GET", poll, old, nil); a.Status != 403 || !strings.Contains(a.message(), "ends 5m0s after") {
		t.Errorf("once it is approved: status %d %s", a.Status, a.message())
	}
	newer := d.aged(2 * time.Minute)
	comes(t, "the rows with a newer token", func() (bool, string) {
		a := d.call("GET", poll, newer, nil)
		return a.Status == 200 && a.json(t)["jobComplete"] == true, fmt.Sprintf("status %d %s", a.Status, a.Body)
	})
}

// approveAll lets a reviewer approve all that waits.
func (d *demo) approveAll(t *testing.T) {
	t.Helper()
	var list struct{ Requests []struct{ ID string } }
	token := d.consoleToken("reviewer")
	a, err := d.do(t.Context(), "GET", d.Console+"/api/v1/requests?state=pending", token, nil, nil)
	if err != nil || json.Unmarshal(a.Body, &list) != nil || len(list.Requests) == 0 {
		t.Fatalf("%v: status %d %s", err, a.Status, a.Body)
	}
	for _, r := range list.Requests {
		a, err := d.do(t.Context(), "POST", d.Console+"/api/v1/requests/"+r.ID+"/approve", token, nil, map[string]string{"reason": "fine"})
		if err != nil || a.Status != 200 {
			t.Fatalf("%v: status %d %s", err, a.Status, a.Body)
		}
	}
}

// A51: an answer that does not end is broken off when its right does, and when its session is
// revoked.
func endsOnItsWay(t *testing.T, d *demo) {
	const sql = "SELECT id, ssn FROM crm.customers -- fake:rows=340000\n-- fake:stall=100s"
	for _, c := range []struct {
		name       string
		credential func() string
		end        func()
		within     time.Duration
	}{
		{"the token grows too old", func() string { return d.aged(115 * time.Second) }, func() {}, 30 * time.Second},
		{"the session is revoked", func() string {
			_, access, _, _ := d.exchanged(t, d.aged(0))
			return access
		}, func() {
			revoke := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "sessions", "revoke", "--config",
				filepath.Join(d.dir, "bqgate.yaml"), "--subject", d.Personas["agent"].Subject)
			if out, err := revoke.CombinedOutput(); err != nil {
				t.Errorf("sessions revoke: %v\n%s", err, out)
			}
		}, 9 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := json.Marshal(plain(sql))
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), "POST", d.REST+queriesOfDemo, strings.NewReader(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("authorization", "Bearer "+c.credential())
			req.Header.Set("content-type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			head := make([]byte, 1<<16)
			if n, err := io.ReadFull(resp.Body, head); err != nil || resp.StatusCode != 200 {
				t.Fatalf("status %d, %d bytes: %v %s", resp.StatusCode, n, err, head[:min(n, 300)])
			}
			c.end()
			ended := time.Now()
			_, err = io.Copy(io.Discard, resp.Body)
			if took := time.Since(ended); !errors.Is(err, io.ErrUnexpectedEOF) || took > c.within {
				t.Errorf("the answer ended after %s: %v", took, err)
			}
		})
	}
}

// Jobs run where the rule says, by default in the credential's project; any other is refused as one
// that does not exist.
func whereJobsRun(t *testing.T, d *demo) {
	token := d.aged(0)
	d.forget(t)
	said := map[string]bool{}
	for _, project := range []string{"other", "batch-2", "bigquery-public-data"} {
		path := "/bigquery/v2/projects/" + project
		for name, a := range map[string]answer{
			"query":  d.call("POST", path+"/queries", token, plain("SELECT id FROM demo.crm.customers")),
			"insert": d.call("POST", path+"/jobs", token, map[string]any{"configuration": map[string]any{"query": plain("SELECT 1")}}),
			"dry run": d.call("POST", path+"/jobs", token,
				map[string]any{"configuration": map[string]any{"dryRun": true, "query": plain("SELECT 1")}}),
			"results": d.call("GET", path+"/queries/some-job", token, nil),
			"job":     d.call("GET", path+"/jobs/some-job", token, nil),
			"list":    d.call("GET", path+"/jobs", token, nil),
		} {
			says, _, _ := strings.Cut(a.message(), "\nDecision")
			said[strings.ReplaceAll(says, project, "PROJECT")] = true
			if a.Status != 403 {
				t.Errorf("%s in %s: status %d %s", name, project, a.Status, a.message())
			}
		}
	}
	want := "accessDenied: bqgate: refused: project PROJECT does not exist or no policy lets you run jobs in it.\nWhat would pass: the " +
		"same request in project batch or demo."
	if len(said) != 1 || !said[want] {
		t.Errorf("the words differ: %v", said)
	}
	// The rule on finance opens the other project for its own tables only.
	if a := d.call("POST", "/bigquery/v2/projects/batch/queries", token, plain("SELECT id FROM demo.crm.customers")); a.Status != 403 ||
		!strings.Contains(a.message(), "project batch does not exist or no policy lets you run jobs in it") {
		t.Errorf("status %d %s", a.Status, a.message())
	}
	if a := d.call("POST", "/bigquery/v2/projects/batch/queries", token,
		plain("SELECT employee FROM demo.finance.payroll")); a.Status != 200 {
		t.Errorf("a project that the rule names: status %d %s", a.Status, a.message())
	}
	for _, r := range d.arrived() {
		if strings.Contains(r.Path, "/projects/other") || strings.Contains(r.Path, "/projects/b") && r.Service == "bigquery" &&
			!strings.Contains(r.Path, "/projects/batch/") || strings.Contains(r.Path, "public-data") {
			t.Errorf("BigQuery was asked: %s %s", r.Method, r.Path)
		}
	}
}
