package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// Bounds of waiting for a broker to come up or go down.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 60 * time.Second
	pollInterval = 50 * time.Millisecond
)

func newStartCommand() *cobra.Command {
	f := &serverFlags{}
	cmd := &cobra.Command{
		Use: "start", Short: "Start the broker in the background and wait until it is ready",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return start(f) },
	}
	f.register(cmd)
	return cmd
}

func start(f *serverFlags) error {
	cfg, err := f.load()
	if err != nil {
		return err
	}
	if s, alive, err := readRunState(cfg.Data); err == nil && alive {
		return exitError(1, "a broker runs on %s already, as process %d; stop it first or give another --data", s.Data, s.PID)
	}
	if err := os.MkdirAll(cfg.Data, 0o755); err != nil {
		return exitError(73, "the data folder cannot be made: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"console"}, f.args()...)
	if cfg.Log.File == "" {
		args = append(args, "--set", "log.file="+filepath.Join(cfg.Data, "treadmq.log"))
	}
	outName := filepath.Join(cfg.Data, "treadmq.out")
	out, err := os.OpenFile(outName, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return exitError(73, "the start's output cannot be kept: %v", err)
	}
	defer out.Close()
	child := exec.Command(self, args...)
	child.Stdout, child.Stderr = out, out
	detach(child)
	if err := child.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	deadline := time.After(startTimeout)
	for {
		select {
		case err := <-ended:
			said, _ := os.ReadFile(outName)
			code := 1
			if x := (*exec.ExitError)(nil); errors.As(err, &x) && x.ExitCode() > 0 {
				code = x.ExitCode()
			}
			return exitError(code, "the broker did not start:\n%s", said)
		case <-deadline:
			return exitError(75, "the broker (process %d) is not ready after %s; it goes on starting, see %s", child.Process.Pid, startTimeout, outName)
		case <-time.After(pollInterval):
		}
		if s, alive, err := readRunState(cfg.Data); err == nil && alive && s.PID == child.Process.Pid {
			if said, err := os.ReadFile(outName); err == nil {
				os.Stdout.Write(said)
				out.Truncate(0) // it may hold a generated password
			}
			return nil
		}
	}
}

// running returns the broker of a data folder, or an error that says there is none.
func running(f *serverFlags) (*runState, error) {
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	s, alive, err := readRunState(cfg.Data)
	switch {
	case noRunFile(err):
		return nil, exitError(statusStopped, "no broker runs on %s", absolute(cfg.Data))
	case err != nil:
		return nil, err
	case !alive:
		return s, exitError(statusDead, "the broker on %s (process %d) is dead; start repairs what it left", absolute(cfg.Data), s.PID)
	}
	return s, nil
}

func newStopCommand() *cobra.Command {
	return simpleDaemonCommand("stop", "Stop the broker in order and wait until it is gone", func(f *serverFlags) error {
		return stop(f)
	})
}

// stop succeeds when nothing runs: that is what was asked for.
func stop(f *serverFlags) error {
	s, err := running(f)
	if code := exitCode(err); err != nil && (code == statusStopped || code == statusDead) {
		fmt.Fprintf(os.Stderr, "treadmq: %v\n", err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := askToStop(s); err != nil {
		return exitError(77, "process %d cannot be stopped: %v", s.PID, err)
	}
	return awaitEnd(s, stopTimeout)
}

func awaitEnd(s *runState, limit time.Duration) error {
	for deadline := time.Now().Add(limit); processAlive(s.PID, s.Start); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			return exitError(75, "process %d has not ended after %s; `treadmq kill` ends it at once, nothing acknowledged is lost by that", s.PID, limit)
		}
	}
	return nil
}

func newKillCommand() *cobra.Command {
	return simpleDaemonCommand("kill", "End the broker's process at once; nothing acknowledged is lost", func(f *serverFlags) error {
		s, err := running(f)
		if err != nil {
			return err
		}
		if err := forceKill(s.PID); err != nil {
			return exitError(77, "process %d cannot be killed: %v", s.PID, err)
		}
		return awaitEnd(s, stopTimeout)
	})
}

func newReloadCommand() *cobra.Command {
	return simpleDaemonCommand("reload", "Read policies, users and certificates again", func(f *serverFlags) error {
		s, err := running(f)
		if err != nil {
			return err
		}
		return hangUp(s.PID)
	})
}

func newRestartCommand() *cobra.Command {
	return simpleDaemonCommand("restart", "Stop the broker if it runs, and start it", func(f *serverFlags) error {
		if err := stop(f); err != nil {
			return err
		}
		return start(f)
	})
}

func simpleDaemonCommand(use, short string, run func(*serverFlags) error) *cobra.Command {
	f := &serverFlags{}
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return run(f) }}
	f.register(cmd)
	return cmd
}
