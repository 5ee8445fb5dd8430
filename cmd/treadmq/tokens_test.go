//go:build !windows

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A token's role counts for the rules for destinations, and a token outlives a restart.
func TestTokensAndAuthorization(t *testing.T) {
	dir := t.TempDir()
	writeIn(t, dir, "realm", "admin: pw, admin\n")
	writeIn(t, dir, "treadmq.toml", "[[authorization]]\nqueue = \"open\"\nwrite = [\"user\"]\nadmin = [\"user\"]\n")
	p := serve(t, dir, nil, "--config", "treadmq.toml", "--realm", "realm")
	ask := func(method, path, body, token string) (int, string) {
		req, err := http.NewRequest(method, strings.TrimSuffix(p.state.Console, "/admin/")+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth("admin", "pw")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	status, text := ask("POST", "/api/v1/tokens", `{"name":"ci","role":"user"}`, "")
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(text), &made); err != nil || status != http.StatusCreated {
		t.Fatalf("%v %d %s", err, status, text)
	}
	send := func(queue string, want int) {
		t.Helper()
		if status, text := ask("POST", "/api/v1/queues/"+queue+"/messages", `{"body":"x"}`, made.Token); status != want {
			t.Errorf("send to %s: %d %s", queue, status, text)
		}
	}
	send("open", http.StatusCreated)
	send("shut", http.StatusForbidden)
	p.end(syscall.SIGTERM)
	p = serve(t, dir, nil, "--config", "treadmq.toml", "--realm", "realm")
	send("open", http.StatusCreated)
}

// The commands make tokens and links, log in with the ones and show the others.
func TestTokenAndLinkCommands(t *testing.T) {
	b := ownBroker(t)
	b.run(t, "", "queue", "create", "tokens.q").want(t, 0)
	secret := b.run(t, "", "token", "create", "dash", "-o", "name").want(t, 0).stdout
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(env []string, args ...string) outcome {
		return call{args: args, env: append([]string{envURL + "=" + b.url(), envConsole + "=" + b.state.Console}, env...)}.run(t)
	}
	// A token by flag, by file in the environment and by the environment; a user's flag wins.
	for _, o := range []outcome{
		with(nil, "queue", "ls", "-o", "name", "--token-file", file),
		with([]string{envTokenFile + "=" + file}, "queue", "ls", "-o", "name"),
		with([]string{envToken + "=" + strings.TrimSpace(secret)}, "queue", "ls", "-o", "name"),
		with([]string{envToken + "=wrong", envPassword + "=" + b.password}, "queue", "ls", "-o", "name", "--user", "admin"),
	} {
		if o.want(t, 0); !strings.Contains(o.stdout, "tokens.q") {
			t.Errorf("%q %q", o.stdout, o.stderr)
		}
	}
	with([]string{envToken + "=wrong"}, "queue", "ls").want(t, exitNotAllowed).says(t, "--token-file")
	with(nil, "queue", "create", "x", "--token-file", file).want(t, exitNotAllowed) // a viewer's
	with(nil, "queue", "ls", "--token-file", file, "--user", "admin").want(t, exitUsage)
	with(nil, "queue", "ls", "--token-file", file+".none").want(t, exitNoInput)
	b.run(t, "", "token", "create", "a b").want(t, exitData)
	b.run(t, "", "token", "create", "dash", "--role", "root").want(t, exitUsage)
	if o := b.run(t, "", "token", "ls", "-o", "csv").want(t, 0); !strings.Contains(o.stdout, ",dash,viewer,admin,") || strings.Contains(o.stdout, strings.TrimSpace(secret)) {
		t.Error(o.stdout)
	}
	b.run(t, "", "token", "revoke", "dash").want(t, exitUsage).says(t, "--yes")
	b.run(t, "", "token", "revoke", "none", "--yes").want(t, exitFailure).says(t, "token ls")
	b.run(t, "", "token", "revoke", "dash", "--yes").want(t, 0)
	with(nil, "queue", "ls", "--token-file", file).want(t, exitNotAllowed)

	open := func(url string) int {
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	made := func(args ...string) string {
		return strings.TrimSpace(b.run(t, "", append([]string{"link", "create"}, args...)...).want(t, 0).stdout)
	}
	page := strings.TrimSuffix(b.state.Console, "/admin/") + "/admin/queue?name=tokens.q"
	one, two := made(page, "-o", "name", "--hours", "1"), made("/admin/queues", "-o", "name", "--bodies")
	if open(one) != http.StatusOK || open(two) != http.StatusOK {
		t.Errorf("%s %s", one, two)
	}
	b.run(t, "", "link", "create", "/admin/users").want(t, exitData)
	var list []struct{ ID, Page string }
	decode(t, b.run(t, "", "link", "ls", "-o", "json").want(t, 0).stdout, &list)
	if len(list) != 2 || list[0].Page != "/admin/queue?name=tokens.q" {
		t.Fatalf("%v", list)
	}
	b.run(t, "", "link", "revoke").want(t, exitUsage)
	b.run(t, "", "link", "revoke", list[0].ID).want(t, 0)
	if open(one) != http.StatusNotFound || open(two) != http.StatusOK {
		t.Error("another link was revoked")
	}
	b.run(t, "", "link", "revoke", "--all").want(t, 0).says(t, "1 link revoked")
	if open(two) != http.StatusNotFound {
		t.Error("a link is good after all were revoked")
	}
}
