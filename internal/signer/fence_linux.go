package signer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// socket is the child's end of the pair.
const socket = 3

// Main is the child: it is to be called by the hidden command that is named Command, and returns
// when the parent has gone.
func Main() error {
	// Before anything is read. What a crash would print of registers goes nowhere: there is no
	// standard error.
	debug.SetTraceback("none")
	letGo()
	f := &fence{}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err == nil {
		f.up.Undumpable = true
	}
	conn := os.NewFile(socket, "parent")
	if conn == nil {
		return errors.New("it is started by bqgate serve, not by hand")
	}
	if _, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return errors.New("it is started by bqgate serve, not by hand")
	}
	c := &child{lines: newLines(conn), now: time.Now}
	return c.serve(context.Background(), f)
}

// letGo closes what was open in the program that started serve, and was left to every child.
func letGo() {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, entry := range list {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= socket {
			continue
		}
		if to, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && !runtimes(to) {
			_ = unix.Close(fd) // it is closed, whatever it says
		}
	}
}

// runtimes says whether a descriptor is of Go's runtime: its poller, and how much processor there
// is.
func runtimes(to string) bool {
	return strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/sys/fs/cgroup/")
}

// fence puts up what keeps the key in the process, and remembers what stands.
type fence struct {
	up    Fences
	lacks []string
}

// private keeps the process's memory from others, and from the disk. It must stand before the key
// is opened.
func (f *fence) private() error {
	if !f.up.Undumpable {
		return errors.New("the kernel does not make the process undumpable (PR_SET_DUMPABLE)")
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid cores (RLIMIT_CORE): %w", err)
	}
	f.up.NoCore = true
	return f.lock()
}

// lock keeps all memory out of swap. Where the process may not, a machine without swap will do.
func (f *fence) lock() error {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil {
		limit.Cur = limit.Max
		_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit) // mlockall says whether it is enough
	}
	// On fault: the program reserves far more than it ever touches.
	failed := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	if failed == nil {
		f.up.Locked = true
		return nil
	}
	text, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return fmt.Errorf("keep the key out of swap: lock memory: %w; and whether there is swap cannot be seen: %w", failed, err)
	}
	if len(strings.Split(strings.TrimSpace(string(text)), "\n")) > 1 { // the first line is a heading
		return fmt.Errorf("keep the key out of swap: lock memory: %w: let the process lock memory "+
			"(LimitMEMLOCK=infinity of systemd, or the capability IPC_LOCK), or turn swap off on this machine", failed)
	}
	f.up.Swap = "none"
	f.lacks = append(f.lacks, "memory is not locked (mlockall: "+failed.Error()+"); the machine has no swap now")
	return nil
}
