package main

import (
	"strings"
	"testing"
)

func TestSubscriptionLife(t *testing.T) {
	b := theBroker(t)
	for _, name := range []string{"c.life", "c.a/b%2F..", "c.ünï ?#&="} {
		b.run(t, "", "sub", "create", name).want(t, exitUsage).says(t, "topic")
		b.run(t, "", "sub", "create", name, "--client-id", "c", "--topic", "subs.>", "--topic", "other", "--selector", "k = 'v'", "-o", "name").want(t, 0)
		b.run(t, "", "send", "/topic/subs.a", "--body", "one", "-H", "k:v").want(t, 0)
		b.run(t, "", "send", "/topic/subs.a", "--body", "two").want(t, 0)
		o := b.run(t, "", "sub", "ls", name, "-o", "csv").want(t, 0)
		if !strings.HasPrefix(o.stdout, "name,topics,messages,") || !strings.Contains(o.stdout, "subs.>") || !strings.Contains(o.stdout, "k = 'v'") || strings.Count(o.stdout, "\n") != 2 {
			t.Errorf("%s", o.stdout)
		}
		var s map[string]any
		decode(t, b.run(t, "", "sub", "show", "/dsub/"+name, "-o", "json").want(t, 0).stdout, &s)
		if s["name"] != name || s["messages"] != 1.0 || s["clientId"] != "c" {
			t.Errorf("%v", s)
		}
		if o := b.run(t, "", "recv", "/dsub/"+name, "-n", "1", "-o", "raw").want(t, 0); o.stdout != "one" && o.stdout != "one\n" {
			t.Errorf("received %q", o.stdout)
		}
		b.run(t, "", "sub", "rm", name).want(t, exitUsage).says(t, "--yes", "0 messages")
		b.run(t, "", "sub", "rm", name, "-y").want(t, 0)
		b.run(t, "", "sub", "show", name).want(t, exitFailure)
	}
}
