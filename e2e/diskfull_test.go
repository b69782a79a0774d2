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

// smallDisk is a folder for a demo whose audit folder is on a disk of its own.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip(
			"only root can mount a small disk; extproc TestNoRecordNoAnswer, internal/audit TestReserve and TestUnfinished hold the parts",
		)
	}
	dir, err := os.MkdirTemp("", "bqgate-e2e")
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "audit")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, options+",mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return dir
}

// fill leaves so many bytes free on the disk of a folder, until the file that it returns is gone.
func fill(t *testing.T, dir string, leave int64) string {
	var free syscall.Statfs_t
	if err := syscall.Statfs(dir, &free); err != nil {
		t.Error(err)
		return ""
	}
	path := filepath.Join(dir, "filler")
	if err := os.WriteFile(path, make([]byte, int64(free.Bavail)*free.Bsize-leave), 0o600); err != nil {
		t.Error(err)
	}
	return path
}

func logOf(t *testing.T, d *demo, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// While the disk has less than the reserve, nothing new begins, and an answer that is on its way is
// recorded and arrives whole. It is over as soon as there is room, in the same process.
func TestDiskLow(t *testing.T) {
	dir := smallDisk(t, "size=128m") // of which 16 MiB are kept free
	d := startDemoIn(t, dir)
	d.healthy(t)
	held := d.call("POST", "/bigquery/v2/projects/demo/jobs", d.token("agent"), map[string]any{
		"jobReference":  map[string]any{"projectId": "demo", "jobId": "waits"},
		"configuration": map[string]any{"query": map[string]any{"query": "SELECT employee FROM finance.payroll", "useLegacySql": false}},
	})
	if held.Status != 200 {
		t.Fatalf("held: %d %s", held.Status, held.message())
	}
	pids := d.pidsOf(t, "bqgate")
	var filler string
	begun, filled := false, make(chan struct{})
	const query = "SELECT id, name, email FROM crm.customers -- fake:rows=60000\n-- fake:stall=1s"
	got, err := d.download(d.token("agent"), query, func(n int) bool {
		first := !begun && n > 0
		begun = begun || first
		return first
	}, func() { filler = fill(t, d.AuditDir, 12<<20); close(filled) })
	if err != nil || !json.Valid(got) {
		t.Errorf("the answer that was on its way: %d bytes, %v", len(got), err)
	}
	unmasked(t, d, got)
	<-filled
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		a := d.query("agent", "SELECT 1")
		if a.Status == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("below the reserve a query gets %d", a.Status)
		}
	}
	if a := d.call("GET", "/bigquery/v2/projects/demo/queries/waits?timeoutMs=0", d.token("agent"), nil); a.Status != 200 {
		t.Errorf("a poll of what was held before gets %d: %s", a.Status, a.message())
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	d.healthy(t)
	if now := d.pidsOf(t, "bqgate"); len(now) != 1 || now[0] != pids[0] {
		t.Errorf("the process was started again: %v, then %v", pids, now)
	}
}

// A31: the disk of the journal is full in the middle of an answer. The answer breaks off, its job
// is cancelled at BigQuery, no further query leaves for Google, and the process ends: the next one
// waits for room, begins by itself once there is some, and says of that answer that nobody knows
// how it ended.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "size=16m")
	d := startDemoIn(t, dir)
	d.healthy(t)
	pids := d.pidsOf(t, "bqgate")
	begun := false
	var filler string
	filled := make(chan struct{})
	got, err := d.download(d.token("agent"), longQuery, func(n int) bool {
		first := !begun && n > 0
		begun = begun || first
		return first
	}, func() { filler = fill(t, d.AuditDir, 64<<10); close(filled) })
	<-filled
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

	said := func(words string) bool { return bytes.Contains(logOf(t, d, "bqgate.log"), []byte(words)) }
	for deadline := time.Now().Add(15 * time.Second); !said("the start waits for room"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no next process says that it waits for room")
		}
	}
	if !said("the process ends, and must be started again") || !bytes.Contains(logOf(t, d, "demo.log"), []byte("exit status 74")) {
		t.Error("the log does not say that the process ended, or it did not end with 74")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	d.healthy(t)
	if now := d.pidsOf(t, "bqgate"); len(now) != 1 || now[0] == pids[0] {
		t.Errorf("the process is the same: %v, then %v", pids, now)
	}
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
