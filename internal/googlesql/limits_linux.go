package googlesql

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// isolation makes the kernel kill a worker whose parent dies, even while it is too busy to notice.
func isolation() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// limitMemory bounds the data of a process that has not been asked anything yet. RLIMIT_DATA and not RLIMIT_AS: Go reserves much more
// address space than it uses.
func limitMemory(pid int, bytes int64) error {
	return unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)}, nil)
}
