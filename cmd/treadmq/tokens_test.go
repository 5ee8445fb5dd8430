//go:build !windows

package main

import (
	"encoding/json"
	"io"
	"net/http"
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
