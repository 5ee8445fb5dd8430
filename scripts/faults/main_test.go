//go:build faults && linux

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const insideEnv = "FAULTS_INSIDE"

// TestMain runs the tests in namespaces of their own: processes, mounts, network. The
// kernel ends all processes and removes all mounts and links when the first one ends.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) == "" {
		os.Exit(enter())
	}
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "faults: the namespaces cannot be set up:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// enter runs this program again, inside.
func enter() int {
	runtime.LockOSThread() // Pdeathsig is about the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	case os.Getenv("FAULTS_SKIP") == "1":
		fmt.Fprintln(os.Stderr, "faults: skipped, namespaces cannot be made here:", err)
		return 0
	}
	fmt.Fprintln(os.Stderr, "faults: namespaces for processes, mounts and network cannot be made here:", err,
		"\nfaults: run it as root on Linux, or set FAULTS_SKIP=1 to leave it out")
	return 1
}

// furnish makes /proc and the folder of named network namespaces our own.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	const named = "/run/netns"
	if err := os.MkdirAll(named, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("netns", named, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", named, err)
	}
	return run("ip", "link", "set", "lo", "up")
}

// run runs a command; its error has what it said.
func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}
