package audit

import "golang.org/x/sys/unix"

// Datasync waits until the data, and the size that is needed to read it, are on the disk.
func (f osFile) Datasync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}
