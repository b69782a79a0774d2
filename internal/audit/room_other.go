//go:build !linux

package audit

import "math"

// freeOn cannot tell here: a disk that is full shows itself when a write fails.
func freeOn(string) (Free, error) {
	return Free{Bytes: math.MaxInt64, Total: math.MaxInt64, Files: -1}, nil
}
