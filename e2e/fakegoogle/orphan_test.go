package fakegoogle

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be run as a process that starts both engines and waits to be
// killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FAKEGOOGLE_ORPHANS"); dir != "" {
		ctx := context.Background()
		e, err := NewSQLEngine(ctx, dir+"/sqlengine", quiet())
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		em, err := NewEmulator(ctx, dir+"/bigquery-emulator", "demo", e, quiet())
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(e.PID(), em.PID())
		select {}
	}
	os.Exit(m.Run())
}

// The parent is killed with SIGKILL and can clean up nothing: both children must end all the same.
func TestChildrenDieWithTheirParent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	built(t, "sqlengine")
	dir, _ := binaries()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "FAKEGOOGLE_ORPHANS="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pids [2]int
	if _, err := fmt.Sscan(line, &pids[0], &pids[1]); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	deadline := time.Now().Add(30 * time.Second)
	for _, pid := range pids {
		for alive(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d outlived its parent", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// alive tells whether a process runs; one that waits to be reaped does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
