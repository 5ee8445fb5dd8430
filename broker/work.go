package broker

import (
	"errors"
	"slices"
	"time"

	"treadmq/store"
)

// ErrWouldBlock says that a destination is full and its policy is to wait:
// nothing was added to the Work; use SendWhenRoom.
var ErrWouldBlock = errors.New("destination full")

// AckKind says what becomes of a delivery.
type AckKind uint8

// Kinds of acknowledgements.
const (
	AckAccept     AckKind = iota // consumed
	AckRetry                     // failed: counted, tried again after the policy's delay, then dead letter
	AckRequeue                   // counted, offered again at once
	AckDeadLetter                // dead letter now
	AckDiscard                   // dropped
	AckRelease                   // back in its place, as if the consumer had left
)

// Ack is one answer to deliveries.
type Ack struct {
	Kind     AckKind
	Delay    time.Duration // AckRetry: instead of the policy's
	HasDelay bool
	Reason   string // kept with the dead letter
}

// settle is one delivery that left a subscription.
type settle struct {
	q        *queue
	e        *entry
	ack      Ack
	taken    bool          // it may have reached the client: counts as a delivery
	outdated bool          // a last value for which there is a newer one
	why      string        // reason of the dead letter
	owed     *Subscription // has not got its credit back
}

// target is one reference that a Work creates.
type target struct {
	msg  *Message
	conn *Conn // the sender's, for no-local
	q    *queue
	t    *topic
	op   int    // index of the operation in Work.sb, -1 = not in the store
	ref  int    // index of the reference in Work.sb
	from *entry // a link to this entry's message
	over []byte
	exp  int64
	dead bool // a non-persistent dead letter
	// attempts is how often the message was delivered before; of links and what is in memory only.
	attempts uint32
}

type hidden struct {
	q   *queue
	seq store.Seq
}

// Work gathers what one read burst of a connection asked for: one journal batch,
// one completion. It belongs to one goroutine until Flush.
type Work struct {
	c       *Conn
	b       *Broker
	sb      store.Batch
	asked   int // operations of sb that were asked for; those behind claim ids and remove older values
	targets []target
	refs    []store.NewRef // of the messages in sb, one after the other
	settled []settle
	hidden  []hidden        // to be forgotten when committed
	older   []superseded    // values that what is sent replaces; their removal is in sb
	spilled []settle        // of a transaction: leave the temporary store when it is committed
	starved []*Subscription // of several queues, whose credit was used up and is not any more
	sched   *workSchedule   // what it scheduled, nil for nothing
	once    onceWork        // messages whose repeats are recognised
	routes  []route         // scratch of Send
	lazy    bool
	atomic  bool // a transaction: nothing becomes visible before the commit
	size    int
	done    func(error)
}

// NewWork makes an empty Work. It may be used again after Flush called done.
func (c *Conn) NewWork() *Work { return &Work{c: c, b: c.b} }

// Take makes a Work that has left its connection this one's.
func (c *Conn) Take(w *Work) { w.c, w.b = c, c.b }

// Leave takes an empty Work from its connection, after Flush called done: its memory may serve another one.
func (w *Work) Leave() { w.c, w.b = nil, nil }

// internalWork makes a Work of the broker's own, whose sync nobody waits for.
func (b *Broker) internalWork() *Work {
	return &Work{c: &Conn{b: b, opt: ConnOptions{Trusted: true}}, b: b, lazy: true}
}

// Empty reports whether there is nothing to flush.
func (w *Work) Empty() bool {
	return len(w.targets) == 0 && len(w.settled) == 0 && len(w.starved) == 0 && len(w.once.sends) == 0 && w.sb.Empty()
}

// Size returns the bytes of the messages gathered.
func (w *Work) Size() int { return w.size }

func (w *Work) reset() {
	w.sb.Reset()
	clear(w.targets)
	clear(w.settled)
	clear(w.older)
	clear(w.refs)
	*w = Work{c: w.c, b: w.b, sb: w.sb, targets: w.targets[:0], refs: w.refs[:0], settled: w.settled[:0], older: w.older[:0], routes: w.routes[:0]}
}

// Send adds a message for one or several destinations: all of them or, with an
// error, none. The message must not be used for another Send.
func (w *Work) Send(dests []Destination, m *Message) error {
	if err := w.c.authorizeSend(dests, m); err != nil {
		return err
	}
	if m.dedup != nil {
		var err error
		if dests, err = w.fresh(dests, m, nil); err != nil || len(dests) == 0 {
			return err
		}
	}
	routes, err := w.b.route(w.c, w.c, w.routes[:0], dests, m, limitsHold)
	w.routes = routes
	if err != nil {
		return err
	}
	w.add(dests, routes, m)
	clear(w.routes)
	return nil
}

// add turns routes into operations.
func (w *Work) add(dests []Destination, routes []route, m *Message) {
	first := len(w.targets)
	op := w.put(routes, m)
	if m.dedup != nil {
		w.noteOnce(dests, m, op, first, nil)
	}
}

// put is add for any message. It returns the operation that stores it, -1 for none.
func (w *Work) put(routes []route, m *Message) (op int) {
	first, own := len(w.targets), len(w.refs)
	for i := range routes {
		if r := &routes[i]; m.id == 0 && !r.stored(m) {
			m.id = w.b.nextID()
			break
		}
	}
	for i := range routes {
		r := &routes[i]
		t := target{msg: m, conn: w.c, q: r.q, t: r.t, op: -1, over: r.over, exp: m.Expiration()}
		if r.dead {
			t.exp = r.exp
		}
		if r.stored(m) {
			t.op, t.ref = len(w.sb.Ops), len(w.refs)-own
			w.refs = append(w.refs, store.NewRef{Dest: r.q.id, Lane: laneOf(m), Overlay: t.over, Expiry: r.exp, OwnExpiry: r.dead})
		}
		w.targets = append(w.targets, t)
	}
	w.size += m.Size()
	w.c.received.Add(1)
	refs := w.refs[own:len(w.refs):len(w.refs)] // stays as it is when more are appended
	if len(refs) == 0 {
		return -1
	}
	op = len(w.sb.Ops)
	base := w.sb.Enqueue(store.Message{
		ID: m.id, Flags: store.Flags(m.Flags()), Expiry: m.Expiration(), Encoded: m.Encoded(),
	}, refs...)
	for i := first; i < len(w.targets); i++ {
		if w.targets[i].op >= 0 {
			w.targets[i].ref += base
		}
	}
	return op
}

func laneOf(m *Message) store.Lane { return store.Lane(9 - m.Priority()) }

// Ack settles the outstanding deliveries of s with tags first to last and returns
// how many there were.
func (w *Work) Ack(s *Subscription, first, last uint64, a Ack) int {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closed {
		return 0
	}
	n := 0
	for sl := range s.outstanding(first, last) {
		w.settle(s, sl, a)
		n++
	}
	s.settledSome(n)
	return n
}

// ackOne is Ack for one delivery in auto mode.
func (w *Work) ackOne(d *Delivery) {
	s := d.Sub
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closed {
		return
	}
	if sl := s.slot(d.Tag); sl != nil && sl.state == slotOut {
		w.settle(s, sl, Ack{})
		s.settledSome(1)
	} else if d.Tag == 0 && !d.BrowseEnd {
		w.credit(s, int64(d.Message.Size()))
		s.settledSome(1)
	}
}

// settle takes one slot out. The credit of what comes back is given when it is in
// its place again, else later messages could overtake it. c.mu is held.
func (w *Work) settle(s *Subscription, sl *slot, a Ack) {
	st := settle{q: sl.q, e: sl.e, ack: a, taken: true}
	if sl.e == nil || a.Kind == AckAccept || a.Kind == AckDiscard {
		w.credit(s, int64(sl.size))
	} else {
		st.owed = s
	}
	if sl.e != nil {
		w.settled = append(w.settled, st)
	}
	s.free(sl)
}

// repay gives back the credit of a delivery that has come back. queue.mu is held.
func (w *Work) repay(st *settle, k *wakes) {
	s := st.owed
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	w.credit(s, int64(st.e.size))
	s.feed(k)
	st.owed = nil
}

// credit gives one message's credit back. When there was none, queues other than
// the message's own may have waited for it. c.mu is held.
func (w *Work) credit(s *Subscription, size int64) {
	starved := s.credit <= 0 || s.creditBytes <= 0
	s.credit++
	s.creditBytes += size
	if starved && (len(s.queues) > 1 || (len(s.queues) > 0 && len(s.topics) > 0)) && !slices.Contains(w.starved, s) {
		w.starved = append(w.starved, s)
	}
}

// settledSome is called after slots were freed. c.mu is held.
func (s *Subscription) settledSome(n int) {
	if n == 0 {
		return
	}
	s.acked += uint64(n)
	s.trim()
	s.runBrowser()
	if s.backlog.len() > 0 {
		var k wakes
		s.feed(&k)
		for _, c := range k.conns {
			c.opt.Sink.Wake()
		}
	}
}

// Flush carries out what was gathered. done is called exactly once, with an
// *Error or nil: inline when nothing needs the disk, else on the store's commit
// goroutine, where it must not block. The Work is the broker's until then. done
// may be nil.
func (w *Work) Flush(done func(error)) {
	w.done = done
	var k wakes
	w.settleAll()
	w.asked = len(w.sb.Ops)
	if len(w.once.sends) > 0 {
		w.flushOnce(&k)
		return
	}
	if err := w.submit(&k); err != nil {
		w.refused(err)
	}
}

// submit gives the Work to the store, if there is anything for it. With an error the store did not take it.
func (w *Work) submit(k *wakes) error {
	w.supersede()
	if w.sb.Empty() {
		w.publish(k)
		w.unblock(k)
		k.flush()
		w.forgetSpilled()
		w.settleClaims(nil)
		w.finish(nil)
		return nil
	}
	w.sb.Lazy = w.lazy
	w.sb.Owner = w
	w.sb.Done = batchDone
	if !w.atomic {
		w.publishMemory(k)
		w.unblock(k)
		k.flush()
	}
	return w.b.store.Append(&w.sb)
}

func (w *Work) finish(err error) {
	done := w.done
	w.reset()
	if done != nil {
		done(err)
	}
}

// batchDone runs on the store's commit goroutine.
func batchDone(sb *store.Batch, err error) {
	w := sb.Owner.(*Work)
	w.settleClaims(err)
	if err != nil {
		w.drop()
		w.finish(w.b.storeError(err))
		return
	}
	w.publish(&w.b.commitWakes)
	w.olderGone(&w.b.commitWakes)
	if w.atomic {
		w.unblock(&w.b.commitWakes)
		w.forgetSpilled()
	}
	for _, h := range w.hidden {
		h.q.unhide(h.seq)
	}
	if w.sched != nil {
		w.b.sched.committed(w.sched, sb)
	}
	w.finish(nil)
}

// drop gives back what the targets had reserved, and what they would have replaced.
func (w *Work) drop() {
	w.olderBack()
	for i := range w.targets {
		if t := &w.targets[i]; t.q != nil {
			t.q.unreserve(t.size())
			t.q.resumeParked()
		}
	}
}

func (t *target) size() int64 {
	if t.from != nil {
		return int64(t.from.size)
	}
	return int64(t.msg.Size())
}

// settleAll turns settled deliveries into operations of the batch.
func (w *Work) settleAll() {
	for i := range w.settled {
		st := &w.settled[i]
		if !st.outdated && st.q.lastValued.Load() {
			st.q.removeReplaced()
		}
		st.byPolicy()
		if st.ack.Kind == AckAccept || st.ack.Kind == AckDiscard {
			w.remove(st.q, st.e)
			continue
		}
		w.failed(st)
	}
}

// remove takes an entry out of whatever store it is in.
func (w *Work) remove(q *queue, e *entry) {
	q.release(e)
	switch {
	case e.src == durable:
		w.sb.Remove(q.ref(e), e.loc)
		if e.out {
			w.hidden = append(w.hidden, hidden{q, e.seq})
		}
	case e.stored && w.atomic:
		w.spilled = append(w.spilled, settle{q: q, e: e})
	case e.stored:
		q.removeSpilled(e)
	}
}
