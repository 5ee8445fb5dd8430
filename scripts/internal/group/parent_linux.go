package group

import "syscall"

// endWithParent makes the kernel end a member whose starter was killed. Ctrl-C at the
// terminal is for the starter alone, which then ends its members in order.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
