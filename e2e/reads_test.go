//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A17: a job ran, and its pages are read later. What was clear when it ran is masked once the
// policy says so; what may not be read any more is not read; and a session that was revoked reads
// nothing.
func TestReadsAreDecidedOnAgain(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../policies/examples/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "demo.yaml")
	write := func(policy string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text))
	d := startDemo(t, "--policy", file)
	session := d.exchange(t, "analyst")
	base := "/bigquery/v2/projects/demo/queries"
	run := func(sql string) string {
		t.Helper()
		a := d.call("POST", base, session, map[string]any{"query": sql, "useLegacySql": false, "maxResults": 2})
		if a.Status != 200 || len(a.rows(t)) != 2 {
			t.Fatalf("first page: status %d %s", a.Status, a.message())
		}
		return base + "/" + a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	}
	readable, masked := run("SELECT id, status FROM crm.orders ORDER BY id"), run("SELECT id, name FROM crm.customers ORDER BY id")
	page := func(path string) answer { return d.call("GET", path+"?startIndex=2&maxResults=2", session, nil) }
	if a := page(readable); a.Status != 200 || strings.HasPrefix(fmt.Sprint(a.rows(t)[0][1]), "XXXXX") {
		t.Fatalf("second page: status %d %s", a.Status, a.Body)
	}

	write(strings.Replace(string(text), "columns:\n", "columns:\n  - {match: demo.crm.orders.status, mask: DEFAULT_MASKING_VALUE}\n  - "+
		"{match: demo.crm.orders.*, clear: true}\n", 1))
	d.restart(t)
	if a := page(readable); a.Status != 200 || a.rows(t)[0][1] != "" {
		t.Errorf("a column that became sensitive: status %d %s", a.Status, a.Body)
	}
	if a := page(masked); a.Status != 200 || len(a.rows(t)) != 2 {
		t.Errorf("a result that the change does not touch: status %d %s", a.Status, a.message())
	}

	write(strings.Replace(string(text), "read: [demo.crm.*]\n", "read: [demo.crm.customers]\n", 1))
	d.restart(t)
	if a := page(readable); a.Status != 403 || bytes.Contains(a.Body, []byte(`"rows"`)) {
		t.Errorf("a table that may not be read any more: status %d %s", a.Status, a.Body)
	}
	if a := page(masked); a.Status != 200 {
		t.Errorf("a table that still may be read: status %d %s", a.Status, a.message())
	}

	revoke := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "sessions", "revoke", "--config",
		filepath.Join(d.dir, "bqgate.yaml"), "--subject", d.Personas["analyst"].Subject, "--reason", "test")
	if out, err := revoke.CombinedOutput(); err != nil {
		t.Fatalf("sessions revoke: %v\n%s", err, out)
	}
	if a := page(masked); a.Status != 401 || bytes.Contains(a.Body, []byte(`"rows"`)) {
		t.Errorf("a revoked session: status %d %s", a.Status, a.Body)
	}
	d.searchCanaries()
}

// exchange makes a gateway session of a persona's token, as stock clients do (RFC 8693).
func (d *demo) exchange(t *testing.T, persona string) string {
	t.Helper()
	resp, err := http.PostForm(d.TokenURL, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {d.token(persona)},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {"bqgate"},
		"scope": {"https://www.googleapis.com/auth/bigquery"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.AccessToken == "" {
		t.Fatalf("token exchange: status %d, %v", resp.StatusCode, err)
	}
	return out.AccessToken
}

// restart kills the gateway, whom the demo starts again, and waits until it serves.
func (d *demo) restart(t *testing.T) {
	t.Helper()
	before := d.pidsOf(t, "bqgate")[0]
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); d.pidsOf(t, "bqgate")[0] == before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the gateway was not started again")
		}
	}
	d.healthy(t)
}
