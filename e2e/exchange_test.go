//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// One OIDC token is one session, however often it is exchanged.
func TestOneTokenIsOneSession(t *testing.T) {
	d := startDemo(t)
	t.Run("stock Python near the end of a token", func(t *testing.T) { nearTheEnd(t, d) })
	t.Run("parallel", func(t *testing.T) { exchangedAtOnce(t, d) })
	t.Run("revoked", func(t *testing.T) { exchangedAfterRevocation(t, d) })
	d.searchCanaries()
}

// brief is a token of the agent's persona that ends soon.
func (d *demo) brief(id string, seconds int) string {
	p := d.Personas["agent"]
	return d.mint(map[string]any{"subject": p.Subject, "groups": p.Groups, "ttl_seconds": seconds, "claims": map[string]any{"jti": id}})
}

func (d *demo) sessions(t *testing.T, args ...string) []byte {
	t.Helper()
	args = append([]string{"sessions", args[0], "--config", filepath.Join(d.dir, "bqgate.yaml")}, args[1:]...)
	var errs bytes.Buffer
	c := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), args...)
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, errs.Bytes())
	}
	return out
}

// liveSessions are the ids of the sessions of the agent.
func (d *demo) liveSessions(t *testing.T) (ids []string) {
	t.Helper()
	var list struct {
		Sessions []struct{ ID string }
	}
	if err := json.Unmarshal(d.sessions(t, "list", "--subject", d.Personas["agent"].Subject), &list); err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Sessions {
		ids = append(ids, s.ID)
	}
	return ids
}

// google-auth asks for a new token when its own has less than 225 s left (REFRESH_THRESHOLD), so
// with a token that ends sooner it does so before every request.
func nearTheEnd(t *testing.T, d *demo) {
	var adc map[string]any
	if err := json.Unmarshal([]byte(d.read(d.Personas["agent"].ADCFile)), &adc); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(d.dir, "brief.jwt")
	if err := os.WriteFile(token, []byte(d.brief("near the end", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	adc["credential_source"] = map[string]any{"file": token}
	text, err := json.Marshal(adc)
	if err != nil {
		t.Fatal(err)
	}
	p := d.Personas["agent"]
	p.ADCFile = filepath.Join(d.dir, "brief.json")
	if err := os.WriteFile(p.ADCFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Personas["brief"] = p
	before := d.exchanges(t)
	out := d.script(t, "brief", `
for i in range(300):
    rows = list(client.query_and_wait("SELECT id, ssn FROM crm.customers WHERE id = %d" % (i % 20 + 1)))
    assert len(rows) == 1, i
print("done")`)
	if strings.TrimSpace(out) != "done" {
		t.Errorf("%s", out)
	}
	if n := d.exchanges(t) - before; n < 300 {
		t.Errorf("the client exchanged its token %d times: this is not the case that was meant", n)
	}
	if ids := d.liveSessions(t); len(ids) != 1 {
		t.Errorf("%d sessions, want 1", len(ids))
	}
}

// exchanges counts what the gateway's log has of exchanges that went well.
func (d *demo) exchanges(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, "bqgate.log"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("session given again")) + bytes.Count(text, []byte("session opened"))
}

func exchangedAtOnce(t *testing.T, d *demo) {
	token := d.brief("at once", 600)
	got := make([]string, 64)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			status, access, left, says := d.exchanged(t, token)
			if status != 200 || left < 590 || left > 600 {
				t.Errorf("exchange %d: status %d, expires_in %d: %s", i, status, left, says)
			}
			got[i] = access
		})
	}
	wg.Wait()
	for i, access := range got {
		if access != got[0] {
			t.Fatalf("exchange %d got another session", i)
		}
	}
	if a := d.call("POST", queriesOfDemo, got[0], plain("SELECT id FROM crm.customers")); a.Status != 200 {
		t.Errorf("status %d %s", a.Status, a.message())
	}
}

// A51: who was revoked comes back with the same token, by each of its ways, also after a restart
// and with everything put back into Redis.
func exchangedAfterRevocation(t *testing.T, d *demo) {
	token := d.brief("revoked", 600)
	before := d.liveSessions(t)
	_, access, _, _ := d.exchanged(t, token)
	var id string
	for _, one := range d.liveSessions(t) {
		if !strings.Contains(fmt.Sprint(before), one) {
			id = one
		}
	}
	client := redis.NewClient(&redis.Options{Addr: d.redis})
	defer client.Close()
	kept := map[string]string{}
	for _, pattern := range []string{"bqgate:session:*", "bqgate:subject-token:*"} {
		for _, key := range client.Keys(t.Context(), pattern).Val() {
			kept[key] = client.Get(t.Context(), key).Val()
		}
	}
	d.sessions(t, "revoke", id, "--reason", "test")
	refused := func(when string) {
		t.Helper()
		if status, _, _, says := d.exchanged(t, token); status != 400 || !strings.Contains(says, "revoked") {
			t.Errorf("%s, exchanged: status %d %s", when, status, says)
		}
		if a := d.call("POST", queriesOfDemo, access, plain("SELECT id FROM crm.customers")); a.Status != 401 {
			t.Errorf("%s, the session: status %d %s", when, a.Status, a.message())
		}
	}
	refused("at once")
	if len(kept) < 2 {
		t.Fatalf("Redis holds %d entries of sessions and tokens", len(kept))
	}
	for key, value := range kept {
		if err := client.Set(t.Context(), key, value, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	d.restart(t)
	refused("put back and restarted")
	if a := d.call("POST", queriesOfDemo, token, plain("SELECT id FROM crm.customers")); a.Status != 403 ||
		!strings.Contains(a.message(), "revoked") {
		t.Errorf("the token itself: status %d %s", a.Status, a.message())
	}
	if status, _, _, says := d.exchanged(t, d.brief("new", 600)); status != 200 {
		t.Errorf("a new token: status %d %s", status, says)
	}
}
