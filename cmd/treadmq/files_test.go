package main

import (
	"bufio"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"treadmq/conf"
	"treadmq/conf/realm"
)

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func TestVersion(t *testing.T) {
	var v versionInfo
	decode(t, treadmq(t, "version", "-o", "json").want(t, 0).stdout, &v)
	if v.Version != "1.2.3-test" || !strings.HasPrefix(v.Go, "go1.") || !strings.Contains(v.Platform, "/") {
		t.Errorf("%+v", v)
	}
	if o := treadmq(t, "--version").want(t, 0); o.stdout != "treadmq 1.2.3-test\n" {
		t.Errorf("%q", o.stdout)
	}
	if o := treadmq(t, "version", "-o", "name").want(t, 0); o.stdout != "1.2.3-test\n" {
		t.Errorf("%q", o.stdout)
	}
}

func TestConfigShowTellsWhichSourceWon(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "t.toml")
	os.WriteFile(file, []byte("brokerName = \"file\"\n[log]\nlevel = \"warn\"\nformat = \"json\"\n[stomp]\nmaxHeaders = 50\n"), 0o600)
	o := call{args: []string{"config", "show", "--origin", "-o", "json", "--config", file, "--data", "elsewhere", "--set", "stomp.maxHeaders=70"},
		env: []string{"TREADMQ_LOG_LEVEL=error", "TREADMQ_DATA=env", "TREADMQ_STOMP_MAX_HEADERS=60", envURL + "=tcp://x:1"}}.run(t).want(t, 0)
	var entries []configEntry
	decode(t, o.stdout, &entries)
	got := map[string]configEntry{}
	for _, e := range entries {
		got[e.Key] = e
	}
	for key, want := range map[string][2]string{
		"data": {"elsewhere", "flag"}, "stomp.maxHeaders": {"70", "--set"}, "log.level": {"error", "TREADMQ_LOG_LEVEL"},
		"brokerName": {"file", file + ":1:1"}, "log.maxBackups": {got["log.maxBackups"].Default, "default"},
	} {
		if got[key].Value != want[0] || got[key].Origin != want[1] {
			t.Errorf("%s = %+v, want %v", key, got[key], want)
		}
	}
	o = call{args: []string{"config", "show", "--changed", "-o", "name", "--config", file}}.run(t).want(t, 0)
	if o.stdout != "brokerName\nlog.level\nlog.format\nstomp.maxHeaders\n" {
		t.Errorf("%q", o.stdout)
	}
}

func TestConfigInit(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "new", "t.toml")
	if o := treadmq(t, "config", "init", file).want(t, 0); o.stdout != "" {
		t.Errorf("%q", o.stdout)
	}
	treadmq(t, "config", "check", file).want(t, 0)
	os.WriteFile(file, []byte("mine"), 0o600)
	treadmq(t, "config", "init", file).want(t, exitCannot).says(t, "--force")
	if b, _ := os.ReadFile(file); string(b) != "mine" {
		t.Error("a file that was there was changed")
	}
	treadmq(t, "config", "init", file, "--force").want(t, 0)
	if b, _ := os.ReadFile(file); string(b) != string(conf.Example()) {
		t.Error("--force did not replace the file")
	}
	if o := treadmq(t, "config", "init", "-").want(t, 0); o.stdout != string(conf.Example()) {
		t.Error("standard output is not the example")
	}
	call{args: []string{"config", "init"}, dir: dir}.run(t).want(t, 0)
	if _, err := os.Stat(filepath.Join(dir, defaultConfig)); err != nil {
		t.Error(err)
	}
}

func TestConfigCheckListsEveryProblem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.toml")
	os.WriteFile(file, []byte("datta = \"x\"\n[stomp]\nmaxBody = \"much\"\n"), 0o600)
	var problems []struct{ Where, Problem string }
	decode(t, treadmq(t, "config", "check", file, "-o", "json").want(t, exitConfig).stdout, &problems)
	if len(problems) != 2 || problems[0].Where != file+":1:1" || !strings.Contains(problems[0].Problem, "data") {
		t.Errorf("%+v", problems)
	}
	if o := treadmq(t, "config", "check", "-o", "json").want(t, 0); o.stdout != "[]\n" {
		t.Errorf("%q", o.stdout)
	}
}

func TestRealm(t *testing.T) {
	file := filepath.Join(t.TempDir(), "realm.properties")
	for _, kind := range []string{"bcrypt", "argon2", "md5", "obf"} {
		o := call{args: []string{"realm", "hash", kind, "--kind", kind, "--roles", "admin, user"}, stdin: strings.NewReader("s e:c,ret\nignored")}.run(t).want(t, 0)
		if strings.Contains(o.stdout, "s e:c,ret") || strings.Count(o.stdout, "\n") != 1 {
			t.Errorf("%q", o.stdout)
		}
		if weak := kind != "bcrypt" && kind != "argon2"; weak != strings.Contains(o.stderr, "warning") {
			t.Errorf("%s: %s", kind, o.stderr)
		}
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(o.stdout)
		f.Close()
	}
	r, err := realm.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"bcrypt", "argon2", "md5", "obf"} {
		if u, ok := r.Authenticate(user, "s e:c,ret"); !ok || !u.Has("admin") || !u.Has("user") {
			t.Errorf("%s cannot log in", user)
		}
	}
	var entries []realmEntry
	decode(t, treadmq(t, "realm", "check", file, "-o", "json").want(t, 0).stdout, &entries)
	got := map[string]string{}
	for _, e := range entries {
		got[e.User] = e.Status
	}
	if got["bcrypt"] != "ok" || got["argon2"] != "ok" || got["md5"] != "weak" || got["obf"] != "weak" {
		t.Errorf("%v", got)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	os.WriteFile(secret, []byte("pw\n"), 0o600)
	if o := treadmq(t, "realm", "hash", "--password-file", secret, "--kind", "md5").want(t, 0); o.stdout != "MD5:8fe4c11451281c094a6578e6ddbf5eed\n" {
		t.Errorf("%q", o.stdout)
	}
}

// copyFolder copies a folder, so that a test may injure it.
func copyFolder(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestStoreCommands(t *testing.T) {
	b := ownBroker(t)
	b.run(t, "one\ntwo\nthree\n", "send", "left", "--lines").want(t, 0)
	b.run(t, "", "bench", "-n", "5000").want(t, 0)
	data := filepath.Join(b.dir, "data")
	treadmq(t, "store", "check", data).want(t, exitTryAgain).says(t, "treadmq stop")
	b.cmd.Process.Signal(os.Interrupt)
	if err := <-b.ended; err != nil {
		t.Errorf("the broker ended with %v", err)
	}
	b.cmd = nil

	if o := treadmq(t, "store", "check", data).want(t, 0); !strings.Contains(o.stdout, "0 problems") {
		t.Errorf("%s", o.stdout)
	}
	var report checkReport
	decode(t, call{args: []string{"store", "check", "--data", "data", "-o", "json"}, dir: b.dir}.run(t).want(t, 0).stdout, &report)
	if report.Messages != 3 || report.Problems != 0 || len(report.Found) == 0 {
		t.Errorf("%+v", report)
	}
	dump := treadmq(t, "store", "dump", data).want(t, 0).stdout
	if !strings.Contains(dump, " enqueue ") || !strings.Contains(dump, " remove ") {
		t.Error("the dump has no messages")
	}
	var n int
	for line := range strings.Lines(treadmq(t, "store", "dump", data, "-o", "jsonl").want(t, 0).stdout) {
		var r dumpRecord
		decode(t, line, &r)
		if r.Kind == "" || r.Position == 0 {
			t.Fatalf("%+v", r)
		}
		n++
	}
	if want := strings.Count(dump, "\n"); n != want {
		t.Errorf("%d records as JSON, %d as text", n, want)
	}
	for _, command := range []string{"stats", "compact", "rebuild"} {
		var s storeStats
		decode(t, treadmq(t, "store", command, data, "-o", "json").want(t, 0).stdout, &s)
		if s.Segments == 0 || s.LiveBytes == 0 {
			t.Errorf("%s: %+v", command, s)
		}
	}
	treadmq(t, "store", "check", data).want(t, 0)
	injured := copyFolder(t, filepath.Join(data, "store"))
	injure(t, injured)
	treadmq(t, "store", "check", injured).want(t, exitData).says(t, "problem")
	if err := os.Remove(filepath.Join(injured, "meta")); err != nil {
		t.Fatal(err)
	}
	treadmq(t, "store", "check", injured).want(t, exitData).says(t, "no meta file")
	dir := t.TempDir()
	if err := os.Rename(injured, filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	treadmq(t, "console", "--data", dir, "--stomp", "127.0.0.1:0", "--console", "127.0.0.1:0",
		"--realm", filepath.Join(dir, "realm.properties")).want(t, exitData).says(t, "no meta file")
}

// injure flips a bit in the middle of the journal's first batches.
func injure(t *testing.T, store string) {
	t.Helper()
	segments, _ := fs.Glob(os.DirFS(store), "*.log")
	f, err := os.OpenFile(filepath.Join(store, segments[0]), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 400); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, 400); err != nil {
		t.Fatal(err)
	}
}

// Semantics 2.7, row Secrets in config: what config encrypt prints stands for the text. What a client is told shows it.
func TestEncryptedSecret(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{conf.SealPasswordFileEnv + "=" + filepath.Join(dir, "password")}
	encrypt := call{args: []string{"config", "encrypt"}, env: env, stdin: strings.NewReader("hush-hush/1.0\n")}
	sealed := strings.TrimSpace(encrypt.run(t).want(t, 0).stdout)
	encrypt.stdin = strings.NewReader("hush-hush/1.0\n")
	if again := strings.TrimSpace(encrypt.run(t).want(t, 0).stdout); !strings.HasPrefix(sealed, "ENC(") || strings.Contains(sealed, "hush") || again == sealed {
		t.Fatalf("%s and %s", sealed, again)
	}
	file := filepath.Join(dir, "t.toml")
	if err := os.WriteFile(file, []byte("anonymous = true\n[stomp]\nserverHeader = \""+sealed+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, dir, env, "--config", file)
	c, err := net.Dial("tcp", p.state.Stomp[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "CONNECT\naccept-version:1.2\nhost:x\n\n\x00"); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString(0); err != nil || !strings.Contains(got, "server:hush-hush/1.0\n") {
		t.Fatalf("%v %q", err, got)
	}

	if o := (call{args: []string{"config", "show", "--changed", "--config", file}, env: env}).run(t).want(t, 0); strings.Contains(o.stdout, "hush") ||
		!strings.Contains(o.stdout, conf.HiddenSecret) {
		t.Errorf("it shows the secret:\n%s", o.stdout)
	}

	check := func(says string, env ...string) {
		t.Helper()
		o := call{args: []string{"config", "check", file}, env: env}.run(t).want(t, exitConfig)
		if !strings.Contains(o.stdout, says) || strings.Contains(o.stdout+o.stderr, "hush") {
			t.Errorf("%q %q", o.stdout, o.stderr)
		}
	}
	check("set " + conf.SealPasswordEnv)
	check("does not open with this password", conf.SealPasswordEnv+"=another")
	sealed = "ENC(" + strings.Repeat("A", 80) + ")"
	if err := os.WriteFile(file, []byte("[stomp]\nserverHeader = \""+sealed+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("is not a value that treadmq config encrypt has made", env...)
	encrypt.env = nil
	encrypt.run(t).want(t, exitConfig).says(t, conf.SealPasswordEnv)
}
