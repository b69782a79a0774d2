package signer

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// start starts a child with one end of a pair of sockets, and returns it with the other end. The
// calling goroutine must keep its thread until the child has ended: the kernel ends a child with
// the thread that made it.
func start(command []string) (*exec.Cmd, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	if err := unix.SetNonblock(pair[0], true); err != nil { // so that reading has a deadline
		return nil, nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "signer"), os.NewFile(uintptr(pair[1]), "parent")
	defer theirs.Close()
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec // this very program
	if command[0] == itself {
		cmd.Args[0] = os.Args[0] // what people see in a list of processes
	}
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{theirs}
	// Of its own process group: Ctrl-C is for serve, which still needs it while it drains.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("start the signer: %w", err)
	}
	return cmd, ours, nil
}
