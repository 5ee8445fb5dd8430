package docs_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const consoleInDocs = "http://127.0.0.1:8161"

// TestAPIExamples runs the examples of docs/api.md against a broker: what stands behind
// a command as a comment must be part of its answer.
func TestAPIExamples(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl; scripts/deps.sh api installs it")
	}
	console, password := runBroker(t)
	var script strings.Builder
	script.WriteString("set -u\n")
	want := []string{}
	commands := 0
	for _, f := range newText("docs/api.md", read(t, "docs/api.md")).fences {
		if f.language != "sh" {
			continue
		}
		for _, line := range f.lines {
			if expected, ok := strings.CutPrefix(line, "# "); ok {
				want = append(want, expected)
				script.WriteString("printf '\\n%s\\n' ----\n")
				continue
			}
			commands++
			line = strings.ReplaceAll(line, consoleInDocs, console)
			script.WriteString(strings.ReplaceAll(line, "admin:secret", "admin:"+password) + "\n")
		}
	}
	if commands < 15 || len(want) < 15 {
		t.Fatalf("only %d commands with %d answers were found", commands, len(want))
	}
	out, err := exec.Command("sh", "-c", script.String()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := strings.Split(string(out), "\n----\n")
	for i, w := range want {
		if i >= len(answers) || !strings.Contains(answers[i], w) {
			t.Errorf("not in the answer: %s\n%s", w, answers[min(i, len(answers)-1)])
		}
	}
}

// runBroker starts a broker for one test and returns its console's address and the
// administrator's password.
func runBroker(t *testing.T) (console, password string) {
	t.Helper()
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(context.Background(), build(t).path, "console", "--data", "data", "--stomp", "127.0.0.1:0", "--console", "127.0.0.1:0")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	said := []byte{}
	address, login := regexp.MustCompile(`(http://[0-9.:]+)/admin/`), regexp.MustCompile(`admin / (\S+)`)
	over := false
	for end := time.Now().Add(time.Minute); !over && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-ended:
			over = true
		default:
		}
		if said, err = os.ReadFile(out.Name()); err != nil {
			t.Fatal(err)
		}
		a, l := address.FindSubmatch(said), login.FindSubmatch(said)
		if a != nil && l != nil {
			return string(a[1]), string(l[1])
		}
	}
	t.Fatalf("the broker did not start: %s", said)
	return "", ""
}
