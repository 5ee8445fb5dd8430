package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Forwards, mirrored queues and limits of durable subscriptions come from the
// configuration, and from a new one while the broker runs.
func TestForwardsOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "treadmq.toml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte("anonymous = true\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	received := func(p *serverProcess, queue, body string) {
		t.Helper()
		if o := p.client("recv", queue, "-n", "1").want(t, 0); !strings.Contains(o.stdout, body) {
			t.Errorf("received %q, want %q", o.stdout, body)
		}
	}
	write(`[[forward]]
queue = "in"
to = ["queue://small"]
selector = "size < 10"
[[policy]]
queue = "mirrored"
mirrorTo = "in."
[[forward]]
topic = "in.*"
to = ["queue://mirror"]
`)
	p := serve(t, dir, nil, "--config", "treadmq.toml")
	p.client("send", "in", "--body", "dropped", "-H", "size:50").want(t, 0)
	p.client("send", "in", "--body", "kept", "-H", "size:5").want(t, 0)
	received(p, "small", "kept")
	p.client("send", "mirrored", "--body", "both").want(t, 0)
	received(p, "mirror", "both")
	received(p, "mirrored", "both")

	write("[[forward]]\nqueue = \"in\"\nto = [\"queue://out\"]\n")
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.saysEventually(`"msg":"reloaded"`)
	p.client("send", "in", "--body", "new", "-H", "size:50").want(t, 0)
	received(p, "out", "new")
}

func TestConfigCheckFindsBadSelectorsOfForwards(t *testing.T) {
	file := filepath.Join(t.TempDir(), "treadmq.toml")
	if err := os.WriteFile(file, []byte("[[forward]]\nqueue = \"in\"\nto = [\"queue://out\"]\nselector = \"a b\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := treadmq(t, "config", "check", file).want(t, exitConfig); !strings.Contains(o.stdout, "treadmq.toml:1:3") || !strings.Contains(o.stdout, "selector") {
		t.Error(o.stdout)
	}
}
