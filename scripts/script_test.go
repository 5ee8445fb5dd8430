//go:build unix

// Package scripts_test runs treadmq.sh as an operator does.
package scripts_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// install makes an installation as the release archives have it.
func install(t *testing.T) (home string) {
	t.Helper()
	home = filepath.Join(t.TempDir(), "a folder with spaces")
	for _, d := range []string{"bin", "scripts", "conf"} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", filepath.Join(home, "bin", "treadmq"), "../cmd/treadmq")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile("treadmq.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "scripts", "treadmq.sh"), text, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := "[stomp]\nlisten = [\"127.0.0.1:0\"]\n[console]\nlisten = \"127.0.0.1:0\"\n"
	if err := os.WriteFile(filepath.Join(home, "conf", "treadmq.toml"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	return home
}

// script runs the script from another folder and returns its exit code.
func script(t *testing.T, path string, env []string, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}, env...)
	var buf bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buf, &buf
	err := cmd.Run()
	if x := (*exec.ExitError)(nil); errors.As(err, &x) {
		return x.ExitCode(), buf.String()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, buf.String()
}

func want(t *testing.T, what string, got, expected int, out string) {
	t.Helper()
	if got != expected {
		t.Fatalf("%s: exit code %d, expected %d\n%s", what, got, expected, out)
	}
}

var pidLine = regexp.MustCompile(`(?m)^pid +(\d+)$`)

func pid(t *testing.T, out string) int {
	t.Helper()
	m := pidLine.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no process id in\n%s", out)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

func TestScriptThroughALifeOfABroker(t *testing.T) {
	home := install(t)
	link := filepath.Join(t.TempDir(), "treadmq")
	if err := os.Symlink(filepath.Join(home, "scripts", "treadmq.sh"), link); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(t.TempDir(), "treadmq.pid")
	env := []string{"TREADMQ_PID=" + pidFile, "TREADMQ_USER=who-logs-in"} // the commands' login, and nobody to run as
	t.Cleanup(func() { script(t, link, env, "kill") })

	code, out := script(t, link, env, "status")
	want(t, "status before start", code, 3, out)
	if !strings.Contains(out, "no broker runs on "+home+string(filepath.Separator)) {
		t.Errorf("nobody can tell which folder this is about: %s", out)
	}
	code, out = script(t, link, env, "start")
	want(t, "start", code, 0, out)
	first := pid(t, out)
	if b, err := os.ReadFile(pidFile); err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(first) {
		t.Errorf("the pid file says %q (%v), the broker is %d", b, err, first)
	}
	code, out = script(t, link, env, "status")
	want(t, "status", code, 0, out)
	code, out = script(t, link, env, "start")
	want(t, "second start", code, 0, out)
	if pid(t, out) != first || !strings.Contains(out, "already") {
		t.Errorf("a second start did not leave the first broker alone:\n%s", out)
	}
	code, out = script(t, link, env, "reload")
	want(t, "reload", code, 0, out)
	code, out = script(t, link, env, "restart")
	want(t, "restart", code, 0, out)
	second := pid(t, out)
	if second == first {
		t.Error("restart did not change the process")
	}

	if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if code, out = script(t, link, env, "status"); code != 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("status takes a killed process for a running one")
		}
	}
	want(t, "status of a killed broker", code, 1, out)
	code, out = script(t, link, env, "start")
	want(t, "start after kill -9", code, 0, out)
	code, out = script(t, link, env, "stop")
	want(t, "stop", code, 0, out)
	if _, err := os.Stat(pidFile); err == nil {
		t.Error("stop left the pid file")
	}
	code, out = script(t, link, env, "status")
	want(t, "status after stop", code, 3, out)
	code, out = script(t, link, env, "stop")
	want(t, "stop of nothing", code, 0, out)
	for _, task := range []string{"reload", "kill"} {
		code, out = script(t, link, env, task)
		want(t, task+" of nothing", code, 7, out)
	}
	code, out = script(t, link, env, "start", "--set", "no.such=1")
	want(t, "start with a wrong configuration", code, 6, out)
	code, out = script(t, link, env, "start", "--nosuch")
	want(t, "start with a wrong option", code, 2, out)
	code, out = script(t, link, env, "dance")
	want(t, "an unknown task", code, 2, out)
	if !strings.Contains(out, "usage") {
		t.Errorf("no usage in\n%s", out)
	}
}

func TestScriptRunsInstancesByName(t *testing.T) {
	home := install(t)
	link := filepath.Join(t.TempDir(), "treadmq-instance-blue")
	if err := os.Symlink(filepath.Join(home, "scripts", "treadmq.sh"), link); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(home, "instances", "blue", "conf")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(home, "conf", "treadmq.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(conf, "treadmq.toml"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { script(t, link, nil, "kill") })
	code, out := script(t, link, nil, "start")
	want(t, "start", code, 0, out)
	if data := filepath.Join(home, "instances", "blue", "data"); !strings.Contains(out, data) {
		t.Errorf("the instance does not use %s:\n%s", data, out)
	}
	code, out = script(t, link, nil, "stop")
	want(t, "stop", code, 0, out)
}

func TestScriptIsPortableShell(t *testing.T) {
	for _, shell := range []string{"dash", "sh"} {
		if out, err := exec.Command(shell, "-n", "treadmq.sh").CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
}
