package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"treadmq/ha/failover"
)

// receive takes all messages of a queue as JSON.
func (b *runningBroker) receive(t *testing.T, dest string, n int, args ...string) (all []message) {
	t.Helper()
	o := b.run(t, "", append([]string{"recv", dest, "-n", strconv.Itoa(n), "--timeout", "20s", "-o", "json"}, args...)...).want(t, 0)
	decode(t, o.stdout, &all)
	if len(all) != n {
		t.Fatalf("%d messages came, want %d", len(all), n)
	}
	return all
}

func (b *runningBroker) wantEmpty(t *testing.T, dest string) {
	t.Helper()
	if o := b.run(t, "", "recv", dest, "-n", "0", "--timeout", "200ms").want(t, 0); o.stdout != "" {
		t.Errorf("%s still holds %q", dest, o.stdout)
	}
}

// Bodies must come out as they went in, whatever they hold.
func TestBodiesPassUnchanged(t *testing.T) {
	b := theBroker(t)
	for _, body := range []string{"", "plain", "two\nlines\n", "NUL \x00 inside", "\xff\xfe binary", strings.Repeat("large ", 1<<20), "ünïcode ✓"} {
		o := b.run(t, body, "send", "bodies").want(t, 0).says(t, "sent 1 message to /queue/bodies")
		if o.stdout != "" {
			t.Errorf("send printed %q on standard output", o.stdout)
		}
		if o := b.run(t, "", "recv", "bodies", "-0").want(t, 0); o.stdout != body+"\x00" {
			t.Errorf("%.40q came as %.40q", body, o.stdout)
		}
		b.run(t, body, "send", "bodies", "-").want(t, 0)
		m := b.receive(t, "bodies", 1)[0]
		got := string(m.BodyBase64)
		if m.Body != nil {
			got = *m.Body
		}
		if got != body || m.Size != len(body) {
			t.Errorf("%.40q came as %.40q in JSON", body, got)
		}
	}
	file := t.TempDir() + "/body"
	os.WriteFile(file, []byte("from a file"), 0o600)
	b.run(t, "", "send", "bodies", file, "-n", "2").want(t, 0)
	if o := b.run(t, "", "recv", "bodies", "-n", "2").want(t, 0); o.stdout != "from a file\nfrom a file\n" {
		t.Errorf("%q", o.stdout)
	}
	b.wantEmpty(t, "bodies")
}

// TestRecvTakesNoMore: the messages behind those that were asked for are as if nobody had asked.
func TestRecvTakesNoMore(t *testing.T) {
	b := theBroker(t)
	b.run(t, "one\ntwo\nthree\nfour\nfive\nsix", "send", "nomore", "--lines").want(t, 0)
	for _, n := range []int{1, 2, 1, 2} {
		for _, m := range b.receive(t, "nomore", n) {
			if m.Redelivered || m.DeliveryCount > 1 {
				t.Errorf("%s was delivered before: count %d", *m.Body, m.DeliveryCount)
			}
		}
	}
}

func TestSendLines(t *testing.T) {
	b := theBroker(t)
	b.run(t, "one\r\ntwo\n\nlast", "send", "lines", "--lines").want(t, 0).says(t, "sent 4 messages")
	if o := b.run(t, "", "recv", "lines", "-n", "4").want(t, 0); o.stdout != "one\ntwo\n\nlast\n" {
		t.Errorf("%q", o.stdout)
	}
	b.run(t, "a\nb\x00c", "send", "lines", "--lines", "-0").want(t, 0).says(t, "sent 2 messages")
	if o := b.run(t, "", "recv", "lines", "-n", "2", "-0").want(t, 0); o.stdout != "a\nb\x00c\x00" {
		t.Errorf("%q", o.stdout)
	}
	b.run(t, "", "send", "lines", "--lines").want(t, 0).says(t, "sent 0 messages")
}

// Who sends a message with an id that the broker knows is told that it was left out.
func TestSendTellsRepeats(t *testing.T) {
	b := theBroker(t)
	if o := b.run(t, "", "send", "repeats", "-b", "x", "-H", "x-dedup-id=4711").want(t, 0); strings.Contains(o.stderr, "already") {
		t.Error(o.stderr)
	}
	b.run(t, "", "send", "repeats", "-b", "x", "-H", "x-dedup-id=4711").want(t, 0).says(t, "sent 1 message to /queue/repeats; the broker had it already, as "+b.receive(t, "repeats", 1)[0].ID+", and left it out")
	b.run(t, "", "send", "repeats", "-b", "x", "-n", "3", "-H", "x-dedup-id=4712").want(t, 0).says(t, "sent 3 messages to /queue/repeats; the broker had 2 of them already and left them out")
	b.receive(t, "repeats", 1)
}

func TestHeadersOfSend(t *testing.T) {
	b := theBroker(t)
	before := time.Now()
	b.run(t, "", "send", "headers", "-b", "x", "-H", "region=eu", "-H", "url:http://x/?a=b", "-H", "correlation-id=c1",
		"--priority", "7", "--ttl", "1h", "--content-type", "text/plain", "--persistent=false").want(t, 0)
	m := b.receive(t, "headers", 1)[0]
	for k, want := range map[string]string{"region": "eu", "url": "http://x/?a=b", "correlation-id": "c1", "content-type": "text/plain", "content-length": "1"} {
		if m.Headers[k] != want {
			t.Errorf("%s is %q, want %q", k, m.Headers[k], want)
		}
	}
	if m.Priority != 7 || m.Persistent || m.Redelivered || m.Destination != "/queue/headers" || m.ID == "" {
		t.Errorf("%+v", m)
	}
	if left := time.UnixMilli(m.Expires).Sub(before); left < 59*time.Minute || left > 61*time.Minute {
		t.Errorf("expires in %s", left)
	}
	b.run(t, "", "send", "headers", "-b", "x", "--text").want(t, 0)
	if m := b.receive(t, "headers", 1)[0]; m.Headers["content-length"] != "" || !m.Persistent || m.Priority != 4 || m.Expires != 0 {
		t.Errorf("%+v", m)
	}
}

// A destination may be written in each of the ways people know.
func TestDestinations(t *testing.T) {
	for in, want := range map[string]string{
		"a": "/queue/a", "/queue/a": "/queue/a", "queue:a": "/queue/a", "queue://a": "/queue/a", "topic:a": "/topic/a",
		"topic://a.b": "/topic/a.b", "/topic/a": "/topic/a", "/temp-queue/x": "/temp-queue/x", "a/b": "/queue/a/b",
	} {
		if got, err := stompDestination(in); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "/queue/", "topic://"} {
		if got, err := stompDestination(bad); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
	for _, c := range []struct{ kind, in, want string }{{"topic", "a", "a"}, {"queue", "a", "a"}, {"topic", "/topic/a", "a"}, {"queue", "topic:a", ""}, {"topic", "/queue/a", ""}} {
		if got, err := nameOf(c.kind, c.in); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s %s is %q, %v", c.kind, c.in, got, err)
		}
	}
}

func TestRecvFormats(t *testing.T) {
	b := theBroker(t)
	for f, want := range map[string]string{"csv": "id,timestamp,", "jsonl": `{"id":"ID-`, "table": "ID ", "name": "ID-", "yaml": "- id: ID-", "json": "[\n  {"} {
		b.run(t, "", "send", "formats", "-b", "body text").want(t, 0)
		o := b.run(t, "", "recv", "formats", "-o", f).want(t, 0)
		if !strings.HasPrefix(o.stdout, want) || f != "name" && !strings.Contains(o.stdout, "body text") {
			t.Errorf("%s: %s", f, o.stdout)
		}
	}
}

func TestSelector(t *testing.T) {
	b := theBroker(t)
	for _, region := range []string{"eu", "us", "eu"} {
		b.run(t, "", "send", "selected", "-b", region, "-H", "region="+region).want(t, 0)
	}
	if o := b.run(t, "", "recv", "selected", "-n", "2", "--selector", "region = 'eu'").want(t, 0); o.stdout != "eu\neu\n" {
		t.Errorf("%q", o.stdout)
	}
	if o := b.run(t, "", "recv", "selected").want(t, 0); o.stdout != "us\n" {
		t.Errorf("%q", o.stdout)
	}
	b.run(t, "", "recv", "selected", "--selector", "region = ").want(t, exitData).says(t, "selector")
}

func TestQuietSaysNothing(t *testing.T) {
	b := theBroker(t)
	for _, args := range []string{"send quiet -b x -q", "recv quiet -q"} {
		if o := b.run(t, "", strings.Fields(args)...).want(t, 0); o.stderr != "" {
			t.Errorf("%s: %s", args, o.stderr)
		}
	}
}

// What could not be printed is not acknowledged.
func TestRecvAcknowledgesAfterPrinting(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("this system has no /dev/full: %v", err)
	}
	defer full.Close()
	b := theBroker(t)
	b.run(t, "", "send", "kept", "-b", "precious").want(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, f := range []string{"raw", "jsonl"} {
		cmd := call{args: []string{"recv", "kept", "-o", f}, env: b.env()}.command(ctx)
		var errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &errs
		if cmd.Run(); cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(errs.String(), "no space") {
			t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), &errs)
		}
	}
	if m := b.receive(t, "kept", 1)[0]; *m.Body != "precious" || !m.Redelivered {
		t.Errorf("%+v", m)
	}
}

// follow starts a recv that goes on, and returns its output so far.
func (b *runningBroker) follow(t *testing.T, args ...string) (*exec.Cmd, func() string) {
	t.Helper()
	cmd := call{args: append([]string{"recv"}, args...), env: b.env()}.command(t.Context())
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out.String
}

func TestFollowEndsWithASignal(t *testing.T) {
	b := theBroker(t)
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		cmd, out := b.follow(t, "followed", "--follow")
		for i := range 3 {
			text := "message " + strconv.Itoa(i)
			b.run(t, "", "send", "followed", "-b", text).want(t, 0)
			eventually(t, text, func() bool { return strings.Contains(out(), text) })
		}
		cmd.Process.Signal(sig)
		cmd.Wait()
		if cmd.ProcessState.ExitCode() != code || !strings.Contains(out(), "received 3 messages") {
			t.Errorf("exit code %d, want %d: %s", cmd.ProcessState.ExitCode(), code, out())
		}
		b.wantEmpty(t, "followed")
	}
}

func TestTopic(t *testing.T) {
	b := theBroker(t)
	cmd, out := b.follow(t, "/topic/news", "-n", "2")
	// nothing tells from outside that the subscription is there: send until it is heard
	eventually(t, "two messages", func() bool {
		b.run(t, "", "send", "topic:news", "-b", "extra").want(t, 0)
		return strings.Count(out(), "extra") == 2
	})
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestRecvTimeoutIsNoError(t *testing.T) {
	b := theBroker(t)
	o := b.run(t, "", "recv", "nothing-here", "--timeout", "100ms").want(t, 0).says(t, "received 0 messages")
	if o.stdout != "" {
		t.Errorf("%q", o.stdout)
	}
}

func TestRate(t *testing.T) {
	b := theBroker(t)
	start := time.Now()
	b.run(t, "", "send", "/topic/rate", "-b", "x", "-n", "21", "--rate", "100").want(t, 0)
	if d := time.Since(start); d < 200*time.Millisecond {
		t.Errorf("21 messages at 100 a second took %s only", d)
	}
}

func TestSendReportsHowFarItCame(t *testing.T) {
	b := theBroker(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := call{args: []string{"send", "/topic/endless", "-b", "x", "-n", "1000000", "--rate", "50"}, env: b.env()}.command(ctx)
	out := &lockedBuffer{}
	cmd.Stderr = out
	sub, heard := b.follow(t, "/topic/endless", "-n", "1")
	// the subscription must be there before it is told apart
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a message", func() bool { return strings.Contains(heard(), "x") })
	sub.Wait()
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != 130 || !strings.Contains(out.String(), "confirmed") || strings.Contains(out.String(), " 0 messages") {
		t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), out)
	}
}

// A failover address outlives a broker that goes away and comes back.
func TestSendOutlivesABroker(t *testing.T) {
	first := ownBroker(t)
	dir, address := first.dir, first.state.Stomp[0]
	u := "failover:(tcp://" + address + ")?initialReconnectDelay=20&maxReconnectDelay=100"
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd := call{args: []string{"send", "durable", "--lines", "--url", u}, stdin: r}.command(t.Context())
	out := &lockedBuffer{}
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.WriteString("before\n")
	eventually(t, "the first message", func() bool {
		return first.run(t, "", "recv", "durable", "--timeout", "100ms").stdout == "before\n"
	})
	first.cmd.Process.Kill()
	<-first.ended
	first.cmd = nil
	eventually(t, "the loss being told", func() bool { return strings.Contains(out.String(), "lost") })
	w.WriteString("while it is away\n")
	again := call{args: []string{"console", "--data", "data", "--stomp", address, "--console", "127.0.0.1:0"}, dir: dir}.command(t.Context())
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { again.Process.Signal(syscall.SIGTERM); again.Wait() }()
	eventually(t, "the return being told", func() bool { return strings.Contains(out.String(), "connected again") })
	w.WriteString("after\n")
	w.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := call{args: []string{"recv", "durable", "-n", "2", "--timeout", "20s", "--url", "tcp://" + address}}.run(t).want(t, 0)
	if o.stdout != "while it is away\nafter\n" {
		t.Errorf("%q", o.stdout)
	}
}

func TestActiveMQProducerAndConsumer(t *testing.T) {
	b := theBroker(t)
	b.run(t, "", "producer", "--destination", "queue://amq", "--messageCount", "3", "--brokerUrl", b.url()).want(t, 0).says(t, "sent 3 messages to /queue/amq")
	o := b.run(t, "", "consumer", "--destination", "queue://amq", "--messageCount", "3", "--brokerUrl", b.url()).want(t, 0)
	if o.stdout != "test message: 0\ntest message: 1\ntest message: 2\n" {
		t.Errorf("%q", o.stdout)
	}
	b.run(t, "", "producer", "--destination", "queue://amq", "--messageCount", "2", "--messageSize", "5", "--persistent", "false", "--msgTTL", "60000").want(t, 0)
	for _, m := range b.receive(t, "amq", 2) {
		if *m.Body != "xxxxx" || m.Persistent || m.Expires == 0 || m.Headers["content-length"] != "" {
			t.Errorf("%+v", m)
		}
	}
}

func TestParseHeader(t *testing.T) {
	for in, want := range map[string]failover.Header{
		"a=b": failover.H("a", "b"), "a:b": failover.H("a", "b"), "a=b:c": failover.H("a", "b:c"), "a:b=c": failover.H("a", "b=c"), "a=": failover.H("a", ""),
	} {
		if got, err := parseHeader(in); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "a", "=b", ":b"} {
		if _, err := parseHeader(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestMessageJSONKeepsTheNames(t *testing.T) {
	text := "b"
	b, err := json.Marshal(message{ID: "i", Body: &text})
	want := `{"id":"i","destination":"","timestamp":0,"expires":0,"priority":0,"persistent":false,"redelivered":false,"deliveryCount":0,"size":0,"headers":null,"body":"b"}`
	if err != nil || string(b) != want {
		t.Errorf("%s %v", b, err)
	}
}

// A read from standard input that is under way must not keep Ctrl-C from working.
func TestInterruptWhileReadingStandardInput(t *testing.T) {
	b := theBroker(t)
	for _, args := range [][]string{{"send", "unread", "--lines"}, {"send", "unread"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := call{args: args, env: b.env(), stdin: r}.command(t.Context())
		out := &lockedBuffer{}
		cmd.Stderr = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r.Close()
		w.Write(make([]byte, 200<<10)) // more than a pipe holds: it returns when some of it was read
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		w.Close()
		if cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("%v: exit code %d: %s", args, cmd.ProcessState.ExitCode(), out)
		}
	}
	b.wantEmpty(t, "unread")
}

// The first message that is refused ends the command, which says how far it came.
func TestSendStopsAtARefusal(t *testing.T) {
	config := t.TempDir() + "/t.toml"
	os.WriteFile(config, []byte("[[policy]]\nqueue = \"full\"\nmaxMessages = 3\nonFull = \"fail\"\n"), 0o600)
	b := ownBroker(t, "--config", config)
	o := b.run(t, "", "send", "full", "-b", "x", "-n", "1000000", "--rate", "200").want(t, exitTryAgain)
	o.says(t, "3 messages confirmed, then one was not", "queue-full")
	if got := b.receive(t, "full", 3); len(got) != 3 {
		t.Errorf("%d messages came", len(got))
	}
	b.run(t, "", "bench", "full", "-n", "100", "--mode", "fill").want(t, exitTryAgain).says(t, "full")
}
