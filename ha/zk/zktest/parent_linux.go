package zktest

import "syscall"

// endWithParent makes the kernel end a server whose test was killed. Ctrl-C at the
// terminal is for the starter alone.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
