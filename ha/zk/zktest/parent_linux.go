package zktest

import "syscall"

// endWithParent makes the kernel end a server whose test was killed.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
