package envoy

import (
	"os/exec"
	"syscall"
)

// dieWithParent lets no Envoy outlive a supervisor that is killed: nobody would restart the
// services behind it.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
