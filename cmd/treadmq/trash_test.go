package main

import (
	"regexp"
	"strings"
	"testing"
)

// What a command purged or removed, a command brings back; --no-undo is for good.
func TestTrashCommands(t *testing.T) {
	b := theBroker(t)
	const name = "trash/ünï"
	undo := regexp.MustCompile(`undo: treadmq trash restore (\d+) \(until 20`)
	id := func(o outcome) string {
		t.Helper()
		m := undo.FindStringSubmatch(o.want(t, 0).stderr)
		if m == nil {
			t.Fatalf("it does not say how to undo:\n%s", o.stderr)
		}
		return m[1]
	}
	b.run(t, "one\ntwo\n", "send", "queue:"+name, "--lines", "--persistent").want(t, 0)
	for _, words := range [][]string{{"purge"}, {"rm"}} {
		n := id(b.run(t, "", "queue", words[0], name, "--yes"))
		o := b.run(t, "", "trash", "ls", "-o", "csv").want(t, 0)
		if !strings.Contains(o.stdout, "\n"+n+","+name+",queue,") {
			t.Errorf("%s", o.stdout)
		}
		b.run(t, "", "trash", "restore", n).want(t, 0)
		if o := b.run(t, "", "browse", name, "-o", "raw").want(t, 0); o.stdout != "one\ntwo\n" {
			t.Errorf("after %s: %q", words[0], o.stdout)
		}
		b.run(t, "", "trash", "restore", n).want(t, exitFailure).says(t, "was undone already")
	}
	if o := b.run(t, "", "queue", "purge", name, "--yes", "--no-undo").want(t, 0); undo.MatchString(o.stderr) {
		t.Errorf("%s", o.stderr)
	}
	n := id(b.run(t, "", "queue", "rm", name, "--yes"))
	b.run(t, "", "trash", "rm", n).want(t, exitUsage).says(t, "--yes")
	b.run(t, "", "trash", "rm", n, "--yes").want(t, 0)
	b.run(t, "", "trash", "rm", n, "--yes").want(t, exitFailure)
}
