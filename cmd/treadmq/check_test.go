package main

import (
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestChecks(t *testing.T) {
	b := theBroker(t)
	b.run(t, "1\n2\n3\n", "send", "check.q", "--lines").want(t, 0)
	dir := t.TempDir()
	certificate(t, dir, "localhost")
	secure := serve(t, t.TempDir(), nil, "--set", "stomp.tls.cert="+dir+"/cert.pem", "--set", "stomp.tls.key="+dir+"/key.pem")
	_, port, err := net.SplitHostPort(secure.state.Stomp[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		args string
		says string // a regular expression of the line
	}{
		{0, "node", `^OK - clients are taken \| time=`},
		{0, "queue check.q", `^OK - messages 3, oldest [0-9.]+s, consumers 0 \| messages=3;; oldest=[0-9.]+s;; consumers=0;; in_flight=0 enqueued=3c dequeued=0c$`},
		{0, "queue check.q -w 3 -c 5", `^OK`},
		{1, "queue check.q -w 2 -c 5", `^WARNING - messages 3, .*messages=3;2;5`},
		{2, "queue check.q -w 1 -c 2", `^CRITICAL - messages 3`},
		{2, "queue check.q --consumers 1:", `^CRITICAL - consumers 0, messages 3`},
		{1, "queue check.q -w @1:4", `^WARNING`},
		{0, "queue check.q --age-critical 1h", `^OK`},
		{2, "queue check.q --age-critical ~:0ms", `^CRITICAL - oldest`},
		{3, "queue check.none", `^UNKNOWN - .*no queue`},
		{3, "queue", `^UNKNOWN - `},
		{3, "queue check.q -w nonsense", `^UNKNOWN - .*range`},
		{3, "queue check.q --wrong 1", `^UNKNOWN - `},
		{0, "store -w 1: -c 1:", `^OK - free [0-9.]+B \| free=`},
		{2, "store -c 900TiB:", `^CRITICAL - free`},
		{0, "store -w 1KiB: -c ~:900TiB", `free=[0-9]+B;1024:;~:989560464998400 `},
		{0, "queue check.q --age-warning @1h:2h --age-critical 1h", `oldest=[0-9.]+s;@3600:7200;3600 `},
		{0, "dlq -w 100000", `^OK - dead letters \d+`},
		{3, "cluster", `^UNKNOWN - .*docs/cluster.md`},
		{2, "node --console http://127.0.0.1:1", `^CRITICAL - .*no broker's console answers`},
		{2, "cert 127.0.0.1:1", `^CRITICAL - `},
		{2, "cert localhost:" + port, `^CRITICAL - days 0, .*localhost, until`}, // that of the test is good for an hour
		{0, "cert -w 0: -c 0: localhost:" + port, `^OK - localhost, until [-0-9]+, days 0`},
	} {
		o := b.run(t, "", append([]string{"check"}, strings.Fields(c.args)...)...).want(t, c.code)
		if !regexp.MustCompile(c.says).MatchString(strings.TrimSpace(o.stdout)) || strings.Count(o.stdout, "\n") != 1 || o.stderr != "" {
			t.Errorf("check %s: not %s\n%s%s", c.args, c.says, o.stdout, o.stderr)
		}
	}
	// A name cannot end the text, or make up figures.
	b.run(t, "x", "send", "check|a=9").want(t, 0)
	if o := b.run(t, "", "check", "queue", "check|none"); strings.Contains(o.stdout, "|") {
		t.Errorf("%q", o.stdout)
	}
}

func TestCheckNodeNeedsNoLogin(t *testing.T) {
	b := theBroker(t)
	call{args: []string{"check", "node"}, env: []string{envConsole + "=" + b.state.Console}}.run(t).want(t, checkOK)
	o := call{args: []string{"check", "store"}, env: []string{envConsole + "=" + b.state.Console}}.run(t).want(t, checkUnknown)
	if !strings.Contains(o.stdout, "UNKNOWN") {
		t.Errorf("%s", o.stdout)
	}
}

func TestCheckNodeThatTakesNobody(t *testing.T) {
	b := ownBroker(t)
	console := b.state.Console
	b.cmd.Process.Signal(os.Interrupt)
	<-b.ended
	b.ended <- nil
	call{args: []string{"check", "node"}, env: []string{envConsole + "=" + console}}.run(t).want(t, checkCritical)
}

func TestRanges(t *testing.T) {
	for text, alerts := range map[string][]float64{
		"10": {-1, 11}, "10:": {9, -5}, "~:10": {11}, "10:20": {9, 21}, "@10:20": {10, 15, 20}, "0": {1, -1}, ":5": {-1, 6},
	} {
		var l limits
		if err := l.Set(text); err != nil {
			t.Fatal(text, err)
		}
		for _, v := range alerts {
			if !l.alerts(v) {
				t.Errorf("%s does not alert at %v", text, v)
			}
		}
	}
	for text, silent := range map[string][]float64{"10": {0, 10}, "10:": {10, 1e9}, "~:10": {-1e9, 10}, "@10:20": {9, 21}, "": {0, 1}} {
		l := limits{}
		if text != "" {
			l.Set(text)
		}
		for _, v := range silent {
			if l.alerts(v) {
				t.Errorf("%s alerts at %v", text, v)
			}
		}
	}
	for _, bad := range []string{"", "x", "1:x", "20:10", "@", "NaN", "1:2:3"} {
		if (&limits{}).Set(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
