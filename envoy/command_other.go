//go:build !linux

package envoy

import "os/exec"

// dieWithParent has no counterpart outside Linux.
func dieWithParent(*exec.Cmd) {}
