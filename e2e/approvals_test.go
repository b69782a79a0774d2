//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// approvalsPolicy is the demo's policy with approvals that stand, expire at once, and need two
// groups.
func approvalsPolicy(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repoRoot(t), "policies", "examples", "demo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	policy := string(text)
	change := func(before, after string) {
		t.Helper()
		if strings.Count(policy, before) != 1 {
			t.Fatalf("the demo's policy has %q %d times", before, strings.Count(policy, before))
		}
		policy = strings.Replace(policy, before, after, 1)
	}
	change("    when: tables.exists(t, t.high_value)\n    reviewers: [data-owners]\n    quorum: 1\n    expires: 2h\n",
		"    when: tables.exists(t, t.high_value)\n    reviewers: [data-owners]\n    expires: 2h\n    standing: {max_uses: 5, max_hours: "+
			"8}\n"+
			"  - name: orders\n    when: tables.exists(t, t.table == \"orders\")\n    all_of: [data-owners, leads]\n")
	change("  - name: big-scans\n", "  - name: brief\n    when: tables.exists(t, t.table == \"customers\")\n    groups: [analysts]\n    "+
		"reviewers: [data-owners]\n    expires: 2s\n  - name: big-scans\n")
	change("    read: [demo.crm.*, demo.finance.*]\n    for: 1h\n",
		"    read: [demo.crm.*, demo.finance.*]\n    for: 1h\n    max_bytes: 2GiB\n")
	change("  data-owners:\n    issuer: demo\n",
		"  leads:\n    issuer: demo\n    when: claims.sub == \"lead@demo.example\"\n  data-owners:\n    issuer: demo\n")
	path := filepath.Join(t.TempDir(), "demo.yaml")
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// approvalsGateway lets two polls wait at once, and tells of every request.
func approvalsGateway(t *testing.T, hook *receiver) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`approvals: {max_waiting: 2}
notifications:
  allow: [127.0.0.0/8]
  targets:
    - {name: hook, type: webhook, url: %q, secret_file: hook.secret, events: [requested, approved, denied, cancelled, used, revoked]}
    - {name: slack, type: slack, url: %q}
    - {name: gone, type: slack, url: %q}
    - {name: metadata, type: webhook, url: "https://169.254.169.254/latest", secret_file: hook.secret}
`, hook.URL+"/hook", hook.URL+"/slack", hook.URL+"/gone")
	for name, text := range map[string]string{"gateway.yaml": text,
		"hook.secret": "whsec_" + base64.StdEncoding.EncodeToString(hook.secret)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "gateway.yaml")
}

// Waiting for people: expiry, withdrawal, restarts, a pipeline that does not wait, approvals that
// stand, and who is told. Attacks on them are in approvals_attacks_test.go.
func TestApprovals(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	d := startDemo(t, "--policy", approvalsPolicy(t), "--gateway", approvalsGateway(t, hook))
	t.Run("python expired", func(t *testing.T) { pythonEnds(t, d, "analyst", "SELECT id FROM crm.customers", "", "expired") })
	t.Run("python cancelled", func(t *testing.T) {
		pythonEnds(t, d, "agent", "SELECT id, payload FROM crm.events -- withdrawn", "job.cancel()", "cancelled")
	})
	t.Run("no wait", func(t *testing.T) { noWait(t, d) })
	t.Run("standing", func(t *testing.T) { standingGrant(t, d) })
	t.Run("two groups", func(t *testing.T) { twoGroups(t, d) })
	t.Run("over the cap", func(t *testing.T) { overTheCap(t, d) })
	t.Run("duplicates", func(t *testing.T) { duplicates(t, d) })
	t.Run("too many polls", func(t *testing.T) { tooManyPolls(t, d) })
	t.Run("command line", func(t *testing.T) { commandLine(t, d) })
	t.Run("restarts", func(t *testing.T) { restarts(t, d, hook) })
	t.Run("A9 release", func(t *testing.T) { attackRelease(t, d) })
	t.Run("A22 told", func(t *testing.T) { told(t, d, hook) })
	t.Run("A11 Redis", func(t *testing.T) { attackRedis(t, d) }) // the last: it ends with a Redis that has lost everything
	d.searchCanaries()
}

// pythonEnds runs a query that is held and never approved. What then does; the client says how it
// ended.
func pythonEnds(t *testing.T, d *demo, persona, sql, then, says string) {
	out := d.script(t, persona, fmt.Sprintf(`
from google.api_core import exceptions
job = client.query(%q)
%s
try:
    print(len(list(job.result())))
except exceptions.GoogleAPICallError as e: # Forbidden; BigQuery's "stopped" has no exception of its own
    print(type(e).__name__, str(e))`, sql, then))
	if !strings.Contains(out, says) || !strings.Contains(out, "bqgate: ") {
		t.Errorf("the client printed %q, want it to say %q", out, says)
	}
	list := d.console("reviewer", "GET", "/api/v1/requests?state="+says, nil).json(t)["requests"].([]any)
	if !slices.ContainsFunc(list, func(r any) bool { return r.(map[string]any)["sql"] == sql }) {
		t.Errorf("no request in state %s: %v", says, list)
	}
}

// decideOn decides on the one pending request whose SQL holds a text.
func (d *demo) decideOn(t *testing.T, persona, text, verb string, body map[string]any) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, r := range d.console(persona, "GET", "/api/v1/requests?state=pending", nil).json(t)["requests"].([]any) {
			if m := r.(map[string]any); strings.Contains(m["sql"].(string), text) {
				a := d.console(persona, "POST", "/api/v1/requests/"+m["id"].(string)+"/"+verb, body)
				if a.Status != 200 {
					t.Fatalf("%s: status %d %s", verb, a.Status, a.Body)
				}
				return a.json(t)
			}
		}
	}
	t.Fatalf("no pending request with %q", text)
	return nil
}

// A pipeline that cannot wait is told where its request is, and runs at the next try after the
// approval, once. The label does not go upstream.
func noWait(t *testing.T, d *demo) {
	const sql = "SELECT employee FROM finance.payroll -- no wait"
	out := d.script(t, "agent", fmt.Sprintf(`
from google.api_core import exceptions
try:
    client.query_and_wait(%q, job_config=bigquery.QueryJobConfig(labels={"bqgate_wait": "no"}))
except exceptions.Forbidden as e:
    print(str(e))`, sql))
	if !strings.Contains(out, "Request r-") || !strings.Contains(out, d.Console+"/requests/r-") {
		t.Fatalf("first try: %q", out)
	}
	query := map[string]any{"query": sql, "useLegacySql": false, "labels": map[string]any{"bqgate_wait": "no"}}
	insert := map[string]any{"configuration": map[string]any{"query": map[string]any{"query": sql, "useLegacySql": false},
		"labels": map[string]any{"bqgate_wait": "no"}}}
	before := len(d.rowRequests())
	for path, body := range map[string]any{"queries": query, "jobs": insert} { // the same question in the other form is the same request
		if a := d.call("POST", "/bigquery/v2/projects/demo/"+path, d.token("agent"), body); a.Status != 403 ||
			!strings.Contains(out, requestID.FindString(a.message())) {
			t.Fatalf("second try, %s: status %d %s", path, a.Status, a.message())
		}
	}
	r := d.decideOn(t, "reviewer", "no wait", "approve", map[string]any{"reason": "go on"})
	a := d.call("POST", "/bigquery/v2/projects/demo/jobs", d.token("agent"), insert)
	if a.Status != 200 {
		t.Fatalf("after the approval: status %d %s", a.Status, a.message())
	}
	if a = d.poll(t, d.token("agent"), a.json(t)["jobReference"].(map[string]any)["jobId"].(string)); a.Status != 200 ||
		len(a.rows(t)) < 20 {
		t.Fatalf("after the approval: status %d %s", a.Status, a.message())
	}
	if a := d.console("reviewer", "GET", "/api/v1/requests/"+r["id"].(string), nil); a.json(t)["state"] != "used" {
		t.Errorf("the approval is %s", a.Body)
	}
	if a := d.call("POST", "/bigquery/v2/projects/demo/queries", d.token("agent"), query); a.Status != 403 ||
		strings.Contains(a.message(), r["id"].(string)) {
		t.Errorf("a second run on one approval: status %d %s", a.Status, a.message())
	}
	for _, r := range d.rowRequests()[before:] {
		if strings.Contains(r.Body, "bqgate_wait") {
			t.Errorf("the label went upstream: %s", r.Body)
		}
	}
}

var requestID = regexp.MustCompile(`r-[0-9A-HJKMNP-TV-Z]{26}`)

// An approval for three runs: the job that waited, and one more. Everybody concerned sees how often
// it ran; revoked, it is worth nothing.
func standingGrant(t *testing.T, d *demo) {
	sql := "SELECT employee FROM finance.payroll -- standing"
	first := d.hold(t, "agent", sql)
	grant := d.decideOn(t, "reviewer", "standing", "approve", map[string]any{"reason": "this week", "uses": 3, "hours": 2})
	for _, id := range []string{first, d.hold(t, "agent", sql)} {
		if a := d.poll(t, d.token("agent"), id); a.Status != 200 || len(a.rows(t)) < 20 {
			t.Fatalf("run: status %d %s", a.Status, a.message())
		}
	}
	grants := d.console("lead", "GET", "/api/v1/grants?state=live", nil).json(t)["grants"].([]any)
	var found map[string]any
	for _, g := range grants {
		if m := g.(map[string]any); m["id"] == grant["id"] {
			found = m
		}
	}
	if found == nil || found["uses"] != float64(3) || found["used"] != float64(2) {
		t.Fatalf("grants %v", grants)
	}
	revoke := func(persona string) int {
		return d.console(persona, "POST", "/api/v1/grants/"+grant["id"].(string)+"/revoke", map[string]any{"reason": "no more"}).Status
	}
	if status := revoke("analyst"); status != 403 && status != 404 {
		t.Errorf("revoked by somebody without a part in it: status %d", status)
	}
	if status := revoke("lead"); status != 200 {
		t.Errorf("revoke: status %d", status)
	}
	if status := revoke("reviewer"); status != 409 {
		t.Errorf("revoked twice: status %d", status)
	}
	third := d.hold(t, "agent", sql)
	if a := d.call("GET", "/bigquery/v2/projects/demo/queries/"+third+"?timeoutMs=300", d.token("agent"),
		nil); a.json(t)["jobComplete"] != false {
		t.Fatalf("a run on a revoked approval: %s", a.Body)
	}
}

func twoGroups(t *testing.T, d *demo) {
	id := d.hold(t, "agent", "SELECT COUNT(*) FROM crm.orders -- two groups")
	if r := d.decideOn(t, "reviewer", "two groups", "approve", map[string]any{"reason": "one"}); r["state"] != "pending" {
		t.Fatalf("one of two groups is enough: %v", r["state"])
	}
	if a := d.call("GET", "/bigquery/v2/projects/demo/queries/"+id+"?timeoutMs=200", d.token("agent"),
		nil); a.json(t)["jobComplete"] != false {
		t.Fatalf("ran on one of two: %s", a.Body)
	}
	if r := d.decideOn(t, "lead", "two groups", "approve", map[string]any{"reason": "two"}); r["state"] != "approved" {
		t.Fatalf("both groups approved: %v", r["state"])
	}
	if a := d.poll(t, d.token("agent"), id); a.Status != 200 {
		t.Fatalf("status %d %s", a.Status, a.message())
	}
}

// overTheCap: a query over the rule's max_bytes and the cost threshold is held, not failed;
// approved, it runs under the client's job id, and BigQuery is told what was approved.
func overTheCap(t *testing.T, d *demo) {
	const id = "over_the_cap"
	insert := map[string]any{
		"jobReference":  map[string]any{"projectId": "demo", "jobId": id, "location": "US"},
		"configuration": map[string]any{"query": map[string]any{"query": "SELECT id, payload FROM crm.events", "useLegacySql": false}},
	}
	if a := d.call("POST", "/bigquery/v2/projects/demo/jobs", d.token("agent"), insert); a.Status != 200 ||
		a.json(t)["status"].(map[string]any)["state"] != "PENDING" {
		t.Fatalf("insert: status %d %s", a.Status, a.message())
	}
	r := d.request(t, "reviewer", id)
	if r["estimated_bytes"] != float64(5<<30) || r["estimated_cost"].(float64) <= 0 || r["currency"] != "USD" {
		t.Errorf("estimate %v, %v %v", r["estimated_bytes"], r["estimated_cost"], r["currency"])
	}
	before := len(d.rowRequests())
	if a := d.console("reviewer", "POST", "/api/v1/requests/"+r["id"].(string)+"/approve",
		map[string]any{"reason": "quarter end"}); a.Status != 200 {
		t.Fatalf("approve: status %d %s", a.Status, a.Body)
	}
	if a := d.poll(t, d.token("agent"), id); a.Status != 200 || len(a.rows(t)) < 20 {
		t.Fatalf("status %d %s", a.Status, a.message())
	}
	var bodies []string
	for _, u := range d.rowRequests()[before:] {
		if u.Method == "POST" {
			bodies = append(bodies, u.Body)
		}
	}
	if len(bodies) != 1 {
		t.Fatalf("%d queries went upstream", len(bodies))
	}
	var sent struct {
		JobReference  struct{ JobID string }
		Configuration struct {
			Query struct{ MaximumBytesBilled string }
		}
	}
	if err := json.Unmarshal([]byte(bodies[0]), &sent); err != nil {
		t.Fatal(err)
	}
	most, err := strconv.ParseInt(sent.Configuration.Query.MaximumBytesBilled, 10, 64)
	if err != nil || most < 5<<30+10<<20 || most > 6<<30 || float64(most) != r["maximum_bytes_billed"] || sent.JobReference.JobID != id {
		t.Errorf("upstream got %s; the reviewer saw a limit of %v", bodies[0], r["maximum_bytes_billed"])
	}
}

// The client's own job id is taken once, held or not; the same requestId finds the same job, for
// the same client and the same query alone.
func duplicates(t *testing.T, d *demo) {
	insert := func(id, sql string) answer {
		return d.call("POST", "/bigquery/v2/projects/demo/jobs", d.token("agent"), map[string]any{
			"jobReference":  map[string]any{"projectId": "demo", "jobId": id, "location": "US"},
			"configuration": map[string]any{"query": map[string]any{"query": sql, "useLegacySql": false}},
		})
	}
	if a := insert("held_twice", payroll+" -- twice"); a.Status != 200 || a.json(t)["status"].(map[string]any)["state"] != "PENDING" {
		t.Fatalf("insert: status %d %s", a.Status, a.Body)
	}
	if a := insert("ran_first", "SELECT id FROM crm.orders_missing UNION ALL SELECT 1"); a.Status != 403 {
		t.Fatalf("refused: status %d", a.Status)
	}
	if a := insert("ran_first", "SELECT name FROM crm.customers"); a.Status != 200 {
		t.Fatalf("a refused job leaves its id: status %d %s", a.Status, a.message())
	}
	for _, c := range [][2]string{{"held_twice", payroll + " -- twice"}, {"held_twice", payroll},
		{"held_twice", "SELECT name FROM crm.customers"}, {"ran_first", payroll}} {
		if a := insert(c[0], c[1]); a.Status != 409 || !strings.HasPrefix(a.message(), "duplicate: ") {
			t.Errorf("%s again, with %s: status %d %s", c[0], c[1], a.Status, a.message())
		}
	}
	query := func(persona, sql string) answer {
		return d.call("POST", "/bigquery/v2/projects/demo/queries", d.token(persona),
			map[string]any{"query": sql, "useLegacySql": false, "requestId": "0b0f7c9e-0000-4000-8000-000000000001"})
	}
	job := func(a answer) any { return a.json(t)["jobReference"].(map[string]any)["jobId"] }
	first := query("agent", payroll+" -- idempotent")
	if again := query("agent", payroll+" -- idempotent"); job(first) != job(again) {
		t.Errorf("one requestId made the jobs %v and %v", job(first), job(again))
	}
	if other := query("lead", payroll+" -- idempotent"); job(first) == job(other) {
		t.Errorf("somebody else's requestId found the job %v", job(other))
	}
	if a := query("agent", payroll+" -- another"); a.Status != 409 {
		t.Errorf("one requestId for another query: status %d %s", a.Status, a.message())
	}
}

// Two polls wait; the third is answered at once, and what the others wait for still comes.
func tooManyPolls(t *testing.T, d *demo) {
	id := d.hold(t, "agent", payroll+" -- polls")
	url, token := d.REST+"/bigquery/v2/projects/demo/queries/"+id+"?timeoutMs=15000", d.token("agent")
	waits := make(chan answer, 2)
	for range 2 {
		go func() {
			ctx, cancel := contextTimeout(60 * time.Second)
			defer cancel()
			a, err := send(ctx, "GET", url, token, nil)
			if err != nil {
				a.Body = []byte(err.Error())
			}
			waits <- a
		}()
	}
	time.Sleep(2 * time.Second)
	begin := time.Now()
	if a := d.call("GET", strings.TrimPrefix(url, d.REST), token, nil); a.Status != 200 || a.json(t)["jobComplete"] != false ||
		time.Since(begin) > 8*time.Second {
		t.Errorf("above the cap: status %d after %s: %s", a.Status, time.Since(begin), a.Body)
	}
	if len(waits) != 0 {
		t.Errorf("a poll below the cap was answered at once: %s", (<-waits).Body)
	}
	d.decideOn(t, "reviewer", "polls", "deny", map[string]any{"reason": "not now"})
	for range 2 {
		if a := d.gets(waits); a.Status != 403 || !strings.Contains(a.message(), "not now") {
			t.Errorf("a poll that waited: status %d %s", a.Status, a.Body)
		}
	}
}

// A reviewer in a terminal: watch, list, show, deny, approve for two runs, see the grant, take it
// back.
func commandLine(t *testing.T, d *demo) {
	args := func(persona, verb string, more ...string) []string {
		return append([]string{"approvals", verb, "--console", d.Console, "--token-file", d.Personas[persona].ConsoleTokenFile}, more...)
	}
	binary := filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo")
	as := func(code int, persona, verb string, more ...string) string {
		t.Helper()
		out, err := exec.Command(binary, args(persona, verb, more...)...).CombinedOutput()
		d.got = append(d.got, out)
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() != code || err != nil && exit == nil || err == nil && code != 0 {
			t.Errorf("approvals %s: %v, want exit code %d\n%s", verb, err, code, out)
		}
		return string(out)
	}
	says := func(out string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("%q does not say %q", out, w)
			}
		}
	}
	watch := exec.Command(binary, args("lead", "watch", "--every", "200ms")...)
	var seen bytes.Buffer
	watch.Stdout = &seen
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	id := d.hold(t, "agent", payroll+" -- terminal")
	r := d.request(t, "lead", id)["id"].(string)
	says(as(0, "reviewer", "list"), r, `"state": "pending"`)
	says(as(0, "reviewer", "show", r), "-- terminal", `"sensitive_columns"`, `"rule": "demo/payroll"`)
	says(as(1, "agent", "approve", r, "--reason", "mine"), "own")
	says(as(0, "reviewer", "approve", r, "--reason", "this week", "--uses", "2", "--hours", "3"), `"state": "approved"`)
	if a := d.poll(t, d.token("agent"), id); a.Status != 200 {
		t.Fatalf("status %d %s", a.Status, a.message())
	}
	says(as(0, "lead", "grants"), r, `"uses": 2`, `"used": 1`)
	says(as(0, "lead", "revoke", r, "--reason", "enough"), `"state": "revoked"`)
	says(as(1, "lead", "deny", r, "--reason", "late"), "bqgate: ")
	time.Sleep(500 * time.Millisecond)
	watch.Process.Signal(os.Interrupt)
	if err := watch.Wait(); err != nil {
		t.Errorf("watch: %v", err)
	}
	d.got = append(d.got, seen.Bytes())
	says(seen.String(), r)
	var states []string
	for _, line := range strings.Split(strings.TrimSpace(seen.String()), "\n") {
		var w struct{ ID, State string }
		if err := json.Unmarshal([]byte(line), &w); err != nil {
			t.Fatalf("watch printed %q: %v", line, err)
		}
		if w.ID == r && !slices.Contains(states, w.State) {
			states = append(states, w.State)
		}
	}
	if len(states) < 2 || states[0] != "pending" {
		t.Errorf("watch saw the request in the states %v", states)
	}
}

// The client dies and comes back under its job id; the gateway and Envoy are killed while it waits.
// It waits on, is approved, and gets its rows. A message that could not be delivered before the
// gateway died is delivered after.
func restarts(t *testing.T, d *demo, hook *receiver) {
	hook.fail(true)
	job := strings.TrimSpace(d.script(t, "agent", `print(client.query("SELECT employee FROM finance.payroll -- restarts").job_id)`))
	request := d.request(t, "reviewer", job)["id"].(string)
	hook.until(t, "a failed delivery", func() bool { return hook.failed(request) })
	waiting := exec.Command(filepath.Join(repoRoot(t), "build", "venv", "bin", "python"), "-c", prelude+`
print("waiting", flush=True)
print("rows", len(list(client.get_job(sys.argv[1], location="US").result())))`, job)
	waiting.Env = append(os.Environ(), "GOOGLE_APPLICATION_CREDENTIALS="+d.Personas["agent"].ADCFile, "GOOGLE_CLOUD_PROJECT="+d.Project,
		"BQGATE_REST="+d.REST)
	var errs bytes.Buffer
	waiting.Stderr = &errs
	out, err := waiting.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	defer waiting.Process.Kill()
	first := make([]byte, len("waiting\n"))
	if _, err := io.ReadFull(out, first); err != nil {
		t.Fatalf("%v\n%s", err, errs.Bytes())
	}
	for _, part := range []string{"bqgate", "envoy"} {
		time.Sleep(300 * time.Millisecond)
		before := d.pidsOf(t, part)[0]
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(60 * time.Second); d.pidsOf(t, part)[0] == before && time.Now().Before(deadline); {
			time.Sleep(50 * time.Millisecond)
		}
		d.healthy(t)
	}
	hook.fail(false)
	d.decideOn(t, "reviewer", "restarts", "approve", map[string]any{"reason": "still fine"})
	killer := time.AfterFunc(60*time.Second, func() { waiting.Process.Kill() })
	defer killer.Stop()
	rest, err := io.ReadAll(out)
	if err == nil {
		err = waiting.Wait()
	}
	d.got = append(d.got, rest, errs.Bytes())
	if err != nil || !strings.HasPrefix(string(rest), "rows 2") {
		t.Errorf("after the restarts the client printed %q, %v\n%s", rest, err, tail(errs.Bytes(), 2000))
	}
	hook.until(t, "the message of before the restart", func() bool { return hook.got(request, "request.requested") })
}
