package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestContexts(t *testing.T) {
	b := theBroker(t)
	b.run(t, "", "queue", "create", "contexts.q").want(t, 0)
	home := t.TempDir()
	password := filepath.Join(home, "password")
	if err := os.WriteFile(password, []byte(b.password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(env []string, args ...string) outcome {
		t.Helper()
		return call{args: args, dir: home, env: append([]string{"HOME=" + home, "XDG_CONFIG_HOME="}, env...)}.run(t)
	}
	list := func(o outcome) {
		t.Helper()
		if o.want(t, 0); !strings.Contains(o.stdout, "contexts.q") {
			t.Errorf("%q %q", o.stdout, o.stderr)
		}
	}
	run(nil, "context", "ls", "-o", "json").want(t, 0)
	run(nil, "context", "add", "here", "--url", b.url(), "--console", b.state.Console, "--user", "admin", "--password-file", "password").want(t, 0)
	run(nil, "context", "add", "nowhere", "--console", "http://127.0.0.1:1").want(t, 0)
	list(run(nil, "queue", "ls", "--context", "here"))
	list(run([]string{envContext + "=here"}, "queue", "ls"))
	run(nil, "context", "use", "nowhere").want(t, 0)
	run(nil, "queue", "ls").want(t, exitUnreachable)
	run(nil, "context", "use", "here").want(t, 0)
	list(run(nil, "queue", "ls"))
	run(nil, "send", "contexts.q", "--body", "by a context").want(t, 0) // over STOMP

	// The environment counts more, a flag most, and nobody's password goes with another user.
	run([]string{envConsole + "=http://127.0.0.1:1"}, "queue", "ls").want(t, exitUnreachable)
	list(run([]string{envConsole + "=http://127.0.0.1:1"}, "queue", "ls", "--console", b.state.Console))
	run([]string{envUser + "=other"}, "queue", "ls").want(t, exitUsage).says(t, "password is needed")
	run(nil, "queue", "ls", "--context", "none").want(t, exitConfig).says(t, "context ls")

	if o := run(nil, "context", "ls", "-o", "csv").want(t, 0); !strings.Contains(o.stdout, "here,true,"+b.url()) || !strings.Contains(o.stdout, "nowhere,false,") {
		t.Error(o.stdout)
	}
	file := filepath.Join(home, ".config", "treadmq", "contexts.json")
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), b.password) {
		t.Errorf("%v %s", err, text)
	}
	run(nil, "context", "rm", "here").want(t, 0)
	run(nil, "context", "rm", "here").want(t, exitConfig)
	run(nil, "context", "use", "here").want(t, exitConfig)
	run(nil, "context", "use", "-").want(t, 0)
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(nil, "queue", "ls").want(t, exitConfig).says(t, "mend the file")
}
