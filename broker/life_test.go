package broker_test

import (
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

// life is what is known of the message at the head of a queue.
func (r *rig) life(d broker.Destination) string {
	r.t.Helper()
	list, _, _, err := r.b.Browse(d, broker.Cursor{}, 1, 1)
	if err != nil || len(list) != 1 {
		r.t.Fatal(list, err)
	}
	events, err := r.b.Life(&list[0], d)
	if err != nil {
		r.t.Fatal(err)
	}
	return told(events)
}

func told(events []broker.LifeEvent) string {
	var all []string
	for _, e := range events {
		text := string(e.Kind) + " " + e.Dest.Name
		if e.To.Name != "" {
			text += ">" + e.To.Name
		}
		if e.Connection != 0 {
			text += " conn"
		}
		if e.Detail != "" && e.Kind != broker.LifeStored {
			text += " (" + e.Detail + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// What went wrong with a message is known without anybody having asked for it before, also by whose doing.
func TestLifeOfAMessage(t *testing.T) {
	r := newRig(t, withTrash, withPolicy(func(p *broker.Policy) { p.Redelivery.Initial, p.Redelivery.Maximum = time.Millisecond, 2 }))
	q := queueNamed("orders")
	dlq := queueNamed(broker.DefaultPolicy().DeadLetter.Queue)
	c := r.connect()
	c.send(q, "x")
	want := func(d broker.Destination, want string) {
		t.Helper()
		if got := r.life(d); got != want {
			t.Errorf("known is\n%s\nnot\n%s", got, want)
		}
	}
	want(q, "received orders, stored orders, ready orders")
	s := c.subscribe(q)
	d := c.take(1)
	want(q, "received orders, stored orders, in-flight orders conn")
	c.settle(broker.AckRetry, d...)
	d = c.take(1)
	want(q, "received orders, stored orders, rejected orders conn, delayed orders (1ms), in-flight orders conn")
	s.Close()
	want(q, "received orders, stored orders, rejected orders conn, delayed orders (1ms), returned orders conn, ready orders")
	s = c.subscribe(q)
	c.settle(broker.AckRetry, c.take(1)...)
	story := "received orders, stored ActiveMQ.DLQ, rejected orders conn, delayed orders (1ms), returned orders conn, rejected orders conn, " +
		"dead-lettered orders>ActiveMQ.DLQ (it was delivered 3 times and never acknowledged)"
	until(t, "it is a dead letter", func() bool { i, err := r.b.Queue(dlq); return err == nil && i.Messages == 1 })
	want(dlq, story+", ready ActiveMQ.DLQ")
	s.Close()
	at, _ := r.places(dlq)
	r.act(dlq, at, broker.ActRetry, q)
	want(q, strings.ReplaceAll(story, "stored ActiveMQ.DLQ", "stored orders")+", retried ActiveMQ.DLQ>orders, ready orders")
	r.restore(r.purge(q, 1), 1)
	if got := r.life(q); !strings.HasSuffix(got, "retried ActiveMQ.DLQ>orders, restored orders, ready orders") {
		t.Errorf("known is %s", got)
	}
	_ = d
}

// After a restart a dead letter still says itself where it comes from, when and why.
func TestLifeOfADeadLetterAfterARestart(t *testing.T) {
	r := newRig(t)
	q, dlq := queueNamed("orders"), queueNamed(broker.DefaultPolicy().DeadLetter.Queue)
	c := r.connect()
	c.send(q, "x")
	c.subscribe(q)
	c.settle(broker.AckDeadLetter, c.take(1)...)
	r.restart()
	if got := r.life(dlq); got != "received orders, stored ActiveMQ.DLQ, dead-lettered orders>ActiveMQ.DLQ (the consumer rejected it), ready ActiveMQ.DLQ" {
		t.Errorf("known is %s", got)
	}
}

// In a queue that is traced what goes well is noted too, also of messages that are gone; and for no longer than asked.
func TestTracedQueue(t *testing.T) {
	r := newRig(t)
	q := queueNamed("orders")
	c := r.connect()
	c.send(q, "before")
	if err := r.b.Trace(q, 2*time.Hour); code(err) != broker.CodeBadRequest {
		t.Errorf("traced for two hours: %v", err)
	}
	if err := r.b.Trace(q, time.Hour); err != nil {
		t.Fatal(err)
	}
	if r.queue(q).TraceUntil.IsZero() {
		t.Error("it is not said that the queue is traced")
	}
	c.send(q, "x")
	c.send(q, "light", volatile)
	c.subscribe(q)
	ds := c.take(3)
	c.settle(broker.AckAccept, ds...)
	for i, want := range []string{"delivered orders conn, acknowledged orders",
		"received orders conn, delivered orders conn, acknowledged orders", "received orders conn, delivered orders conn, acknowledged orders"} {
		if got := told(r.b.Noted(ds[i].Message.ID())); got != want {
			t.Errorf("of %q is known %q", ds[i].Message.Body(), got)
		}
	}
	if err := r.b.Trace(q, 0); err != nil {
		t.Fatal(err)
	}
	c.send(q, "after")
	if got := r.b.Noted(c.take(1)[0].Message.ID()); len(got) != 0 {
		t.Errorf("noted after the end: %s", told(got))
	}
}

// However much happens, memory is bounded, and the latest is known.
func TestLifeIsBounded(t *testing.T) {
	r := newRig(t)
	q := queueNamed("orders")
	c := r.connect()
	c.subscribe(q)
	if err := r.b.Trace(q, time.Hour); err != nil {
		t.Fatal(err)
	}
	var first, last broker.Delivery
	for i := range 3500 { // three events each
		c.send(q, "x", volatile)
		last = c.take(1)[0]
		if i == 0 {
			first = last
		}
		c.settle(broker.AckAccept, last)
	}
	if n := len(r.b.Noted(first.Message.ID())); n != 0 {
		t.Errorf("%d events of the first message are kept", n)
	}
	if n := len(r.b.Noted(last.Message.ID())); n != 3 {
		t.Errorf("%d events of the last message are kept", n)
	}
}
