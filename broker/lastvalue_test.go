package broker_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"treadmq/broker"
)

func lastValueOf(header string) func(*rig) {
	return withPolicy(func(p *broker.Policy) { p.LastValueKey = header })
}

func TestLastValueReplacesTheOlder(t *testing.T) {
	for name, opts := range map[string][]msgOption{"persistent": nil, "volatile": {volatile}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, lastValueOf("stock"))
			p, q := r.connect(), queueNamed("q")
			with := func(key string) []msgOption { return append([]msgOption{property("stock", key)}, opts...) }
			for i := range 50 {
				p.send(q, fmt.Sprint("a", i), with("A")...)
				p.send(q, fmt.Sprint("b", i), with("B")...)
			}
			p.send(q, "plain", opts...)
			p.send(q, "alias", append([]msgOption{property("_AMQ_LVQ_NAME", "A")}, opts...)...)
			until(t, "only the newest are left", func() bool { return r.queue(q).Messages == 3 })
			c := r.connect()
			c.subscribe(q)
			ds := c.take(3)
			wantBodies(t, ds, "b49", "plain", "alias")
			p.send(q, "a50", with("A")...)
			wantBodies(t, c.take(1), "a50")
			c.settle(broker.AckRequeue, ds[1:]...) // the alias is out of date by now
			wantBodies(t, c.take(1), "plain")
			until(t, "the old value is gone", func() bool { return r.queue(q).Messages == 3 })
			if c.waiting() > 0 {
				t.Error("an old value came back")
			}
		})
	}
}

// Values lie deep on disk when newer ones come, and the policy may come later too.
func TestLastValueOverPagedDepth(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 5000 }))
	p, q := r.connect(), queueNamed("q")
	fill := func(from, n int) {
		t.Helper()
		w := p.NewWork()
		for i := from; i < from+n; i++ {
			if err := w.Send([]broker.Destination{q}, message(q, fmt.Sprintf("%05d", i), property("k", fmt.Sprint(i%500)))); err != nil {
				t.Fatal(err)
			}
		}
		if err := flush(t, w); err != nil {
			t.Fatal(err)
		}
	}
	fill(0, 1000)
	r.b.SetPolicy(func(broker.Destination) broker.Policy {
		p := broker.DefaultPolicy()
		p.MemoryLimit, p.LastValueKey = 5000, "k"
		return p
	})
	until(t, "the older half is gone", func() bool { return r.queue(q).Messages == 500 })
	fill(1000, 500)
	until(t, "the older half is gone", func() bool { return r.queue(q).Messages == 500 })
	c := r.connect()
	c.subscribe(q, prefetch(1000))
	for i, d := range c.take(500) {
		if want := fmt.Sprintf("%05d", 1000+i); string(d.Message.Body()) != want {
			t.Fatalf("message %d is %s", i, d.Message.Body())
		}
	}
}

func TestLastValueKeysAreBounded(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.LastValueKey = "k"; p.LastValueKeys = 3 }))
	p, q := r.connect(), queueNamed("q")
	for i := range 3 {
		p.send(q, fmt.Sprint(i), property("k", fmt.Sprint(i)))
	}
	try := func(key string) error {
		w := p.NewWork()
		if err := w.Send([]broker.Destination{q}, message(q, "x", property("k", key))); err != nil {
			return err
		}
		return flush(t, w)
	}
	if err := try("3"); code(err) != broker.CodeFull {
		t.Fatalf("a fourth key: %v", err)
	}
	if err := try("2"); err != nil {
		t.Fatalf("a known key: %v", err)
	}
	if err := try(string(make([]byte, 2000))); code(err) != broker.CodeLimit {
		t.Fatalf("a long key: %v", err)
	}
	c := r.connect()
	c.subscribe(q)
	c.settle(broker.AckAccept, c.take(1)...)
	if err := try("3"); err != nil {
		t.Fatalf("after one was consumed: %v", err)
	}
}

// Two values of a key in one batch: the older is removed by a record of its own, which is in the journal before the newer
// one's removal, however late the broker gets to it.
func TestLastValueConsumedBeforeACrash(t *testing.T) {
	r := newRig(t, lastValueOf("k"))
	p, q := r.connect(), queueNamed("q")
	c := r.connect()
	c.subscribe(q)
	p.send(q, "first") // the mark of what may be delivered goes far ahead
	c.settle(broker.AckAccept, c.take(1)...)
	goOn := r.b.Stall()
	defer goOn()
	w := p.NewWork()
	for i := range 2 {
		if err := w.Send([]broker.Destination{q}, message(q, fmt.Sprint(i), property("k", "a"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	got := c.take(1)
	wantBodies(t, got, "1")
	c.settle(broker.AckAccept, got...)
	disk := r.fs.Crash(nil)
	goOn()
	r.close()
	r.fs = disk
	r.open()
	c = r.connect()
	c.subscribe(q)
	r.connect().send(q, "end")
	wantBodies(t, c.take(1), "end")
}

// The same where the newer value is dropped, because the queue is full.
func TestLastValueDroppedBeforeACrash(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) {
		p.LastValueKey, p.MaxMessages, p.OnFull = "k", 2, broker.FullDropOldest
	}))
	p, q := r.connect(), queueNamed("q")
	goOn := r.b.Stall()
	defer goOn()
	w := p.NewWork()
	for i := range 2 {
		if err := w.Send([]broker.Destination{q}, message(q, fmt.Sprint(i), property("k", "a"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	p.send(q, "b", property("k", "b"))
	disk := r.fs.Crash(nil)
	goOn()
	r.close()
	r.fs = disk
	r.open()
	c := r.connect()
	c.subscribe(q)
	wantBodies(t, c.take(1), "b")
}

// A full queue takes a message that replaces an older one, however often, and no other.
func TestLastValueReplacesInAFullQueue(t *testing.T) {
	for name, limit := range map[string]func(*broker.Policy){
		"messages": func(p *broker.Policy) { p.MaxMessages = 2 },
		"bytes":    func(p *broker.Policy) { p.MaxBytes = 100 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(p *broker.Policy) {
				p.LastValueKey, p.OnFull = "k", broker.FullFail
				limit(p)
			}))
			p, q := r.connect(), queueNamed("q")
			try := func(key, body string) error {
				w := p.NewWork()
				if err := w.Send([]broker.Destination{q}, message(q, body, property("k", key))); err != nil {
					return err
				}
				return flush(t, w)
			}
			for n, keys := 0, 0; keys < 2; n++ { // until it is full
				if err := try(fmt.Sprint(n), "-"); code(err) == broker.CodeFull {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				keys++
			}
			for i := range 20 {
				if err := try("0", fmt.Sprint(i%10)); err != nil {
					t.Fatal(err)
				}
			}
			if err := try("another", "-"); code(err) != broker.CodeFull {
				t.Fatalf("a further key: %v", err)
			}
			if err := try("0", strings.Repeat("x", 1000)); (code(err) == broker.CodeFull) != (name == "bytes") {
				t.Fatalf("a much larger one: %v", err)
			}
		})
	}
}

// lastValueModel says what a last-value queue may deliver.
type lastValueModel struct {
	r         *rig
	q         broker.Destination
	producer  *client
	consumer  *client
	sent      int
	newest    map[string]int // of each key, while it is not consumed
	delivered map[string]int // highest that the present consumer saw
	held      []broker.Delivery
}

// TestLastValueAgainstModel sends, consumes, gives back, restarts and loses power at
// random: the newest of each key is there until it is consumed, and never an older
// one behind a newer.
func TestLastValueAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &rig{t: t}
		withPolicy(func(p *broker.Policy) {
			p.MemoryLimit = int64(rapid.SampledFrom([]int{1000, 4000, 1 << 20}).Draw(rt, "memory"))
			p.Redelivery.Maximum, p.Redelivery.Initial = -1, 0
			p.LastValueKey = "k"
		})(r)
		r.fs = newFS()
		r.open()
		defer r.close()
		m := &lastValueModel{r: r, q: queueNamed("q"), newest: map[string]int{}, delivered: map[string]int{}}
		m.producer = r.connect()
		rt.Repeat(map[string]func(*rapid.T){"send": m.send, "consume": m.consume, "ack": m.ack, "requeue": m.requeue, "leave": m.leave, "restart": m.restart})
		m.drain(rt)
	})
}

func (m *lastValueModel) send(t *rapid.T) {
	w := m.producer.NewWork()
	for range rapid.IntRange(1, 30).Draw(t, "messages") {
		key := fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "key"))
		m.sent++
		if err := w.Send([]broker.Destination{m.q}, message(m.q, fmt.Sprintf("%05d", m.sent), property("k", key), priority(uint8(4+m.sent%2)))); err != nil {
			t.Fatal(err)
		}
		m.newest[key] = m.sent
	}
	if err := flush(m.r.t, w); err != nil {
		t.Fatal(err)
	}
}

func (m *lastValueModel) consume(t *rapid.T) {
	if m.consumer == nil {
		m.consumer = m.r.connect()
		m.consumer.subscribe(m.q, prefetch(rapid.IntRange(1, 8).Draw(t, "prefetch")))
	}
	m.receive(t)
}

func (m *lastValueModel) receive(t *rapid.T) {
	if m.consumer == nil {
		return
	}
	for _, d := range m.consumer.take(m.consumer.waiting()) {
		key, n := keyOf(d), numberOf(d)
		if n < m.delivered[key] {
			t.Fatalf("%d of key %s was delivered after %d", n, key, m.delivered[key])
		}
		m.delivered[key] = n
		m.held = append(m.held, d)
	}
}

func keyOf(d broker.Delivery) string {
	for it := d.Message.Properties(); it.Next(); {
		if string(it.Name) == "k" {
			return string(it.Bytes)
		}
	}
	return ""
}

func numberOf(d broker.Delivery) int {
	n, _ := strconv.Atoi(string(d.Message.Body()))
	return n
}

func (m *lastValueModel) settle(t *rapid.T, kind broker.AckKind) {
	m.receive(t)
	if len(m.held) == 0 {
		return
	}
	n := rapid.IntRange(1, len(m.held)).Draw(t, "settled")
	some := m.held[:n]
	m.held = slices.Clone(m.held[n:])
	m.consumer.settle(kind, some...)
	for _, d := range some {
		if kind == broker.AckAccept && m.newest[keyOf(d)] == numberOf(d) {
			delete(m.newest, keyOf(d))
		}
	}
}

func (m *lastValueModel) ack(t *rapid.T)     { m.settle(t, broker.AckAccept) }
func (m *lastValueModel) requeue(t *rapid.T) { m.settle(t, broker.AckRequeue) }

func (m *lastValueModel) leave(t *rapid.T) {
	if m.consumer != nil {
		m.consumer.Conn.Close()
		m.consumer, m.held = nil, nil
	}
}

func (m *lastValueModel) restart(t *rapid.T) {
	m.consumer, m.held = nil, nil
	if rapid.Bool().Draw(t, "crash") {
		m.r.crash()
	} else {
		m.r.restart()
	}
	m.producer = m.r.connect()
}

func (m *lastValueModel) drain(t *rapid.T) {
	m.consume(t)
	for deadline := time.Now().Add(15 * time.Second); len(m.newest) > 0; {
		before := len(m.newest)
		m.receive(t)
		if len(m.held) > 0 {
			held := m.held
			m.held = nil
			m.consumer.settle(broker.AckAccept, held...)
			for _, d := range held {
				if m.newest[keyOf(d)] == numberOf(d) {
					delete(m.newest, keyOf(d))
				}
			}
			continue
		}
		if time.Now().After(deadline) && len(m.newest) == before {
			t.Fatalf("the newest values %v are missing\n%s", m.newest, m.r.b.Dump(m.q))
		}
		time.Sleep(time.Millisecond)
	}
	until(m.r.t, "the queue is empty", func() bool { return m.r.queue(m.q).Messages == 0 })
}
