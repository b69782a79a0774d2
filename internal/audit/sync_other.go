//go:build !linux

package audit

// Datasync waits until the file is on the disk.
func (f osFile) Datasync() error { return f.Sync() }
