package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// runFile is written into the data folder when the broker is ready, and removed
// when it stops in order: it tells the other commands where the broker is.
const runFile = "treadmq.run"

// runState is the content of the run file.
type runState struct {
	PID     int      `json:"pid"`
	Start   uint64   `json:"start,omitempty"` // the kernel's start time of the process, so that a reused pid is not taken for it
	Version string   `json:"version"`
	Data    string   `json:"data"`
	Stomp   []string `json:"stomp"`
	Console string   `json:"console,omitempty"`
	// Replication is the address of a group member's replication port. It takes clients on Stomp while it is master.
	Replication string `json:"replication,omitempty"`
	// Warnings are what somebody should change soon, in words.
	Warnings []string `json:"warnings,omitempty"`
}

func (s *runState) path() string { return filepath.Join(s.Data, runFile) }

func (s *runState) write() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := s.path() + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, s.path())
}

// print says what a person wants to know first, one line each.
func (s *runState) print(w *os.File) {
	for _, a := range s.Stomp {
		if s.Replication != "" {
			a += " (while this member is master)"
		}
		fmt.Fprintf(w, "stomp    %s\n", a)
	}
	if s.Console != "" {
		fmt.Fprintf(w, "console  %s\n", s.Console)
	}
	if s.Replication != "" {
		fmt.Fprintf(w, "members  %s\n", s.Replication)
	}
	fmt.Fprintf(w, "data     %s\n", s.Data)
	fmt.Fprintf(w, "pid      %d\n", s.PID)
	for _, text := range s.Warnings {
		fmt.Fprintf(w, "warning  %s\n", text)
	}
}

// readRunState returns the run file of a data folder and whether its process
// lives. fs.ErrNotExist: there is none.
func readRunState(data string) (*runState, bool, error) {
	b, err := os.ReadFile(filepath.Join(data, runFile))
	if err != nil {
		return nil, false, err
	}
	s := &runState{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, false, fmt.Errorf("%s is damaged (%w); if no broker runs on this folder, delete it", filepath.Join(data, runFile), err)
	}
	if s.Data, err = filepath.Abs(data); err != nil { // the folder may have been moved since
		return nil, false, err
	}
	return s, processAlive(s.PID, s.Start), nil
}

// readyURL is the console's answer to whether clients are taken.
func (s *runState) readyURL() string {
	u, err := url.Parse(s.Console)
	if err != nil {
		return s.Console
	}
	return u.Scheme + "://" + u.Host + "/readyz"
}

func noRunFile(err error) bool { return errors.Is(err, fs.ErrNotExist) }
