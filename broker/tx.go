package broker

import "slices"

// Tx is an open transaction of a connection: sends and acknowledgements that
// take effect together, as one journal record, or not at all.
type Tx struct {
	c    *Conn
	name string

	// Guarded by c.mu.
	sends []txSend
	acks  []txAck
	bytes int64
	done  bool
	bad   error // why it cannot be committed, or nil
}

type txSend struct {
	dests []Destination
	m     *Message
	plan  *plan // of what is delivered later, else nil
}

type txAck struct {
	s   *Subscription
	tag uint64
	sl  slot
	ack Ack
}

// Begin opens a transaction. Names are unique among the open ones of a connection.
func (c *Conn) Begin(name string) (*Tx, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, Errorf(CodeClosing, "the connection is closed")
	}
	if c.txs[name] != nil {
		return nil, Errorf(CodeBadRequest, "the transaction %q is open already", name)
	}
	if len(c.txs) >= c.b.opt.MaxTransactions {
		return nil, Errorf(CodeLimit, "the connection has %d open transactions, the most allowed", len(c.txs))
	}
	t := &Tx{c: c, name: name}
	c.txs[name] = t
	return t, nil
}

// Tx returns an open transaction, or nil.
func (c *Conn) Tx(name string) *Tx {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.txs[name]
}

// room is called with c.mu held.
func (t *Tx) room(bytes int64) error {
	o := &t.c.b.opt
	if t.done {
		return t.ended()
	}
	if len(t.sends)+len(t.acks) >= o.MaxTxOps {
		return Errorf(CodeLimit, "the transaction %q has %d operations, the most allowed", t.name, o.MaxTxOps)
	}
	if t.bytes+bytes > o.MaxTxBytes {
		return Errorf(CodeLimit, "the messages of the transaction %q take more than %d bytes, the most allowed", t.name, o.MaxTxBytes)
	}
	return nil
}

func (t *Tx) ended() error {
	return Errorf(CodeNoTransaction, "the transaction %q has ended", t.name)
}

// Send adds a message to the transaction. A full destination is refused here
// where its policy is to fail; where it is to wait, the commit may go beyond the
// limit by what the transaction holds.
func (t *Tx) Send(dests []Destination, m *Message) error {
	if err := t.c.authorizeSend(dests, m); err != nil {
		return err
	}
	dests, err := t.fresh(dests, m)
	if err != nil || len(dests) == 0 {
		return err
	}
	size := int64(m.Size())
	t.c.mu.Lock()
	err = t.room(size)
	t.c.mu.Unlock()
	if err != nil {
		return err
	}
	routes, err := t.c.b.route(t.c, t.c, nil, dests, m, limitsProbe)
	if err == ErrWouldBlock {
		routes, err = t.c.b.route(t.c, t.c, nil, dests, m, limitsOff)
	}
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.q != nil {
			r.q.unreserve(size) // room is taken at the commit
			r.q.resumeParked()
		}
	}
	return t.keep(txSend{dests: dests, m: m})
}

// fresh returns to which of the destinations the message was not sent before: a repeat is left out of the transaction.
func (t *Tx) fresh(dests []Destination, m *Message) ([]Destination, error) {
	if m.dedup == nil {
		return dests, nil
	}
	left, pending, err := t.c.b.fresh(t.c, dests, m, false)
	if err == nil && !pending {
		t.c.b.countDuplicates(dests, left)
	}
	if pending { // the commit will show what becomes of the first one
		m.dedup.duplicate, m.dedup.first = false, nil
		return dests, err
	}
	return left, err
}

// keep adds a message to the transaction, if there is room.
func (t *Tx) keep(x txSend) error {
	size := int64(x.m.Size())
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if err := t.room(size); err != nil {
		return err
	}
	t.sends = append(t.sends, x)
	t.bytes += size
	return nil
}

// Ack settles outstanding deliveries when the transaction commits. Their credit
// is free at once. It returns how many there were, or an error when the
// transaction is too large.
func (t *Tx) Ack(s *Subscription, first, last uint64, a Ack) (int, error) {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for sl := range s.outstanding(first, last) {
		if err := t.room(0); err != nil {
			return n, err
		}
		t.acks = append(t.acks, txAck{s: s, tag: sl.tag, sl: *sl, ack: a})
		sl.state = slotInTx
		s.credit++
		s.creditBytes += int64(sl.size)
		n++
	}
	if n > 0 {
		t.c.b.later(s.pump)
	}
	return n, nil
}

// pump dispatches after credit was freed without an acknowledgement.
func (s *Subscription) pump() {
	var k wakes
	s.c.mu.Lock()
	s.feed(&k)
	s.runBrowser()
	s.c.mu.Unlock()
	s.dispatchAll(&k)
	k.flush()
}

// dispatchAll offers the messages of all its queues to the subscription, beginning
// with another one each time, so that none has all of the credit.
func (s *Subscription) dispatchAll(k *wakes) {
	s.c.mu.Lock()
	queues := slices.Clone(s.queues)
	if n := len(queues); n > 1 {
		s.turn = (s.turn + 1) % n
		queues = append(queues[s.turn:], queues[:s.turn]...)
	}
	s.c.mu.Unlock()
	for _, q := range queues {
		q.mu.Lock()
		q.dispatch(k)
		q.mu.Unlock()
	}
}

// Fail says that something which was meant to be part of the transaction was refused. Without it the rest is not what its
// client meant: it cannot be committed any more.
func (t *Tx) Fail(err error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.bad == nil {
		t.bad = Errorf(CodeTxFailed, "the transaction %q is not complete, because a frame of it was refused: %v; ABORT it, and begin it again", t.name, err)
	}
}

func (t *Tx) end() bool {
	if t.done {
		return false
	}
	t.done = true
	if t.c.txs[t.name] == t {
		delete(t.c.txs, t.name)
	}
	return true
}

// Abort forgets the transaction's sends. What it acknowledged stays with its
// consumers, which may acknowledge it again; it is not delivered again.
func (t *Tx) Abort() {
	c := t.c
	var back []settle
	c.mu.Lock()
	if t.end() {
		back = t.giveUp()
	}
	c.mu.Unlock()
	c.returnAll(back)
}

// giveUp makes acknowledged deliveries outstanding again, and returns those
// whose subscription has ended meanwhile. c.mu is held.
func (t *Tx) giveUp() (back []settle) {
	for _, a := range t.acks {
		if a.s.closed {
			if a.sl.e != nil {
				back = append(back, settle{q: a.sl.q, e: a.sl.e, ack: Ack{Kind: AckRelease}, taken: a.sl.taken})
			}
			continue
		}
		if sl := a.s.slot(a.tag); sl != nil {
			sl.state = slotOut
			a.s.credit--
			a.s.creditBytes -= int64(sl.size)
		}
	}
	t.acks, t.sends = nil, nil
	return back
}

// Commit adds the whole transaction to an empty Work: nothing else may be in it.
// On an error the transaction is still open.
func (w *Work) Commit(t *Tx) error {
	if !w.Empty() {
		return Errorf(CodeInternal, "a transaction needs a Work of its own")
	}
	c := t.c
	c.mu.Lock()
	sends, bad := t.sends, t.bad
	c.mu.Unlock()
	if bad != nil {
		return bad
	}
	for _, s := range sends {
		if err := w.commitSend(&s); err != nil {
			w.drop()
			w.reset()
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !t.end() {
		w.drop()
		w.reset()
		return t.ended()
	}
	w.atomic = true
	for _, a := range t.acks {
		if a.sl.e != nil {
			w.settled = append(w.settled, settle{q: a.sl.q, e: a.sl.e, ack: a.ack, taken: true})
		}
		if a.s.closed {
			continue
		}
		if sl := a.s.slot(a.tag); sl != nil {
			a.s.free(sl)
			a.s.acked++
		}
		a.s.trim()
	}
	return nil
}

// commitSend adds one message of a transaction. What its sender may do can have changed
// since it was sent.
func (w *Work) commitSend(s *txSend) error {
	if err := w.c.authorizeSend(s.dests, s.m); err != nil {
		return err
	}
	if s.plan != nil {
		w.addPlan(s.dests, s.m, s.plan)
		return nil
	}
	routes, err := w.b.route(w.c, w.c, w.routes[:0], s.dests, s.m, limitsOff)
	w.routes = routes
	if err == nil {
		w.add(s.dests, routes, s.m)
	}
	return err
}
