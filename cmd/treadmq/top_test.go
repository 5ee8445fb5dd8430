package main

import (
	"strings"
	"testing"
)

func TestTop(t *testing.T) {
	b := theBroker(t)
	b.run(t, "1\n2\n", "send", "top.q", "--lines").want(t, 0)
	o := b.run(t, "", "top", "--sort", "messages", "--filter", "top.", "-n", "2", "--interval", "100ms").want(t, 0)
	if strings.Count(o.stdout, "messages ") != 2 || strings.Count(o.stdout, "top.q") != 2 || strings.Contains(o.stdout, "\x1b") {
		t.Errorf("%s", o.stdout)
	}
	b.run(t, "", "top", "--interval", "1ms").want(t, exitUsage)
	b.run(t, "", "top", "--sort", "nonsense").want(t, exitData)
}
