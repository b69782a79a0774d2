//go:build !linux

package googlesql

import (
	"errors"
	"os/exec"
	"time"
)

func start(command func() *exec.Cmd) (*exec.Cmd, []string, error) {
	cmd := command()
	return cmd, nil, cmd.Start()
}

// limit fails: without a limit one statement could take the machine's memory.
func limit(int, int64) error {
	return errors.New("SQL workers need Linux, where their memory can be limited")
}

func behindAll(int, bool) error { return nil }

func processor(int) (time.Duration, bool) { return 0, false }
