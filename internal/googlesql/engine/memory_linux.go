package engine

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// letGo gives back the pages of the program itself that starting the engine has touched: the worker
// uses a small part of them from here on, and those come back one by one. Kernels that keep the
// program's file in pages of 2 MB would bring back all of it, and would count it to each worker; so
// these are turned off. It is for the memory only: where the system does not allow it the worker is
// larger.
func letGo() {
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(maps); lines.Scan(); { // "from-to mode offset device inode path"
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[5] != program || strings.Contains(f[1], "w") { // nothing that was written may be lost
			continue
		}
		low, high, _ := strings.Cut(f[0], "-")
		from, err := strconv.ParseUint(low, 16, 64)
		to, err2 := strconv.ParseUint(high, 16, 64)
		if err != nil || err2 != nil || from >= to {
			return
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED)
	}
}
