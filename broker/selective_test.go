package broker_test

import (
	"fmt"
	"testing"

	"treadmq/broker"
)

func selecting(text string) func(*broker.SubscribeOptions) {
	return func(o *broker.SubscribeOptions) { o.Selector = text }
}

func property(name, value string) msgOption {
	return func(b *broker.Builder) { b.AddString([]byte(name), []byte(value)) }
}

func TestSelectorOnTopic(t *testing.T) {
	r := newRig(t)
	c, d := r.connect(), topicNamed("t")
	c.subscribe(d, selecting("colour = 'red' AND JMSPriority > 5"))
	c.send(d, "no", property("colour", "red"))
	c.send(d, "yes", property("colour", "red"), priority(9))
	wantBodies(t, c.take(1), "yes")
	if c.waiting() != 0 {
		t.Error("too much")
	}
}

func TestBadSelectorIsRefused(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	_, err := c.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{queueNamed("a")}, Selector: "a ="})
	if code(err) != broker.CodeBadSelector {
		t.Errorf("it said %v", err)
	}
}

// Consumers whose messages lie behind others get them, whatever the depth, and
// what they leave stays for others in order.
func TestSelectorFindsItsMessagesBehindOthers(t *testing.T) {
	for name, opts := range map[string][]msgOption{"persistent": nil, "volatile": {volatile}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 20_000 }))
			p, q := r.connect(), queueNamed("a")
			const n = 6000
			w := p.NewWork()
			for i := range n {
				kind := "common"
				if i >= n-1000 && i%2 == 0 {
					kind = "rare"
				}
				m := message(q, fmt.Sprintf("%05d", i), append([]msgOption{property("kind", kind)}, opts...)...)
				if err := w.Send([]broker.Destination{q}, m); err != nil {
					t.Fatal(err)
				}
				if i%200 == 199 {
					if err := flush(t, w); err != nil {
						t.Fatal(err)
					}
				}
			}
			until(t, "all are visible", func() bool { return r.queue(q).Messages == n })
			rare, common := r.connect(), r.connect()
			rare.subscribe(q, selecting("kind = 'rare'"), prefetch(7))
			for i := n - 1000; i < n; i += 2 {
				d := rare.take(1)
				wantBodies(t, d, fmt.Sprintf("%05d", i))
				rare.settle(broker.AckAccept, d...)
			}
			if i := r.queue(q); i.Messages != n-500 || i.InFlight != 0 {
				t.Fatalf("%d messages are left, %d in flight", i.Messages, i.InFlight)
			}
			p.send(q, "late", append([]msgOption{property("kind", "rare")}, opts...)...)
			wantBodies(t, rare.take(1), "late")
			common.subscribe(q, selecting("kind <> 'rare'"), prefetch(100))
			for i := range n {
				if i >= n-1000 && i%2 == 0 {
					continue
				}
				d := common.take(1)
				wantBodies(t, d, fmt.Sprintf("%05d", i))
				w := common.NewWork()
				w.Ack(d[0].Sub, d[0].Tag, d[0].Tag, broker.Ack{})
				w.Flush(nil)
			}
		})
	}
}

// What a selector took from behind the window and gave back is found again, in
// its place, by it and by others.
func TestSelectorReturnsFromBehindTheWindow(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 5_000; p.Redelivery.Maximum = -1 }))
	p, q := r.connect(), queueNamed("a")
	const n = 400
	for i := range n {
		p.send(q, fmt.Sprintf("%05d", i), property("n", fmt.Sprint(i)))
	}
	c := r.connect()
	s := c.subscribe(q, selecting("n >= 300"), prefetch(5))
	ds := c.take(5)
	wantBodies(t, ds, "00300", "00301", "00302", "00303", "00304")
	c.settle(broker.AckRequeue, ds[1])
	wantBodies(t, c.take(1), "00301")
	s.Close()
	other := r.connect()
	so := other.subscribe(q, selecting("n = 301 OR n = 304 OR n = 350"), prefetch(5))
	ds = other.take(3)
	wantBodies(t, ds, "00301", "00304", "00350")
	if !ds[0].Redelivered || ds[2].Redelivered {
		t.Error("wrong flags")
	}
	so.Close()
	all := r.connect()
	all.subscribe(q, prefetch(1000), func(o *broker.SubscribeOptions) { o.PrefetchBytes = 1 << 30 })
	got := all.take(n)
	for i, d := range got {
		if want := fmt.Sprintf("%05d", i); string(d.Message.Body()) != want {
			t.Fatalf("message %d is %s", i, d.Message.Body())
		}
	}
	all.settle(broker.AckAccept, got...)
	until(t, "the queue is empty", func() bool { return r.queue(q).Messages == 0 })
}

func TestDisjointSelectorsDoNotStarveEachOther(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 5_000 }))
	p, q := r.connect(), queueNamed("a")
	a, b := r.connect(), r.connect()
	a.subscribe(q, selecting("k = 'a'"), prefetch(1))
	b.subscribe(q, selecting("k = 'b'"), prefetch(1))
	for i := range 300 {
		k := "a"
		if i >= 200 {
			k = "b"
		}
		p.send(q, fmt.Sprint(i), property("k", k))
	}
	for i := 200; i < 300; i++ {
		d := b.take(1)
		wantBodies(t, d, fmt.Sprint(i))
		b.settle(broker.AckAccept, d...)
	}
	for i := range 200 {
		d := a.take(1)
		wantBodies(t, d, fmt.Sprint(i))
		a.settle(broker.AckAccept, d...)
	}
}
