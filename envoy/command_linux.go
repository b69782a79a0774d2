package envoy

import (
	"os/exec"
	"syscall"
)

// raiseDescriptors raises the limit on file descriptors of this process and its children to what
// may be had without privileges, and says how many that is. Go raises it for itself alone.
func raiseDescriptors() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	l.Cur = l.Max
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return l.Cur
}

// dieWithParent lets no Envoy outlive a supervisor that is killed: nobody would restart the
// services behind it.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
