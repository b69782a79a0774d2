//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

// ask runs a query as a client does, waits while it is held, and delivers the last answer.
func (d *demo) ask(persona, sql string) <-chan answer {
	done := make(chan answer, 1)
	token := d.token(persona)
	go func() {
		ctx, cancel := contextTimeout(60 * time.Second)
		defer cancel()
		base := d.REST + "/bigquery/v2/projects/" + d.Project + "/queries"
		a, err := send(ctx, "POST", base, token, map[string]any{"query": sql, "useLegacySql": false})
		for err == nil && a.Status == 200 {
			var v struct {
				JobComplete  bool `json:"jobComplete"`
				JobReference struct {
					JobID    string `json:"jobId"`
					Location string `json:"location"`
				} `json:"jobReference"`
			}
			if err = json.Unmarshal(a.Body, &v); err != nil || v.JobComplete {
				break
			}
			a, err = send(ctx, "GET", base+"/"+v.JobReference.JobID+"?location="+v.JobReference.Location, token, nil)
		}
		if err != nil {
			a = answer{Body: []byte(err.Error())}
		}
		done <- a
	}()
	return done
}

func (d *demo) gets(what <-chan answer) answer {
	d.t.Helper()
	select {
	case a := <-what:
		d.got = append(d.got, a.Body)
		return a
	case <-time.After(60 * time.Second):
		d.t.Fatal("the client still waits")
		return answer{}
	}
}

// waiting is the id of the one request that waits, as the endpoint tells it to a reviewer.
func (d *demo) waiting(sql string) string {
	d.t.Helper()
	for range 100 {
		ctx, cancel := contextTimeout(30 * time.Second)
		a, err := d.do(ctx, "GET", d.Console+"/api/v1/requests?state=pending", d.consoleToken("lead"), nil, nil)
		cancel()
		if err != nil {
			d.t.Fatal(err)
		}
		for _, r := range a.json(d.t)["requests"].([]any) {
			if r := r.(map[string]any); r["sql"] == sql {
				return r["id"].(string)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.t.Fatalf("%s is not held", sql)
	return ""
}

// The day of a reviewer, in a real browser: log in, see a request appear, read it, decide, be
// overtaken by a colleague, and fail to do what nobody may.
func TestConsole(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../policies/examples/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(t.TempDir(), "demo.yaml")
	standing := strings.Replace(string(text), "    expires: 2h\n", "    expires: 2h\n    standing: {max_uses: 5, max_hours: 8}\n", 1)
	if err := os.WriteFile(policy, []byte(standing), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDemo(t, "--policy", policy)
	b := startBrowser(t)
	agent, queries := d.token("agent"), "/bigquery/v2/projects/"+d.Project+"/queries"
	for sql, status := range map[string]int{"SELECT id FROM crm.orders LIMIT 1": 200, "DROP TABLE crm.orders": 403} {
		if a := d.call("POST", queries, agent, map[string]any{"query": sql, "useLegacySql": false}); a.Status != status {
			t.Fatalf("%s: %d %s", sql, a.Status, a.Body)
		}
	}
	reviewer := b.person("reviewer")
	reviewer.login(d.Console + "/")
	reviewer.sees("#says", "Nothing waits")
	reviewer.script(`window.notReloaded = "yes"`)

	const payroll = "SELECT employee, salary\nFROM finance.payroll -- the month's end"
	client := d.ask("agent", payroll)
	reviewer.sees("#decide .card", "finance.payroll")
	reviewer.sees("#says", "1 query waits")
	if reviewer.script(`window.notReloaded || "no"`) != "yes" {
		t.Error("the page was loaded again for a new request to appear")
	}
	reviewer.look("queue")

	reviewer.click("#decide .card a")
	reviewer.sees("h1", "agent@demo.example asks to read finance.payroll")
	reviewer.sees(".why", "high-value")
	reviewer.sees(".sens", "salary")
	reviewer.sees("table", "NULL")
	reviewer.sees(".names", "demo.finance.payroll")
	reviewer.sees(".acts", "crm.orders")
	reviewer.sees(".acts", "DROP_TABLE is not allowed")
	reviewer.look("request")
	for _, private := range []string{"salary", "SELECT", "payroll"} {
		t.Run(private, func(t *testing.T) {
			if where := reviewer.script(`document.title + " " + location.href`); strings.Contains(where, private) {
				t.Errorf("%q is in %s", private, where)
			}
		})
	}
	reviewer.write("#reason", "month end")
	reviewer.click("button.approve")
	reviewer.sees("#stands", "Approved by you")
	rows := d.gets(client)
	if len(rows.rows(t)) < 20 {
		t.Errorf("the client got %d %s", rows.Status, tail(rows.Body, 500))
	}
	reviewer.sees("#stands.is-used", "The query has run")

	t.Run("denied, with a reason", func(t *testing.T) {
		const sql = "SELECT salary FROM finance.payroll"
		client := d.ask("agent", sql)
		reviewer.open(d.Console + "/requests/" + d.waiting(sql))
		reviewer.click("button.deny")
		reviewer.sees("#problem", "a denial needs one")
		reviewer.write("#reason", "ask again on Monday")
		reviewer.click("button.deny")
		reviewer.sees("#stands.is-denied", "ask again on Monday")
		if a := d.gets(client); a.Status != 403 || !strings.Contains(a.message(), "ask again on Monday") ||
			!strings.Contains(a.message(), "reviewer@demo.example") {
			t.Errorf("the client got %d %s", a.Status, a.Body)
		}
		reviewer.look("denied")
	})

	t.Run("by keyboard", func(t *testing.T) {
		const sql = "SELECT employee FROM finance.payroll LIMIT 2"
		client := d.ask("agent", sql)
		id := d.waiting(sql)
		reviewer.open(d.Console + "/")
		reviewer.sees("#decide .card", "finance.payroll")
		reviewer.tabTo("#decide .card a")
		reviewer.press(kb.Enter)
		reviewer.sees("h1", "asks to read")
		reviewer.tabTo("#reason")
		reviewer.press("no mouse today")
		reviewer.tabTo("button.approve")
		reviewer.press(kb.Enter)
		reviewer.sees("#stands", "no mouse today")
		if at := reviewer.script(`location.pathname`); at != "/requests/"+id {
			t.Errorf("at %s", at)
		}
		if a := d.gets(client); a.Status != 200 || len(a.rows(t)) != 2 {
			t.Errorf("the client got %d %s", a.Status, a.Body)
		}
	})

	t.Run("several runs, and taken back", func(t *testing.T) {
		const sql = "SELECT employee FROM finance.payroll LIMIT 3"
		client := d.ask("agent", sql)
		reviewer.open(d.Console + "/requests/" + d.waiting(sql))
		reviewer.click(`input[value="standing"]`)
		reviewer.script(`document.querySelector("input[name=uses]").value = "3"`)
		reviewer.look("standing")
		reviewer.click("button.approve")
		if a := d.gets(client); a.Status != 200 {
			t.Fatalf("first run: %d %s", a.Status, a.Body)
		}
		if a := d.gets(d.ask("agent", sql)); a.Status != 200 {
			t.Fatalf("second run: %d %s", a.Status, a.Body)
		}
		reviewer.open(d.Console + "/grants")
		reviewer.sees("#live .card", "2 of 3 runs")
		reviewer.sees("#count", "1 grant may still be used, for 1 run in all")
		reviewer.click("#live .card a")
		reviewer.click("#revoke summary")
		reviewer.write("#revoke-reason", "enough for today")
		reviewer.look("revoke")
		reviewer.click("button.revoke")
		reviewer.sees("#stands", "Taken back")
		reviewer.sees("#stands", "revoked by reviewer@demo.example: \"enough for today\"")
		reviewer.open(d.Console + "/grants")
		reviewer.sees("#count", "No grant may still be used")
		d.ask("agent", sql)
		reviewer.open(d.Console + "/requests/" + d.waiting(sql)) // it asks again
	})

	t.Run("computed on masked values", func(t *testing.T) {
		sql := "SELECT c.name, SUBSTR(p.ssn, 8) AS tail, COUNT(*) AS n\nFROM finance.payroll AS p\nJOIN crm.customers AS c ON c.ssn = " +
			"p.ssn\nWHERE p.salary IS NULL\nGROUP BY 1, 2"
		d.ask("agent", sql)
		reviewer.open(d.Console + "/requests/" + d.waiting(sql))
		reviewer.sees("#forward", "The query is rewritten")
		reviewer.sees("#forward .sql", "NULL")
		reviewer.sees("#sql .sens .note", "decides the result")
		reviewer.sees(".names", "demo.crm.customers")
		reviewer.look("rewritten")
	})

	t.Run("two reviewers", func(t *testing.T) {
		lead := b.person("lead")
		const sql = "SELECT employee FROM finance.payroll"
		client := d.ask("agent", sql)
		page := d.Console + "/requests/" + d.waiting(sql)
		lead.login(page) // a link from a notification leads through the login to the request
		lead.sees("h1", "finance.payroll")
		reviewer.open(page)
		reviewer.write("#reason", "half a sen")
		reviewer.sees("#stands", "Waiting")
		lead.click("button.approve")
		reviewer.sees("#stands", "by lead@demo.example")
		if n := reviewer.count("button.approve, button.deny"); n != "0" {
			t.Errorf("%s buttons are left", n)
		}
		if status := reviewer.post(page+"/deny", "too late"); status != "409" {
			t.Errorf("the second decision: %s", status)
		}
		if a := d.gets(client); a.Status != 200 {
			t.Errorf("the client got %d %s", a.Status, a.Body)
		}
	})

	t.Run("own request", func(t *testing.T) {
		const sql = "SELECT employee, salary FROM finance.payroll LIMIT 1"
		d.ask("reviewer", sql)
		id := d.waiting(sql)
		reviewer.open(d.Console + "/requests/" + id)
		reviewer.sees("#whynot", "your own request")
		if n := reviewer.count("form.decide, button.approve, button.deny"); n != "0" {
			t.Errorf("%s buttons", n)
		}
		if status := reviewer.post(d.Console+"/requests/"+id+"/approve", "mine"); status != "403" {
			t.Errorf("forged approval: %s", status)
		}
		if again := d.waiting(sql); again != id {
			t.Errorf("it does not wait any more")
		}
		reviewer.look("own")
		// A page of another origin on this very host: the browser sends the cookie, and says where
		// the request comes from.
		lead := b.person("lead")
		lead.login(d.Console + "/requests/" + id)
		lead.sees("#stands", "Waiting")
		lead.open(d.Issuer + "/.well-known/openid-configuration")
		lead.script(`fetch("` + d.Console + `/requests/` + id + `/approve", {method: "POST", mode: "no-cors", credentials: "include", ` +
			`body: new URLSearchParams({reason: "csrf"})}).then(r => r.type, () => "no answer")`)
		if again := d.waiting(sql); again != id {
			t.Errorf("a page of another origin approved it")
		}
		lead.open(d.Console + "/requests/" + id)
		lead.sees("#stands", "Waiting")
		lead.click("form.me button")
		lead.sees("h1", "logged out")
		lead.open(d.Console + "/history")
		lead.sees("h1", "Log in to the demo")
	})

	t.Run("a query that hides", func(t *testing.T) {
		sql := "SELECT employee, '\u202eevil\u2066' AS `<img src=x onerror=alert(1)>` FROM finance.payroll -- " +
			"</code><script>alert(1)</script>\u200b"
		d.ask("agent", sql)
		reviewer.open(d.Console + "/requests/" + d.waiting(sql))
		reviewer.sees(".sql .hid", "U+202E")
		reviewer.sees(".sql .hid", "U+200B")
		reviewer.sees(".sql", "</code><script>alert(1)</script>")
		if n := reviewer.count("main img, main script"); n != "0" {
			t.Errorf("%s elements of the query's own", n)
		}
		reviewer.look("hidden")
	})

	t.Run("lists", func(t *testing.T) {
		for _, path := range []string{"history", "grants", "messages", "policies"} {
			reviewer.open(d.Console + "/" + path)
			reviewer.look(path)
		}
		reviewer.sees("main", "demo.yaml")
		reviewer.sees("main", "finance.payroll")
	})

	t.Run("a session ended by the operator", func(t *testing.T) {
		lead := b.person("lead")
		lead.login(d.Console + "/")
		lead.sees("#says", "decision")
		revoke := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "sessions", "revoke", "--config",
			filepath.Join(d.dir, "bqgate.yaml"), "--subject", d.Personas["lead"].Subject)
		if out, err := revoke.CombinedOutput(); err != nil {
			t.Fatalf("sessions revoke: %v\n%s", err, out)
		}
		lead.sees("#ended:not([hidden])", "Your session has ended")
		lead.open(d.Console + "/history")
		lead.sees("h1", "Log in to the demo")
	})

	t.Run("without a role", func(t *testing.T) {
		stranger := b.person("stranger")
		stranger.login(d.Console + "/")
		stranger.sees("h1", "no role")
		stranger.look("norole")
		if status := stranger.script(`fetch("/", {redirect: "manual"}).then(r => String(r.status))`); status != "403" {
			t.Errorf("status %s", status)
		}
	})
	d.got = append(d.got, b.pages...)
	d.searchCanaries()
}

// send is for goroutines: it touches nothing of the test.
func send(ctx context.Context, method, url, bearer string, body any) (answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return answer{}, err
	}
	if body == nil {
		r.Body, r.ContentLength = nil, 0
	} else {
		r.Header.Set("content-type", "application/json")
	}
	r.Header.Set("authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, all}, err
}
