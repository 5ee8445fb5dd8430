package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"treadmq/broker"
)

// places are where a queue's messages are, and their bodies.
func (r *rig) places(q broker.Destination) (at []broker.Cursor, bodies []string) {
	r.t.Helper()
	next, more := broker.Cursor{}, true
	for more {
		var list []broker.Browsed
		var err error
		if list, next, more, err = r.b.Browse(q, next, 100, 1<<20); err != nil {
			r.t.Fatal(err)
		}
		for _, m := range list {
			at = append(at, broker.Cursor{Lane: m.Lane, Seq: m.Seq})
			bodies = append(bodies, string(m.Message.Body()))
		}
	}
	return at, bodies
}

func (r *rig) wantQueue(q broker.Destination, want ...string) {
	r.t.Helper()
	_, got := r.places(q)
	if !slices.Equal(got, want) {
		r.t.Fatalf("%s holds %q, not %q\n%s", q, got, want, r.b.Dump(q))
	}
	info, err := r.b.Queue(q)
	if err != nil || info.Messages != int64(len(want)) || info.InFlight != 0 {
		r.t.Fatalf("%+v, %v", info, err)
	}
}

func (r *rig) act(q broker.Destination, at []broker.Cursor, kind broker.Action, to broker.Destination) broker.Acted {
	r.t.Helper()
	got, err := r.b.Act(q, at, kind, to, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

func numbers(from, to, step int) (all []string) {
	for i := from; i < to; i += step {
		all = append(all, fmt.Sprintf("%04d", i))
	}
	return all
}

func every[T any](list []T, step, first int) (some []T) {
	for i := first; i < len(list); i += step {
		some = append(some, list[i])
	}
	return some
}

// Whether a message is in memory or behind the window, acting on it is the same,
// and what was done is there after a power cut.
func TestActAnywhereInTheQueue(t *testing.T) {
	for name, memory := range map[string]int64{"in memory": 0, "paged": 4 << 10} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.memory = memory })
			from, to := queueNamed("from"), queueNamed("to")
			c := r.connect()
			for _, body := range numbers(0, 300, 1) {
				c.send(from, body)
			}
			at, _ := r.places(from)
			if got := r.act(from, every(at, 3, 0), broker.ActDelete, to); got != (broker.Acted{Done: 100}) {
				t.Fatalf("%+v", got)
			}
			if got := r.act(from, every(at, 3, 1), broker.ActMove, to); got != (broker.Acted{Done: 100}) {
				t.Fatalf("%+v", got)
			}
			if got := r.act(from, at[:6], broker.ActMove, to); got != (broker.Acted{Done: 2, Gone: 4}) {
				t.Fatalf("%+v", got)
			}
			check := func() {
				t.Helper()
				r.wantQueue(from, numbers(8, 300, 3)...)
				r.wantQueue(to, append(numbers(1, 300, 3), "0002", "0005")...)
			}
			check()
			r.crash()
			check()
			c = r.connect()
			c.subscribe(from, auto)
			wantBodies(t, c.take(98), numbers(8, 300, 3)...)
		})
	}
}

func TestCopiesAreMessagesOfTheirOwn(t *testing.T) {
	r := newRig(t)
	from, to := queueNamed("from"), queueNamed("to")
	c := r.connect()
	c.send(from, "kept")
	c.send(from, "light", volatile)
	c.subscribe(from, prefetch(1)) // holds the first: copies take nothing from anybody
	c.take(1)
	at, _ := r.places(from)
	if got := r.act(from, at, broker.ActCopy, to); got != (broker.Acted{Done: 2}) {
		t.Fatalf("%+v", got)
	}
	if got := r.act(from, at[:1], broker.ActCopy, from); got != (broker.Acted{Done: 1}) { // a queue may copy onto itself
		t.Fatalf("%+v", got)
	}
	d := r.connect()
	d.subscribe(to, auto)
	ds := d.take(2)
	slices.SortFunc(ds, func(a, b broker.Delivery) int {
		return strings.Compare(string(a.Message.Body()), string(b.Message.Body()))
	})
	wantBodies(t, ds, "kept", "light")
	list, _, _, err := r.b.Browse(from, broker.Cursor{}, 10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[uint64]bool{ds[0].Message.ID(): true, ds[1].Message.ID(): true}
	for _, m := range list {
		ids[m.Message.ID()] = true
	}
	if len(list) != 3 || len(ids) != 5 {
		t.Errorf("%d messages are left, %d identities", len(list), len(ids))
	}
}

func TestDeadLettersGoBackWhereTheyCameFrom(t *testing.T) {
	r := newRig(t)
	dlq := queueNamed("ActiveMQ.DLQ")
	c := r.connect()
	for _, name := range []string{"a", "b"} {
		c.send(queueNamed(name), "of "+name)
		s := c.subscribe(queueNamed(name))
		c.settle(broker.AckDeadLetter, c.take(1)...)
		s.Close()
	}
	c.send(dlq, "sent here")
	at, bodies := r.places(dlq)
	if len(bodies) != 3 {
		t.Fatal(bodies)
	}
	if got := r.act(dlq, at, broker.ActRetry, broker.Destination{}); got != (broker.Acted{Done: 2, NoOrigin: 1}) {
		t.Fatalf("%+v", got)
	}
	r.wantQueue(dlq, "sent here")
	r.wantQueue(queueNamed("a"), "of a")
	list, _, _, err := r.b.Browse(queueNamed("b"), broker.Cursor{}, 10, 1<<20)
	if err != nil || len(list) != 1 || list[0].Attempts != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	props := map[string]string{}
	for it := broker.IterProperties(list[0].Overlay); it.Next(); {
		props[string(it.Name)] = string(it.Bytes)
	}
	if props[broker.PropRetryCount] != "1" || props[broker.PropDeathCount] != "1" || props[broker.PropOriginalDestination] != "" {
		t.Errorf("%v", props)
	}
	r.restart()
	r.wantQueue(queueNamed("b"), "of b")
}

func TestActLeavesAloneWhatItCannotHave(t *testing.T) {
	r := newRig(t)
	r.policy = func(d broker.Destination) broker.Policy {
		p := broker.DefaultPolicy()
		if d.Name == "small" {
			p.MaxMessages = 2
		}
		return p
	}
	r.b.SetPolicy(r.policy)
	q := queueNamed("q")
	c := r.connect()
	for _, body := range numbers(0, 6, 1) {
		c.send(q, body)
	}
	s := c.subscribe(q, prefetch(2))
	ds := c.take(2)
	at, _ := r.places(q)
	if got := r.act(q, at[:3], broker.ActDelete, q); got != (broker.Acted{Done: 1, InFlight: 2}) {
		t.Fatalf("%+v", got)
	}
	got, err := r.b.Act(q, at, broker.ActMove, queueNamed("small"), nil)
	if err == nil || got != (broker.Acted{Done: 2, InFlight: 2, Gone: 1}) {
		t.Fatalf("%+v, %v", got, err)
	}
	r.wantQueue(queueNamed("small"), "0003", "0004")
	c.settle(broker.AckAccept, ds...)
	wantBodies(t, c.take(1), "0005") // what found no room is where it was
	s.Close()
	if _, err := r.b.Act(q, at, broker.ActMove, q, nil); err == nil {
		t.Error("moved onto itself")
	}
	if got, err := r.b.Act(q, at, broker.ActMove, queueNamed("ActiveMQ.own"), nil); err == nil || got.Done > 0 {
		t.Errorf("moved to where nobody makes queues: %+v", got)
	}
}

// Consumers and somebody who moves everything away: each message is seen once.
func TestActBesideConsumers(t *testing.T) {
	r := newRig(t, func(r *rig) { r.memory = 64 << 10 })
	from, to := queueNamed("from"), queueNamed("to")
	c := r.connect()
	const n = 2000
	w := c.NewWork()
	for i := range n {
		if err := w.Send([]broker.Destination{from}, message(from, fmt.Sprintf("%04d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	at, _ := r.places(from)
	d := r.connect()
	var wg sync.WaitGroup
	wg.Go(func() { d.subscribe(from, auto) })
	moved := 0
	for i := len(at); i > 0; i -= 100 {
		moved += r.act(from, at[i-100:i], broker.ActMove, to).Done
	}
	wg.Wait()
	seen := map[string]int{}
	for _, x := range d.take(n - moved) {
		seen[string(x.Message.Body())]++
	}
	_, bodies := r.places(to)
	for _, body := range bodies {
		seen[body]++
	}
	if len(bodies) != moved || len(seen) != n {
		t.Errorf("moved %d, there are %d; %d messages seen", moved, len(bodies), len(seen))
	}
	if n := r.b.Hidden(from); n != 0 {
		t.Errorf("%d references are still noted as taken", n)
	}
}

// A pause lasts over a restart and a power cut, until it is ended or the queue is deleted.
func TestPauseLastsOverARestart(t *testing.T) {
	r := newRig(t)
	q, sub := queueNamed("q"), broker.Destination{Kind: broker.DurableSub, Name: "s"}
	if err := r.b.OpenDurable(broker.DurableOptions{Name: "s", Topics: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	r.connect().send(q, "1")
	r.connect().send(topicNamed("t"), "1")
	for _, d := range []broker.Destination{q, sub} {
		if err := r.b.Pause(d, true); err != nil {
			t.Fatal(err)
		}
	}
	r.crash()
	c := r.connect()
	c.subscribe(q)
	for _, d := range []broker.Destination{q, sub} {
		if !r.queue(d).Paused {
			t.Fatalf("%s is not paused", d)
		}
	}
	if n := c.waiting(); n != 0 {
		t.Fatalf("%d deliveries from a paused queue", n)
	}
	if err := r.b.Pause(sub, false); err != nil {
		t.Fatal(err)
	}
	c.Conn.Close()
	if err := r.b.DeleteQueue(q, true, func(error) {}); err != nil {
		t.Fatal(err)
	}
	r.connect().send(q, "2") // another queue of that name
	r.restart()
	if r.queue(q).Paused || r.queue(sub).Paused {
		t.Fatal("a pause came back")
	}
	c = r.connect()
	c.subscribe(q)
	wantBodies(t, c.take(1), "2")
}

func TestPause(t *testing.T) {
	r := newRig(t)
	q := queueNamed("q")
	c := r.connect()
	c.send(q, "1")
	if err := r.b.Pause(q, true); err != nil {
		t.Fatal(err)
	}
	c.subscribe(q)
	c.send(q, "2")
	if n := c.waiting(); n != 0 {
		t.Errorf("%d deliveries from a paused queue", n)
	}
	if err := r.b.Pause(q, false); err != nil {
		t.Fatal(err)
	}
	wantBodies(t, c.take(2), "1", "2")
}

func TestCloseSubscription(t *testing.T) {
	r := newRig(t)
	q := queueNamed("q")
	c, d := r.connect(), r.connect()
	c.send(q, "1")
	s := c.subscribe(q)
	c.take(1)
	d.subscribe(q)
	if r.b.CloseSubscription(c.Serial(), 99) || !r.b.CloseSubscription(c.Serial(), s.Serial()) {
		t.Fatal("the wrong one was closed")
	}
	if ds := d.take(1); !ds[0].Redelivered {
		t.Error("it is not flagged as redelivered")
	}
}

// Deleting the delayed message of a group lets the group go on.
func TestActOnTheDelayedMessageOfAGroup(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.Redelivery.Initial = time.Hour }))
	c, q := r.connect(), queueNamed("a")
	c.subscribe(q, prefetch(1))
	c.send(q, "first", inGroup("g"))
	c.send(q, "second", inGroup("g"))
	c.settle(broker.AckRetry, c.take(1)...)
	until(t, "it is delayed", func() bool { return r.queue(q).Delayed == 1 })
	at, _ := r.places(q)
	if got := r.act(q, at[:1], broker.ActDelete, broker.Destination{}); got.Done != 1 {
		t.Fatalf("%+v", got)
	}
	wantBodies(t, c.take(1), "second")
}

// A message that is moved or copied to a queue that looks into its messages, from where it is on disk only, is seen.
func TestActShowsMessagesThatAreOnDisk(t *testing.T) {
	r := newRig(t)
	lvq, indexed, q := queueNamed("last"), queueNamed("indexed"), queueNamed("a")
	r.b.SetPolicy(func(d broker.Destination) broker.Policy {
		p := broker.DefaultPolicy()
		switch d {
		case lvq:
			p.LastValueKey = "n"
		case indexed:
			p.MemoryLimit, p.IndexHeaders = 1, []string{"n"}
		}
		return p
	})
	c := r.connect()
	for i := range 3 {
		c.send(q, fmt.Sprint(i), property("n", "same"))
	}
	c.subscribe(q, prefetch(3))
	c.settle(broker.AckRequeue, c.take(3)...) // written, so their messages are not in memory
	c.take(3)
	c.Conn.Close()
	until(t, "all are back", func() bool { return r.queue(q).InFlight == 0 })
	at, _ := r.places(q)
	r.act(q, at, broker.ActCopy, lvq)
	r.act(q, at, broker.ActMove, indexed)
	until(t, "the last of them is left", func() bool {
		_, got := r.places(lvq)
		return slices.Equal(got, []string{"2"})
	})
	if runs, blind, _, _ := r.b.IndexState(indexed); runs != 1 || blind != 0 {
		t.Errorf("the index has %d runs, %d of them blind", runs, blind)
	}
}
