package audit

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lock marks a file as being written, for as long as it is open. The kernel takes the lock away
// when the process ends, however it ends.
func lock(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// beingWritten says whether a process has the file open to write it.
func beingWritten(f *os.File) bool {
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}
