package broker_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

func TestFreedCreditServesAllQueuesOfASubscription(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	for i := range 3 {
		for _, n := range []string{"a.1", "a.2", "a.3"} {
			c.send(queueNamed(n), fmt.Sprint(i), volatile)
		}
	}
	c.subscribe(queueNamed("a.*"), prefetch(1))
	seen := map[string]int{}
	for n := range 9 {
		d := c.take(1)[0]
		seen[d.Dest.Name]++
		if n == 2 && len(seen) != 3 {
			t.Errorf("the queues are not served in turn: %v", seen)
		}
		c.settle(broker.AckAccept, d)
	}
}

func TestFreedCreditOfATopicServesTheQueue(t *testing.T) {
	for _, mode := range []func(*broker.SubscribeOptions){auto, func(*broker.SubscribeOptions) {}} {
		r := newRig(t)
		c, q, d := r.connect(), queueNamed("a"), topicNamed("t")
		s, err := c.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{q, d}, Prefetch: 1, Auto: s2auto(mode)})
		if err != nil {
			t.Fatal(err)
		}
		p := r.connect()
		p.send(d, "topic") // takes the credit at Start
		p.send(q, "queue")
		s.Start()
		first := c.take(1)
		if !s2auto(mode) {
			c.settle(broker.AckAccept, first...)
		}
		wantBodies(t, append(first, c.take(1)...), "topic", "queue")
	}
}

func s2auto(f func(*broker.SubscribeOptions)) bool {
	var o broker.SubscribeOptions
	f(&o)
	return o.Auto
}

// The credit of a rejected message is not there for others before the message is.
func TestNothingOvertakesWhatIsRejected(t *testing.T) {
	r := newRig(t)
	c, p, q := r.connect(), r.connect(), queueNamed("a")
	p.send(q, "1", volatile)
	p.send(q, "2", volatile)
	s := c.subscribe(q, prefetch(1))
	d := c.take(1)[0]
	w := c.NewWork()
	w.Ack(s, d.Tag, d.Tag, broker.Ack{Kind: broker.AckRequeue})
	p.send(q, "3", volatile) // lets the queue look for credit
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	again := c.take(1)
	wantBodies(t, again, "1")
	c.settle(broker.AckAccept, again...)
	wantBodies(t, c.take(1), "2")
}

func TestForcedDeleteFreesMemoryAndCredit(t *testing.T) {
	for name, opts := range map[string][]msgOption{"persistent": nil, "volatile": {volatile}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := r.connect()
			c.send(queueNamed("a.1"), "1", opts...)
			c.subscribe(queueNamed("a.*"), prefetch(1))
			c.take(1)
			c.send(queueNamed("a.2"), "2", opts...)
			done := make(chan error, 1)
			if err := r.b.DeleteQueue(queueNamed("a.1"), true, func(err error) { done <- err }); err != nil {
				t.Fatal(err)
			}
			<-done
			ds := c.take(1)
			wantBodies(t, ds, "2")
			c.settle(broker.AckAccept, ds...)
			if m := r.b.Totals().MemoryBytes; m != 0 {
				t.Errorf("%d bytes of memory stay on the books", m)
			}
		})
	}
}

func TestDelayedMessagesLeaveTheBooksWithTheirQueue(t *testing.T) {
	end := map[string]func(r *rig, q broker.Destination) error{
		"purge":  func(r *rig, q broker.Destination) error { _, err := r.b.Purge(q, func(error) {}); return err },
		"delete": func(r *rig, q broker.Destination) error { return r.b.DeleteQueue(q, true, func(error) {}) },
	}
	for name, end := range end {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c, q := r.connect(), queueNamed("a")
			c.send(q, "x", volatile)
			c.subscribe(q)
			d := c.take(1)[0]
			w := c.NewWork()
			w.Ack(d.Sub, d.Tag, d.Tag, broker.Ack{Kind: broker.AckRetry, HasDelay: true, Delay: time.Hour})
			if err := flush(t, w); err != nil {
				t.Fatal(err)
			}
			if err := end(r, q); err != nil {
				t.Fatal(err)
			}
			if m := r.b.Totals().MemoryBytes; m != 0 {
				t.Errorf("%d bytes of memory stay on the books", m)
			}
		})
	}
}

// parked fills a queue that waits when it is full and parks a send.
func parked(t *testing.T, r *rig, c *client, q broker.Destination) chan error {
	t.Helper()
	for c.NewWork().Empty() {
		w := c.NewWork()
		err := w.Send([]broker.Destination{q}, message(q, "x"))
		if err == broker.ErrWouldBlock {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := flush(t, w); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	c.SendWhenRoom([]broker.Destination{q}, message(q, "parked"), func(err error) { done <- err })
	r.drain()
	return done
}

// drain waits until what the broker has put off is done.
func (r *rig) drain() {
	r.t.Helper()
	c, q := r.connect(), queueNamed("drain")
	before := uint64(0)
	if i, err := r.b.Queue(q); err == nil {
		before = i.Dropped + i.Expired
	}
	c.subscribe(q)
	c.send(q, "x", expires(1), volatile)
	until(r.t, "what was put off is done", func() bool { i := r.queue(q); return i.Dropped+i.Expired > before && i.InFlight == 0 })
}

func wait(t *testing.T, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("never completed")
		return nil
	}
}

func TestParkedSendsGoOnWhenTheirQueueIsDeleted(t *testing.T) {
	limited := withPolicy(func(p *broker.Policy) { p.MaxMessages = 2 })
	t.Run("queue", func(t *testing.T) {
		r := newRig(t, limited)
		c, q := r.connect(), queueNamed("a")
		done := parked(t, r, c, q)
		if err := r.b.DeleteQueue(q, true, func(error) {}); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, done); err != nil {
			t.Errorf("it said %v", err)
		}
		if i := r.queue(q); i.Messages != 1 {
			t.Errorf("the new queue holds %d", i.Messages)
		}
	})
	t.Run("temporary", func(t *testing.T) {
		r := newRig(t, limited)
		owner, c := r.connect(), r.connect()
		q, _ := owner.CreateTemp(broker.TempQueue)
		done := parked(t, r, c, q)
		owner.Conn.Close()
		if err := wait(t, done); code(err) != broker.CodeNoDestination {
			t.Errorf("it said %v", err)
		}
		until(t, "nothing is parked", func() bool { return c.Parked() == 0 })
	})
}

func TestParkedSendsGoOnWhenThePolicyChanges(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MaxMessages = 2 }))
	c, q := r.connect(), queueNamed("a")
	done := parked(t, r, c, q)
	r.b.SetPolicy(func(broker.Destination) broker.Policy { return broker.DefaultPolicy() })
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
}

// Many wait with a time-out while room comes and goes: each send ends once, and
// the queue never holds more than its limit.
func TestParkedSendsAgainstTimeouts(t *testing.T) {
	const limit, senders, each = 5, 8, 50
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MaxMessages, p.BlockTimeout = limit, 20*time.Millisecond }))
	q, cons := queueNamed("a"), r.connect()
	cons.subscribe(q, prefetch(2))
	ends := make(chan error, senders*each)
	for range senders {
		c := r.connect()
		go func() {
			for range each {
				w := c.NewWork()
				m := message(q, "x")
				switch err := w.Send([]broker.Destination{q}, m); err {
				case nil:
					w.Flush(func(err error) { ends <- err })
				case broker.ErrWouldBlock:
					c.SendWhenRoom([]broker.Destination{q}, m, func(err error) { ends <- err })
				default:
					ends <- err
				}
			}
		}()
	}
	sent, refused := 0, 0
	stop := make(chan struct{})
	consumed := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				consumed <- n
				return
			default:
			}
			if cons.waiting() > 0 {
				cons.settle(broker.AckAccept, cons.take(1)...)
				n++
			}
			if i := r.queue(q); i.Messages > limit {
				t.Errorf("the queue holds %d, more than %d", i.Messages, limit)
			}
			runtime.Gosched()
		}
	}()
	for range senders * each {
		switch err := <-ends; {
		case err == nil:
			sent++
		case code(err) == broker.CodeFull:
			refused++
		default:
			t.Error(err)
		}
	}
	close(stop)
	n := <-consumed
	if i := r.queue(q); int(i.Messages)+n != sent || i.Parked != 0 {
		t.Errorf("sent %d, refused %d, consumed %d, the queue holds %d", sent, refused, n, i.Messages)
	}
}

// Order of one sender holds over parking and resuming.
func TestParkedSendsKeepOrder(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MaxMessages = 2 }))
	c, cons, q := r.connect(), r.connect(), queueNamed("a")
	cons.subscribe(q, auto)
	const n = 1000
	ends := make(chan error, n)
	go func() {
		for i := range n {
			w, m := c.NewWork(), message(q, fmt.Sprintf("%05d", i))
			switch err := w.Send([]broker.Destination{q}, m); err {
			case nil:
				w.Flush(func(err error) { ends <- err })
			case broker.ErrWouldBlock:
				c.SendWhenRoom([]broker.Destination{q}, m, func(err error) { ends <- err })
			default:
				ends <- err
			}
			if i%7 == 0 {
				runtime.Gosched()
			}
		}
	}()
	for range n {
		if err := <-ends; err != nil {
			t.Fatal(err)
		}
	}
	last := ""
	for _, d := range cons.take(n) {
		if b := string(d.Message.Body()); b <= last {
			t.Fatalf("%s came after %s", b, last)
		} else {
			last = b
		}
	}
}

// One delivery that is never acknowledged costs nothing for those after it.
func TestAnOldDeliveryDoesNotPinWhatFollows(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	s := c.subscribe(q, prefetch(10))
	var before, after runtime.MemStats
	c.send(q, "old", volatile)
	old := c.take(1)[0]
	next := func(n int) {
		for range n {
			w := c.NewWork()
			if err := w.Send([]broker.Destination{q}, message(q, "x", volatile)); err != nil {
				t.Fatal(err)
			}
			w.Flush(nil)
			d := c.take(1)[0]
			if tag, ok := s.FindMessage(d.Message.ID()); !ok || tag != d.Tag {
				t.Fatalf("message %d has tag %d, %v", d.Tag, tag, ok)
			}
			if w.Ack(s, d.Tag, d.Tag, broker.Ack{}) != 1 {
				t.Fatalf("delivery %d is not outstanding", d.Tag)
			}
			w.Flush(nil)
			if !s.Issued(d.Tag) || s.Issued(d.Tag+1) {
				t.Fatalf("delivery %d: wrong memory of tags", d.Tag)
			}
		}
	}
	next(100)
	runtime.GC()
	runtime.ReadMemStats(&before)
	next(50_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 500_000 {
		t.Errorf("50,000 acknowledged deliveries left %d bytes", grown)
	}
	if tag, ok := s.Oldest(); !ok || tag != old.Tag {
		t.Errorf("the oldest is %d, %v", tag, ok)
	}
	w := c.NewWork()
	if n := w.Ack(s, old.Tag, ^uint64(0), broker.Ack{}); n != 1 {
		t.Errorf("%d were outstanding", n)
	}
	w.Flush(nil)
}

func TestStalledAutoSubscriberOfATopicHoldsBoundedBytes(t *testing.T) {
	r := newRig(t)
	p, d := r.connect(), topicNamed("t")
	stalled, err := r.b.Connect(broker.ConnOptions{Sink: deaf{}})
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	s, err := stalled.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{d}, Auto: true, Prefetch: 1000})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	body := strings.Repeat("x", 100_000)
	for range 100 {
		p.send(d, body)
	}
	ds := stalled.Output(nil)
	if len(ds) > 12 { // PrefetchBytes is 1 MiB
		t.Fatalf("%d messages of 100 kB wait for a subscriber that reads nothing", len(ds))
	}
	stalled.Written(ds)
	if more := stalled.Output(nil); len(more) == 0 {
		t.Error("the credit does not come back")
	}
}

type deaf struct{}

func (deaf) Wake()      {}
func (deaf) Kill(error) {}
