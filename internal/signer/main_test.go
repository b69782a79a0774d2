package signer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bqgate/bqgate/internal/wrapping"
)

// The test binary is also what a Signer starts, and what tests need beside it.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case Command:
		if Main() != nil {
			os.Exit(1)
		}
	case "hold":
		hold(os.Args[2], os.Args[3], os.Args[4])
	case "pry":
		pry(os.Args[2])
	case "struggle":
		struggle(os.Args[2])
	default:
		os.Exit(m.Run())
	}
}

// hold is a process that has a Signer, as serve does: it signs, says which process does, and stays.
func hold(file, keyID, identity string) {
	s, err := Start(context.Background(), Config{File: file, KeyID: keyID, Wrap: wrapping.Config{URI: identity}})
	if err == nil {
		_, err = s.Sign(context.Background(), ScopeBigQuery, 10*time.Minute)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	pid, _ := s.PID()
	fmt.Println(pid)
	_, _ = os.Stdin.Read(make([]byte, 1))
	s.Close()
}

// pry is a process of the same user that wants to see into another one.
func pry(pid string) {
	n, err := strconv.Atoi(pid)
	if err != nil {
		os.Exit(2)
	}
	for _, name := range []string{"mem", "environ", "maps", "fd"} {
		f, err := os.Open("/proc/" + pid + "/" + name)
		if err == nil && name == "fd" {
			_, err = f.Readdirnames(-1)
		}
		fmt.Println(name, err == nil)
	}
	fmt.Println("ptrace", syscall.PtraceAttach(n) == nil)
}

// struggle is a confined process that wants out.
func struggle(how string) {
	f := &fence{}
	to := withNothing
	if how == "files" {
		to = withFiles
	}
	if err := f.confine(to); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	can := func(what string, err error) { fmt.Println(what, err == nil) }
	done := make(chan struct{})
	go func() { // of another thread, maybe
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		can("socket", err)
		_, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		can("unix socket", err)
		close(done)
	}()
	<-done
	_, err := os.ReadFile("/proc/self/status")
	can("file", err)
	can("program", exec.Command("/bin/true").Run())
	can("ptrace", syscall.PtraceAttach(os.Getppid()))
	if to == withNothing {
		can("dumpable", unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	}
	_, err = unix.Dup(1)
	can("a call that is not needed", err)
	for range 50 { // and what it may do works: memory, threads, timers
		go time.Sleep(time.Millisecond)
	}
	time.Sleep(5 * time.Millisecond)
	fmt.Println("work", len(make([]byte, 64<<20)) > 0)
}
