//go:build !linux

package googlesql

import (
	"errors"
	"syscall"
)

func isolation() *syscall.SysProcAttr { return nil }

// limitMemory fails: without a limit one statement could take the machine's memory.
func limitMemory(int, int64) error {
	return errors.New("SQL workers need Linux, where their memory can be limited")
}
