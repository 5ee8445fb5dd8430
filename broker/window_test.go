package broker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"treadmq/broker"
	"treadmq/store"
)

// More comes back from behind the window than the window holds: the head of the
// queue is read all the same.
func TestManyReturnedFromBehindTheWindowDoNotHideTheHead(t *testing.T) {
	for name, opts := range map[string][]msgOption{"persistent": nil, "volatile": {volatile}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 2000 }))
			c, q := r.connect(), queueNamed("a")
			const n = 3000
			w := c.NewWork()
			for i := range n {
				kind := "common"
				if i >= n/2 {
					kind = "rare"
				}
				o := append([]msgOption{property("kind", kind)}, opts...)
				if err := w.Send([]broker.Destination{q}, message(q, fmt.Sprintf("%05d", i), o...)); err != nil {
					t.Fatal(err)
				}
			}
			if err := flush(t, w); err != nil {
				t.Fatal(err)
			}
			until(t, "all are visible", func() bool { return r.queue(q).Messages == n })
			s := c.subscribe(q, selecting("kind = 'rare'"), prefetch(n))
			c.take(n / 2)
			s.Close()
			d := r.connect()
			d.subscribe(q, auto, prefetch(10))
			for i, m := range d.take(n) {
				if want := fmt.Sprintf("%05d", i); string(m.Message.Body()) != want {
					t.Fatalf("got %s, expected %s", m.Message.Body(), want)
				}
			}
		})
	}
}

// A message that waits for the temporary store is not overtaken by a later one of
// the same sender that finds room in memory.
func TestSpilledMessagesAreNotOvertaken(t *testing.T) {
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 700 }), func(r *rig) {
		r.wrapTemp = func(st store.Store) store.Store { return &slowDone{st, gate} }
	})
	c, q := r.connect(), queueNamed("a")
	c.send(q, "0", volatile)
	c.send(q, "1", volatile)
	c.send(q, "2 does not fit", volatile) // goes to the temporary store, which is slow
	d := r.connect()
	d.subscribe(q, prefetch(2))
	ds := d.take(2)
	d.settle(broker.AckAccept, ds...)
	c.send(q, "3 fits", volatile)
	open()
	wantBodies(t, append(ds, d.take(2)...), "0", "1", "2 does not fit", "3 fits")
}

// slowDone is a store whose commits wait for a gate.
type slowDone struct {
	store.Store
	gate chan struct{}
}

func (s *slowDone) Append(b *store.Batch) error {
	done := b.Done
	b.Done = func(b *store.Batch, err error) {
		<-s.gate
		done(b, err)
	}
	return s.Store.Append(b)
}

// When neither memory nor the temporary store has room, a sender is told so, and
// memory stays bounded.
func TestFullTemporaryStoreRefusesWhatIsOnlyInMemory(t *testing.T) {
	for name, temporary := range map[string]bool{"non-persistent": false, "temporary queue": true} {
		t.Run(name, func(t *testing.T) {
			tr := &trap{}
			r := newRig(t, func(r *rig) {
				r.memory = 10_000
				r.wrapTemp = func(st store.Store) store.Store { return &trapped{st, tr} }
			})
			tr.set(full)
			c, q, opts := r.connect(), queueNamed("a"), []msgOption{volatile}
			if temporary {
				q, _ = c.CreateTemp(broker.TempQueue)
				opts = nil
			}
			refused := 0
			for i := range 1000 {
				w := c.NewWork()
				switch err := w.Send([]broker.Destination{q}, message(q, fmt.Sprint(i), opts...)); code(err) {
				case broker.CodeStoreFull:
					refused++
				case "":
					if err := flush(t, w); err != nil {
						t.Fatal(err)
					}
				default:
					t.Fatal(err)
				}
			}
			if m := r.b.Totals().MemoryBytes; m > 30_000 || refused == 0 {
				t.Errorf("%d bytes in memory, %d sends refused", m, refused)
			}
			tr.set(nil)
			until(t, "it takes messages again", func() bool {
				w := c.NewWork()
				defer w.Flush(nil)
				return w.Send([]broker.Destination{q}, message(q, "again", opts...)) == nil
			})
		})
	}
}

// Delayed messages are bounded: a queue that has very many waits with the next.
func TestDelayedMessagesAreBounded(t *testing.T) {
	r := newRig(t, func(r *rig) { r.delayed = 2000 })
	c, q := r.connect(), queueNamed("a")
	s := c.subscribe(q, prefetch(1000))
	const limit, n = 2000, 10_000
	go func() {
		p, err := r.b.Connect(broker.ConnOptions{Sink: deaf{}})
		if err != nil {
			return
		}
		defer p.Close()
		for i := 0; i < n; i += 500 {
			w := p.NewWork()
			for range 500 {
				_ = w.Send([]broker.Destination{q}, message(q, "x", volatile))
			}
			done := make(chan struct{})
			w.Flush(func(error) { close(done) })
			<-done
		}
	}()
	for {
		i := r.queue(q)
		if i.Enqueued == n && i.InFlight == 0 {
			break
		}
		w := c.NewWork()
		for _, d := range c.take(c.waiting()) {
			w.Ack(s, d.Tag, d.Tag, broker.Ack{Kind: broker.AckRetry, HasDelay: true, Delay: time.Hour})
		}
		w.Flush(nil)
	}
	if i := r.queue(q); i.Delayed > limit+1000 || i.Ready == 0 {
		t.Errorf("%d are delayed, %d ready", i.Delayed, i.Ready)
	}
}
