package broker_test

import (
	"testing"
	"time"

	"treadmq/broker"
)

func (r *rig) declare(name string, h broker.Hints) broker.Destination {
	r.t.Helper()
	if err := r.b.Declare(queueNamed(name), h); err != nil {
		r.t.Fatal(err)
	}
	return queueNamed(name)
}

// Hints hold from the making of a queue on, over restarts and changes of the policy, and mean nothing for a queue that
// is there.
func TestHintsNarrowThePolicy(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MaxTTL, p.MaxMessages = time.Hour, 3 }))
	full := broker.FullFail
	d := r.declare("a", broker.Hints{MaxMessages: 2, MaxBytes: 1000, MessageTTL: time.Minute, OnFull: &full, DeadLetterQueue: "a.dead"})
	r.declare("a", broker.Hints{MaxMessages: 1})
	r.declare("wide", broker.Hints{MaxMessages: 5, MessageTTL: 2 * time.Hour})
	for range 2 {
		p := r.b.Policy(d)
		if p.MaxMessages != 2 || p.MaxBytes != 1000 || p.MaxTTL != time.Minute || p.OnFull != broker.FullFail || p.DeadLetter.Queue != "a.dead" {
			t.Fatalf("%+v", p)
		}
		if p := r.b.Policy(queueNamed("wide")); p.MaxMessages != 3 || p.MaxTTL != time.Hour || p.OnFull != broker.FullDropOldest {
			t.Fatalf("%+v", p)
		}
		r.restart()
		c := r.connect() // the other way into the policy
		if e, _ := c.Expiry([]broker.Destination{d}, 0, 1000); e != 61_000 {
			t.Fatalf("expires at %d", e)
		}
		r.b.SetPolicy(func(broker.Destination) broker.Policy { return r.policy(d) })
	}
	c := r.connect()
	c.send(d, "1")
	c.send(d, "2")
	if err := c.NewWork().Send([]broker.Destination{d}, message(d, "3")); err == nil {
		t.Fatal("a third message was taken")
	}
	c.subscribe(d)
	c.settle(broker.AckDeadLetter, c.take(2)...)
	if i := r.queue(queueNamed("a.dead")); i.Messages != 2 {
		t.Fatalf("%+v", i)
	}
}

func TestHintsDropTheOldestByDefault(t *testing.T) {
	r := newRig(t)
	d := r.declare("a", broker.Hints{MaxMessages: 2})
	c := r.connect()
	for _, body := range []string{"1", "2", "3"} {
		c.send(d, body)
	}
	c.subscribe(d)
	wantBodies(t, c.take(2), "2", "3")
}

// With its last consumer an auto-delete queue goes, with its messages and what the consumer held.
func TestAutoDeleteQueue(t *testing.T) {
	r := newRig(t)
	d := r.declare("a", broker.Hints{AutoDelete: true})
	c, other := r.connect(), r.connect()
	c.send(d, "held")
	c.send(d, "waits")
	s := c.subscribe(d, prefetch(1))
	c.take(1)
	second := other.subscribe(d, prefetch(1))
	other.take(1)
	s.Close()
	if !r.b.Exists(d) {
		t.Fatal("it went although it has a consumer")
	}
	second.Close()
	until(t, "the queue is gone", func() bool { return !r.b.Exists(d) })
	c.send(d, "anew")
	if i := r.queue(d); i.Messages != 1 || !i.Hints.IsZero() {
		t.Fatalf("%+v", i)
	}
	r.restart()
	if i := r.queue(d); i.Messages != 1 {
		t.Fatalf("after a restart %+v", i)
	}
}

// Before it had a consumer it stays, over a restart too, and takes its connection's end for the consumer's.
func TestAutoDeleteQueueBeforeItsConsumer(t *testing.T) {
	r := newRig(t)
	d := r.declare("a", broker.Hints{AutoDelete: true})
	r.connect().send(d, "x")
	r.restart()
	c := r.connect()
	c.subscribe(d)
	c.take(1)
	c.Conn.Close()
	until(t, "the queue is gone", func() bool { return !r.b.Exists(d) })
}

func TestExpiringQueue(t *testing.T) {
	r := newRig(t)
	unused := r.declare("unused", broker.Hints{Expires: time.Millisecond})
	used := r.declare("used", broker.Hints{Expires: time.Millisecond})
	c := r.connect()
	c.send(unused, "goes with it")
	s := c.subscribe(used)
	until(t, "the unused queue is gone", func() bool { return !r.b.Exists(unused) })
	if !r.b.Exists(used) {
		t.Fatal("a queue with a consumer went")
	}
	s.Close()
	until(t, "the other one is gone too", func() bool { return !r.b.Exists(used) })
}

func TestPrivateQueue(t *testing.T) {
	r := newRig(t)
	d := queueNamed("mine")
	own, other := r.connect(), r.connect()
	private := func(o *broker.SubscribeOptions) { o.Private = true }
	s := own.subscribe(d, private)
	own.subscribe(d)
	if _, err := other.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{d}}); err == nil {
		t.Fatal("another connection's consumer was let in")
	}
	wild := other.subscribe(queueNamed("m*")) // no wildcard, just a name
	wild.Close()
	other.subscribe(queueNamed(">"))
	other.send(d, "1")
	wantBodies(t, own.take(1), "1")
	s.Close()
	own.Conn.Close()
	o := broker.SubscribeOptions{Dests: []broker.Destination{d}, Private: true}
	next, err := other.Subscribe(o)
	if err != nil {
		t.Fatal(err)
	}
	next.Start()
	third := r.connect()
	if _, err := third.Subscribe(o); err == nil {
		t.Fatal("two connections have the queue for themselves")
	}
}
