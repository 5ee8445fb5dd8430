package broker_test

import (
	"fmt"
	"testing"
	"time"

	"treadmq/broker"
)

func TestQueueDeliversInOrderOfPriorityThenArrival(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	for i, p := range []uint8{4, 4, 9, 0, 9, 4} {
		c.send(q, fmt.Sprintf("%d-%d", p, i), priority(p))
	}
	c.subscribe(q)
	wantBodies(t, c.take(6), "9-2", "9-4", "4-0", "4-1", "4-5", "0-3")
}

func TestQueueMessageSurvivesRestartAndIsRedeliveredAfterCrash(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	c.send(q, "one")
	c.send(q, "two")
	c.subscribe(q)
	ds := c.take(2)
	if ds[0].Redelivered || ds[0].Attempts != 1 {
		t.Fatalf("the first delivery is flagged: %+v", ds[0])
	}
	c.settle(broker.AckAccept, ds[0])
	id := ds[1].Message.ID()
	r.crash()
	c = r.connect()
	c.subscribe(q)
	ds = c.take(1)
	wantBodies(t, ds, "two")
	if !ds[0].Redelivered || ds[0].Attempts < 2 {
		t.Errorf("what was handed out before the crash came back unflagged: attempts %d", ds[0].Attempts)
	}
	if ds[0].Message.ID() != id {
		t.Errorf("the message id changed from %x to %x", id, ds[0].Message.ID())
	}
	if i := r.queue(q); i.Messages != 1 {
		t.Errorf("the queue counts %d messages", i.Messages)
	}
}

func TestUndeliveredMessagesAreNotFlaggedAfterRestart(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	c.send(q, "one")
	r.restart()
	c = r.connect()
	c.subscribe(q)
	if d := c.take(1)[0]; d.Redelivered {
		t.Error("a message that nobody ever got is flagged as redelivered")
	}
}

func TestClosingASubscriptionReturnsItsMessagesInPlace(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	for i := range 5 {
		c.send(q, fmt.Sprint(i))
	}
	s := c.subscribe(q, prefetch(3))
	wantBodies(t, c.take(3), "0", "1", "2")
	s.Close()
	d := r.connect()
	d.subscribe(q)
	ds := d.take(5)
	wantBodies(t, ds, "0", "1", "2", "3", "4")
	for i, want := range []bool{true, true, true, false, false} {
		if ds[i].Redelivered != want {
			t.Errorf("message %d: redelivered is %v", i, ds[i].Redelivered)
		}
	}
}

func TestCreditBoundsWhatIsInFlight(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	for i := range 10 {
		c.send(q, fmt.Sprint(i))
	}
	c.subscribe(q, prefetch(4))
	ds := c.take(4)
	if i := r.queue(q); i.InFlight != 4 || i.Ready != 6 {
		t.Errorf("in flight %d, ready %d", i.InFlight, i.Ready)
	}
	if c.waiting() != 0 {
		t.Error("more was delivered than the credit allows")
	}
	c.settle(broker.AckAccept, ds[:2]...)
	wantBodies(t, c.take(2), "4", "5")
}

func TestRoundRobin(t *testing.T) {
	r := newRig(t)
	q := queueNamed("a")
	a, b, p := r.connect(), r.connect(), r.connect()
	a.subscribe(q)
	b.subscribe(q)
	for i := range 10 {
		p.send(q, fmt.Sprint(i))
	}
	if len(a.take(5)) != 5 || len(b.take(5)) != 5 {
		t.Fatal("unreachable")
	}
}

func TestConsumerPriorityAndExclusive(t *testing.T) {
	r := newRig(t)
	q := queueNamed("a")
	low, high, p := r.connect(), r.connect(), r.connect()
	low.subscribe(q)
	high.subscribe(q, func(o *broker.SubscribeOptions) { o.Priority = 5; o.Prefetch = 2 })
	for i := range 4 {
		p.send(q, fmt.Sprint(i))
	}
	wantBodies(t, high.take(2), "0", "1")
	wantBodies(t, low.take(2), "2", "3")

	x := queueNamed("x")
	first, second := r.connect(), r.connect()
	s := first.subscribe(x, func(o *broker.SubscribeOptions) { o.Exclusive = true; o.Prefetch = 1 })
	second.subscribe(x, func(o *broker.SubscribeOptions) { o.Exclusive = true })
	p.send(x, "a")
	p.send(x, "b")
	wantBodies(t, first.take(1), "a")
	if second.waiting() != 0 {
		t.Fatal("two exclusive consumers hold messages")
	}
	s.Close()
	wantBodies(t, second.take(2), "a", "b")
}

func TestNackRetriesThenDeadLetters(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) {
		p.Redelivery.Initial, p.Redelivery.Maximum = time.Millisecond, 2
	}))
	q, dlq := queueNamed("a"), queueNamed("ActiveMQ.DLQ")
	c := r.connect()
	c.send(q, "poison")
	c.subscribe(q)
	for n := uint32(1); n <= 3; n++ {
		d := c.take(1)[0]
		if d.Attempts != n || d.Redelivered != (n > 1) {
			t.Fatalf("delivery %d: attempts %d, redelivered %v", n, d.Attempts, d.Redelivered)
		}
		c.settle(broker.AckRetry, d)
	}
	until(t, "the message is in the dead-letter queue", func() bool {
		i, err := r.b.Queue(dlq)
		return err == nil && i.Messages == 1
	})
	if i := r.queue(q); i.Messages != 0 || i.DeadLettered != 1 {
		t.Errorf("the queue still counts %d messages, %d dead letters", i.Messages, i.DeadLettered)
	}
	r.restart()
	c = r.connect()
	c.subscribe(dlq)
	d := c.take(1)[0]
	over := map[string]string{}
	for it := broker.IterProperties(d.Overlay); it.Next(); {
		over[string(it.Name)] = string(it.Property.AppendText(nil))
	}
	if over[broker.PropOriginalDestination] != "queue://a" || over[broker.PropDeathReason] != "max-deliveries" || over[broker.PropDeathCount] != "1" {
		t.Errorf("the dead letter says %v", over)
	}
	if d.Redelivered || d.Attempts != 1 {
		t.Errorf("the dead letter starts with %d attempts", d.Attempts)
	}
	wantBodies(t, []broker.Delivery{d}, "poison")
}

func TestRejectDeadLettersAtOnce(t *testing.T) {
	for _, opts := range [][]msgOption{nil, {volatile}} {
		r := newRig(t)
		q := queueNamed("a")
		c := r.connect()
		c.send(q, "x", opts...)
		c.subscribe(q)
		w := c.NewWork()
		d := c.take(1)[0]
		w.Ack(d.Sub, d.Tag, d.Tag, broker.Ack{Kind: broker.AckDeadLetter, Reason: "no such customer"})
		if err := flush(t, w); err != nil {
			t.Fatal(err)
		}
		c.subscribe(queueNamed("ActiveMQ.DLQ"))
		d = c.take(1)[0]
		over := map[string]string{}
		for it := broker.IterProperties(d.Overlay); it.Next(); {
			over[string(it.Name)] = string(it.Property.AppendText(nil))
		}
		if over[broker.PropReason] != "no such customer" || over[broker.PropDeathReason] != "rejected" {
			t.Errorf("the dead letter says %v", over)
		}
		if !d.Message.Persistent() {
			t.Error("a dead letter is not persistent")
		}
	}
}

func TestExpiredMessagesGoToTheDeadLetterQueueWhereverTheyAre(t *testing.T) {
	for name, opts := range map[string][]msgOption{"persistent": nil, "volatile": {volatile}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 2000 }))
			c, q := r.connect(), queueNamed("a")
			soon := time.Now().Add(200 * time.Millisecond).UnixMilli()
			for i := range 20 {
				o := opts
				if i%2 == 1 {
					o = append([]msgOption{expires(soon)}, opts...)
				}
				c.send(q, fmt.Sprint(i), o...)
			}
			until(t, "ten messages expired", func() bool { return r.queue(q).Expired == 10 })
			until(t, "ten dead letters", func() bool {
				i, err := r.b.Queue(queueNamed("ActiveMQ.DLQ"))
				return err == nil && i.Messages == 10
			})
			c.subscribe(q)
			wantBodies(t, c.take(10), "0", "2", "4", "6", "8", "10", "12", "14", "16", "18")
		})
	}
}

func TestBacklogBeyondMemoryIsReadFromTheStore(t *testing.T) {
	for name, opts := range map[string][]msgOption{"persistent": nil, "volatile": {volatile}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 20_000 }))
			c, q := r.connect(), queueNamed("a")
			const n = 5000
			w := c.NewWork()
			for i := range n {
				d := []broker.Destination{q}
				if err := w.Send(d, message(q, fmt.Sprintf("%06d %0100d", i, i), opts...)); err != nil {
					t.Fatal(err)
				}
				if i%100 == 99 {
					if err := flush(t, w); err != nil {
						t.Fatal(err)
					}
				}
			}
			until(t, "all are visible", func() bool { return r.queue(q).Messages == n })
			if i := r.queue(q); i.MemoryBytes > 30_000 {
				t.Errorf("the queue keeps %d bytes in memory", i.MemoryBytes)
			}
			s := c.subscribe(q, prefetch(50))
			next := 0
			for next < n {
				d := c.take(1)[0]
				if want := fmt.Sprintf("%06d", next); string(d.Message.Body()[:6]) != want {
					t.Fatalf("got %s, expected %s", d.Message.Body()[:6], want)
				}
				next++
				w := c.NewWork()
				w.Ack(s, d.Tag, d.Tag, broker.Ack{})
				w.Flush(nil)
			}
			until(t, "the queue is empty", func() bool { return r.queue(q).Messages == 0 })
			c.send(q, "last", opts...)
			wantBodies(t, c.take(1), "last")
		})
	}
}

func TestAutoAcknowledges(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	c.subscribe(q, auto, prefetch(1))
	for i := range 10 {
		c.send(q, fmt.Sprint(i))
	}
	c.take(10)
	until(t, "the queue is empty", func() bool { i := r.queue(q); return i.Messages == 0 && i.InFlight == 0 })
	r.restart()
	if i := r.queue(q); i.Messages != 0 {
		t.Errorf("%d messages came back", i.Messages)
	}
}

func TestPurgeKeepsWhatIsInFlight(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 2000 }))
	c, q := r.connect(), queueNamed("a")
	for i := range 50 {
		c.send(q, fmt.Sprint(i))
	}
	c.subscribe(q, prefetch(2))
	held := c.take(2)
	done := make(chan error, 1)
	n, err := r.b.Purge(q, func(err error) { done <- err })
	if err != nil || n != 48 {
		t.Fatalf("purged %d: %v", n, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.send(q, "new")
	c.settle(broker.AckAccept, held[0])
	wantBodies(t, c.take(1), "new")
	if i := r.queue(q); i.Messages != 2 {
		t.Errorf("the queue counts %d", i.Messages)
	}
	r.crash()
	c = r.connect()
	c.subscribe(q)
	wantBodies(t, c.take(2), "1", "new")
}

func TestDeleteQueueForgetsItsMessages(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	c.send(q, "old")
	s := c.subscribe(q)
	if err := r.b.DeleteQueue(q, false, func(error) {}); err == nil {
		t.Error("a queue with a consumer was deleted")
	}
	s.Close()
	done := make(chan error, 1)
	if err := r.b.DeleteQueue(q, false, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	<-done
	c.send(q, "new")
	r.restart()
	c = r.connect()
	c.take(0)
	c.subscribe(q)
	wantBodies(t, c.take(1), "new")
	if i := r.queue(q); i.Messages != 1 {
		t.Errorf("the queue counts %d", i.Messages)
	}
}

func TestBrowseShowsEverythingAndChangesNothing(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 2000 }))
	c, q := r.connect(), queueNamed("a")
	for i := range 30 {
		opts := []msgOption{priority(uint8(4 + i%2))}
		if i%3 == 0 {
			opts = append(opts, volatile)
		}
		c.send(q, fmt.Sprintf("%02d", i), opts...)
	}
	until(t, "all are visible", func() bool { return r.queue(q).Messages == 30 })
	var got []string
	at, more := broker.Cursor{}, true
	for more {
		var page []broker.Browsed
		var err error
		page, at, more, err = r.b.Browse(q, at, 7, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			got = append(got, string(m.Message.Body()))
		}
	}
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprintf("%02d", (i*2+1)%30-i/15))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("browsed  %v\nexpected %v", got, want)
	}
	c.subscribe(q)
	for _, d := range c.take(30) {
		if d.Redelivered {
			t.Error("browsing counted as a delivery")
		}
	}
}

func TestNackMeansWhatThePolicySays(t *testing.T) {
	for name, want := range map[broker.Nack]string{broker.NackDeadLetter: "dlq", broker.NackRequeue: "again", broker.NackDiscard: "gone"} {
		t.Run(want, func(t *testing.T) {
			r := newRig(t, withPolicy(func(p *broker.Policy) { p.Nack = name; p.Redelivery.Initial = time.Hour }))
			c, q := r.connect(), queueNamed("a")
			c.send(q, "x")
			c.subscribe(q)
			c.settle(broker.AckRetry, c.take(1)...)
			switch want {
			case "again":
				if d := c.take(1)[0]; !d.Redelivered {
					t.Error("not flagged")
				}
			case "dlq":
				c.subscribe(queueNamed("ActiveMQ.DLQ"))
				wantBodies(t, c.take(1), "x")
			}
			left := int64(0)
			if want == "again" {
				left = 1
			}
			if i := r.queue(q); i.Messages != left {
				t.Errorf("%d messages are left", i.Messages)
			}
		})
	}
}

// A body that the disk damaged costs that message only, and stays visible in the counts.
func TestDamagedMessageDoesNotStopItsQueue(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	for i := range 5 {
		c.send(q, fmt.Sprintf("body number %d of five", i))
	}
	r.restart()
	r.damage("body number 2 of five")
	c = r.connect()
	c.subscribe(q)
	for _, i := range []int{0, 1, 3, 4} {
		wantBodies(t, c.take(1), fmt.Sprintf("body number %d of five", i))
	}
	page, _, _, err := r.b.Browse(q, broker.Cursor{}, 10, 1<<20)
	if err != nil || len(page) != 4 {
		t.Errorf("browsing shows %d messages: %v", len(page), err)
	}
	c.send(q, "after")
	wantBodies(t, c.take(1), "after")
	if i := r.queue(q); i.Messages != 6 {
		t.Errorf("the queue counts %d messages", i.Messages)
	}
}
