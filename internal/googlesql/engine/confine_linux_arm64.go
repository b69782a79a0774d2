package engine

import "golang.org/x/sys/unix"

const arch = unix.AUDIT_ARCH_AARCH64

// deniedHere are calls that only this architecture has.
var deniedHere = []uint32{unix.SYS_RENAMEAT, unix.SYS_ACCEPT}
