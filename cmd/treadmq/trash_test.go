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

// What happens to messages of a traced queue is told by their ids.
func TestLifeCommand(t *testing.T) {
	b := theBroker(t)
	b.run(t, "", "queue", "create", "traced").want(t, 0)
	if o := b.run(t, "", "queue", "trace", "traced", "--for", "10m", "-o", "csv").want(t, 0); !strings.Contains(o.stdout, "traced,20") {
		t.Errorf("%s", o.stdout)
	}
	b.run(t, "x", "send", "traced").want(t, 0)
	var m struct{ ID string }
	decode(t, b.run(t, "", "browse", "traced", "-o", "jsonl").want(t, 0).stdout, &m)
	b.run(t, "", "recv", "traced", "-n", "1").want(t, 0)
	var o outcome
	eventually(t, "the acknowledgement", func() bool {
		o = b.run(t, "", "life", m.ID, "-o", "name").want(t, 0)
		return strings.Contains(o.stdout, "acknowledged")
	})
	if o.stdout != "received\ndelivered\nacknowledged\n" {
		t.Errorf("told is %q", o.stdout)
	}
	b.run(t, "", "life", "nonsense").want(t, exitData).says(t, "is not the id of a message")
}
