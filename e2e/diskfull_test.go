//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A31: the disk of the journal is full in the middle of an answer. The answer breaks off, its job
// is cancelled at BigQuery, no further query leaves for Google, and once there is room and the
// gateway began again, the record says of that answer that nobody knows how it ended.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk; extproc TestNoRecordNoAnswer and internal/audit TestUnfinished hold the parts")
	}
	dir, err := os.MkdirTemp("", "bqgate-e2e")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	d := startDemoIn(t, dir)
	d.healthy(t)
	var free syscall.Statfs_t
	if err := syscall.Statfs(dir, &free); err != nil {
		t.Fatal(err)
	}
	filler := make([]byte, int64(free.Bavail)*free.Bsize-96<<10) // room for the decision and for the first pieces
	if err := os.WriteFile(filepath.Join(dir, "filler"), filler, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := d.download(d.token("agent"), longQuery, func(int) bool { return false }, nil)
	unmasked(t, d, got)
	brokenOff(t, "bqgate", syscall.SIGKILL, got, err)
	cancelled := func() bool {
		for _, a := range d.arrived() {
			if a.Service == "bigquery" && strings.HasSuffix(a.Path, "/cancel") {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(15 * time.Second); !cancelled(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the job of the broken answer was not cancelled")
		}
	}
	d.forget(t)
	if a := d.query("agent", "SELECT name FROM crm.customers"); a.Status != 503 {
		t.Errorf("without a journal a query gets %d: %s", a.Status, a.message())
	}
	for _, a := range d.arrived() {
		if a.Service == "bigquery" && strings.Contains(a.Body, "customers") {
			t.Errorf("without a journal %s %s left", a.Method, a.Path)
		}
	}

	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	for _, pid := range d.pidsOf(t, "bqgate") {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	d.healthy(t)
	unknown := func() bool {
		out, _ := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "audit", "list",
			"--dir", d.AuditDir, "--key-file", d.AuditKeyFile, "--json").Output() // it exits 1: the full disk tore a record
		for _, line := range bytes.Split(out, []byte("\n")) {
			var e struct {
				SQL, Outcome string
			}
			if json.Unmarshal(line, &e) == nil && e.SQL == longQuery && e.Outcome == "unknown" {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(15 * time.Second); !unknown(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the broken answer's outcome is not told as unknown")
		}
	}
}
