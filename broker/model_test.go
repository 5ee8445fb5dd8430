package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"treadmq/broker"
)

// modelMessage is what the model knows of a message.
type modelMessage struct {
	n          int // order of sending
	priority   uint8
	persistent bool
	key        string
	holder     *modelConsumer // who has it
	deliveries int
}

type modelConsumer struct {
	c        *client
	s        *broker.Subscription
	prefetch int
	key      string // of the selector; "" = all
	held     []broker.Delivery
}

// queueModel is a queue as it should be, beside the real one.
type queueModel struct {
	*rapid.T
	r         *rig
	q         broker.Destination
	producer  *client
	sent      int
	live      map[string]*modelMessage
	consumers []*modelConsumer
	keys      []string // selectors of consumers
}

// TestQueueAgainstModel sends, receives, acknowledges, rejects, leaves, restarts
// and crashes at random, with a memory so small that most is read from the store.
// At each step every message is in just one place, and what is delivered comes in
// order of priority and arrival. An index over headers comes and goes; it changes nothing.
func TestQueueAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &rig{t: t}
		withPolicy(func(p *broker.Policy) {
			p.MemoryLimit = int64(rapid.SampledFrom([]int{1000, 5000, 1 << 20}).Draw(rt, "memory"))
			p.Redelivery.Maximum = -1
			p.Redelivery.Initial = 0
			if rapid.Bool().Draw(rt, "index") {
				p.IndexHeaders = []string{"key"}
			}
		})(r)
		r.block = rapid.SampledFrom([]int{1, 3, 0}).Draw(rt, "block")
		r.fs = newFS()
		r.open()
		defer r.close()
		m := &queueModel{T: rt, r: r, q: queueNamed("q"), live: map[string]*modelMessage{}, keys: []string{""}}
		if rapid.Bool().Draw(rt, "selectors") {
			m.keys = []string{"a", "b"}
		}
		m.producer = r.connect()
		rt.Repeat(map[string]func(*rapid.T){
			"send": m.send, "consume": m.consume, "ack": m.ack, "reject": m.reject,
			"leave": m.leave, "restart": m.restart, "reindex": m.reindex, "": m.check,
		})
	})
}

func (m *queueModel) send(t *rapid.T) {
	w := m.producer.NewWork()
	for range rapid.IntRange(1, 20).Draw(t, "messages") {
		mm := &modelMessage{n: m.sent, priority: rapid.SampledFrom([]uint8{4, 4, 4, 0, 9}).Draw(t, "priority"),
			persistent: rapid.Bool().Draw(t, "persistent"), key: rapid.SampledFrom(m.keys).Draw(t, "key")}
		m.sent++
		opts := []msgOption{priority(mm.priority), property("key", mm.key)}
		if !mm.persistent {
			opts = append(opts, volatile)
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

func (m *queueModel) consume(t *rapid.T) {
	if len(m.consumers) == 3 {
		return
	}
	mc := &modelConsumer{c: m.r.connect(), prefetch: rapid.IntRange(1, 10).Draw(t, "prefetch"), key: rapid.SampledFrom(m.keys).Draw(t, "selector")}
	opts := []func(*broker.SubscribeOptions){prefetch(mc.prefetch)}
	if mc.key != "" {
		opts = append(opts, selecting(fmt.Sprintf("key = '%s'", mc.key)))
	}
	mc.s = mc.c.subscribe(m.q, opts...)
	m.consumers = append(m.consumers, mc)
}

// settle takes some deliveries from a random consumer.
func (m *queueModel) settle(t *rapid.T, kind broker.AckKind) []broker.Delivery {
	if len(m.consumers) == 0 {
		return nil
	}
	mc := rapid.SampledFrom(m.consumers).Draw(t, "consumer")
	var some []broker.Delivery
	mc.held = slices.DeleteFunc(mc.held, func(d broker.Delivery) bool {
		take := rapid.Bool().Draw(t, "take")
		if take {
			some = append(some, d)
		}
		return take
	})
	if len(some) > 0 {
		mc.c.settle(kind, some...)
	}
	return some
}

func (m *queueModel) ack(t *rapid.T) {
	for _, d := range m.settle(t, broker.AckAccept) {
		delete(m.live, string(d.Message.Body()))
	}
}

func (m *queueModel) reject(t *rapid.T) {
	for _, d := range m.settle(t, broker.AckRequeue) {
		m.live[string(d.Message.Body())].holder = nil
	}
}

func (m *queueModel) leave(t *rapid.T) {
	if len(m.consumers) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.consumers)-1).Draw(t, "who")
	mc := m.consumers[i]
	m.consumers = slices.Delete(m.consumers, i, i+1)
	if rapid.Bool().Draw(t, "whole connection") {
		mc.c.Conn.Close()
	} else {
		mc.s.Close()
	}
	m.release(mc)
}

func (m *queueModel) release(mc *modelConsumer) {
	for _, mm := range m.live {
		if mm.holder == mc {
			mm.holder = nil
		}
	}
}

// reindex begins or ends the index over headers.
func (m *queueModel) reindex(t *rapid.T) {
	p := m.r.policy(m.q)
	p.IndexHeaders = nil
	if rapid.Bool().Draw(t, "index") {
		p.IndexHeaders = []string{"other", "key"}
	}
	m.r.policy = func(broker.Destination) broker.Policy { return p }
	m.r.b.SetPolicy(m.r.policy)
}

func (m *queueModel) restart(t *rapid.T) {
	for _, mc := range m.consumers {
		m.release(mc)
	}
	m.consumers = nil
	if rapid.Bool().Draw(t, "crash") {
		m.r.crash()
	} else {
		m.r.restart()
	}
	for body, mm := range m.live {
		if !mm.persistent {
			delete(m.live, body)
		}
	}
	m.producer = m.r.connect()
}

// check waits until all that can be delivered is, and compares.
func (m *queueModel) check(t *rapid.T) {
	expect := 0
	for _, key := range m.keys {
		credit, ready := 0, 0
		for _, mc := range m.consumers {
			if mc.key == key {
				credit += mc.prefetch - len(mc.held)
			}
		}
		for _, mm := range m.live {
			if mm.holder == nil && mm.key == key {
				ready++
			}
		}
		expect += min(credit, ready)
	}
	deadline := time.Now().Add(10 * time.Second)
	until(m.r.t, fmt.Sprintf("%d deliveries", expect), func() bool {
		n := 0
		for _, mc := range m.consumers {
			n += mc.c.waiting()
		}
		if n > expect {
			t.Fatalf("%d deliveries, at most %d were possible", n, expect)
		}
		if n < expect && time.Now().After(deadline) {
			t.Fatalf("%d deliveries, %d were expected\n%s", n, expect, m.r.b.Dump(m.q))
		}
		return n == expect
	})
	for _, mc := range m.consumers {
		m.receive(t, mc)
	}
	if info, err := m.r.b.Queue(m.q); err == nil {
		if int(info.Messages) != len(m.live) {
			until(m.r.t, "the queue's count settles", func() bool {
				info, _ = m.r.b.Queue(m.q)
				return int(info.Messages) == len(m.live)
			})
		}
		if int(info.Ready+info.InFlight+info.Delayed) != len(m.live) {
			t.Fatalf("the queue counts %+v, the model %d", info, len(m.live))
		}
	} else if len(m.live) > 0 {
		t.Fatal(err)
	}
}

// receive takes what came for a consumer and compares it with the model.
func (m *queueModel) receive(t *rapid.T, mc *modelConsumer) {
	var last *modelMessage
	for _, d := range mc.c.take(mc.c.waiting()) {
		mm := m.live[string(d.Message.Body())]
		switch {
		case mm == nil:
			t.Fatalf("%q was delivered, which was acknowledged or never sent", d.Message.Body())
		case mm.key != mc.key:
			t.Fatalf("%q was delivered to a consumer that did not want it", d.Message.Body())
		case mm.holder != nil:
			t.Fatalf("%q was delivered to two consumers", d.Message.Body())
		case mm.deliveries > 0 && !d.Redelivered:
			t.Fatalf("%q was delivered again without a flag", d.Message.Body())
		}
		if last != nil && last.persistent == mm.persistent && last.priority == mm.priority && last.n > mm.n {
			t.Fatalf("%05d was delivered after %05d (deliveries before: %d and %d)", mm.n, last.n, mm.deliveries, last.deliveries-1)
		}
		mm.holder = mc
		mm.deliveries++
		mc.held = append(mc.held, d)
		last = mm
	}
}
