package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"treadmq/broker"
)

// TestEvictionAgainstModel fills and drains the backlog of a topic subscription at
// random, and compares what is left with the plain rule for each eviction.
func TestEvictionAgainstModel(t *testing.T) {
	type waiting struct {
		body     string
		priority uint8
		key      string
	}
	rapid.Check(t, func(rt *rapid.T) {
		evict := rapid.SampledFrom([]broker.Evict{broker.EvictOldest, broker.EvictLowestPriority, broker.EvictOlderOfKey}).Draw(rt, "evict")
		limit := rapid.IntRange(1, 12).Draw(rt, "limit")
		r := &rig{t: t}
		withPolicy(func(p *broker.Policy) { p.PendingLimit, p.PendingBytes, p.Evict = limit, 0, evict; p.EvictKey = "k" })(r)
		if evict != broker.EvictOlderOfKey {
			withPolicy(func(p *broker.Policy) { p.PendingLimit, p.PendingBytes, p.Evict = limit, 0, evict })(r)
		}
		r.fs = newFS()
		r.open()
		defer r.close()
		p, c, d := r.connect(), r.connect(), topicNamed("t")
		c.subscribe(d, prefetch(1))
		p.send(d, "first")
		held := c.take(1)
		var model []waiting
		victim := func() int {
			best := 0
			for i, x := range model {
				if evict == broker.EvictLowestPriority && x.priority < model[best].priority {
					best = i
				}
				newer := func(y waiting) bool { return y.key != "" && y.key == x.key }
				if evict == broker.EvictOlderOfKey && slices.ContainsFunc(model[i+1:], newer) {
					return i
				}
			}
			return best
		}
		n := 0
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "messages") {
					n++
					x := waiting{fmt.Sprint(n), rapid.SampledFrom([]uint8{0, 4, 9}).Draw(t, "priority"), rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key")}
					opts := []msgOption{priority(x.priority)}
					if x.key != "" {
						opts = append(opts, property("k", x.key))
					}
					p.send(d, x.body, opts...)
					if model = append(model, x); len(model) > limit {
						i := victim()
						model = slices.Delete(model, i, i+1)
					}
				}
			},
			"take": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				c.settle(broker.AckAccept, held...)
				held = c.take(1)
				if got := string(held[0].Message.Body()); got != model[0].body {
					t.Fatalf("%s came, expected %s of %v", got, model[0].body, model)
				}
				model = model[1:]
			},
		})
	})
}

// A limit by prefetch, and a changed policy, reach a subscription that is there.
func TestPendingLimitByPrefetch(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.PendingRate = 2.5 }))
	p, c, d := r.connect(), r.connect(), topicNamed("t")
	c.subscribe(d, prefetch(2))
	fill := func(from, n int) {
		for i := range n {
			p.send(d, fmt.Sprint(from+i))
		}
	}
	fill(0, 12)
	first := c.take(2)
	c.settle(broker.AckAccept, first...)
	second := c.take(2)
	wantBodies(t, second, "7", "8") // five waited
	r.b.SetPolicy(func(broker.Destination) broker.Policy {
		p := broker.DefaultPolicy()
		p.PendingLimit = 1
		return p
	})
	until(t, "the new limit holds", func() bool {
		p.send(d, "last")
		return r.b.Topics(nil)[0].Backlog == 1
	})
	c.settle(broker.AckAccept, second...)
	wantBodies(t, c.take(1), "last")
}

// New policies for queues reach consumers that are there.
func TestDispatchPoliciesReload(t *testing.T) {
	r := newRig(t)
	p, a, b, q := r.connect(), r.connect(), r.connect(), queueNamed("q")
	a.subscribe(q)
	b.subscribe(q)
	p.send(q, "1")
	p.send(q, "2")
	da, db := a.take(1), b.take(1)
	r.b.SetPolicy(func(broker.Destination) broker.Policy {
		p := broker.DefaultPolicy()
		p.AllExclusive = true
		return p
	})
	p.send(q, "3")
	p.send(q, "4")
	if a.waiting()+b.waiting() > 0 {
		t.Fatal("an exclusive consumer got messages while another held some")
	}
	a.settle(broker.AckAccept, da...)
	b.settle(broker.AckAccept, db...)
	wantBodies(t, a.take(2), "3", "4")
}

func TestOverdueDeliveries(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.AckTimeout = 10 * time.Millisecond; p.Redelivery.Maximum = 1 }))
	p, c, q := r.connect(), r.connect(), queueNamed("q")
	p.send(q, "late")
	c.subscribe(q, prefetch(1))
	if d := c.take(2)[1]; d.Attempts != 2 {
		t.Errorf("attempt %d", d.Attempts)
	}
	until(t, "it is a dead letter", func() bool {
		i, err := r.b.Queue(queueNamed("ActiveMQ.DLQ"))
		return err == nil && i.Messages == 1
	})
	if n := r.b.Totals().Overdue; n < 2 {
		t.Errorf("%d were overdue", n)
	}
}

func TestOverdueIsOnlyNoted(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.AckTimeout, p.Overdue = 10*time.Millisecond, broker.OverdueNotify }))
	p, c, q := r.connect(), r.connect(), queueNamed("q")
	p.send(q, "late")
	c.subscribe(q)
	d := c.take(1)
	until(t, "it is noted", func() bool { return r.b.Totals().Overdue == 1 })
	c.settle(broker.AckAccept, d...)
}

func TestStoreUsageHighWaterMark(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.StoreHighWater = 1 }))
	p, q := r.connect(), queueNamed("q")
	r.b.SetStoreUse(1)
	w := p.NewWork()
	if err := w.Send([]broker.Destination{q}, message(q, "x")); code(err) != broker.CodeStoreFull {
		t.Errorf("it said %v", err)
	}
	p.send(q, "memory", volatile)
	r.b.SetStoreUse(0)
	p.send(q, "x")
}

func TestBrowserPrefetch(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.BrowserPrefetch = 2 }))
	p, c, q := r.connect(), r.connect(), queueNamed("q")
	for i := range 5 {
		p.send(q, fmt.Sprint(i))
	}
	c.subscribe(q, func(o *broker.SubscribeOptions) { o.Browser = true })
	ds := c.take(2)
	if n := r.b.Consumers(q); len(n) > 0 {
		t.Errorf("a browser is a consumer: %v", n)
	}
	if s := r.b.Connections()[1].Subscriptions[0]; s.Prefetch != 2 || s.InFlight != 2 {
		t.Errorf("the browser's prefetch is %d, %d are in flight", s.Prefetch, s.InFlight)
	}
	c.settle(broker.AckAccept, ds...)
	c.take(2)
}
