//go:build !linux

package zktest

import "syscall"

func endWithParent() *syscall.SysProcAttr { return nil }
