package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// findings runs doctor in a folder.
func findings(t *testing.T, dir string, code int, args ...string) map[string][]finding {
	t.Helper()
	var list []finding
	decode(t, call{args: append([]string{"doctor", "-o", "json"}, args...), dir: dir}.run(t).want(t, code).stdout, &list)
	by := map[string][]finding{}
	for _, f := range list {
		by[f.Check] = append(by[f.Check], f)
		if f.Status != healthy && f.Next == "" {
			t.Errorf("it does not say what to do: %+v", f)
		}
	}
	return by
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	free := []string{"--stomp", "127.0.0.1:0", "--console", "127.0.0.1:0"}
	for check, list := range findings(t, dir, 0, free...) {
		if list[0].Status == broken {
			t.Errorf("%s: %+v", check, list)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	realmFile := write("realm.properties", "admin: admin, admin\nold: CRYPT:abc\n")
	certificate(t, dir, "host") // ends within the hour
	got := findings(t, dir, exitFailure, "--stomp", taken.Addr().String(), "--console", "", "--realm", realmFile,
		"--set", "store.minFreeDisk=900TiB", "--set", "stomp.tls.cert=cert.pem", "--set", "stomp.tls.key=key.pem")
	for check, want := range map[string]string{"port": broken, "users": broken, "disk": broken, "certificate": doubtful, "folder": healthy, "clock": healthy} {
		if len(got[check]) == 0 || got[check][0].Status != want {
			t.Errorf("%s: %+v, want %s", check, got[check], want)
		}
	}
	// Data that were written in the future: the clock went back.
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	late := write("data/segment", "x")
	if err := os.Chtimes(late, oldestClock.AddDate(20, 0, 0), oldestClock.AddDate(20, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if got := findings(t, dir, exitFailure, free...); got["clock"][0].Status != broken {
		t.Errorf("%+v", got["clock"])
	}
	o := call{args: append([]string{"doctor"}, free...), dir: dir}.run(t).want(t, exitFailure)
	if !strings.Contains(o.stdout, "timedatectl") {
		t.Errorf("%s", o.stdout)
	}
}

func TestDoctorOfARunningBroker(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir, nil)
	got := findings(t, dir, 0, "--data", "data", "--stomp", p.state.Stomp[0], "--console", "")
	if !strings.Contains(got["broker"][0].Text, "runs") || !strings.Contains(got["port"][0].Text, "answers") {
		t.Errorf("%+v", got)
	}
}
