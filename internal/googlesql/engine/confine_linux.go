package engine

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The worker needs three pipes, memory, threads and clocks. Everything by which it could reach
// further is denied once it runs, since the engine has no bounds checks: a file, the network,
// another program, another process, a name space. What is denied fails with EPERM.
var denied = append([]uint32{
	unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_MEMFD_CREATE,
	unix.SYS_UNLINKAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_FCHMODAT,
	unix.SYS_FCHOWNAT,
	unix.SYS_TRUNCATE, unix.SYS_CHDIR, unix.SYS_FCHDIR, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT, unix.SYS_MOUNT, unix.SYS_UMOUNT2,
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_SENDTO,
	unix.SYS_SENDMSG,
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV,
	unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL,
	unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP,
	unix.SYS_ADD_KEY, unix.SYS_KEYCTL, unix.SYS_REQUEST_KEY, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_KEXEC_LOAD,
	unix.SYS_REBOOT,
	unix.SYS_SHMGET, unix.SYS_MSGGET, unix.SYS_SEMGET, unix.SYS_MQ_OPEN, unix.SYS_INOTIFY_INIT1, unix.SYS_FANOTIFY_INIT, unix.SYS_PRLIMIT64,
}, deniedHere...)

// confine takes from the process what it does not need any more, as far as the system allows, and
// says what it took: "no-new-privileges", "seccomp".
func confine() (taken []string) {
	runtime.LockOSThread() // the first step holds for this thread only; the second brings it to all others
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil
	}
	taken = append(taken, "no-new-privileges")
	if err := filterCalls(); err != nil {
		return taken
	}
	return append(taken, "seccomp")
}

// Offsets in struct seccomp_data.
const (
	dataCall = 0
	dataArch = 4
	dataArg0 = 16 // low half, on little-endian machines
)

func filterCalls() error {
	if arch == 0 {
		return fmt.Errorf("no filter for %s", runtime.GOARCH)
	}
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	jump := func(kind uint16, k uint32, yes, no int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | kind | unix.BPF_K, K: k, Jt: uint8(yes), Jf: uint8(no)}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	n := len(denied)
	program := []unix.SockFilter{
		load(dataArch),
		jump(unix.BPF_JEQ, arch, 1, 0),
		answer(unix.SECCOMP_RET_KILL_PROCESS),
		load(dataCall),
		jump(unix.BPF_JGE, 0x40000000, n+3, 0), // calls of another convention under the same architecture
		jump(unix.BPF_JEQ, unix.SYS_TGKILL, n+3, 0),
	}
	for i, call := range denied {
		program = append(program, jump(unix.BPF_JEQ, call, n-i, 0))
	}
	program = append(program,
		answer(unix.SECCOMP_RET_ALLOW),
		answer(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)),
		load(dataArg0), // the run-time signals its own threads
		jump(unix.BPF_JEQ, uint32(os.Getpid()), 0, 1),
		answer(unix.SECCOMP_RET_ALLOW),
		answer(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)),
	)
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	thread, _, err := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&filter)))
	runtime.KeepAlive(program)
	if err != 0 || thread != 0 {
		return fmt.Errorf("seccomp: thread %d: %w", thread, err)
	}
	return nil
}
