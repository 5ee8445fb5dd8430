package broker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"treadmq/broker"
	"treadmq/store"
)

// trap lets a test make a store refuse, or interrupt it.
type trap struct {
	mu     sync.Mutex
	refuse func(*store.Batch) error // asked before each Append
	find   func(key string) error   // asked before each FindKey
	loaded func()                   // called once, after the next Load has read
}

// trapped is a store with a trap. Each start of a broker has one of its own, as the last one's may still be in use.
type trapped struct {
	store.Store
	*trap
}

func withTrap(tr *trap) func(*rig) {
	return func(r *rig) {
		r.wrap = func(st store.Store) store.Store { return &trapped{st, tr} }
	}
}

func (tr *trap) set(refuse func(*store.Batch) error) {
	tr.mu.Lock()
	tr.refuse = refuse
	tr.mu.Unlock()
}

func (tr *trapped) Append(b *store.Batch) error {
	tr.mu.Lock()
	refuse := tr.refuse
	tr.mu.Unlock()
	if refuse != nil {
		if err := refuse(b); err != nil {
			return err
		}
	}
	return tr.Store.Append(b)
}

func (tr *trapped) Load(dst []store.Stored, d store.DestID, l store.Lane, after store.Seq, max, maxBytes int) ([]store.Stored, bool, error) {
	dst, more, err := tr.Store.Load(dst, d, l, after, max, maxBytes)
	tr.mu.Lock()
	fn := tr.loaded
	tr.loaded = nil
	tr.mu.Unlock()
	if fn != nil {
		fn()
	}
	return dst, more, err
}

func (tr *trap) setFind(find func(key string) error) {
	tr.mu.Lock()
	tr.find = find
	tr.mu.Unlock()
}

func (tr *trapped) FindKey(d store.DestID, l store.Lane, key string) (store.Stored, error) {
	tr.mu.Lock()
	find := tr.find
	tr.mu.Unlock()
	if find != nil {
		if err := find(key); err != nil {
			return store.Stored{}, err
		}
	}
	return tr.Store.FindKey(d, l, key)
}

// full refuses what needs room, as a store on a full disk does.
func full(b *store.Batch) error {
	if b.Grows() {
		return store.ErrFull
	}
	return nil
}

func TestFullDiskKeepsADeadLetterThatWentWithARefusedSend(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr))
	c, q, dlq := r.connect(), queueNamed("a"), queueNamed("ActiveMQ.DLQ")
	c.send(dlq, "first") // the dead-letter queue exists
	c.send(q, "poison")
	c.subscribe(q)
	d := c.take(1)[0]
	tr.set(full)
	w := c.NewWork()
	if err := w.Send([]broker.Destination{q}, message(q, "no room")); err != nil {
		t.Fatal(err)
	}
	w.Ack(d.Sub, d.Tag, d.Tag, broker.Ack{Kind: broker.AckDeadLetter})
	if err := flush(t, w); code(err) != broker.CodeStoreFull {
		t.Fatalf("the send said %v", err)
	}
	tr.set(nil)
	if i := r.queue(dlq); i.Messages != 2 {
		t.Errorf("the dead-letter queue holds %d messages", i.Messages)
	}
	r.restart()
	if a, b := r.queue(q), r.queue(dlq); a.Messages != 0 || b.Messages != 2 {
		t.Errorf("after a restart the queue holds %d, the dead-letter queue %d", a.Messages, b.Messages)
	}
}

func TestFullDiskRefusesATransactionAndReturnsWhatItAcknowledged(t *testing.T) {
	for name, refusal := range map[string]error{"full": store.ErrFull, "too large": store.ErrTooLarge} {
		for kind, opts := range map[string][]msgOption{"persistent": nil, "volatile": {volatile}} {
			t.Run(name+" "+kind, func(t *testing.T) {
				tr := &trap{}
				r := newRig(t, withTrap(tr), withPolicy(func(p *broker.Policy) { p.MemoryLimit = 1 })) // all is spilled
				c, q := r.connect(), queueNamed("a")
				c.send(q, "in", opts...)
				s := c.subscribe(q)
				d := c.take(1)[0]
				tx, _ := c.Begin("t")
				tx.Ack(s, d.Tag, d.Tag, broker.Ack{})
				if err := tx.Send([]broker.Destination{q}, message(q, "out")); err != nil {
					t.Fatal(err)
				}
				w := c.NewWork()
				if err := w.Commit(tx); err != nil {
					t.Fatal(err)
				}
				tr.set(func(b *store.Batch) error {
					if b.Grows() {
						return refusal
					}
					return nil
				})
				if err := flush(t, w); err == nil {
					t.Fatal("the commit was not refused")
				}
				tr.set(nil)
				back := c.take(1)[0]
				wantBodies(t, []broker.Delivery{back}, "in")
				if !back.Redelivered || back.Attempts != 2 {
					t.Errorf("it comes back with redelivered %v, attempts %d", back.Redelivered, back.Attempts)
				}
				c.settle(broker.AckAccept, back)
				if i := r.queue(q); i.Messages != 0 || i.InFlight != 0 || i.MemoryBytes != 0 || i.Bytes != 0 {
					t.Errorf("the books say %+v", i)
				}
			})
		}
	}
}

func TestTransactionsEndReturnsWhatAClosedSubscriptionHeld(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	c.send(q, "x")
	s := c.subscribe(q)
	d := c.take(1)[0]
	tx, _ := c.Begin("t")
	tx.Ack(s, d.Tag, d.Tag, broker.Ack{})
	s.Close()
	c.Conn.Close()
	c = r.connect()
	c.subscribe(q)
	wantBodies(t, c.take(1), "x")
}

func TestExpiredDeadLettersAreDropped(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.DeadLetter.Expiration = time.Millisecond }))
	c, q, dlq := r.connect(), queueNamed("a"), queueNamed("ActiveMQ.DLQ")
	c.send(q, "poison")
	c.subscribe(q)
	c.settle(broker.AckDeadLetter, c.take(1)[0])
	until(t, "the dead letter is gone", func() bool { i := r.queue(dlq); return i.Messages == 0 && i.Expired == 1 })
	c.send(dlq, "sent there", expires(1))
	c.subscribe(dlq)
	until(t, "the message is gone", func() bool { i := r.queue(dlq); return i.Messages == 0 && i.Expired == 2 })
}

func TestWithoutADeadLetterQueueMessagesWait(t *testing.T) {
	r := newRig(t, func(r *rig) { r.limit = 1 })
	c, q := r.connect(), queueNamed("a")
	c.send(q, "poison")
	c.send(q, "old", expires(1))
	c.subscribe(q)
	c.settle(broker.AckDeadLetter, c.take(1)[0])
	until(t, "both wait", func() bool { i := r.queue(q); return i.Delayed == 2 && i.InFlight == 0 })
}

func TestDeadLetterOfAFullQueueDoesNotExpire(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MaxMessages, p.OnFull = 1, broker.FullDeadLetter }))
	c, q := r.connect(), queueNamed("a")
	c.send(q, "0")
	c.send(q, "1", expires(time.Now().Add(time.Hour).UnixMilli()))
	c.subscribe(queueNamed("ActiveMQ.DLQ"))
	if d := c.take(1)[0]; d.Expiration != 0 {
		t.Error("the dead letter expires")
	}
}

func TestPurgeDuringADeadLettering(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr))
	c, q, dlq := r.connect(), queueNamed("a"), queueNamed("ActiveMQ.DLQ")
	c.send(dlq, "first")
	c.send(q, "poison")
	c.subscribe(q)
	d := c.take(1)[0]
	first := true
	tr.set(func(b *store.Batch) error { // just before the link
		if first && b.Ops[0].Kind == store.OpLink {
			first = false
			if _, err := r.b.Purge(q, func(error) {}); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	c.settle(broker.AckDeadLetter, d)
	i, live := r.queue(dlq), r.st.Counts()[r.queue(dlq).ID]
	var n int64
	for _, l := range live {
		n += l.Refs
	}
	if i.Messages != n {
		t.Errorf("the dead-letter queue counts %d messages, the store has %d", i.Messages, n)
	}
}

func TestLoadDuringARemovalFromBehindTheWindow(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr), withPolicy(func(p *broker.Policy) {
		p.MemoryLimit = 1
		p.DeadLetter.Strategy = broker.DeadLetterDiscard
	}))
	c, q := r.connect(), queueNamed("a")
	soon := time.Now().Add(300 * time.Millisecond).UnixMilli()
	for i := range 3 {
		c.send(q, fmt.Sprint(i), expires(soon))
	}
	// The sweep takes the expired ones; before their removal commits, the
	// loader reads them, and it comes back after the commit.
	held, begun := make(chan struct{}), make(chan struct{})
	tr.mu.Lock()
	tr.loaded = func() { close(begun); <-held }
	tr.mu.Unlock()
	once := sync.Once{}
	tr.set(func(b *store.Batch) error {
		if b.Ops[0].Kind == store.OpRemove {
			once.Do(func() {
				c.subscribe(q)
				<-begun
			})
		}
		return nil
	})
	until(t, "the expired messages are gone", func() bool { return r.queue(q).Messages == 0 })
	if err := r.st.Checkpoint(); err != nil { // what was appended is committed
		t.Fatal(err)
	}
	close(held)
	c.send(q, "after")
	wantBodies(t, c.take(1), "after")
	if i := r.queue(q); i.Messages != 1 || i.Expired != 3 || i.InFlight != 1 {
		t.Errorf("the books say %+v", i)
	}
}
