package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"treadmq/ha/failover"
)

// bodies are those of a queue, in order.
func (b *runningBroker) bodies(t *testing.T, queue string) []string {
	t.Helper()
	return strings.Split(strings.TrimSuffix(b.run(t, "", "browse", queue, "-o", "raw").want(t, 0).stdout, "\n"), "\n")
}

func numberedLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "message %d\n", i)
	}
	return b.String()
}

func TestExportImportKeepsMessages(t *testing.T) {
	b := theBroker(t)
	file := filepath.Join(t.TempDir(), "q.jsonl")
	b.run(t, "", "send", "export.q", "--body", "größe", "-H", "shop:7", "-H", "correlation-id:c", "-H", "persistent:false", "--priority", "8").want(t, 0)
	b.run(t, "\x00\xff", "send", "export.q", "-", "-H", "content-type:image/png").want(t, 0)
	b.run(t, "", "send", "export.q", "--body", "", "-H", "empty:").want(t, 0)
	o := b.run(t, "", "export", "export.q", file, "-o", "jsonl").want(t, 0)
	if !strings.Contains(o.stdout, `"messages":3`) {
		t.Errorf("%s", o.stdout)
	}
	b.run(t, "", "export", "export.q", file).want(t, exitCannot).says(t, "--force")
	b.run(t, "", "import", file, "--to", "export.copy").want(t, 0)
	var before, after []map[string]any
	decode(t, b.run(t, "", "browse", "export.q", "--body", "-o", "json").want(t, 0).stdout, &before)
	decode(t, b.run(t, "", "browse", "export.copy", "--body", "-o", "json").want(t, 0).stdout, &after)
	if len(after) != 3 || len(before) != 3 {
		t.Fatalf("%v", after)
	}
	for i, was := range before {
		is := after[i]
		for _, field := range []string{"body", "bodyBase64", "priority", "persistent", "expires", "size"} {
			if fmt.Sprint(was[field]) != fmt.Sprint(is[field]) {
				t.Errorf("message %d: %s was %v and is %v", i, field, was[field], is[field])
			}
		}
		for _, name := range []string{"shop", "correlation-id", "content-type", "empty"} {
			if was, is := was["headers"].(map[string]any)[name], is["headers"].(map[string]any)[name]; was != is {
				t.Errorf("message %d: header %s was %v and is %v", i, name, was, is)
			}
		}
	}
	b.run(t, "", "import", file, "--to", "export.copy").want(t, exitData).says(t, "already")
}

// A killed export or import goes on where it was: nothing is lost or doubled.
func TestKilledExportAndImportGoOn(t *testing.T) {
	b := theBroker(t)
	const n = 1500
	b.run(t, numberedLines(n), "send", "export.killed", "--lines").want(t, 0)
	want := b.bodies(t, "export.killed")
	file := filepath.Join(t.TempDir(), "q.jsonl")
	done := b.killUntilDone(t, []string{"export", "export.killed", file}, func() string {
		info, err := os.Stat(file + ".part")
		if err != nil {
			return ""
		}
		return fmt.Sprint(info.Size())
	}, func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
	t.Logf("the export was killed %d times", done)
	done = b.killUntilDone(t, []string{"import", file, "--to", "export.again"}, func() string {
		text, _ := os.ReadFile(file + ".imported")
		return string(text)
	}, func() bool {
		var s importState
		text, err := os.ReadFile(file + ".imported")
		return err == nil && json.Unmarshal(text, &s) == nil && s.Done
	})
	if done == 0 {
		t.Error("the import was never killed")
	}
	got := b.bodies(t, "export.again")
	if len(got) != n {
		t.Fatalf("%d messages instead of %d", len(got), n)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("message %d is %q instead of %q", i, got[i], want[i])
		}
	}
}

// killUntilDone kills a command whenever it has got on, a few times, and then lets it end, unless it has
// finished its work when it is killed.
func (b *runningBroker) killUntilDone(t *testing.T, args []string, state func() string, finished func() bool) (kills int) {
	t.Helper()
	for range 4 {
		before := state()
		cmd := call{args: args, env: b.env()}.command(context.Background())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			cmd.Wait()
			close(ended)
		}()
		over := false
		eventually(t, "progress", func() bool {
			select {
			case <-ended:
				over = true
			default:
			}
			return over || state() != before
		})
		cmd.Process.Kill()
		<-ended
		if cmd.ProcessState.Success() || finished() {
			return kills
		}
		kills++
	}
	b.run(t, "", args...).want(t, 0)
	return kills
}

// A line that was being written when the command was killed is written again.
func TestExportCutsATornLine(t *testing.T) {
	b := theBroker(t)
	b.run(t, numberedLines(3), "send", "export.torn", "--lines").want(t, 0)
	file := filepath.Join(t.TempDir(), "q.jsonl")
	b.run(t, "", "export", "export.torn", file).want(t, 0)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	if len(lines) != 6 { // head, three messages, end, nothing
		t.Fatalf("%d lines", len(lines))
	}
	for _, torn := range []string{lines[0][:10], lines[0], lines[0] + lines[1] + lines[2][:20], lines[0] + lines[1] + lines[2], strings.Join(lines[:4], ""), string(whole)} {
		os.Remove(file)
		if err := os.WriteFile(file+".part", []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		b.run(t, "", "export", "export.torn", file).want(t, 0)
		again, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.SplitAfter(string(again), "\n"); strings.Join(got[1:], "") != strings.Join(lines[1:], "") {
			t.Errorf("after %q:\n%s", torn, again)
		}
	}
	// What is not whole is not imported.
	for _, bad := range []string{"", "{}\n", "nonsense", strings.Join(lines[:4], ""), `{"treadmqExport":2}` + "\n"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		b.run(t, "", "import", file, "--to", "export.bad").want(t, exitData)
	}
	b.run(t, "", "import", file+".none").want(t, exitNoInput)
	b.run(t, "", "export", "export.none", file+".none").want(t, exitFailure).says(t, "no queue")
}

// The message that an import was at when it was killed is looked for before it is sent again.
func TestImportLooksForTheMessageItWasAt(t *testing.T) {
	b := theBroker(t)
	b.run(t, numberedLines(3), "send", "export.at", "--lines").want(t, 0)
	file := filepath.Join(t.TempDir(), "q.jsonl")
	b.run(t, "", "export", "export.at", file).want(t, 0)
	b.run(t, "", "import", file, "--to", "export.at.copy").want(t, 0)
	text, err := os.ReadFile(file + ".imported")
	if err != nil {
		t.Fatal(err)
	}
	var s importState
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	s.path, s.Done, s.Messages = file+".imported", false, 2 // as if it was killed before it could note the last one
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	b.run(t, "", "import", file, "--to", "export.at.copy").want(t, 0)
	if got := b.bodies(t, "export.at.copy"); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

// A request of an import that was killed is still on its way when the import goes on: its message is there once.
func TestImportWithALateRequest(t *testing.T) {
	b := theBroker(t)
	b.run(t, numberedLines(3), "send", "export.late", "--lines").want(t, 0)
	file := filepath.Join(t.TempDir(), "q.jsonl")
	b.run(t, "", "export", "export.late", file).want(t, 0)
	target, err := url.Parse(strings.TrimSuffix(b.state.Console, "/admin/"))
	if err != nil {
		t.Fatal(err)
	}
	held, release, sent := make(chan struct{}), make(chan struct{}), 0
	slow := httputil.NewSingleHostReverseProxy(target)
	network := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if sent++; sent == 2 {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				r = r.WithContext(context.WithoutCancel(r.Context())) // what was sent arrives, whoever has gone
				r.Body = io.NopCloser(bytes.NewReader(body))
				close(held)
				<-release
			}
		}
		slow.ServeHTTP(w, r)
	}))
	cmd := call{args: []string{"import", file, "--to", "export.late.copy", "--console", network.URL}, env: b.env()}.command(context.Background())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-held
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	b.run(t, "", "import", file, "--to", "export.late.copy").want(t, 0)
	close(release)
	network.Close() // waits for the late request
	if got := b.bodies(t, "export.late.copy"); strings.Join(got, ",") != "message 0,message 1,message 2" {
		t.Errorf("%q", got)
	}
	if err := os.Remove(file + ".imported"); err != nil {
		t.Fatal(err)
	}
	b.run(t, "", "import", file, "--to", "export.late.copy").want(t, 0)
	if got := b.bodies(t, "export.late.copy"); len(got) != 6 {
		t.Errorf("after it was imported once more: %q", got)
	}
}

// An export that consumes and is killed at any time neither loses nor doubles a message.
func TestKilledConsumingExportGoesOn(t *testing.T) {
	b := theBroker(t)
	const n = 1200
	b.run(t, numberedLines(n), "send", "export.taken", "--lines").want(t, 0)
	want := b.bodies(t, "export.taken")
	file := filepath.Join(t.TempDir(), "q.jsonl")
	kills := b.killUntilDone(t, []string{"export", "export.taken", file, "--consume"}, func() string {
		info, err := os.Stat(file + ".part.taken")
		if err != nil {
			return ""
		}
		return fmt.Sprint(info.Size())
	}, func() bool { return fileExists(file) })
	if kills == 0 {
		t.Error("the export was never killed")
	}
	if left := b.bodies(t, "export.taken"); len(left) != 1 || left[0] != "" {
		t.Errorf("%d messages are left, the first is %q", len(left), left[0])
	}
	b.run(t, "", "import", file, "--to", "export.taken.again").want(t, 0)
	got := b.bodies(t, "export.taken.again")
	if len(got) != n {
		t.Fatalf("%d messages instead of %d", len(got), n)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("message %d is %q instead of %q", i, got[i], want[i])
		}
	}
	for _, gone := range []string{file + ".part", file + ".part.taken", file + ".new"} {
		if fileExists(gone) {
			t.Error(gone, "is left")
		}
	}
}

// hold subscribes to a queue and returns when n of its messages are in flight.
func (b *runningBroker) hold(t *testing.T, queue string, n int) *failover.Conn {
	t.Helper()
	u, err := failover.ParseURL(b.url())
	if err != nil {
		t.Fatal(err)
	}
	c, err := failover.Dial(t.Context(), u, failover.Options{Login: "admin", Passcode: b.password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Subscribe(t.Context(), "/queue/"+queue, failover.AckClientIndividual, failover.H("activemq.prefetchSize", fmt.Sprint(n))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "messages in flight", func() bool {
		var q struct{ InFlight int }
		decode(t, b.run(t, "", "queue", "show", queue, "-o", "json").want(t, 0).stdout, &q)
		return q.InFlight == n
	})
	return c
}

// What a consumer holds stays out of the file, and what the command was at when it was killed
// is taken out when it goes on, in that queue only.
func TestConsumingExportLeavesWhatConsumersHave(t *testing.T) {
	b := theBroker(t)
	const queue = "export.held"
	b.run(t, numberedLines(5), "send", queue, "--lines").want(t, 0)
	c := b.hold(t, queue, 2)
	file := filepath.Join(t.TempDir(), "q.jsonl")
	o := b.run(t, "", "export", queue, file, "--consume", "-o", "jsonl").want(t, 0).says(t, "2 messages stayed in the queue")
	if !strings.Contains(o.stdout, `"messages":3`) {
		t.Error(o.stdout)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range []bool{false, false, true, true, true} {
		if strings.Contains(string(text), fmt.Sprintf("message %d", i)) != in {
			t.Errorf("message %d: in the file should be %v: %s", i, in, text)
		}
	}
	c.Close()
	eventually(t, "the messages back", func() bool { return len(b.bodies(t, queue)) == 2 })

	// Killed behind the deletion and before the note of it: they are in the file, and nobody can say more.
	lines := strings.SplitAfter(string(text), "\n")
	part := file + ".2.part"
	if err := os.WriteFile(part, []byte(strings.Join(lines[:4], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run(t, "", "export", queue, file+".2").want(t, exitData).says(t, "--consume")
	b.run(t, "", "export", queue, file+".2", "--consume", "-o", "jsonl").want(t, 0).says(t, "3 messages of the file were gone")
	if text, err := os.ReadFile(file + ".2"); err != nil || strings.Count(string(text), `"body"`) != 3 {
		t.Errorf("%v %s", err, text)
	}
	if left := b.bodies(t, queue); len(left) != 2 { // they were before the place where it went on
		t.Errorf("%q are left", left)
	}

	// Killed when only names were missing.
	for ext, content := range map[string]string{".3.new": string(text), ".3.part": lines[0], ".3.part.taken": "{\"id\":\"x\"}\n{\"whole\":true}\n"} {
		if err := os.WriteFile(file+ext, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.run(t, "", "export", queue, file+".3", "--consume").want(t, 0).says(t, "was whole")
	if again, err := os.ReadFile(file + ".3"); err != nil || string(again) != string(text) || fileExists(file+".3.part") {
		t.Errorf("%v %s", err, again)
	}
}
