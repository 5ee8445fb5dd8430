package main

import (
	"strings"
	"testing"
)

func TestScheduleLife(t *testing.T) {
	b := theBroker(t)
	for _, name := range []string{"sched.life", "a/b%2F..", "ünï ?#&="} {
		b.run(t, "", "send", "sched.q", "--body", "later", "-H", "AMQ_SCHEDULED_DELAY:3600000", "-H", "x-schedule-id:"+name).want(t, 0)
		o := b.run(t, "", "sched", "ls", "--destination", "/queue/sched.q", "-o", "name").want(t, 0)
		if o.stdout != name+"\n" {
			t.Errorf("listed %q", o.stdout)
		}
		o = b.run(t, "", "sched", "ls", "--destination", "/queue/sched.q", "--to", "2020-01-01T00:00:00Z", "-o", "csv").want(t, 0)
		if strings.Contains(o.stdout, name) {
			t.Errorf("listed %q", o.stdout)
		}
		var s map[string]any
		decode(t, b.run(t, "", "sched", "show", name, "-o", "json").want(t, 0).stdout, &s)
		if s["id"] != name || s["body"] != "later" || s["delayMs"] != 3600000.0 {
			t.Errorf("%v", s)
		}
		b.run(t, "", "sched", "rm", name).want(t, exitUsage).says(t, "--yes")
		if o = b.run(t, "", "sched", "rm", name, "--dry-run", "-o", "name").want(t, 0).says(t, "nothing done"); o.stdout != "" {
			t.Errorf("dry run: %q", o.stdout)
		}
		b.run(t, "", "sched", "rm", name, "-y").want(t, 0)
		b.run(t, "", "sched", "show", name).want(t, exitFailure).says(t, "treadmq sched ls")
	}
	b.run(t, "", "send", "sched.q", "--body", "now", "-H", "x-delay:3600000", "-H", "x-schedule-id:n").want(t, 0)
	b.run(t, "", "sched", "run", "n").want(t, 0)
	if o := b.run(t, "", "recv", "sched.q", "-n", "1", "-o", "raw").want(t, 0); strings.TrimSpace(o.stdout) != "now" {
		t.Errorf("received %q", o.stdout)
	}
	for range 3 {
		b.run(t, "", "send", "sched.q", "--body", "x", "-H", "x-delay:3600000").want(t, 0)
	}
	b.run(t, "", "sched", "rm").want(t, exitUsage)
	b.run(t, "", "sched", "rm", "--all", "--destination", "/queue/sched.q").want(t, exitUsage).says(t, "--yes")
	o := b.run(t, "", "sched", "rm", "--all", "--destination", "/queue/sched.q", "-y", "-o", "jsonl").want(t, 0)
	if strings.TrimSpace(o.stdout) != `{"removed":3}` {
		t.Errorf("%s", o.stdout)
	}
}
