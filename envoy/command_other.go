//go:build !linux

package envoy

import "os/exec"

// raiseDescriptors does nothing outside Linux, and knows nothing.
func raiseDescriptors() uint64 { return 0 }

// dieWithParent has no counterpart outside Linux.
func dieWithParent(*exec.Cmd) {}
