//go:build e2e

package e2e

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A second `bqgate serve` of the same configuration exits 1 and says who holds the sockets,
// `--check` says that the configuration is fine, and neither is felt by the gateway that runs.
func TestSecondServe(t *testing.T) {
	d := startDemo(t)
	binary := filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo")
	configuration := filepath.Join(d.dir, "bqgate.yaml")
	asks := func() {
		t.Helper()
		if a := d.query("agent", "SELECT name FROM crm.customers LIMIT 1"); a.Status != 200 {
			t.Fatalf("the first gateway answers %d: %s", a.Status, a.Body)
		}
	}
	asks()
	out, err := exec.Command(binary, "serve", "--config", configuration).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "another bqgate serves from it (process ") {
		t.Errorf("a second gateway: %v\n%s", err, out)
	}
	asks()
	if out, err := exec.Command(binary, "serve", "--config", configuration, "--check").CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "is fine") {
		t.Errorf("--check: %v\n%s", err, out)
	}
	asks()
}
