package broker

import "time"

// parkedSend waits for room in a queue.
type parkedSend struct {
	c     *Conn
	dests []Destination
	m     *Message
	done  func(error)

	// Guarded by the mu of the queue that it waits for.
	timer *time.Timer
	tries int  // in a row that found no queue full and yet were held up
	going bool // being sent: it keeps its place, so that nobody overtakes it
	late  bool // its time was up meanwhile
}

// SendWhenRoom sends as soon as the full destination has room. done is called
// once: after the commit, or with CodeFull when the policy's BlockTimeout has
// passed, or with CodeClosing when the connection ended. Sends of a connection to
// a destination keep their order; one to several destinations keeps it for the first
// that was full.
func (c *Conn) SendWhenRoom(dests []Destination, m *Message, done func(error)) {
	ps := &parkedSend{c: c, dests: dests, m: m, done: done}
	for try := 0; ; try++ {
		if try == maxFullTries {
			done(Errorf(CodeFull, "a queue that the message is forwarded to is full; consume some or raise its limit"))
			return
		}
		if q := c.b.fullQueue(dests, m, limitsHold, nil); q != nil {
			c.b.parkMu.Lock()
			c.parked += m.Size()
			c.b.parkMu.Unlock()
			q.park(ps)
			break
		}
		if err := ps.send(limitsHold); err != ErrWouldBlock {
			return
		}
	}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed { // Close may have looked for it before it was there
		c.b.dropParked(c)
	}
}

// maxFullTries bounds how often a send is tried again that found a destination full
// which a closer look does not: it is hardly ever more than once.
const maxFullTries = 100

// park lets a send wait for room in q.
func (q *queue) park(ps *parkedSend) {
	q.mu.Lock()
	ps.going, ps.late = false, false
	if t := q.policy.Load().BlockTimeout; t > 0 {
		ps.timer = time.AfterFunc(t, func() { q.timeUp(ps) })
	}
	q.parked = append(q.parked, ps)
	q.mu.Unlock()
	q.resumeParked()
}

// send sends the message now. It calls done unless a destination is full.
func (ps *parkedSend) send(lim limits) error {
	w := ps.c.NewWork()
	routes, err := w.b.route(ps.c, nil, nil, ps.dests, ps.m, lim)
	switch {
	case err == ErrWouldBlock:
		return err
	case err != nil:
		ps.done(err)
	default:
		w.add(ps.dests, routes, ps.m)
		w.Flush(ps.done)
	}
	return nil
}

// fullQueue returns the first of the destinations, or of those that they are
// forwarded to (then by these fans), that would hold the message up.
func (b *Broker) fullQueue(dests []Destination, m *Message, lim limits, by []*fan) *queue {
	for _, d := range dests {
		if !d.Kind.IsQueue() {
			continue
		}
		b.destMu.RLock()
		q := b.queues[d]
		b.destMu.RUnlock()
		if q == nil {
			continue
		}
		f := q.fan.Load()
		if (f == nil || !f.only) && q.holdsUp(int64(m.Size()), lim) {
			return q
		}
		if f == nil || len(by) >= maxForwards {
			continue
		}
		var over []byte
		if len(by) > 0 {
			over = by[0].original
		}
		for i := range f.feeds {
			x := &f.feeds[i]
			if x.q != nil || !x.filter.matches(b, m, d, 0, m.Expiration(), over) {
				continue
			}
			if full := b.fullQueue([]Destination{x.to}, m, lim, append(by, f)); full != nil {
				return full
			}
		}
	}
	return nil
}

// holdsUp reports whether the queue is full and its policy is to wait.
func (q *queue) holdsUp(size int64, lim limits) bool {
	p := q.policy.Load()
	if p.OnFull != FullBlock || (p.MaxMessages <= 0 && p.MaxBytes <= 0) {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.hasRoom(p, size, lim)
}

// Parked returns the bytes of the connection's sends that wait for room.
func (c *Conn) Parked() int {
	c.b.parkMu.Lock()
	defer c.b.parkMu.Unlock()
	return c.parked
}

// timeUp ends a parked send that has waited for as long as the policy says.
func (q *queue) timeUp(ps *parkedSend) {
	q.mu.Lock()
	ps.late = true
	mine := !ps.going && q.unpark(ps)
	q.mu.Unlock()
	if mine {
		ps.giveUp(q.fullError(q.policy.Load()))
		q.resumeParked()
	}
}

// unpark takes a parked send off the queue; false = somebody else did. q.mu is held.
func (q *queue) unpark(ps *parkedSend) bool {
	for i, x := range q.parked {
		if x == ps {
			q.parked = append(q.parked[:i:i], q.parked[i+1:]...)
			if ps.timer != nil {
				ps.timer.Stop()
			}
			return true
		}
	}
	return false
}

// giveUp ends a send that is no longer parked.
func (ps *parkedSend) giveUp(err error) {
	ps.left()
	ps.done(err)
}

// left takes a send off its connection's books.
func (ps *parkedSend) left() {
	c := ps.c
	c.b.parkMu.Lock()
	c.parked -= ps.m.Size()
	c.b.parkMu.Unlock()
	c.opt.Sink.Wake()
}

// resumeParked lets parked sends go on while there is room.
func (q *queue) resumeParked() {
	q.mu.Lock()
	waiting := len(q.parked) > 0
	q.mu.Unlock()
	if waiting {
		q.b.later(q.tryParked)
	}
}

// tryParked runs on the broker's own goroutine.
func (q *queue) tryParked() {
	for {
		ps := q.nextParked()
		if ps == nil {
			return
		}
		err := ps.send(limitsResume)
		if err == nil {
			q.mu.Lock()
			q.unpark(ps)
			q.mu.Unlock()
			ps.left()
			continue
		}
		if !q.stillFull(ps) {
			return
		}
	}
}

// nextParked returns the first parked send if there is room for it.
func (q *queue) nextParked() *parkedSend {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.parked) == 0 {
		return nil
	}
	ps := q.parked[0]
	if !q.deleted.Load() && !q.fits(q.policy.Load(), int64(ps.m.Size())) {
		return nil
	}
	ps.going = true
	return ps
}

// stillFull decides about a send that found a destination full after all: it
// keeps its place here, or waits for the other one. It reports whether to go on.
func (q *queue) stillFull(ps *parkedSend) bool {
	other := q.b.fullQueue(ps.dests, ps.m, limitsResume, nil)
	q.mu.Lock()
	ps.going = false
	if ps.tries++; other != nil {
		ps.tries = 0
	}
	late := ps.late || ps.tries >= maxFullTries
	if late || (other != nil && other != q) {
		q.unpark(ps)
	}
	q.mu.Unlock()
	switch {
	case late:
		ps.giveUp(q.fullError(q.policy.Load()))
	case other == q:
		return false
	case other != nil:
		other.park(ps)
	}
	return true
}

// dropParked ends the parked sends of a connection that is gone.
func (b *Broker) dropParked(c *Conn) {
	if c.Parked() == 0 {
		return
	}
	b.destMu.RLock()
	queues := make([]*queue, 0, len(b.queues))
	for _, q := range b.queues {
		queues = append(queues, q)
	}
	b.destMu.RUnlock()
	for _, q := range queues {
		for _, ps := range q.unparkAll(c) {
			ps.giveUp(Errorf(CodeClosing, "the connection ended before there was room in %s", q.dest.Name))
		}
		q.resumeParked()
	}
}

// unparkAll takes a connection's sends off the queue.
func (q *queue) unparkAll(c *Conn) (gone []*parkedSend) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.parked[:0:0]
	for _, ps := range q.parked {
		if ps.c != c || ps.going {
			kept = append(kept, ps)
			continue
		}
		if ps.timer != nil {
			ps.timer.Stop()
		}
		gone = append(gone, ps)
	}
	q.parked = kept
	return gone
}
