package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"treadmq/broker"
)

// ledger says what became of every message of the stress test.
type ledger struct {
	t        *testing.T
	mu       sync.Mutex
	changed  *sync.Cond      // on mu: sent or consumed grew
	seen     map[string]int  // deliveries that a consumer looked at
	consumed map[string]bool // acknowledged, and the commit said so
	sent     map[string]bool // sent, and the commit said so
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{t: t, seen: map[string]int{}, consumed: map[string]bool{}, sent: map[string]bool{}}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *ledger) delivered(d *broker.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := string(d.Message.Body())
	if l.seen[id] > 0 && !d.Redelivered {
		l.t.Errorf("%s came again without a flag (seq %x, attempts %d)", id, d.Seq, d.Attempts)
	}
	if l.consumed[id] {
		l.t.Errorf("%s came again after it was acknowledged (seq %x, attempts %d)", id, d.Seq, d.Attempts)
	}
	l.seen[id]++
}

func (l *ledger) done(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if l.consumed[id] {
			l.t.Errorf("%s was consumed twice", id)
		}
		l.consumed[id] = true
	}
	l.changed.Broadcast()
}

func (l *ledger) accepted(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.sent[id] = true
	}
	l.changed.Broadcast()
}

func (l *ledger) missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sent) - len(l.consumed)
}

// await waits until so many messages are missing as ok wants, or ctx ends.
func (l *ledger) await(ctx context.Context, ok func(missing int) bool) {
	defer context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changed.Broadcast()
	})()
	l.mu.Lock()
	defer l.mu.Unlock()
	for ctx.Err() == nil && !ok(len(l.sent)-len(l.consumed)) {
		l.changed.Wait()
	}
}

// worker is a connection whose reader and writer are one goroutine.
type worker struct {
	*broker.Conn
	r    *rig
	l    *ledger
	rnd  *rand.Rand
	wake chan struct{}
	dead chan struct{}
	once sync.Once
	wg   sync.WaitGroup // acknowledgements on their way
}

func (w *worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) Kill(error) { w.once.Do(func() { close(w.dead) }) }

func newWorker(r *rig, l *ledger, seed uint64) *worker {
	w := &worker{r: r, l: l, rnd: rand.New(rand.NewPCG(seed, stressSeed)), wake: make(chan struct{}, 1), dead: make(chan struct{})}
	var err error
	if w.Conn, err = r.b.Connect(broker.ConnOptions{Protocol: "stress", Sink: w}); err != nil {
		r.t.Error(err)
		return nil
	}
	return w
}

// stressSeed varies from run to run.
var stressSeed = rand.Uint64()

var stressQueues = []broker.Destination{queueNamed("s.1"), queueNamed("s.2"), queueNamed("s.3")}

// consume lives for some deliveries and then ends in some way.
func (w *worker) consume(life int, stop chan struct{}) {
	defer w.Conn.Close()
	o := broker.SubscribeOptions{Dests: stressQueues[w.rnd.IntN(3):][:1], Prefetch: 1 + w.rnd.IntN(30)}
	switch w.rnd.IntN(6) {
	case 0:
		o.Dests = []broker.Destination{queueNamed("s.*")}
	case 1:
		o.Dests = stressQueues
	case 2:
		o.Exclusive = true
	case 3:
		o.Selector = "even = 'yes'"
	case 4:
		o.Priority = 3
	}
	s, err := w.Subscribe(o)
	if err != nil {
		w.r.t.Error(err)
		return
	}
	s.Start()
	var buf []broker.Delivery
	for life > 0 {
		select {
		case <-stop:
			return
		case <-w.dead:
			return
		case <-w.wake:
		}
		buf = w.Output(buf[:0])
		for i := range buf {
			w.l.delivered(&buf[i])
		}
		life -= len(buf)
		w.handle(s, buf)
		w.Written(buf)
		if w.rnd.IntN(200) == 0 {
			s.Close()
			if s, err = w.Subscribe(o); err != nil {
				return
			}
			s.Start()
		}
	}
}

// handle answers deliveries in every way there is.
func (w *worker) handle(s *broker.Subscription, ds []broker.Delivery) {
	for len(ds) > 0 {
		n := 1 + w.rnd.IntN(len(ds))
		some := ds[:n]
		ds = ds[n:]
		switch w.rnd.IntN(10) {
		case 0:
			w.answer(s, some, broker.Ack{Kind: broker.AckRequeue})
		case 1:
			w.answer(s, some, broker.Ack{Kind: broker.AckRetry, HasDelay: true, Delay: time.Duration(w.rnd.IntN(3)) * time.Millisecond})
		case 2:
			w.transact(s, some)
		case 3:
			w.answer(s, some, broker.Ack{Kind: broker.AckRelease})
		default:
			w.answer(s, some, broker.Ack{})
		}
	}
}

func (w *worker) answer(s *broker.Subscription, ds []broker.Delivery, a broker.Ack) {
	work := w.NewWork()
	var ids []string
	for _, d := range ds {
		if work.Ack(s, d.Tag, d.Tag, a) == 1 {
			ids = append(ids, string(d.Message.Body()))
		}
	}
	w.complete(work, ids, a.Kind == broker.AckAccept)
}

func (w *worker) complete(work *broker.Work, ids []string, consumed bool) {
	w.wg.Add(1)
	work.Flush(func(err error) {
		defer w.wg.Done()
		if err != nil {
			w.r.t.Error(err)
		} else if consumed {
			w.l.done(ids)
		}
	})
}

func (w *worker) transact(s *broker.Subscription, ds []broker.Delivery) {
	tx, err := w.Begin(fmt.Sprint(w.rnd.Uint64()))
	if err != nil {
		return
	}
	var ids []string
	for _, d := range ds {
		if n, _ := tx.Ack(s, d.Tag, d.Tag, broker.Ack{}); n == 1 {
			ids = append(ids, string(d.Message.Body()))
		}
	}
	switch w.rnd.IntN(3) {
	case 0:
		tx.Abort()
		w.answer(s, ds, broker.Ack{Kind: broker.AckRequeue})
	case 1: // it ends with the connection, which ends soon
		w.Kill(nil)
	default:
		work := w.NewWork()
		if err := work.Commit(tx); err == nil {
			w.complete(work, ids, true)
		}
	}
}

// produce sends n messages, in batches, transactions and several places.
func (w *worker) produce(name string, n int) {
	defer w.Conn.Close()
	for i := 0; i < n; {
		batch := min(1+w.rnd.IntN(20), n-i)
		work := w.NewWork()
		tx, _ := w.Begin("t")
		inTx := w.rnd.IntN(4) == 0
		var ids []string
		for range batch {
			id := fmt.Sprintf("%s-%06d", name, i)
			i++
			even := "no"
			if i%2 == 0 {
				even = "yes"
			}
			opts := []msgOption{property("even", even), priority(uint8(4 + w.rnd.IntN(2)))}
			if w.rnd.IntN(3) == 0 {
				opts = append(opts, volatile)
			}
			d := stressQueues[w.rnd.IntN(3)]
			dests, m := []broker.Destination{d}, message(d, id, opts...)
			var err error
			if inTx {
				err = tx.Send(dests, m)
			} else if err = work.Send(dests, m); err == broker.ErrWouldBlock {
				w.wg.Add(1)
				w.SendWhenRoom(dests, m, func(err error) {
					defer w.wg.Done()
					if err != nil {
						w.r.t.Error(err)
						return
					}
					w.l.accepted([]string{id})
				})
				continue
			}
			if err != nil {
				w.r.t.Error(err)
				return
			}
			ids = append(ids, id)
		}
		if !inTx {
			tx.Abort()
		} else if err := work.Commit(tx); err != nil {
			w.r.t.Error(err)
			return
		}
		done := make(chan error, 1)
		work.Flush(func(err error) { done <- err })
		if err := <-done; err != nil {
			w.r.t.Error(err)
			return
		}
		w.l.accepted(ids)
	}
	w.wg.Wait()
}

// disturb does what people do at a console, to a queue of its own and to the others
// as far as it changes nothing.
func disturb(r *rig, stop chan struct{}) {
	rnd := rand.New(rand.NewPCG(7, 7))
	junk := queueNamed("junk")
	c := newWorker(r, nil, 8)
	defer c.Conn.Close()
	for {
		select {
		case <-stop:
			return
		default:
		}
		w := c.NewWork()
		opts := []msgOption{expires(time.Now().UnixMilli() + rnd.Int64N(20))}
		if rnd.IntN(2) == 0 {
			opts = append(opts, volatile)
		}
		for range rnd.IntN(10) {
			_ = w.Send([]broker.Destination{junk}, message(junk, "junk", opts...))
		}
		done := make(chan struct{})
		w.Flush(func(error) { close(done) })
		<-done
		switch rnd.IntN(12) {
		case 0:
			_, _ = r.b.Purge(junk, func(error) {})
		case 1:
			_ = r.b.DeleteQueue(junk, true, func(error) {})
		case 2:
			_, _, _, _ = r.b.Browse(stressQueues[rnd.IntN(3)], broker.Cursor{}, 100, 1<<20)
		case 3:
			for _, i := range r.b.Queues(nil) {
				if i.Messages < 0 || i.InFlight < 0 || i.Bytes < 0 || i.Delayed < 0 {
					r.t.Errorf("negative books: %+v", i)
				}
			}
		case 4:
			if s, err := c.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{junk}, Auto: true}); err == nil {
				s.Start()
				c.Written(c.Output(nil))
				s.Close()
			}
		case 5:
			if cs := r.b.Connections(); len(cs) > 0 && rnd.IntN(4) == 0 {
				if i := cs[rnd.IntN(len(cs))]; len(i.Subscriptions) > 0 && i.Serial != c.Serial() {
					r.b.Kill(i.Serial, "test")
				}
			}
		}
	}
}

// TestStress has many connections send, consume, reject, transact, die and wait for
// room, with so little memory that most is read from the stores, while queues are
// purged, deleted and browsed beside them. In the end each message was consumed
// once, none came back unflagged, and the books are empty.
func TestStress(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.memory = 200_000
		p := broker.DefaultPolicy()
		p.MemoryLimit, p.Redelivery.Maximum, p.MaxMessages = 20_000, -1, 1500
		p.DeadLetter.Strategy = broker.DeadLetterDiscard
		r.policy = func(broker.Destination) broker.Policy { return p }
	})
	l := newLedger(t)
	each := 4000
	if testing.Short() {
		each = 500
	}
	stop := make(chan struct{})
	sending, allSent := context.WithCancel(t.Context())
	var producers, others sync.WaitGroup
	for i := range 4 {
		producers.Go(func() { newWorker(r, l, uint64(i)).produce(fmt.Sprint(i), each) })
	}
	for i := range 6 {
		others.Go(func() {
			for n := uint64(0); ; n++ {
				l.await(sending, func(missing int) bool { return missing >= each/4 }) // so that they are read from the stores
				select {
				case <-stop:
					return
				default:
				}
				w := newWorker(r, l, 100*uint64(i)+n+50)
				w.consume(1+w.rnd.IntN(1000), stop)
				w.wg.Wait()
			}
		})
	}
	others.Go(func() { disturb(r, stop) })
	begun := time.Now()
	producers.Wait()
	allSent()
	t.Logf("sent after %v, %d left", time.Since(begun), l.missing())
	patience, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l.await(patience, func(missing int) bool { return missing == 0 || t.Failed() })
	t.Logf("consumed after %v", time.Since(begun))
	close(stop)
	others.Wait()
	n := 0
	for _, k := range l.seen {
		n += k
	}
	t.Logf("%d deliveries", n)
	if n := l.missing(); n != 0 || len(l.sent) != 4*each {
		t.Errorf("%d messages of %d were not consumed", n, len(l.sent))
		for _, q := range stressQueues {
			t.Log(r.b.Dump(q))
		}
	}
	purged := make(chan error, 1)
	if _, err := r.b.Purge(queueNamed("junk"), func(err error) { purged <- err }); err == nil {
		<-purged
	}
	r.drain()
	for _, q := range stressQueues {
		if i := r.queue(q); i.Messages != 0 || i.InFlight != 0 || i.Bytes != 0 || i.Delayed != 0 || i.MemoryBytes != 0 || i.Parked != 0 {
			t.Errorf("the books are not empty: %+v", i)
		}
		if n := r.b.Hidden(q); n != 0 {
			t.Errorf("%d references of %s stay noted as taken out", n, q)
		}
	}
	if m := r.b.Totals().MemoryBytes; m != 0 {
		t.Errorf("%d bytes of memory stay on the books", m)
	}
	for id, lanes := range r.st.Counts() {
		for _, n := range lanes {
			if n.Refs != 0 {
				t.Errorf("the store still has %d messages of destination %d", n.Refs, id)
			}
		}
	}
}
