package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQueueLife(t *testing.T) {
	b := theBroker(t)
	for _, name := range []string{"life", "a/b%2F..", "ünï ?#&=", "with:colon"} {
		b.run(t, "", "queue", "create", name, "-o", "name").want(t, 0)
		b.run(t, "one\ntwo\nthree\n", "send", "queue:"+name, "--lines").want(t, 0)
		var q map[string]any
		decode(t, b.run(t, "", "queue", "show", name, "-o", "json").want(t, 0).stdout, &q)
		if q["name"] != name || q["messages"] != 3.0 || q["enqueued"] != 3.0 {
			t.Errorf("%v", q)
		}
		o := b.run(t, "", "queue", "ls", name, "-o", "csv").want(t, 0)
		if !strings.HasPrefix(o.stdout, "name,messages,inFlight,consumers,enqueued,dequeued,rateIn,rateOut\n") || strings.Count(o.stdout, "\n") != 2 {
			t.Errorf("%s", o.stdout)
		}
		if o := b.run(t, "", "browse", name, "-o", "raw").want(t, 0); o.stdout != "one\ntwo\nthree\n" {
			t.Errorf("browse: %q", o.stdout)
		}
		o = b.run(t, "", "queue", "purge", name, "--dry-run", "-o", "name").want(t, 0).says(t, "3 messages", "nothing done")
		if o.stdout != "" {
			t.Errorf("dry run: %q", o.stdout)
		}
		b.run(t, "", "queue", "purge", name).want(t, exitUsage).says(t, "--yes", "3 messages")
		o = b.run(t, "", "queue", "purge", name, "--yes", "-o", "jsonl").want(t, 0).says(t, "3 messages")
		var purged struct {
			Name    string
			Removed int
		}
		if decode(t, o.stdout, &purged); purged.Removed != 3 || purged.Name != name {
			t.Errorf("%s", o.stdout)
		}
		b.run(t, "", "queue", "rm", name).want(t, exitUsage).says(t, "--yes")
		b.run(t, "", "queue", "rm", name, "-y").want(t, 0)
		b.run(t, "", "queue", "show", name).want(t, exitFailure).says(t, "treadmq queue ls")
	}
	b.run(t, "", "browse", "never-made").want(t, exitFailure).says(t, "next:")
}

// A name that looks like a number is shown as it is.
func TestQueueNamedLikeANumber(t *testing.T) {
	b := theBroker(t)
	const name = "19.25"
	b.run(t, "", "queue", "create", name).want(t, 0)
	if o := b.run(t, "", "queue", "ls", name, "-o", "csv").want(t, 0); !strings.Contains(o.stdout, "\n"+name+",0,") {
		t.Errorf("listed:\n%s", o.stdout)
	}
	if o := b.run(t, "", "queue", "show", name, "-o", "csv").want(t, 0); !strings.Contains(o.stdout, "\n"+name+",") {
		t.Errorf("shown:\n%s", o.stdout)
	}
}

func TestQueueInUseNeedsForce(t *testing.T) {
	b := theBroker(t)
	cmd, out := b.follow(t, "in-use", "--follow")
	eventually(t, "the consumer", func() bool {
		return strings.Contains(b.run(t, "", "queue", "show", "in-use", "-o", "jsonl").stdout, `"consumers":1`)
	})
	b.run(t, "", "queue", "rm", "in-use", "--yes").want(t, exitFailure).says(t, "--force", "1 consumers")
	b.run(t, "", "queue", "rm", "in-use", "--yes", "--force").want(t, 0)
	cmd.Process.Kill()
	cmd.Wait()
	_ = out
}

// A list or a queue longer than the server's pages must come whole, and once.
func TestPagesComeWhole(t *testing.T) {
	b := theBroker(t)
	var names []string
	for i := range 250 {
		names = append(names, fmt.Sprintf("page.%03d", i))
	}
	b.run(t, "", append([]string{"queue", "create"}, names...)...).want(t, 0)
	o := b.run(t, "", "queue", "ls", "--filter", "page.", "-o", "name").want(t, 0)
	if d := cmp.Diff(strings.Join(names, "\n")+"\n", o.stdout); d != "" {
		t.Error(d)
	}
	slices.Reverse(names)
	o = b.run(t, "", "queue", "ls", "page.", "--desc", "-n", "120", "-o", "name").want(t, 0)
	if d := cmp.Diff(strings.Join(names[:120], "\n")+"\n", o.stdout); d != "" {
		t.Error(d)
	}
	var lines strings.Builder
	for i := range 1234 {
		fmt.Fprintln(&lines, "message", i)
	}
	b.run(t, lines.String(), "send", "deep", "--lines").want(t, 0)
	if o := b.run(t, "", "browse", "deep", "-o", "raw").want(t, 0); o.stdout != lines.String() {
		t.Error("browse does not show the queue as it is")
	}
	if o := b.run(t, "", "browse", "deep", "-n", "7", "-o", "name").want(t, 0); strings.Count(o.stdout, "\n") != 7 {
		t.Errorf("%s", o.stdout)
	}
	b.run(t, "", "queue", "purge", "deep", "--yes").want(t, 0)
}

func TestBrowseShowsMessages(t *testing.T) {
	b := theBroker(t)
	b.run(t, "\xff\x00binary", "send", "looked-at", "-H", "a=b").want(t, 0)
	o := b.run(t, "", "browse", "looked-at", "-o", "jsonl", "--body").want(t, 0)
	var m message
	decode(t, o.stdout, &m)
	if string(m.BodyBase64) != "\xff\x00binary" || m.Headers["a"] != "b" || m.Size != 8 {
		t.Errorf("%+v", m)
	}
	if o := b.run(t, "", "browse", "looked-at").want(t, 0); !strings.Contains(o.stdout, m.ID) {
		t.Errorf("%s", o.stdout)
	}
	if o := b.run(t, "", "browse", "looked-at", "-o", "raw").want(t, 0); o.stdout != "\xff\x00binary\n" {
		t.Errorf("%q", o.stdout)
	}
	if got := b.receive(t, "looked-at", 1); got[0].ID != m.ID {
		t.Errorf("browse says %s, recv %s", m.ID, got[0].ID)
	}
}

func TestTopicCommands(t *testing.T) {
	b := theBroker(t)
	b.run(t, "", "send", "/topic/seen", "-b", "x").want(t, 0)
	if o := b.run(t, "", "topic", "ls", "seen", "-o", "csv").want(t, 0); !strings.Contains(o.stdout, "\nseen,0,") {
		t.Errorf("%s", o.stdout)
	}
	for _, name := range []string{"seen", "/topic/seen", "topic://seen"} {
		if o := b.run(t, "", "topic", "show", name).want(t, 0); !strings.Contains(o.stdout, "published") {
			t.Errorf("%s", o.stdout)
		}
	}
}

func TestActiveMQWords(t *testing.T) {
	b := theBroker(t)
	b.run(t, "", "queue", "create", "amq.words").want(t, 0)
	b.run(t, "", "send", "/topic/amq.words", "-b", "x").want(t, 0)
	for args, want := range map[string]string{
		"dstat": "amq.words", "dstat queues": "MESSAGES", "dstat topics": "SUBSCRIBERS", "query": "uptimeSeconds",
		"query -QQueue=amq.words": "consumers", "query -QTopic=amq.words": "subscribers", "list": "brokerName", "bstat": "dataDir",
	} {
		if o := b.run(t, "", strings.Fields(args)...).want(t, 0); !strings.Contains(o.stdout, want) {
			t.Errorf("%s: %s", args, o.stdout)
		}
	}
	b.run(t, "", "purge", "amq.words", "--yes").want(t, 0)
	if o := b.run(t, "", "list", "-o", "name").want(t, 0); strings.TrimSpace(o.stdout) == "" {
		t.Error("list names no broker")
	}
}

func TestWrongLogin(t *testing.T) {
	b := ownBroker(t) // refused logins slow down the next
	env := []string{envURL + "=" + b.url(), envConsole + "=" + b.state.Console, envUser + "=admin", envPassword + "=wrong"}
	for _, args := range []string{"queue ls", "browse q", "send q -b x", "recv q"} {
		call{args: strings.Fields(args), env: env}.run(t).want(t, exitNotAllowed).says(t, "--password-file")
	}
	call{args: []string{"queue", "ls"}, env: env[:2]}.run(t).want(t, exitNotAllowed).says(t, "--user")
}

// TestAnswersOfTheAPI gives exit codes to what a broker in trouble answers.
func TestAnswersOfTheAPI(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		exit   int
		says   string
	}{
		{400, "bad-request", exitData, "the detail"}, {401, "login", exitNotAllowed, "--user"}, {403, "not-authorized", exitNotAllowed, "role"},
		{404, "unknown-destination", exitFailure, "queue ls"}, {409, "in-use", exitFailure, "--force"}, {409, "limit", exitFailure, "the detail"},
		{503, "closing", exitTryAgain, "again"}, {507, "store-full", exitTryAgain, "the detail"}, {500, "internal", exitFailure, "the detail"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(c.status)
			json.NewEncoder(w).Encode(map[string]any{"title": "T", "status": c.status, "detail": "the detail", "code": c.code})
		}))
		t.Cleanup(s.Close)
		treadmq(t, "queue", "show", "q", "--console", s.URL).want(t, c.exit).says(t, c.says, "the detail")
	}
}

// Some messages of a queue are removed, those that match; what was done is in the audit log.
func TestPurgeSome(t *testing.T) {
	b := theBroker(t)
	const queue = "purge.some"
	b.run(t, "old 1\nnew 1\nold 2\nnew 2\nold 3\n", "send", queue, "--lines").want(t, 0)
	b.run(t, "", "queue", "purge", queue, "--text", "old", "--dry-run").want(t, 0).says(t, "3 messages match", "nothing done")
	b.run(t, "", "queue", "purge", queue, "--text", "old").want(t, exitUsage).says(t, "--yes")
	b.run(t, "", "queue", "purge", queue, "--selector", "a =", "--yes").want(t, exitData)
	o := b.run(t, "", "queue", "purge", queue, "--text", "old", "--limit", "2", "--yes", "-o", "jsonl").want(t, 0).says(t, "undo: treadmq trash restore")
	if !strings.Contains(o.stdout, `"removed":2`) {
		t.Error(o.stdout)
	}
	if left := b.bodies(t, queue); strings.Join(left, ",") != "new 1,new 2,old 3" {
		t.Errorf("%q are left", left)
	}
	if o := b.run(t, "", "job", "ls", "-o", "csv").want(t, 0); !strings.Contains(o.stdout, ",delete,"+queue+",,admin,done,") {
		t.Error(o.stdout)
	}
	b.run(t, "", "job", "cancel", "999999").want(t, exitFailure)
	if o := b.run(t, "", "audit", "-n", "50", "-o", "csv").want(t, 0); !strings.Contains(o.stdout, ",admin,delete,/queue/"+queue+",127.0.0.1,ok,") {
		t.Error(o.stdout)
	}
	b.run(t, "", "send", "/topic/purge.some", "--body", "x").want(t, 0)
	b.run(t, "", "topic", "rm", "purge.some").want(t, 0)
	b.run(t, "", "topic", "rm", "purge.some").want(t, exitFailure)
}
