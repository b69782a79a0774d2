//go:build !linux

package audit

import "os"

func lock(*os.File) error { return nil }

// beingWritten cannot be told here: each file that is not closed counts as left behind.
func beingWritten(*os.File) bool { return false }
