package broker_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"treadmq/broker"
	"treadmq/store"
)

func tailing(o *broker.SubscribeOptions) { o.Browser, o.Tail = true, true }

func TestTailingBrowserGoesOn(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 5_000 }))
	p, q := r.connect(), queueNamed("a")
	for i := range 300 {
		p.send(q, fmt.Sprint(i), property("n", fmt.Sprint(i)))
	}
	holder := r.connect()
	holder.subscribe(q, prefetch(3))
	held := holder.take(3)
	c := r.connect()
	s := c.subscribe(q, tailing, prefetch(10), selecting("n <> 7"))
	next := func(want ...string) {
		t.Helper()
		for _, body := range want {
			d := c.take(1)
			wantBodies(t, d, body)
			if d[0].Redelivered {
				t.Error("browsing counts as a delivery")
			}
			c.settle(broker.AckAccept, d...)
		}
	}
	for i := range 300 {
		if i != 7 {
			next(fmt.Sprint(i))
		}
	}
	p.send(q, "later", property("n", "300"))
	next("later")
	p.send(q, "not selected", property("n", "7"))
	p.send(q, "volatile", property("n", "301"), volatile)
	next("volatile")
	p.send(q, "urgent", property("n", "302"), priority(9))
	next("urgent")
	holder.settle(broker.AckRequeue, held...) // they were shown
	p.send(q, "last", property("n", "303"))
	next("last")
	if c.waiting() > 0 {
		t.Error("a message was shown twice")
	}
	if i := r.queue(q); i.Messages != 305 {
		t.Errorf("browsing changed the queue: %+v", i)
	}
	s.Close()
	p.send(q, "after it was closed", property("n", "304"))
}

// Queues that are made later are followed, also when they are deleted and made again.
func TestTailingBrowserFollowsNewQueues(t *testing.T) {
	r := newRig(t)
	p, c := r.connect(), r.connect()
	c.subscribe(queueNamed("logs.*"), tailing)
	c.subscribe(queueNamed("one"), tailing)
	p.send(queueNamed("logs.a"), "a")
	wantBodies(t, c.take(1), "a")
	p.send(queueNamed("other"), "-")
	p.send(queueNamed("one"), "1")
	wantBodies(t, c.take(1), "1")
	if err := r.b.DeleteQueue(queueNamed("logs.a"), true, func(error) {}); err != nil {
		t.Fatal(err)
	}
	p.send(queueNamed("logs.a"), "again")
	wantBodies(t, c.take(1), "again")
}

// Every message is shown once, whatever the ways of persistent, non-persistent and spilled ones into the queue.
func TestTailingBrowserMissesNothing(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 2_000 }))
	q := queueNamed("a")
	c := r.connect()
	c.subscribe(q, tailing, auto, prefetch(50))
	const producers, each = 4, 500
	failed := make(chan error, producers)
	for i := range producers {
		p := r.connect()
		go func() {
			for n := range each {
				var opts []msgOption
				if (n+i)%2 == 0 {
					opts = append(opts, volatile)
				}
				w := p.NewWork()
				err := w.Send([]broker.Destination{q}, message(q, fmt.Sprintf("%d %d", i, n), opts...))
				if err == nil {
					err = flush(t, w)
				}
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range producers {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	var seen [producers][each]bool
	for _, d := range c.take(producers * each) {
		by, number, _ := strings.Cut(string(d.Message.Body()), " ")
		i, _ := strconv.Atoi(by)
		n, _ := strconv.Atoi(number)
		if seen[i][n] {
			t.Fatalf("message %d of %d was shown twice", n, i)
		}
		seen[i][n] = true
	}
}

// What is damaged is passed over.
func TestBrowsingPassesOverDamage(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 1 }))
	p, q := r.connect(), queueNamed("a")
	for _, body := range []string{"first", "second message", "third message", "fourth"} {
		p.send(q, body)
	}
	r.restart()
	r.damage("second message")
	r.damage("third message")
	var at broker.Cursor
	var got []string
	for more := true; more; {
		var list []broker.Browsed
		var err error
		if list, at, more, err = r.b.Browse(q, at, 1, 1000); err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			got = append(got, string(m.Message.Body()))
		}
	}
	if strings.Join(got, " ") != "first fourth" {
		t.Errorf("pages of one message: %v", got)
	}
	c := r.connect()
	c.subscribe(q, tailing)
	wantBodies(t, c.take(2), "first", "fourth")
	r.connect().send(q, "fifth")
	wantBodies(t, c.take(1), "fifth")
}

// While a message is on its way to the temporary store, nothing non-persistent overtakes it.
func TestTailingBrowserWaitsForWhatIsSpilled(t *testing.T) {
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 5_000 }), func(r *rig) {
		r.wrapTemp = func(st store.Store) store.Store { return &slowDone{st, gate} }
	})
	t.Cleanup(open) // before the rig is closed
	p, c, q := r.connect(), r.connect(), queueNamed("a")
	c.subscribe(q, tailing, auto)
	large := strings.Repeat("x", 3000)
	p.send(q, large, volatile)
	wantBodies(t, c.take(1), large)
	w := p.NewWork()
	if err := w.Send([]broker.Destination{q}, message(q, "spilled"+large, volatile)); err != nil {
		t.Fatal(err)
	}
	w.Flush(nil)
	p.send(q, "behind", volatile)
	p.send(q, "persistent") // it shows that the browser has looked
	wantBodies(t, c.take(1), "persistent")
	open()
	wantBodies(t, c.take(2), "spilled"+large, "behind")
}
