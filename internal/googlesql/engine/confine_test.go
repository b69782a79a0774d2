//go:build linux

package engine

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const confinedVar = "BQGATE_TEST_CONFINED"

// TestConfined runs this test again in a process of its own, which confines itself and then tries
// what an attacker in a worker would.
func TestConfined(t *testing.T) {
	if os.Getenv(confinedVar) == "" {
		command := exec.Command(os.Args[0], "-test.run=^TestConfined$", "-test.v")
		command.Env = append(os.Environ(), confinedVar+"=1")
		out, err := command.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "all of it was denied") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if taken := confine(); !slices.Equal(taken, []string{"no-new-privileges", "seccomp"}) {
		t.Skipf("all of it was denied: this system takes %q only", taken)
	}
	for what, try := range map[string]func() error{
		"read a file":       func() error { _, err := os.ReadFile("/etc/passwd"); return err },
		"write a file":      func() error { return os.WriteFile("/tmp/bqgate-confined", nil, 0o600) },
		"list a folder":     func() error { _, err := os.ReadDir("/"); return err },
		"remove a file":     func() error { return os.Remove("/tmp/bqgate-not-there") },
		"dial":              func() error { _, err := net.DialTimeout("tcp", "127.0.0.1:1", time.Second); return err },
		"dial a socket":     func() error { _, err := net.Dial("unix", "/tmp/bqgate-not-there"); return err },
		"listen":            func() error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err },
		"run a program":     func() error { return exec.Command("/bin/true").Run() },
		"signal the parent": func() error { return unix.Kill(os.Getppid(), 0) },
		"signal by thread":  func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) },
		"trace the parent":  func() error { return unix.PtraceAttach(os.Getppid()) },
		"lift a limit":      func() error { return unix.Prlimit(0, unix.RLIMIT_DATA, nil, &unix.Rlimit{}) },
		"leave name spaces": func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
	} {
		t.Run(what, func(t *testing.T) {
			// Go's threads are many: the filter must hold for each.
			errs := make(chan error)
			for range 4 {
				go func() { errs <- try() }()
			}
			for range 4 {
				if err := <-errs; err == nil || !strings.Contains(err.Error(), unix.EPERM.Error()) {
					t.Errorf("%s: %v, want %v", what, err, unix.EPERM)
				}
			}
		})
	}
	if !t.Failed() {
		fmt.Println("all of it was denied")
	}
}
