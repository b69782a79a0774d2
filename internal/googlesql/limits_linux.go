package googlesql

import (
	"fmt"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// start starts a worker: the kernel kills it when its parent dies, even while it is too busy to
// notice, and where the system allows it has no network and no rights outside of a user name space
// of its own. It says what it got: "namespaces" or nothing.
func start(command func() *exec.Cmd) (cmd *exec.Cmd, apart []string, err error) {
	// Files that a shell or a supervisor left open in this process are not passed on to workers. Go
	// closes its own.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil && err != unix.ENOSYS && err != unix.EINVAL {
		return nil, nil, fmt.Errorf("keeping files from a SQL worker: %w", err)
	}
	cmd = command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWIPC}
	if err = cmd.Start(); err == nil {
		return cmd, []string{"namespaces"}, nil
	}
	cmd = command() // containers often forbid name spaces
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, nil, cmd.Start()
}

// limit bounds a process that has not been asked anything yet: the data it may hold, no core dump,
// no file that it could write, few files at all. RLIMIT_DATA and not RLIMIT_AS: Go reserves much
// more address space than it uses.
func limit(pid int, memory int64) error {
	data := uint64(memory) //nolint:gosec // G115: a limit is positive
	for _, l := range []struct {
		what  int
		bound uint64
	}{{unix.RLIMIT_DATA, data}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_FSIZE, 0}, {unix.RLIMIT_NOFILE, 64}} {
		if err := unix.Prlimit(pid, l.what, &unix.Rlimit{Cur: l.bound, Max: l.bound}, nil); err != nil {
			return err
		}
	}
	return nil
}
