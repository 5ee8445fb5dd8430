package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"treadmq/broker"
	"treadmq/store"
)

func inGroup(name string) msgOption {
	return func(b *broker.Builder) { b.SetField(broker.FieldGroup, []byte(name)) }
}

func groupSeq(n string) msgOption {
	return func(b *broker.Builder) { b.SetField(broker.FieldGroupSeq, []byte(n)) }
}

func groupOf(d broker.Delivery) string { return d.Message.Text(broker.FieldGroup) }

// settled waits until the broker has nothing more to deliver.
func (r *rig) inFlight(q broker.Destination, n int) {
	r.t.Helper()
	until(r.t, fmt.Sprintf("%d are in flight", n), func() bool { return r.queue(q).InFlight == int64(n) })
}

func TestGroupStaysWithItsConsumer(t *testing.T) {
	for name, opts := range map[string][]msgOption{"persistent": nil, "volatile": {volatile}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p, q := r.connect(), queueNamed("q")
			a, b := r.connect(), r.connect()
			a.subscribe(q, prefetch(100))
			b.subscribe(q, prefetch(100))
			for i := range 40 {
				p.send(q, fmt.Sprint(i), append([]msgOption{inGroup(fmt.Sprint("g", i%4))}, opts...)...)
			}
			r.inFlight(q, 40)
			da, db := a.take(20), b.take(20) // two groups each
			owner := map[string]int{}
			for n, ds := range [][]broker.Delivery{da, db} {
				first := map[string]bool{}
				for _, d := range ds {
					if had, ok := owner[groupOf(d)]; ok && had != n {
						t.Fatalf("the group %s went to two consumers", groupOf(d))
					}
					owner[groupOf(d)] = n
					if d.GroupFirst == first[groupOf(d)] {
						t.Errorf("JMSXGroupFirstForConsumer is %v for %s", d.GroupFirst, d.Message.Body())
					}
					first[groupOf(d)] = true
				}
			}
		})
	}
}

// A consumer without room holds up its own groups, nobody else's, whatever lies
// between in memory or on disk.
func TestBlockedGroupHoldsUpNoOther(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 20_000 }))
	p, q := r.connect(), queueNamed("q")
	a, b := r.connect(), r.connect()
	a.subscribe(q, prefetch(1))
	p.send(q, "a0", inGroup("a"))
	held := a.take(1)
	w := p.NewWork()
	for i := 1; i < 3000; i++ {
		if err := w.Send([]broker.Destination{q}, message(q, fmt.Sprint("a", i), inGroup("a"))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		if err := w.Send([]broker.Destination{q}, message(q, fmt.Sprint("b", i), inGroup("b"))); err != nil {
			t.Fatal(err)
		}
		if err := w.Send([]broker.Destination{q}, message(q, fmt.Sprint("plain", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	b.subscribe(q, prefetch(10))
	var got []string
	for len(got) < 100 {
		ds := b.take(1)
		got = append(got, bodies(ds)...)
		b.settle(broker.AckAccept, ds...)
	}
	for i := range 50 {
		if got[2*i] != fmt.Sprint("b", i) || got[2*i+1] != fmt.Sprint("plain", i) {
			t.Fatalf("order: %v", got)
		}
	}
	for i := 0; i < 3000; i++ {
		wantBodies(t, held, fmt.Sprint("a", i))
		a.settle(broker.AckAccept, held...)
		if i < 2999 {
			held = a.take(1)
		}
	}
	if n := r.b.Groups(q); n != 0 {
		t.Errorf("%d groups are remembered of an empty queue", n)
	}
}

func TestGroupClosesByNegativeSeq(t *testing.T) {
	r := newRig(t)
	p, q := r.connect(), queueNamed("q")
	a, b := r.connect(), r.connect()
	a.subscribe(q, prefetch(10))
	p.send(q, "0", inGroup("g"))
	p.send(q, "1", inGroup("g"), groupSeq("-1"))
	da := a.take(2)
	b.subscribe(q, prefetch(10))
	p.send(q, "other", inGroup("h")) // a has a group that moves away, b none
	wantBodies(t, b.take(1), "other")
	p.send(q, "2", inGroup("g"))
	a.settle(broker.AckAccept, da[0])
	if a.waiting()+b.waiting() > 0 {
		t.Fatal("the next message was delivered while the closing one is in flight")
	}
	a.settle(broker.AckAccept, da[1])
	until(t, "the next message goes to somebody", func() bool { return a.waiting()+b.waiting() == 1 })
	next := a
	if b.waiting() == 1 {
		next = b
	}
	if d := next.take(1)[0]; !d.GroupFirst || string(d.Message.Body()) != "2" {
		t.Errorf("%q came, first %v", d.Message.Body(), d.GroupFirst)
	}
}

func TestGroupsMoveWhenAConsumerJoinsOrLeaves(t *testing.T) {
	r := newRig(t)
	p, q := r.connect(), queueNamed("q")
	a, b := r.connect(), r.connect()
	a.subscribe(q, prefetch(8))
	for i := range 40 {
		p.send(q, fmt.Sprint(i), inGroup(fmt.Sprint("g", i%4)))
	}
	first := a.take(8)
	sb := b.subscribe(q, prefetch(8))
	if b.waiting() > 0 {
		t.Fatal("a group moved while its messages were in flight")
	}
	a.settle(broker.AckAccept, first...)
	until(t, "the new consumer has a share", func() bool { return b.waiting() == 8 && a.waiting() == 8 })
	da, db := a.take(8), b.take(8)
	owners := map[string]string{}
	for _, d := range da {
		owners[groupOf(d)] = "a"
	}
	for _, d := range db {
		if owners[groupOf(d)] == "a" {
			t.Fatalf("%s is at both", groupOf(d))
		}
		owners[groupOf(d)] = "b"
	}
	if len(owners) != 4 {
		t.Errorf("groups at the consumers: %v", owners)
	}
	sb.Close()
	a.settle(broker.AckAccept, da...)
	seen := map[string][]string{}
	for range 24 {
		d := a.take(1)
		seen[groupOf(d[0])] = append(seen[groupOf(d[0])], bodies(d)...)
		a.settle(broker.AckAccept, d...)
	}
	for g, list := range seen {
		if !slices.IsSortedFunc(list, func(x, y string) int { return len(x) - len(y) }) {
			t.Errorf("order of %s: %v", g, list)
		}
	}
	until(t, "all is consumed", func() bool { return r.queue(q).Messages == 0 })
}

// A message of a group that waits for its next delivery is not overtaken by its
// group, and holds up no other.
func TestDelayedMessageHoldsItsGroup(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.Redelivery.Blocks = true }))
	p, q := r.connect(), queueNamed("q")
	a := r.connect()
	a.subscribe(q, prefetch(1))
	p.send(q, "0", inGroup("g"))
	p.send(q, "1", inGroup("g"))
	p.send(q, "2", inGroup("h"))
	d := a.take(1)
	w := a.NewWork()
	w.Ack(d[0].Sub, d[0].Tag, d[0].Tag, broker.Ack{Kind: broker.AckRetry, HasDelay: true, Delay: 300 * time.Millisecond})
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 3 {
		d := a.take(1)
		got = append(got, bodies(d)...)
		a.settle(broker.AckAccept, d...)
	}
	if fmt.Sprint(got) != "[2 0 1]" {
		t.Errorf("order %v", got)
	}
}

// A transaction that holds a group's message keeps its place after the consumer left.
func TestTransactionKeepsItsGroup(t *testing.T) {
	r := newRig(t)
	p, q := r.connect(), queueNamed("q")
	a, b := r.connect(), r.connect()
	s := a.subscribe(q, prefetch(1))
	p.send(q, "0", inGroup("g"))
	p.send(q, "1", inGroup("g"))
	p.send(q, "2", inGroup("h"))
	d := a.take(1)
	tx, err := a.Begin("t")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Ack(s, d[0].Tag, d[0].Tag, broker.Ack{}); err != nil {
		t.Fatal(err)
	}
	a.take(1)
	s.Close()
	b.subscribe(q, prefetch(10))
	wantBodies(t, b.take(1), "2")
	tx.Abort()
	wantBodies(t, b.take(2), "0", "1")
}

// Consumers with selectors share a group one after the other: none starves.
func TestGroupsWithSelectors(t *testing.T) {
	r := newRig(t)
	p, q := r.connect(), queueNamed("q")
	a, b := r.connect(), r.connect()
	a.subscribe(q, prefetch(1), selecting("k = 'a'"))
	b.subscribe(q, prefetch(1), selecting("k = 'b'"))
	for i := range 20 {
		p.send(q, fmt.Sprint(i), inGroup("g"), property("k", []string{"a", "b"}[i%2]))
	}
	for range 20 {
		var c *client
		until(t, "one is delivered", func() bool { return a.waiting()+b.waiting() > 0 })
		if a.waiting() > 0 && b.waiting() > 0 {
			t.Fatal("the group is at two consumers")
		}
		if c = a; b.waiting() > 0 {
			c = b
		}
		c.settle(broker.AckAccept, c.take(1)...)
	}
}

func TestConsumersBeforeDispatchStarts(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.ConsumersToStart = 2; p.TimeBeforeStart = time.Hour }))
	p, q := r.connect(), queueNamed("q")
	for i := range 4 {
		p.send(q, fmt.Sprint(i), inGroup(fmt.Sprint("g", i)))
	}
	a, b := r.connect(), r.connect()
	a.subscribe(q)
	if r.queue(q).InFlight > 0 {
		t.Fatal("it began with one consumer")
	}
	b.subscribe(q)
	a.take(2)
	b.take(2)
}

// With a number of consumers alone the queue waits a second at most.
func TestConsumersBeforeDispatchStartsWaitsNotForEver(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.ConsumersToStart = 2 }))
	p, q := r.connect(), queueNamed("q")
	p.send(q, "0")
	a := r.connect()
	a.subscribe(q)
	a.take(1)
}

// groupModel is a queue of groups as it should be.
type groupModel struct {
	*rapid.T
	r         *rig
	q         broker.Destination
	producer  *client
	sent      int
	live      map[string]*groupMessage
	consumers []*modelConsumer
	names     int
	opts      []msgOption
}

type groupMessage struct {
	n          int
	group      string
	holder     *modelConsumer
	deliveries int
}

// TestGroupsAgainstModel: each group is at one consumer at a time and in order,
// nothing is lost, and what can be delivered is.
func TestGroupsAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &rig{t: t}
		withPolicy(func(p *broker.Policy) {
			p.MemoryLimit = int64(rapid.SampledFrom([]int{2000, 6000, 1 << 20}).Draw(rt, "memory"))
			p.Redelivery.Maximum = -1
			p.Redelivery.Initial = 0
		})(r)
		r.fs = newFS()
		r.open()
		defer r.close()
		m := &groupModel{T: rt, r: r, q: queueNamed("q"), live: map[string]*groupMessage{}, names: rapid.IntRange(1, 6).Draw(rt, "groups")}
		if rapid.Bool().Draw(rt, "volatile") {
			m.opts = []msgOption{volatile}
		}
		m.producer = r.connect()
		rt.Repeat(map[string]func(*rapid.T){
			"send": m.send, "consume": m.consume, "ack": m.ack, "reject": m.reject, "leave": m.leave, "": m.check,
		})
		m.drain(rt)
	})
}

func (m *groupModel) send(t *rapid.T) {
	w := m.producer.NewWork()
	for range rapid.IntRange(1, 20).Draw(t, "messages") {
		mm := &groupMessage{n: m.sent, group: fmt.Sprint("g", rapid.IntRange(0, m.names).Draw(t, "group"))}
		m.sent++
		opts := slices.Clone(m.opts)
		if mm.group != "g0" { // which is none
			opts = append(opts, inGroup(mm.group))
		}
		if rapid.IntRange(0, 9).Draw(t, "closes") == 0 {
			opts = append(opts, groupSeq("-1"))
		}
		body := fmt.Sprintf("%05d", mm.n)
		if err := w.Send([]broker.Destination{m.q}, message(m.q, body, opts...)); err != nil {
			t.Fatal(err)
		}
		m.live[body] = mm
	}
	if err := flush(m.r.t, w); err != nil {
		t.Fatal(err)
	}
}

func (m *groupModel) consume(t *rapid.T) {
	if len(m.consumers) == 4 {
		return
	}
	mc := &modelConsumer{c: m.r.connect(), prefetch: rapid.IntRange(1, 10).Draw(t, "prefetch")}
	mc.s = mc.c.subscribe(m.q, prefetch(mc.prefetch))
	m.consumers = append(m.consumers, mc)
}

func (m *groupModel) settle(t *rapid.T, kind broker.AckKind) {
	if len(m.consumers) == 0 {
		return
	}
	mc := rapid.SampledFrom(m.consumers).Draw(t, "consumer")
	m.receive(t, mc)
	var some []broker.Delivery
	mc.held = slices.DeleteFunc(mc.held, func(d broker.Delivery) bool {
		take := rapid.Bool().Draw(t, "take")
		if take {
			some = append(some, d)
		}
		return take
	})
	for _, d := range some {
		body := string(d.Message.Body())
		m.live[body].holder = nil
		if kind == broker.AckAccept {
			delete(m.live, body)
		}
	}
	if len(some) > 0 {
		mc.c.settle(kind, some...)
	}
}

func (m *groupModel) ack(t *rapid.T)    { m.settle(t, broker.AckAccept) }
func (m *groupModel) reject(t *rapid.T) { m.settle(t, broker.AckRequeue) }

func (m *groupModel) leave(t *rapid.T) {
	if len(m.consumers) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.consumers)-1).Draw(t, "who")
	mc := m.consumers[i]
	m.receive(t, mc)
	m.consumers = slices.Delete(m.consumers, i, i+1)
	if rapid.Bool().Draw(t, "whole connection") {
		mc.c.Conn.Close()
	} else {
		mc.s.Close()
	}
	for _, mm := range m.live {
		if mm.holder == mc {
			mm.holder = nil
		}
	}
}

// check looks at what came so far.
func (m *groupModel) check(t *rapid.T) {
	for _, mc := range m.consumers {
		m.receive(t, mc)
	}
}

// drain consumes everything: nothing is stuck and nothing is lost.
func (m *groupModel) drain(t *rapid.T) {
	if len(m.consumers) == 0 {
		m.consume(t)
	}
	deadline := time.Now().Add(15 * time.Second)
	for len(m.live) > 0 {
		before := len(m.live)
		for _, mc := range m.consumers {
			m.receive(t, mc)
			if len(mc.held) == 0 {
				continue
			}
			for _, d := range mc.held {
				delete(m.live, string(d.Message.Body()))
			}
			held := mc.held
			mc.held = nil
			mc.c.settle(broker.AckAccept, held...)
		}
		if len(m.live) == before {
			if time.Now().After(deadline) {
				t.Fatalf("%d messages are stuck\n%s", len(m.live), m.r.b.Dump(m.q))
			}
			time.Sleep(time.Millisecond)
		}
	}
	until(m.r.t, "the queue is empty", func() bool { return m.r.queue(m.q).Messages == 0 })
	if n := m.r.b.Groups(m.q); n != 0 {
		t.Fatalf("%d groups are remembered of an empty queue\n%s", n, m.r.b.Dump(m.q))
	}
}

func (m *groupModel) receive(t *rapid.T, mc *modelConsumer) {
	for _, d := range mc.c.take(mc.c.waiting()) {
		body := string(d.Message.Body())
		mm := m.live[body]
		switch {
		case mm == nil:
			t.Fatalf("%q was delivered, which was acknowledged or never sent", body)
		case mm.holder != nil:
			t.Fatalf("%q was delivered to two consumers", body)
		}
		mm.holder = mc
		mm.deliveries++
		mc.held = append(mc.held, d)
		if mm.group == "g0" {
			continue
		}
		for other, om := range m.live {
			if om.group == mm.group && om.holder != nil && om.holder != mc {
				t.Fatalf("%q and %q of the group %s are at two consumers", body, other, mm.group)
			}
			if om.group == mm.group && om.n < mm.n && om.holder == nil && om.deliveries == 0 {
				t.Fatalf("%q overtook %q of the group %s\n%s", body, other, mm.group, m.r.b.Dump(m.q))
			}
		}
	}
}

// An exclusive consumer that joins gets the groups of the others too.
func TestExclusiveConsumerTakesGroups(t *testing.T) {
	r := newRig(t)
	p, q := r.connect(), queueNamed("q")
	a, b := r.connect(), r.connect()
	a.subscribe(q, prefetch(1))
	for i := range 4 {
		p.send(q, fmt.Sprint(i), inGroup(fmt.Sprint("g", i%2)))
	}
	d := a.take(1)
	b.subscribe(q, func(o *broker.SubscribeOptions) { o.Exclusive = true })
	a.settle(broker.AckAccept, d...)
	wantBodies(t, b.take(3), "1", "2", "3")
	if a.waiting() > 0 {
		t.Error("the other one got a message")
	}
}

// pausedLoad holds up the first read of a scan that brings a certain message.
type pausedLoad struct {
	store.Store
	body          string
	once          sync.Once
	reached, goOn chan struct{}
}

func (p *pausedLoad) Load(dst []store.Stored, d store.DestID, l store.Lane, after store.Seq, most, bytes int) ([]store.Stored, bool, error) {
	refs, more, err := p.Store.Load(dst, d, l, after, most, bytes)
	for i := range refs {
		if most == 1024 && strings.HasSuffix(string(refs[i].Message), p.body) {
			p.once.Do(func() {
				close(p.reached)
				<-p.goOn
			})
		}
	}
	return refs, more, err
}

// A group is freed while a scan reads behind what it passed over of it: what it reads
// does not overtake that.
func TestGroupFreedDuringARead(t *testing.T) {
	pause := &pausedLoad{body: "x2", reached: make(chan struct{}), goOn: make(chan struct{})}
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 5000 }),
		func(r *rig) { r.wrap = func(s store.Store) store.Store { pause.Store = s; return pause } })
	p, q := r.connect(), queueNamed("q")
	a, b, c := r.connect(), r.connect(), r.connect()
	a.subscribe(q, prefetch(1))
	p.send(q, "a0", inGroup("a"))
	a.take(1)
	c.subscribe(q, prefetch(1))
	p.send(q, "x0", inGroup("x"))
	c.take(1)
	w := p.NewWork()
	for i := range 5000 {
		name, body := "a", fmt.Sprint("a", i+1)
		switch i {
		case 2500:
			name, body = "x", "x1"
		case 4900:
			name, body = "x", "x2"
		}
		if err := w.Send([]broker.Destination{q}, message(q, body, inGroup(name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	b.subscribe(q, prefetch(10))
	select {
	case <-pause.reached:
	case <-time.After(20 * time.Second):
		t.Fatalf("the scan did not read so far\n%s", r.b.Dump(q))
	}
	c.Conn.Close()
	close(pause.goOn)
	wantBodies(t, b.take(3), "x0", "x1", "x2")
}
