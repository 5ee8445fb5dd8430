//go:build unix

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// processStart returns when the kernel started a process, in its own units; 0
// where that cannot be read.
func processStart(pid int) uint64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	i := bytes.LastIndexByte(b, ')') // the name before may hold anything
	f := bytes.Fields(b[i+1:])
	if len(f) < 20 || f[0][0] == 'Z' {
		return 0
	}
	n, _ := strconv.ParseUint(string(f[19]), 10, 64)
	return n
}

// processAlive reports whether the process runs that had this pid and start.
func processAlive(pid int, start uint64) bool {
	if pid <= 0 {
		return false
	}
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	now := processStart(pid)
	if _, err := os.Stat("/proc/self/stat"); err == nil && now == 0 {
		return false // a zombie, or gone meanwhile
	}
	return start == 0 || now == 0 || now == start
}

// detach makes a command outlive this process and its terminal.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// askToStop asks a broker to stop in order.
func askToStop(s *runState) error { return syscall.Kill(s.PID, syscall.SIGTERM) }

func hangUp(pid int) error    { return syscall.Kill(pid, syscall.SIGHUP) }
func forceKill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

var reloadSignals = []os.Signal{syscall.SIGHUP}

var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

// watchStopFile is for systems without signals.
func watchStopFile(string, func()) (stop func()) { return func() {} }

// openFilesLimit is how many files this process may have open at the same time. Go
// raises the soft limit to the hard one when a program starts.
func openFilesLimit() (n uint64, known bool) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, false
	}
	return uint64(l.Cur), true
}
