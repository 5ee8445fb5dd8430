package main

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopFile in the data folder asks the broker to stop: Windows has no signal for it.
const stopFile = "treadmq.stop"

// processStart is when a process began, which tells it from another that got its number later. 0 if unknown.
func processStart(pid int) uint64 {
	h, err := syscall.OpenProcess(syscall.PROCESS_QUERY_INFORMATION, false, uint32(pid))
	if err != nil {
		return 0
	}
	defer syscall.CloseHandle(h)
	var created, exited, kernel, user syscall.Filetime
	if err := syscall.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return 0
	}
	return uint64(created.Nanoseconds())
}

func processAlive(pid int, start uint64) bool {
	const stillActive = 259
	h, err := syscall.OpenProcess(syscall.PROCESS_QUERY_INFORMATION, false, uint32(pid))
	if err != nil {
		return false
	}
	defer syscall.CloseHandle(h)
	var code uint32
	if syscall.GetExitCodeProcess(h, &code) != nil || code != stillActive {
		return false
	}
	now := processStart(pid)
	return start == 0 || now == 0 || now == start
}

func detach(cmd *exec.Cmd) {
	const detached, newGroup = 0x8, 0x200
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: detached | newGroup}
}

// askToStop asks a broker to stop in order.
func askToStop(s *runState) error {
	return os.WriteFile(filepath.Join(s.Data, stopFile), nil, 0o644)
}

func hangUp(int) error {
	return errors.New("reload is not possible on Windows; restart the broker")
}

func forceKill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

var reloadSignals []os.Signal

var stopSignals = []os.Signal{os.Interrupt}

// watchStopFile calls fn when somebody puts the stop file into the data folder.
func watchStopFile(data string, fn func()) (stop func()) {
	path := filepath.Join(data, stopFile)
	os.Remove(path)
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if os.Remove(path) == nil {
					fn()
					return
				}
			}
		}
	}()
	return func() { close(done) }
}

// openFilesLimit is not known here: the system has none that matters.
func openFilesLimit() (n uint64, known bool) { return math.MaxUint32, true }
