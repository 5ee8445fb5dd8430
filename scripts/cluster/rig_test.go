//go:build cluster

// Whole-process tests of what an operator and a client see of a replicated group.
//
//	make cluster-test
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"treadmq/scripts/internal/brokerproc"
	"treadmq/scripts/internal/group"
)

const (
	patience = 60 * time.Second // ends a test that hangs; nothing is measured by it
	pause    = 10 * time.Millisecond
)

var binary string // of treadmq

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "treadmq-cluster-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if binary, err = brokerproc.Build(dir, os.Getenv("BROKER_RACE") != ""); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// rig is a group with a user admin.
type rig struct {
	*group.Group
	t        *testing.T
	opt      group.Options
	password string // file
}

func newRig(t *testing.T, set ...string) *rig {
	t.Helper()
	dir := t.TempDir()
	realm, _, err := users(binary, dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, opt: group.Options{Binary: binary, Dir: dir, Realm: realm, Set: set}, password: filepath.Join(dir, "admin.password")}
	if r.Group, err = group.Start(t.Context(), r.opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Stop()
		if t.Failed() {
			t.Log(r.Logs())
		}
	})
	return r
}

// outcome is how a command ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// command is a treadmq command that talks to the group.
func (r *rig) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "TREADMQ_URL="+r.URL("?initialReconnectDelay=20&maxReconnectDelay=200"),
		"TREADMQ_USER=admin", "TREADMQ_PASSWORD_FILE="+r.password)
	return cmd
}

func (r *rig) run(args ...string) outcome {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := r.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		r.t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// at runs a command at a member's console.
func (r *rig) at(m *group.Member, args ...string) outcome {
	r.t.Helper()
	return r.run(append(args, "--console", m.Console)...)
}

func (o outcome) want(t *testing.T, code int) outcome {
	t.Helper()
	if o.code != code {
		t.Fatalf("exit code %d instead of %d\n%s%s", o.code, code, o.stdout, o.stderr)
	}
	return o
}

// status is what a member says of the group.
type status struct {
	Role, Master, Why string
	Epoch             uint64
	Replicas, Quorum  int
	Alarms            []string
	Members           []struct {
		ID, Name, Role string
		Voter, Present bool
		Lag            *uint64
	}
}

func (r *rig) status(m *group.Member) (s status) {
	r.t.Helper()
	o := r.at(m, "cluster", "status", "-o", "json")
	if err := json.Unmarshal([]byte(o.stdout), &s); err != nil {
		r.t.Fatalf("%v: %s %s", err, o.stdout, o.stderr)
	}
	return s
}

func (s *status) role(name string) string {
	for _, m := range s.Members {
		if m.Name == name {
			return m.Role
		}
	}
	return "unknown"
}

func (r *rig) master() *group.Member {
	r.t.Helper()
	m, err := r.Master(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *rig) others(m *group.Member) (list []*group.Member) {
	for _, o := range r.Members {
		if o != m {
			list = append(list, o)
		}
	}
	return list
}

func (r *rig) await(m *group.Member, role string) {
	r.t.Helper()
	if _, err := m.Await(r.t.Context(), role); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) start(m *group.Member) {
	r.t.Helper()
	if err := m.Start(); err != nil {
		r.t.Fatal(err)
	}
}

// eventually waits until fn says yes.
func eventually(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !fn(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s", what)
		}
	}
}

// open reports whether somebody listens at an address.
func open(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// lookup finds a program.
func lookup(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: run scripts/deps.sh clients", err)
	}
	return path
}

// lines are those of a text that are not empty.
func lines(text string) []string { return strings.Fields(text) }
