//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
)

// Redis is emptied, and its messages are planted with other types. A plain query by a raw token
// runs on; what waited is gone, and one command opens approvals again, without a restart.
func TestOneCommandOpensApprovalsAgain(t *testing.T) {
	d := startDemo(t)
	d.healthy(t)
	client := redis.NewClient(&redis.Options{Addr: d.redis})
	t.Cleanup(func() { client.Close() })
	ctx := context.Background()
	reopen := func(args ...string) (approvals.Finding, error) {
		cmd := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"),
			append([]string{"approvals", "reopen", "--config", filepath.Join(d.dir, "bqgate.yaml"), "--json"}, args...)...)
		out, err := cmd.Output()
		var f approvals.Finding
		if jerr := json.Unmarshal(out, &f); jerr != nil {
			t.Fatalf("reopen %v: %v, %v, %s", args, err, jerr, out)
		}
		return f, err
	}
	plain := func(when string) {
		t.Helper()
		if a := d.query("agent", "SELECT 1"); a.Status != 200 {
			t.Errorf("%s: a plain query: %d %s", when, a.Status, a.message())
		}
	}
	for name, harm := range map[string]func() error{
		"emptied": func() error { return client.FlushAll(ctx).Err() },
		"other types": func() error {
			client.Del(ctx, "bqgate:{approvals}:ledger", "bqgate:{approvals}:head")
			client.Set(ctx, "bqgate:{approvals}:ledger", "x", 0)
			return client.RPush(ctx, "bqgate:{approvals}:head", "x").Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			job := d.hold(t, "agent", payroll+" -- lost "+name)
			if err := harm(); err != nil {
				t.Fatal(err)
			}
			plain("lost")
			if a := d.query("agent", payroll+" -- closed "+name); a.Status != 403 ||
				!strings.Contains(a.message(), "approvals are closed") {
				t.Errorf("a query that needs approval: %d %s", a.Status, a.message())
			}
			found, err := reopen()
			if err == nil || found.Open || found.Acknowledge == 0 || found.Why == "" {
				t.Fatalf("found %+v, %v", found, err)
			}
			found, err = reopen("--acknowledge", strconv.FormatInt(found.Acknowledge, 10), "--reason", "a test")
			if err != nil || !found.Open {
				t.Fatalf("opened: %+v, %v", found, err)
			}
			opened := time.Now()
			for {
				a := d.query("agent", payroll+" -- open "+name)
				if a.Status == 200 {
					break
				}
				if time.Since(opened) > 5*time.Second {
					t.Fatalf("%s after the command: %d %s", time.Since(opened), a.Status, a.message())
				}
				time.Sleep(100 * time.Millisecond)
			}
			t.Logf("open %s after the command; of the held query that was there before: %d", time.Since(opened).Round(time.Millisecond),
				d.call("GET", "/bigquery/v2/projects/demo/queries/"+job+"?timeoutMs=0", d.token("agent"), nil).Status)
			plain("open")
			if r := d.decideOn(t, "reviewer", "open "+name, "deny", map[string]any{"reason": "a test"}); r["state"] != "denied" {
				t.Errorf("decided: %v", r["state"])
			}
		})
	}
	d.searchCanaries()
}
