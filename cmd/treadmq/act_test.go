package main

import (
	"strings"
	"testing"
)

func TestMoveCopyRetry(t *testing.T) {
	b := theBroker(t)
	b.run(t, "one\ntwo\nthree\n", "send", "act.from", "--lines").want(t, 0)
	o := b.run(t, "", "move", "act.from", "act.to", "--text", "t", "--dry-run", "-o", "csv").want(t, 0)
	if o.says(t, "nothing done"); o.stdout != "queue,action,would,inFlight,noOrigin,dryRun\nact.from,move,2,0,0,true\n" {
		t.Errorf("%s", o.stdout)
	}
	b.run(t, "", "move", "act.from", "act.to", "--text", "t", "--limit", "1").want(t, 0)
	b.run(t, "", "copy", "queue:act.from", "/queue/act.to").want(t, 0)
	if o := b.run(t, "", "browse", "act.to", "-o", "raw").want(t, 0); o.stdout != "two\none\nthree\n" {
		t.Errorf("%q", o.stdout)
	}
	if o := b.run(t, "", "browse", "act.to", "--text", "hre", "-o", "raw").want(t, 0); o.stdout != "three\n" {
		t.Errorf("%q", o.stdout)
	}
	o = b.run(t, "", "dlq", "retry", "act.to", "-o", "csv").want(t, 0)
	if !strings.Contains(o.stdout, "act.to,retry,0,0,3,done") {
		t.Errorf("%s", o.stdout)
	}
	b.run(t, "", "dlq", "ls").want(t, 0)
	b.run(t, "", "move", "act.none", "act.to").want(t, exitFailure).says(t, "treadmq queue ls")
	b.run(t, "", "move", "act.to", "act.to").want(t, exitData).says(t, "already")
	b.run(t, "", "copy", "act.to", "x", "--selector", "a =").want(t, exitData).says(t, "selector")
}

func TestPauseAndConnections(t *testing.T) {
	b := theBroker(t)
	b.run(t, "x", "send", "act.paused").want(t, 0)
	b.run(t, "", "queue", "pause", "act.paused").want(t, 0)
	if o := b.run(t, "", "queue", "show", "act.paused", "-o", "jsonl").want(t, 0); !strings.Contains(o.stdout, `"paused":true`) {
		t.Errorf("%s", o.stdout)
	}
	b.run(t, "", "queue", "resume", "act.paused").want(t, 0)
	cmd, _ := b.follow(t, "act.conn", "--follow")
	serial := ""
	eventually(t, "the connection", func() bool {
		o := b.run(t, "", "conn", "ls", "-o", "csv").want(t, 0)
		for line := range strings.Lines(o.stdout) {
			if strings.Contains(line, "STOMP") {
				serial, _, _ = strings.Cut(line, ",")
			}
		}
		return serial != ""
	})
	b.run(t, "", "conn", "show", serial).want(t, 0)
	if o := b.run(t, "", "conn", "ls", "-o", "name").want(t, 0); !strings.Contains("\n"+o.stdout, "\n"+serial+"\n") {
		t.Errorf("names %q", o.stdout)
	}
	b.run(t, "", "conn", "close", serial, "--reason", "test").want(t, 0)
	cmd.Process.Kill()
	cmd.Wait()
	b.run(t, "", "conn", "close", "99999").want(t, exitFailure)
}

// Semantics 2.5, row Retry from DLQ: those that a selector chooses go back where they came from, as if they had never been
// delivered; the others stay.
func TestRetryOfDeadLetters(t *testing.T) {
	b := ownBroker(t)
	worker := newStompLine(t, dialLine(t, b.state.Stomp[0]), "")
	worker.expect("CONNECTED")
	for _, body := range []string{"one", "two"} {
		worker.send("SEND\ndestination:/queue/work\nkind:" + body + "\nreceipt:1\n\n" + body + "\x00")
		worker.expect("RECEIPT")
	}
	worker.send("SUBSCRIBE\nid:1\ndestination:/queue/work\nack:client-individual\nactivemq.prefetchSize:1\n\n\x00")
	for range 2 {
		frame := worker.expect("MESSAGE", "destination:/queue/work\n")
		_, ack, _ := strings.Cut(frame, "\nack:")
		ack, _, _ = strings.Cut(ack, "\n")
		worker.send("NACK\nid:" + ack + "\nrequeue:false\n\n\x00")
	}
	eventually(t, "both are dead letters", func() bool { return b.run(t, "", "browse", "ActiveMQ.DLQ", "-o", "raw").stdout == "one\ntwo\n" })
	b.run(t, "", "dlq", "retry", "--selector", `"x-first-death-reason" = 'rejected' AND kind = 'two'`).want(t, 0)
	if frame := worker.expect("MESSAGE", "destination:/queue/work\n", "kind:two\n"); strings.Contains(frame, "redelivered") || strings.Contains(frame, "JMSXDeliveryCount") {
		t.Error(frame)
	}
	if o := b.run(t, "", "browse", "ActiveMQ.DLQ", "-o", "raw").want(t, 0); o.stdout != "one\n" {
		t.Errorf("%q", o.stdout)
	}
}

// What -o name prints names the same thing for the next command, also where a terminal could not show it.
func TestNamesCanBeFedBack(t *testing.T) {
	b := theBroker(t)
	for _, name := range []string{"fed.\u202eback", "fed.\u00adsoft", "fed. blank"} {
		b.run(t, "x", "send", name).want(t, 0)
		b.run(t, "", "queue", "show", name, "-o", "name").want(t, 0)
	}
	o := b.run(t, "", "queue", "ls", "--filter", "fed.", "-o", "name").want(t, 0)
	names := strings.Split(strings.TrimSuffix(o.stdout, "\n"), "\n")
	if len(names) != 3 {
		t.Fatalf("%q", names)
	}
	for _, name := range names {
		b.run(t, "", "queue", "rm", "--yes", name).want(t, 0)
	}
}
