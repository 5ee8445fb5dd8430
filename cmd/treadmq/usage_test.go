package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestExitCodes is the contract with scripts.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	badConfig := write("bad.toml", "[stomp]\nlisen = []\n")
	badRealm := write("realm.properties", "alice: CRYPT:abc\n")
	empty := write("empty", "")
	exists := write("exists.toml", "")
	const nobody = "tcp://127.0.0.1:1"
	for _, c := range []struct {
		code int
		args string
		says string
	}{
		{0, "version", ""},
		{0, "--version", ""},
		{0, "--help", ""},
		{0, "queue --help", ""},
		{0, "config check", "good"},
		{64, "qeue", "did you mean queue?"},
		{64, "nonsense", "treadmq --help"},
		{64, "queue", "needs a command"},
		{64, "queue lsss", "did you mean ls?"},
		{64, "store chek", "did you mean check?"},
		{64, "queue nonsense", "queue --help lists"},
		{64, "queue ls --consol x", "did you mean --console?"},
		{64, "version -o xml", "must be one of"},
		{64, "version extra", ""},
		{64, "send", "treadmq send DESTINATION"},
		{64, "send /queue/ -b x", "no name"},
		{64, "send q --priority 11 -b x", "--priority"},
		{64, "send q -b x -n 0", "--count"},
		{64, "send q --lines -n 3", "lines"},
		{64, "send q -H =x -b y", "no header"},
		{64, "send q file -b x", "both"},
		{64, "send q -b x --url http://x", "not understood"},
		{64, "send q -b x --url failover:(tcp://a)?randomise=true", "randomize"},
		{64, "recv q -n -1", "negative"},
		{64, "recv q --ack auto", "would lose"},
		{64, "recv q -0 -o json", "-o raw"},
		{64, "recv q --follow -n 3", "follow"},
		{64, "recv q --ack sometimes", "must be one of"},
		{64, "browse /topic/x", "no queue"},
		{64, "bench --size 3", "size 3"},
		{64, "bench /topic/x --mode fill-drain", "topic"},
		{64, "queue ls --console x", "http://"},
		{64, "query -Qbla=x", "not understood"},
		{64, "dstat sessions", "neither"},
		{64, "send q -b x --password p --password-file f", "password"},
		{64, "queue ls --password p --password-file f", "password"},
		{64, "realm hash --roles admin", "needs a user"},
		{65, "realm check " + badRealm, "do not work"},
		{65, "realm hash u --password-file " + empty, "empty"},
		{66, "send q /does/not/exist", "cannot be read"},
		{66, "realm check /does/not/exist", "cannot be read"},
		{66, "config check /does/not/exist", "config init"},
		{66, "store check /does/not/exist", "holds no store"},
		{66, "send q -b x --user u --password-file /does/not/exist", "password file"},
		{69, "send q -b x --url " + nobody, "treadmq start"},
		{69, "recv q --url " + nobody, "treadmq start"},
		{69, "bench --url " + nobody, "running?"},
		{69, "queue ls --console http://127.0.0.1:1", "--console"},
		{69, "browse q --console http://127.0.0.1:1", "--console"},
		{73, "config init " + exists, "--force"},
		{73, "man /dev/null/x", "folder"},
		{78, "config check " + badConfig, "1 problem"},
		{78, "config show --config " + badConfig, "did you mean stomp.listen"},
		{78, "config check --set a.b=1", "1 problem"},
	} {
		o := call{args: strings.Fields(c.args), dir: dir}.run(t)
		if o.code != c.code || !strings.Contains(o.stderr, c.says) {
			t.Errorf("treadmq %s: exit code %d, want %d with %q\nstderr: %s", c.args, o.code, c.code, c.says, o.stderr)
		}
		if c.code != 0 && o.stdout != "" && c.code != 65 && c.code != 78 {
			t.Errorf("treadmq %s: an error, and on standard output: %s", c.args, o.stdout)
		}
		if strings.Contains(o.stderr, "panic") || strings.Contains(o.stderr, "\x1b") {
			t.Errorf("treadmq %s: %q", c.args, o.stderr)
		}
	}
}

func TestErrorsHaveThreeParts(t *testing.T) {
	o := treadmq(t, "send", "q", "-b", "x", "--url", "tcp://127.0.0.1:1").want(t, exitUnreachable)
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "treadmq: cannot connect") || !strings.HasPrefix(lines[1], "  why:  ") || !strings.HasPrefix(lines[2], "  next: ") {
		t.Errorf("%s", o.stderr)
	}
}

// Without a terminal nothing is asked: the error names the flag.
func TestNeverAsksWithoutTerminal(t *testing.T) {
	treadmq(t, "send", "q", "-b", "x", "--user", "u").want(t, exitUsage).says(t, "--password-file", envPassword)
	treadmq(t, "queue", "ls", "--user", "u").want(t, exitUsage).says(t, "--password-file")
	treadmq(t, "realm", "hash", "u").want(t, exitNoInput).says(t, "--password-file")
}

func TestPlainPasswordWarns(t *testing.T) {
	o := treadmq(t, "queue", "ls", "--user", "u", "--password", "p", "--console", "http://127.0.0.1:1")
	o.want(t, exitUnreachable).says(t, "warning", "--password-file")
}

func TestFlagWinsOverEnvironment(t *testing.T) {
	env := []string{envURL + "=tcp://127.0.0.1:2", envConsole + "=http://127.0.0.1:2"}
	call{args: []string{"send", "q", "-b", "x"}, env: env}.run(t).want(t, exitUnreachable).says(t, "127.0.0.1:2")
	call{args: []string{"send", "q", "-b", "x", "--url", "tcp://127.0.0.1:3"}, env: env}.run(t).want(t, exitUnreachable).says(t, "127.0.0.1:3")
	call{args: []string{"queue", "ls"}, env: env}.run(t).want(t, exitUnreachable).says(t, "http://127.0.0.1:2")
	call{args: []string{"queue", "ls", "--console", "http://127.0.0.1:3"}, env: env}.run(t).want(t, exitUnreachable).says(t, "http://127.0.0.1:3")
}

// Every command must have help, and a place in it.
func TestEveryCommandHasHelp(t *testing.T) {
	root := newRoot()
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
		if c.Short == "" {
			t.Errorf("%s has no short help", c.CommandPath())
		}
		if !c.Hidden && c.GroupID == "" {
			t.Errorf("%s is in no group", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			if sub.Short == "" || sub.RunE == nil && sub.Run == nil {
				t.Errorf("%s has no help or does nothing", sub.CommandPath())
			}
		}
	}
	all := strings.Join(names, " ")
	for _, want := range strings.Fields("console start stop restart status kill reload send recv browse queue topic bench config realm store version completion man producer consumer dstat query list bstat purge") {
		if !strings.Contains(" "+all+" ", " "+want+" ") {
			t.Errorf("there is no command %s", want)
		}
	}
}

func TestCompletionAndManPages(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if o := treadmq(t, "completion", shell).want(t, 0); len(o.stdout) < 500 {
			t.Errorf("%s: %q", shell, o.stdout)
		}
	}
	if o := treadmq(t, "__complete", "version", "-o", "").want(t, 0); !strings.Contains(o.stdout, "yaml") {
		t.Errorf("formats are not completed: %s", o.stdout)
	}
	dir := filepath.Join(t.TempDir(), "man")
	treadmq(t, "man", dir).want(t, 0).says(t, dir)
	page, err := os.ReadFile(filepath.Join(dir, "treadmq-send.1"))
	if err != nil || !strings.Contains(string(page), "1.2.3-test") {
		t.Errorf("%v %s", err, page)
	}
	if hidden, _ := filepath.Glob(filepath.Join(dir, "*producer*")); len(hidden) > 0 {
		t.Errorf("hidden commands have pages: %v", hidden)
	}
}

func TestNearestFlagDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		n    int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"url", "urll", 1}, {"flaw", "lawn", 2}} {
		if got := distance(c.a, c.b); got != c.n {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.n)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		d := distance(a, b)
		if d != distance(b, a) || d > max(len(a), len(b)) || (d == 0) != (a == b) {
			t.Fatalf("distance(%q, %q) = %d", a, b, d)
		}
	})
}

// Nothing from the network may command the terminal or break a line.
func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"orders": "orders", "größe": "größe", "a\nb": `a\nb`, "\x1b[31m": `\x1b[31m`, "\u202e": `\u202e`, "\x00": `\x00`, "a\tb\r": `a\tb\r`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "s"))
		got := printable(s)
		if !utf8.ValidString(got) && utf8.ValidString(s) || strings.ContainsAny(got, "\x1b\n\r\x00\u009b") {
			t.Fatalf("%q is shown as %q", s, got)
		}
	})
}

func TestPlural(t *testing.T) {
	for want, got := range map[string]string{"1 day": plural(1, "day"), "4 days": plural(4, "day"), "2 entries": plural(2, "entry"), "0 users": plural(0, "user")} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
