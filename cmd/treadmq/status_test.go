package main

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestStatusFormats: what status finds, in every format, and in the exit code.
func TestStatusFormats(t *testing.T) {
	p := serve(t, t.TempDir(), nil)
	ask := func(args ...string) outcome {
		return call{args: append([]string{"status", "--data", "data"}, args...), dir: p.dir}.run(t)
	}
	if o := ask().want(t, statusRunning); !strings.Contains(o.stdout, "stomp    "+p.state.Stomp[0]+"\n") {
		t.Errorf("%q", o.stdout)
	}
	pid := strconv.Itoa(p.state.PID)
	if o := ask("-o", "name").want(t, statusRunning); o.stdout != pid+"\n" {
		t.Errorf("%q", o.stdout)
	}
	for _, flags := range [][]string{{"-o", "json"}, {"--json"}} {
		var st brokerStatus
		decode(t, ask(flags...).want(t, statusRunning).stdout, &st)
		if !st.Running || !st.Ready || st.Process == nil || st.Process.PID != p.state.PID {
			t.Errorf("%v: %+v", flags, st)
		}
	}
	if o := ask("-o", "csv").want(t, statusRunning); !strings.HasPrefix(o.stdout, "running,ready,pid,version,") || !strings.Contains(o.stdout, "\ntrue,true,"+pid) {
		t.Errorf("%q", o.stdout)
	}
	ask("-o", "yaml").want(t, statusRunning)
	p.end(syscall.SIGKILL)
	var st brokerStatus
	decode(t, ask("-o", "json").want(t, statusDead).stdout, &st)
	if st.Running || st.Ready || st.Process != nil || !strings.Contains(st.Reason, "is dead") {
		t.Errorf("%+v", st)
	}
	for _, form := range []string{"table", "name"} {
		if o := ask("-o", form).want(t, statusDead); o.stdout != "" {
			t.Errorf("%s: %q", form, o.stdout)
		}
	}
}
