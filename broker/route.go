package broker

import (
	"runtime"
	"time"

	"treadmq/store"
)

// route is one destination of a message that is being sent.
type route struct {
	q    *queue
	t    *topic
	dead []byte // goes to q as a dead letter, with this overlay
}

// stored reports whether the message gets a reference in the store there.
func (r *route) stored(m *Message) bool {
	return r.q != nil && r.q.durable && (m.Persistent() || r.dead != nil)
}

// limits says how route treats full destinations.
type limits uint8

const (
	limitsHold   limits = iota // and nobody overtakes parked sends
	limitsResume               // a parked send goes on
	limitsOff                  // a transaction commits: it was checked when it was filled
)

// route resolves destinations and reserves room in them: all or none.
func (b *Broker) route(c *Conn, dst []route, dests []Destination, m *Message, lim limits) ([]route, error) {
	for _, d := range dests {
		r, err := b.routeOne(c, d, m, lim)
		if err != nil {
			for i := range dst {
				if dst[i].q != nil {
					dst[i].q.unreserve(int64(m.Size()))
				}
			}
			clear(dst)
			return dst[:0], err
		}
		dst = append(dst, r)
	}
	return dst, nil
}

func (b *Broker) routeOne(c *Conn, d Destination, m *Message, lim limits) (route, error) {
	switch d.Kind {
	case Queue, TempQueue:
		for {
			q, err := b.queueFor(d, c)
			if err != nil {
				return route{}, err
			}
			r, err := b.routeQueue(q, m, lim)
			if err == nil && r.q.deleted.Load() { // while we looked; its name may be free again
				r.q.unreserve(int64(m.Size()))
				runtime.Gosched()
				continue
			}
			return r, err
		}
	case Topic, TempTopic:
		t, err := b.topicFor(d)
		return route{t: t}, err
	}
	return route{}, Errorf(CodeBadDestination, "kind %d of destination cannot be sent to", d.Kind)
}

func (b *Broker) routeQueue(q *queue, m *Message, lim limits) (route, error) {
	size := int64(m.Size())
	p := q.policy.Load()
	if lim == limitsOff || (p.MaxMessages <= 0 && p.MaxBytes <= 0) || q.hasRoom(p, size, lim) {
		q.reserve(size)
		return route{q: q}, nil
	}
	switch p.OnFull {
	case FullBlock:
		return route{}, ErrWouldBlock
	case FullDropOldest:
		if !q.dropOldest(p, size) {
			return route{}, q.fullError(p)
		}
		q.reserve(size)
		return route{q: q}, nil
	case FullDeadLetter:
		to, err := b.queueFor(p.DeadLetter.queueFor(q.dest), nil)
		if err != nil {
			return route{}, err
		}
		if to == q {
			return route{}, q.fullError(p)
		}
		to.reserve(size)
		over := b.deathOverlay(q.dest, nil, m.Expiration(), m.Persistent(), reasonFull, "the queue was full", "")
		return route{q: to, dead: over}, nil
	}
	return route{}, q.fullError(p)
}

func (q *queue) fullError(p *Policy) error {
	if p.MaxMessages > 0 && q.depth.Load() >= p.MaxMessages {
		return Errorf(CodeFull, "the %s %s is full: it holds %d messages, the policy allows %d; consume some or raise maxMessages", q.dest.Kind, q.dest.Name, q.depth.Load(), p.MaxMessages)
	}
	return Errorf(CodeFull, "the %s %s is full: it holds %d bytes, the policy allows %d; consume some or raise maxBytes", q.dest.Kind, q.dest.Name, q.bytes.Load(), p.MaxBytes)
}

func (q *queue) reserve(size int64) {
	q.reserved.Add(1)
	q.reservedBytes.Add(size)
}

func (q *queue) fits(p *Policy, size int64) bool {
	if p.MaxMessages > 0 && q.depth.Load()+q.reserved.Load() >= p.MaxMessages {
		return false
	}
	used := q.bytes.Load() + q.reservedBytes.Load()
	// A message larger than the whole limit is let into an empty queue, else it could never be sent.
	return p.MaxBytes <= 0 || used == 0 || used+size <= p.MaxBytes
}

func (q *queue) hasRoom(p *Policy, size int64, lim limits) bool {
	if !q.fits(p, size) {
		return false
	}
	if lim == limitsResume {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.parked) == 0
}

// dropOldest takes messages that nobody holds off the queue until size more bytes
// fit. It reports false when that was not possible. Only messages in memory can
// go: the head of the queue always is, after the next read.
func (q *queue) dropOldest(p *Policy, size int64) bool {
	w := q.b.internalWork()
	q.mu.Lock()
	for !q.fits(p, size) {
		ln := q.oldestLane()
		if ln == nil {
			break
		}
		e := ln.ready.pop()
		q.forget(e)
		q.stats.dropped++
		w.remove(q, e)
	}
	ok := q.fits(p, size)
	if !ok {
		q.loadMore()
	}
	q.mu.Unlock()
	w.Flush(nil)
	return ok
}

// oldestLane returns the lane in memory whose head is oldest. q.mu is held.
func (q *queue) oldestLane() *lane {
	var best *lane
	var at store.Seq
	for src := range sources {
		for l := range store.Lanes {
			ln := &q.lanes[src][l]
			if ln.ready.len() > 0 && (best == nil || ln.ready.first().seq < at) {
				best, at = ln, ln.ready.first().seq
			}
		}
	}
	return best
}

// Expiry returns when a message expires that is sent to dests with the given
// expiration: the policy's default and highest time to live applied. Times in ms
// since 1970, 0 = never.
func (c *Conn) Expiry(dests []Destination, expiration, now int64) int64 {
	for _, d := range dests {
		var p *Policy
		if c.lastQ != nil && c.lastDst == d {
			p = c.lastQ.policy.Load()
		} else {
			fresh := c.b.policy(d)
			p = &fresh
		}
		if expiration == 0 && p.DefaultTTL > 0 {
			expiration = now + p.DefaultTTL.Milliseconds()
		}
		if limit := now + p.MaxTTL.Milliseconds(); p.MaxTTL > 0 && (expiration == 0 || expiration > limit) {
			expiration = limit
		}
	}
	return expiration
}

// parkedSend waits for room in a queue.
type parkedSend struct {
	c     *Conn
	dests []Destination
	m     *Message
	done  func(error)
	timer *time.Timer
}

// SendWhenRoom sends as soon as the full destination has room. done is called
// once: after the commit, or with CodeFull when the policy's BlockTimeout has
// passed, or with CodeClosing when the connection ended. Sends of a connection to
// a destination keep their order.
func (c *Conn) SendWhenRoom(dests []Destination, m *Message, done func(error)) {
	q := c.b.fullQueue(dests, int64(m.Size()))
	if q == nil {
		c.resend(&parkedSend{c: c, dests: dests, m: m, done: done})
		return
	}
	ps := &parkedSend{c: c, dests: dests, m: m, done: done}
	c.b.parkMu.Lock()
	c.parked += m.Size()
	c.b.parkMu.Unlock()
	q.mu.Lock()
	q.parked = append(q.parked, ps)
	q.mu.Unlock()
	if t := q.policy.Load().BlockTimeout; t > 0 {
		ps.timer = time.AfterFunc(t, func() {
			if q.unpark(ps) {
				done(q.fullError(q.policy.Load()))
			}
		})
	}
	q.resumeParked()
}

// fullQueue returns the first of the destinations that would hold the message up.
func (b *Broker) fullQueue(dests []Destination, size int64) *queue {
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
		if p := q.policy.Load(); p.OnFull == FullBlock && !q.hasRoom(p, size, limitsHold) {
			return q
		}
	}
	return nil
}

// Parked returns the bytes of the connection's sends that wait for room.
func (c *Conn) Parked() int {
	c.b.parkMu.Lock()
	defer c.b.parkMu.Unlock()
	return c.parked
}

// unpark takes a parked send off the queue; false = somebody else did.
func (q *queue) unpark(ps *parkedSend) bool {
	q.mu.Lock()
	found := false
	for i, x := range q.parked {
		if x == ps {
			q.parked = append(q.parked[:i:i], q.parked[i+1:]...)
			found = true
			break
		}
	}
	q.mu.Unlock()
	if found {
		q.b.unparked(ps)
	}
	return found
}

func (b *Broker) unparked(ps *parkedSend) {
	if ps.timer != nil {
		ps.timer.Stop()
	}
	b.parkMu.Lock()
	ps.c.parked -= ps.m.Size()
	b.parkMu.Unlock()
	ps.c.opt.Sink.Wake()
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

func (q *queue) tryParked() {
	for {
		q.mu.Lock()
		if len(q.parked) == 0 {
			q.mu.Unlock()
			return
		}
		ps := q.parked[0]
		q.mu.Unlock()
		if !q.deleted.Load() && !q.fits(q.policy.Load(), int64(ps.m.Size())) {
			return
		}
		if q.unpark(ps) {
			ps.c.resend(ps)
		}
	}
}

// resend sends a parked message, past those that are still parked.
func (c *Conn) resend(ps *parkedSend) {
	w := c.b.internalWork()
	routes, err := c.b.route(nil, nil, ps.dests, ps.m, limitsResume)
	switch {
	case err == ErrWouldBlock: // filled up again meanwhile
		c.SendWhenRoom(ps.dests, ps.m, ps.done)
	case err != nil:
		ps.done(err)
	default:
		w.add(routes, ps.m)
		w.Flush(ps.done)
	}
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
		q.mu.Lock()
		var mine []*parkedSend
		for _, ps := range q.parked {
			if ps.c == c {
				mine = append(mine, ps)
			}
		}
		q.mu.Unlock()
		for _, ps := range mine {
			if q.unpark(ps) {
				ps.done(Errorf(CodeClosing, "the connection ended before there was room in %s", q.dest.Name))
			}
		}
	}
}
