package signer

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// extent is what a confined process may still do beside computing and using what is open.
type extent int

const (
	withNothing extent = iota
	withFiles          // open and read files: an age identity
)

// needed are the system calls of Go's runtime, and those that use an open socket. What is not here
// fails with EPERM: socket, connect, open, execve, ptrace, prctl and whatever is not known yet.
var needed = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE,
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_RESTART_SYSCALL,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MPROTECT, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_TGKILL,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM,
	unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_EVENTFD2,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_SETITIMER,
	unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// forFiles is what opening and reading a file needs beside that.
var forFiles = []uint32{
	unix.SYS_OPENAT, unix.SYS_FSTAT, unix.SYS_FCNTL, unix.SYS_READLINKAT, unix.SYS_LSEEK, unix.SYS_PREAD64, unix.SYS_EPOLL_CREATE1,
	unix.SYS_SECCOMP, unix.SYS_PRCTL, unix.SYS_SHUTDOWN, unix.SYS_GETSOCKOPT, // to confine further
}

// Of struct seccomp_data: where the call's number, its architecture and its first argument are
// (linux/seccomp.h).
const (
	atNumber       = 0
	atArchitecture = 4
	atArgument     = 16
)

// confine has the kernel refuse what the process does not need, in all its threads, and for good.
// Connections that are still open end.
func (f *fence) confine(to extent) error {
	allowed := needed
	if to == withFiles {
		allowed = append(append([]uint32{}, needed...), forFiles...)
	}
	if to == withNothing {
		hangUp()
	}
	program, err := filter(allowed)
	if err != nil {
		return fmt.Errorf("confine the process: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("confine the process (no_new_privs): %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]} //nolint:gosec // some fifty instructions
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&fprog))) //nolint:gosec // seccomp(2) has no wrapper
	runtime.KeepAlive(program)
	switch {
	case errno != 0:
		return fmt.Errorf("confine the process (seccomp): %w", errno)
	case thread != 0:
		return fmt.Errorf("confine the process (seccomp): thread %d cannot be confined", thread)
	}
	f.up.Confined = to == withNothing
	return nil
}

// hangUp ends every connection but the one to the parent: of a KMS that was asked, say.
func hangUp() {
	var limit unix.Rlimit
	most := 1024
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur < uint64(most) {
		most = int(limit.Cur) //nolint:gosec // below 1024
	}
	for fd := range most {
		if fd == socket {
			continue
		}
		if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR) // it is over already
		}
	}
}

// filter is a program of classic BPF: the allowed calls pass, a thread may be made, and everything
// else fails with EPERM. Another architecture's calls have other numbers and kill the process.
func filter(allowed []uint32) ([]unix.SockFilter, error) {
	architecture, ok := architectures[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("the system calls of %s are not known", runtime.GOARCH)
	}
	const thread = unix.CLONE_THREAD | unix.CLONE_VM
	code := []bpf.Instruction{
		bpf.LoadAbsolute{Off: atArchitecture, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: atNumber, Size: 4},
		// The C library makes threads by clone3, whose flags cannot be seen, and by clone where
		// there is none.
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE3, SkipFalse: 1},
		bpf.RetConstant{Val: unknown},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE, SkipFalse: 4},
		bpf.LoadAbsolute{Off: atArgument, Size: 4}, // the flags are in the lower half
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: thread},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: thread, SkipTrue: uint8(len(allowed) + 2)}, //nolint:gosec // some fifty
		bpf.RetConstant{Val: refused},
	}
	for i, call := range allowed {
		code = append(code, bpf.JumpIf{Cond: bpf.JumpEqual, Val: call, SkipTrue: uint8(len(allowed) - i)}) //nolint:gosec // some fifty
	}
	code = append(code, bpf.RetConstant{Val: refused}, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
	raw, err := bpf.Assemble(code)
	if err != nil {
		return nil, err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		program[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return program, nil
}

// What a call that is not allowed, or said to be unknown, answers.
const (
	refused = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	unknown = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS)
)

// architectures are the AUDIT_ARCH_ numbers (linux/audit.h).
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}
