//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/identity"
)

// TestRevokeSubject revokes an agent on a running gateway: its tokens, raw and exchanged, what
// waits for approval, its job that runs and the answer on its way end; others, and a token that the
// issuer gives it afterwards, are good (A51).
func TestRevokeSubject(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	const subject = "contractor@demo.example"
	mint := func(sub string) string {
		return d.mint(map[string]any{"subject": sub, "groups": []string{"ai-agents"}})
	}
	const small, payroll = "SELECT id FROM crm.orders ORDER BY id LIMIT 1", "SELECT employee FROM finance.payroll"
	raw, other := mint(subject), mint("colleague@demo.example")
	_, session, _, _ := d.exchanged(t, raw)
	insert := func(token, sql, id string) answer {
		return d.call("POST", jobsOfDemo, token, map[string]any{
			"jobReference":  map[string]any{"projectId": "demo", "jobId": id, "location": "US"},
			"configuration": map[string]any{"query": plain(sql)},
		})
	}
	if a := insert(raw, payroll, "held"); a.Status != 200 {
		t.Fatalf("held: %d %s", a.Status, a.message())
	}
	request := d.request(t, "reviewer", "held")["id"].(string)
	if a := insert(session, small+" -- fake:delay=10m", "running"); a.Status != 200 {
		t.Fatalf("running: %d %s", a.Status, a.message())
	}
	if a := insert(other, small+" -- fake:delay=10m", "of-another"); a.Status != 200 {
		t.Fatalf("another's: %d %s", a.Status, a.message())
	}
	way := make(chan answer, 1)
	go func() {
		ctx, cancel := contextTimeout(60 * time.Second)
		defer cancel()
		a, err := d.do(ctx, "POST", d.REST+queriesOfDemo, session, http.Header{"Content-Type": {"application/json"}},
			plain("SELECT id FROM crm.customers -- fake:rows=340000\n-- fake:stall=100s"))
		if err != nil {
			a.Status = -1
		}
		way <- a
	}()

	out, err := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "sessions", "revoke", "--config",
		filepath.Join(d.dir, "bqgate.yaml"), subject, "--reason", "contract ended", "--json").Output()
	if err != nil {
		t.Fatalf("sessions revoke: %v\n%s", err, out)
	}
	var told struct {
		Subjects []struct {
			identity.Revocation
			Gateways int              `json:"gateways"`
			Requests []string         `json:"requests"`
			Jobs     []audit.EndedJob `json:"jobs"`
			Failed   []string         `json:"failed"`
		}
	}
	if err := json.Unmarshal(out, &told); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	requests, states, gateways := []string{}, map[string]string{}, 0
	for _, s := range told.Subjects {
		gateways += s.Gateways
		requests = append(requests, s.Requests...)
		for _, j := range s.Jobs {
			states[j.JobID] = j.State
		}
	}
	if gateways == 0 || !slices.Contains(requests, request) || states["running"] != "cancelled" || states["of-another"] != "" {
		t.Errorf("the command says %s", out)
	}
	for name, a := range map[string]answer{
		"raw":          d.call("POST", queriesOfDemo, raw, plain(small)),
		"the session":  d.call("POST", queriesOfDemo, session, plain(small)),
		"the held job": d.call("GET", queriesOfDemo+"/held?location=US", raw, nil),
	} {
		if want := map[bool]int{true: 401, false: 403}[name == "the session"]; a.Status != want {
			t.Errorf("%s: %d %s", name, a.Status, a.message())
		}
	}
	if status, _, _, says := d.exchanged(t, raw); status != 400 || !strings.Contains(says, "is revoked") {
		t.Errorf("exchanged again: %d %s", status, says)
	}
	if a := d.console("reviewer", "GET", "/api/v1/requests/"+request, nil); a.json(t)["state"] != "cancelled" {
		t.Errorf("the request is %s", a.Body)
	}
	if got := d.cancels(); len(got) != 1 || !strings.Contains(got[0].Path, "/running/cancel") {
		t.Errorf("cancelled at BigQuery: %+v", got)
	}
	select {
	case a := <-way:
		if a.Status == 200 {
			t.Errorf("the answer on its way came whole: %d bytes", len(a.Body))
		}
	case <-time.After(20 * time.Second):
		t.Error("the answer on its way goes on")
	}
	if a := d.call("POST", queriesOfDemo, other, plain(small)); a.Status != 200 {
		t.Errorf("another agent: %d %s", a.Status, a.message())
	}
	// As much later as an issuer's clock may be ahead; `iat` has whole seconds.
	later := d.mint(map[string]any{"subject": subject, "groups": []string{"ai-agents"},
		"claims": map[string]any{"iat": told.Subjects[0].Cutoff().Unix() + 1}})
	comes(t, "the token of later is not from the future", func() (bool, string) {
		return time.Until(told.Subjects[0].At) < -2*time.Second, "too early"
	})
	if a := d.call("POST", queriesOfDemo, later, plain(small)); a.Status != 200 {
		t.Errorf("a token of a second later: %d %s", a.Status, a.message())
	}
	d.restart(t)
	if a := d.call("POST", queriesOfDemo, raw, plain(small)); a.Status != 403 {
		t.Errorf("after a restart: %d %s", a.Status, a.message())
	}
	if text := fmt.Sprint(string(d.sessions(t, "list"))); !strings.Contains(text, subject) || !strings.Contains(text, "contract ended") {
		t.Errorf("the list: %s", text)
	}
}
