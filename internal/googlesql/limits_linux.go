package googlesql

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

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

// niceStart is the nice value of a slow worker that starts.
const niceStart = 10

// behindAll has a process run only when nobody else wants a processor: SCHED_IDLE, which needs no
// rights. It holds for a thread and for those that it starts, so it is set for all until no new one
// shows. A process that only starts gets a tenth of its share, so that it does start.
func behindAll(pid int, starts bool) error {
	folder := "/proc/" + strconv.Itoa(pid) + "/task"
	done := map[string]bool{}
	for more := true; more; {
		more = false
		threads, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil || done[t.Name()] {
				continue
			}
			attributes := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
			if starts {
				attributes.Policy, attributes.Nice = unix.SCHED_NORMAL, niceStart
			}
			if err := unix.SchedSetAttr(id, &attributes, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			done[t.Name()], more = true, true
		}
	}
	if len(done) == 0 {
		return fs.ErrNotExist
	}
	return nil
}

// processor is how much of the processors a process has had, as far as the system tells.
func processor(pid int) (time.Duration, bool) {
	const sched = 2 // CPUCLOCK_SCHED: see clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil { //nolint:gosec // G115: a process id has 22 bits
		return 0, false
	}
	return time.Duration(t.Nano()), true
}
