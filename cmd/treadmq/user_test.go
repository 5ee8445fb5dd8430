//go:build !windows

package main

import (
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"treadmq/conf"
	"treadmq/conf/realm"
)

func TestUserCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "realm")
	in := func(stdin string, args ...string) outcome {
		return call{args: append(args, "--realm", file), stdin: strings.NewReader(stdin)}.run(t)
	}
	in("first\n", "user", "add", "alice", "--roles", "admin, ops").want(t, 0)
	in("x\n", "user", "add", "alice").want(t, exitCannot).says(t, "there is such a user already", "user passwd")
	in("x\n", "user", "passwd", "bob").want(t, exitNoInput).says(t, "there is no such user", "user ls")
	in("", "user", "add", "bob").want(t, exitNoInput)
	in(strings.Repeat("x", 73)+"\n", "user", "add", "bob").want(t, exitData).says(t, "72 bytes")
	in("x\n", "user", "add", "a\nb").want(t, exitFailure).says(t, "control characters")
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "alice: BCRYPT:$2a$10$") {
		t.Fatalf("%v %s", err, text)
	}
	if err := os.WriteFile(file, append(text, "\n# kept\nbob: plain, user\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	o := in("", "user", "ls", "-o", "csv").want(t, 0)
	if !strings.Contains(o.stdout, "alice,ok") || !strings.Contains(o.stdout, "bob,weak") {
		t.Error(o.stdout)
	}
	in("second\n", "user", "passwd", "bob").want(t, 0)
	in("", "user", "roles", "bob", "viewer", "stock").want(t, 0)
	o = in("", "user", "ls", "-o", "csv").want(t, 0)
	if !strings.Contains(o.stdout, `bob,ok,,"viewer,stock"`) {
		t.Error(o.stdout)
	}
	in("", "user", "rm", "alice").want(t, exitUsage).says(t, "--yes")
	in("", "user", "rm", "alice", "--yes").want(t, 0).says(t, "has the role admin")
	in("", "user", "rm", "alice", "--yes").want(t, exitNoInput)
	text, _ = os.ReadFile(file)
	if !strings.Contains(string(text), "# kept\nbob: BCRYPT:") || strings.Contains(string(text), "alice") {
		t.Errorf("%s", text)
	}
}

// Who is reachable by others and has passwords that can be read says so: in the log, in the
// status, and on every page.
func TestWeakPasswordsAreWarnedOf(t *testing.T) {
	dir := t.TempDir()
	realmFile := filepath.Join(dir, "realm")
	write := func(text string) {
		if err := os.WriteFile(realmFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("admin: admin, admin\n")
	status := func() string {
		return call{args: []string{"status", "--data", "data"}, dir: dir}.run(t).want(t, 0).stdout
	}

	p := serve(t, dir, nil, "--realm", "realm")
	if s := status(); strings.Contains(s, "warning") || strings.Contains(p.said(), "a weak password") {
		t.Errorf("it is warned of on loopback:\n%s", s)
	}
	p.end(syscall.SIGTERM)

	p = serve(t, dir, nil, "--realm", "realm", "--console", foreignLoopback(t)+":0")
	if s := status(); !strings.Contains(s, "warning  others can reach this broker, and 1 password can be read or guessed") {
		t.Errorf("no warning in the status:\n%s", s)
	}
	p.saysEventually("a weak password is in use on an address that others can reach")
	if page := consolePage(t, p, "admin", "admin"); !strings.Contains(page, `id="weak-note"`) {
		t.Errorf("no warning on the page:\n%s", page)
	}
	write("admin: admin, admin\nuser: user, user\n")
	eventually(t, "two passwords in the status", func() bool { return strings.Contains(status(), "2 passwords") })
	for _, user := range []string{"admin", "user"} {
		o := call{args: []string{"user", "passwd", user, "--realm", "realm"}, dir: dir, stdin: strings.NewReader("good\n")}.run(t)
		o.want(t, 0)
	}
	eventually(t, "the end of the warning in the status", func() bool { return !strings.Contains(status(), "warning") })
	if page := consolePage(t, p, "admin", "good"); strings.Contains(page, "weak-note") {
		t.Errorf("the warning is still on the page:\n%s", page)
	}
}

// foreignLoopback is a name of the loopback address of which the configuration does not know
// that it is one, so that it counts as an address that others can reach. Debian's machines have
// their own name, Docker's have ip6-localhost.
func foreignLoopback(t *testing.T) string {
	t.Helper()
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{own, "ip6-localhost"}
	for _, name := range names {
		addrs, err := net.LookupHost(name)
		if err != nil || len(addrs) == 0 || slices.ContainsFunc(addrs, func(a string) bool { return !net.ParseIP(a).IsLoopback() }) {
			continue
		}
		if l, err := net.Listen("tcp", name+":0"); err == nil {
			l.Close()
			return name
		}
	}
	t.Skipf("/etc/hosts names the loopback address by none of %v, so nothing here looks reachable by others", names)
	return ""
}

// The same without a listener, for other addresses.
func TestWeakUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "realm")
	hash, err := realm.Hash(realm.BCrypt, "carol", "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("alice: alice, admin\nbob: OBF:1v2j1uum1xtv1zej1zer1xtn1uvk1v1v\n"+hash+"\n"), 0o646); err != nil {
		t.Fatal(err)
	}
	r, err := realm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		console string
		stomp   []string
		weak    int
	}{
		{"127.0.0.1:8161", []string{"localhost:61613", "[::1]:61613"}, 0},
		{"", []string{"127.0.0.1:61613"}, 0},
		{"", []string{"127.0.0.1:61613", "0.0.0.0:61614"}, 2},
		{":8161", []string{"127.0.0.1:61613"}, 2},
		{"mq.example.com:8161", nil, 2},
	} {
		cfg := conf.Default()
		cfg.Console.Listen, cfg.Stomp.Listen = c.console, c.stomp
		n := &node{cfg: cfg, users: &users{realm: r}}
		if got := n.weakUsers(); len(got) != c.weak || (len(n.warnings()) > 0) != (c.weak > 0) {
			t.Errorf("%q %v: %v", c.console, c.stomp, got)
		}
	}
}

// consolePage is the first page of the console after a login.
func consolePage(t *testing.T, p *serverProcess, user, password string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: patience}
	defer c.CloseIdleConnections()
	res, err := c.PostForm(p.state.Console+"login", url.Values{"user": {user}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("login of %s: %v %s", user, err, res.Status)
	}
	return string(page)
}
