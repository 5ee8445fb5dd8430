package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"treadmq/broker"
)

func TestTopicReachesEverySubscriberFromSubscribeOn(t *testing.T) {
	r := newRig(t)
	p, a, b := r.connect(), r.connect(), r.connect()
	d := topicNamed("news.eu")
	p.send(d, "before")
	a.subscribe(d)
	b.subscribe(topicNamed("news.>"), auto)
	p.send(d, "one")
	p.send(topicNamed("news.us"), "two")
	wantBodies(t, a.take(1), "one")
	wantBodies(t, b.take(2), "one", "two")
	if a.waiting() != 0 {
		t.Error("a subscriber got another topic's message")
	}
}

func TestSlowTopicSubscriberLosesItsOldestAndHoldsUpNobody(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.PendingLimit = 10 }))
	p, slow, fast := r.connect(), r.connect(), r.connect()
	d := topicNamed("t")
	s := slow.subscribe(d, prefetch(1))
	fast.subscribe(d, auto, prefetch(1))
	for i := range 30 {
		p.send(d, fmt.Sprint(i))
		wantBodies(t, fast.take(1), fmt.Sprint(i))
	}
	first := slow.take(1)
	wantBodies(t, first, "0")
	for i := 20; i < 30; i++ {
		w := slow.NewWork()
		w.Ack(s, first[0].Tag, first[0].Tag, broker.Ack{})
		w.Flush(nil)
		first = slow.take(1)
		wantBodies(t, first, fmt.Sprint(i))
	}
	if i := r.b.Topics(nil)[0]; i.Dropped != 19 {
		t.Errorf("%d messages are counted as dropped, 19 were", i.Dropped)
	}
}

func TestNoLocal(t *testing.T) {
	r := newRig(t)
	a, b := r.connect(), r.connect()
	d := topicNamed("t")
	a.subscribe(d, func(o *broker.SubscribeOptions) { o.NoLocal = true })
	a.send(d, "mine")
	b.send(d, "yours")
	wantBodies(t, a.take(1), "yours")
}

func TestWildcardSubscriptionHearsQueuesMadeLater(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	c.send(queueNamed("a.1"), "1")
	c.subscribe(queueNamed("a.*"))
	c.send(queueNamed("a.2"), "2")
	c.send(queueNamed("b.1"), "no")
	wantBodies(t, c.take(2), "1", "2")
	if c.waiting() != 0 {
		t.Error("too much")
	}
}

func TestCompositeSendIsOneMessageInAllPlaces(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	dests := []broker.Destination{queueNamed("a"), topicNamed("t"), queueNamed("b")}
	c.subscribe(dests[1])
	w := c.NewWork()
	if err := w.Send(dests, message(dests[0], "x")); err != nil {
		t.Fatal(err)
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	r.b.Queues(nil)
	c.subscribe(dests[0])
	c.subscribe(dests[2])
	ds := c.take(3)
	for _, d := range ds[1:] {
		if d.Message.ID() != ds[0].Message.ID() {
			t.Errorf("ids differ: %x and %x", d.Message.ID(), ds[0].Message.ID())
		}
	}
}

func TestTemporaryDestinationsLiveWithTheirConnection(t *testing.T) {
	r := newRig(t)
	owner, other := r.connect(), r.connect()
	d, err := owner.CreateTemp(broker.TempQueue)
	if err != nil {
		t.Fatal(err)
	}
	owner.subscribe(d)
	other.send(d, "reply")
	wantBodies(t, owner.take(1), "reply")
	if _, err := other.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{d}}); code(err) != broker.CodeNotAuthorized {
		t.Errorf("another connection may consume: %v", err)
	}
	owner.Conn.Close()
	if err := other.NewWork().Send([]broker.Destination{d}, message(d, "late")); code(err) != broker.CodeNoDestination {
		t.Errorf("sending to a temporary queue that is gone: %v", err)
	}
}

func code(err error) broker.Code {
	var e *broker.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	r := newRig(t)
	c, a, b := r.connect(), queueNamed("a"), queueNamed("b")
	c.send(a, "in")
	s := c.subscribe(a, prefetch(1))
	d := c.take(1)[0]
	tx, err := c.Begin("t1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Begin("t1"); code(err) != broker.CodeBadRequest {
		t.Errorf("a second transaction of that name: %v", err)
	}
	if err := tx.Send([]broker.Destination{b}, message(b, "out")); err != nil {
		t.Fatal(err)
	}
	if n, err := tx.Ack(s, d.Tag, d.Tag, broker.Ack{}); n != 1 || err != nil {
		t.Fatalf("acked %d: %v", n, err)
	}
	c.send(a, "next") // a transacted ack frees its credit at once
	next := c.take(1)
	wantBodies(t, next, "next")
	if i := r.queue(b); i.Messages != 0 {
		t.Error("a send is visible before the commit")
	}
	tx.Abort()
	if i := r.queue(b); i.Messages != 0 {
		t.Error("an aborted send arrived")
	}
	tx, _ = c.Begin("t2")
	if n, _ := tx.Ack(s, d.Tag, d.Tag, broker.Ack{}); n != 1 {
		t.Fatal("an abort did not make the delivery ackable again")
	}
	if err := tx.Send([]broker.Destination{b}, message(b, "out")); err != nil {
		t.Fatal(err)
	}
	w := c.NewWork()
	if err := w.Commit(tx); err != nil {
		t.Fatal(err)
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	c.settle(broker.AckAccept, next...)
	r.crash()
	if ia, ib := r.queue(a), r.queue(b); ia.Messages != 0 || ib.Messages != 1 {
		t.Errorf("after the commit a holds %d and b %d", ia.Messages, ib.Messages)
	}
}

func TestOpenTransactionEndsWithItsConnection(t *testing.T) {
	r := newRig(t)
	c, a := r.connect(), queueNamed("a")
	c.send(a, "x")
	s := c.subscribe(a)
	d := c.take(1)[0]
	tx, _ := c.Begin("t")
	tx.Ack(s, d.Tag, d.Tag, broker.Ack{})
	tx.Send([]broker.Destination{a}, message(a, "never"))
	c.Conn.Close()
	c = r.connect()
	c.subscribe(a)
	ds := c.take(1)
	wantBodies(t, ds, "x")
	if !ds[0].Redelivered {
		t.Error("not flagged as redelivered")
	}
	if i := r.queue(a); i.Messages != 1 {
		t.Errorf("the queue holds %d", i.Messages)
	}
}

func TestTransactionOutlivesItsSubscription(t *testing.T) {
	r := newRig(t)
	c, a := r.connect(), queueNamed("a")
	c.send(a, "1")
	c.send(a, "2")
	s := c.subscribe(a)
	ds := c.take(2)
	tx, _ := c.Begin("t")
	tx.Ack(s, ds[0].Tag, ds[0].Tag, broker.Ack{})
	s.Close()
	w := c.NewWork()
	if err := w.Commit(tx); err != nil {
		t.Fatal(err)
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	c.subscribe(a)
	wantBodies(t, c.take(1), "2")
	if i := r.queue(a); i.Messages != 1 {
		t.Errorf("the queue holds %d", i.Messages)
	}
}

func TestFullQueue(t *testing.T) {
	full := func(f broker.OnFull) func(*rig) {
		return withPolicy(func(p *broker.Policy) { p.MaxMessages, p.OnFull = 3, f })
	}
	fill := func(r *rig) (*client, broker.Destination) {
		c, q := r.connect(), queueNamed("a")
		for i := range 3 {
			c.send(q, fmt.Sprint(i))
		}
		return c, q
	}
	t.Run("fail", func(t *testing.T) {
		c, q := fill(newRig(t, full(broker.FullFail)))
		if err := c.NewWork().Send([]broker.Destination{q}, message(q, "3")); code(err) != broker.CodeFull {
			t.Errorf("a full queue said %v", err)
		}
	})
	t.Run("drop oldest", func(t *testing.T) {
		c, q := fill(newRig(t, full(broker.FullDropOldest)))
		c.send(q, "3")
		c.subscribe(q)
		wantBodies(t, c.take(3), "1", "2", "3")
	})
	t.Run("dead letter", func(t *testing.T) {
		c, q := fill(newRig(t, full(broker.FullDeadLetter)))
		c.send(q, "3")
		c.subscribe(queueNamed("ActiveMQ.DLQ"))
		wantBodies(t, c.take(1), "3")
	})
	t.Run("block", func(t *testing.T) {
		r := newRig(t, full(broker.FullBlock))
		c, q := fill(r)
		done := make(chan error, 2)
		dests := []broker.Destination{q}
		for i := 3; i < 5; i++ {
			if err := c.NewWork().Send(dests, message(q, "x")); err != broker.ErrWouldBlock {
				t.Fatalf("a full queue said %v", err)
			}
			c.SendWhenRoom(dests, message(q, fmt.Sprint(i)), func(err error) { done <- err })
		}
		select {
		case err := <-done:
			t.Fatalf("a send to a full queue completed: %v", err)
		default:
		}
		if c.Parked() == 0 {
			t.Error("nothing is parked")
		}
		d := r.connect()
		d.subscribe(q)
		ds := d.take(3)
		d.settle(broker.AckAccept, ds...)
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		wantBodies(t, d.take(2), "3", "4")
		until(t, "nothing is parked", func() bool { return c.Parked() == 0 })
	})
	t.Run("block with time-out", func(t *testing.T) {
		r := newRig(t, withPolicy(func(p *broker.Policy) { p.MaxMessages, p.BlockTimeout = 3, time.Millisecond }))
		c, q := fill(r)
		done := make(chan error, 1)
		c.SendWhenRoom([]broker.Destination{q}, message(q, "3"), func(err error) { done <- err })
		if err := <-done; code(err) != broker.CodeFull {
			t.Errorf("it said %v", err)
		}
	})
}

func TestMatchName(t *testing.T) {
	for _, x := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a.b", "a", false}, {"a", "a.b", false},
		{"a.*", "a.b", true}, {"a.*", "a", false}, {"a.*", "a.b.c", false}, {"*.b", "a.b", true},
		{"a.>", "a", true}, {"a.>", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "b", false}, {">", "a.b", true},
		{"a.>.c", "a.x", true}, {"*", "a", true}, {"*", "a.b", false}, {"a.*.c", "a.b.c", true}, {"a.*.>", "a.b", true},
		{"#", "a.b", true}, {"a.#", "a", true}, {"a.#", "a.b.c", true}, {"#.c", "a.b.c", true}, {"#.c", "c", true},
		{"a.#.c", "a.c", true}, {"a.#.c", "a.b.b.c", true}, {"a.#.c", "a.b", false}, {"a*", "ab", false},
	} {
		if got := broker.MatchName(x.pattern, x.name); got != x.want {
			t.Errorf("MatchName(%q, %q) = %v", x.pattern, x.name, got)
		}
	}
}

func TestInactiveDestinationsAreCollected(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.InactiveGC = time.Millisecond }))
	c := r.connect()
	c.send(queueNamed("full"), "x")
	c.subscribe(queueNamed("used"))
	if err := r.b.CreateQueue("empty"); err != nil {
		t.Fatal(err)
	}
	c.send(topicNamed("t"), "nobody hears it")
	until(t, "the empty queue and the topic are gone", func() bool { return len(r.b.Queues(nil)) == 2 && len(r.b.Topics(nil)) == 0 })
	for _, q := range r.b.Queues(nil) {
		if q.Destination.Name == "empty" {
			t.Error("the wrong one was deleted")
		}
	}
}
