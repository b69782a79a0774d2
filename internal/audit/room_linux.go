package audit

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeOn is what the disk of a path has.
func freeOn(path string) (Free, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Free{}, fmt.Errorf("statfs %s: %w", path, err)
	}
	f := Free{Bytes: int64(s.Bavail) * s.Frsize, Total: int64(s.Blocks) * s.Frsize, Files: -1} //nolint:gosec // G115: sizes of disks
	if s.Files > 0 {
		f.Files = int64(s.Ffree) //nolint:gosec // G115: a number of files
	}
	return f, nil
}
