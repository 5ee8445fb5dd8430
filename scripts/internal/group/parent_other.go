//go:build !linux

package group

import "syscall"

func endWithParent() *syscall.SysProcAttr { return nil }
