package broker

import (
	"runtime"

	"treadmq/store"
)

// route is one destination of a message that is being sent.
type route struct {
	q    *queue
	t    *topic
	over []byte // overlay
	dead bool   // goes to q as a dead letter
	exp  int64  // of the dead letter
}

// stored reports whether the message gets a reference in the store there.
func (r *route) stored(m *Message) bool {
	return r.q != nil && r.q.durable && (m.Persistent() || r.dead)
}

// limits says how route treats full destinations.
type limits uint8

const (
	limitsHold   limits = iota // and nobody overtakes parked sends
	limitsResume               // a parked send goes on
	limitsOff                  // a transaction commits: it was checked when it was filled
	limitsProbe                // a transaction is filled: what topics feed is left out
	limitsFeed                 // a topic feeds a queue: nothing holds its sender up
)

// route resolves destinations and reserves room in them: all or none. from is the
// sender, c the same if the caller is its reader.
func (b *Broker) route(from, c *Conn, dst []route, dests []Destination, m *Message, lim limits) ([]route, error) {
	for _, d := range dests {
		var err error
		dst, err = b.routeOne(from, c, dst, d, m, lim)
		if err != nil {
			for i := range dst {
				if q := dst[i].q; q != nil {
					q.unreserve(int64(m.Size()))
					q.resumeParked()
				}
			}
			clear(dst)
			return dst[:0], err
		}
	}
	return dst, nil
}

func (b *Broker) routeOne(from, c *Conn, dst []route, d Destination, m *Message, lim limits) ([]route, error) {
	switch d.Kind {
	case Queue, TempQueue, DurableSub:
		for {
			q, err := b.queueFor(d, c)
			if err != nil {
				return dst, err
			}
			if q.fan.Load() != nil {
				return b.spread(from, dst, d, m, lim)
			}
			r, err := b.routeQueue(q, m, lim)
			if err != nil || r.q == nil { // nil: dropped
				return dst, err
			}
			if r.q.deleted.Load() { // while we looked; its name may be free again
				r.q.unreserve(int64(m.Size()))
				runtime.Gosched()
				continue
			}
			return append(dst, r), nil
		}
	case Topic, TempTopic:
		t, err := b.topicFor(d)
		if err != nil {
			return dst, err
		}
		if t.fan.Load() != nil {
			return b.spread(from, dst, d, m, lim)
		}
		return b.routeRetained(append(dst, route{t: t}), t, m)
	case Service:
		if lim != limitsProbe { // a transaction asks when it commits
			b.serve(d, m)
		}
		return dst, nil
	}
	return dst, Errorf(CodeBadDestination, "kind %d of destination cannot be sent to", d.Kind)
}

// routeQueue reserves room in a queue, or in its dead-letter queue. A route
// without either means that the policy is to drop the message.
func (b *Broker) routeQueue(q *queue, m *Message, lim limits) (route, error) {
	size := int64(m.Size())
	if !(q.durable && m.Persistent()) && !q.mayKeep(size) {
		if lim == limitsFeed {
			q.drop()
			return route{}, nil
		}
		return route{}, Errorf(CodeStoreFull, "memory for the queue %s is used up and the temporary store takes no more, so the non-persistent message was refused; it may be sent again when there is room", q.dest.Name)
	}
	p := q.policy.Load()
	if lim != limitsOff && q.durable && m.Persistent() {
		if err := b.storeFull(q, p); err != nil {
			if lim == limitsFeed {
				q.drop()
				return route{}, nil
			}
			return route{}, err
		}
	}
	if p.LastValueKey != "" && lim != limitsOff {
		if err := q.roomForKey(m); err != nil {
			if lim == limitsFeed {
				q.drop()
				return route{}, nil
			}
			return route{}, err
		}
	}
	if lim == limitsOff || (p.MaxMessages <= 0 && p.MaxBytes <= 0) {
		q.reserve(size)
		return route{q: q}, nil
	}
	if q.reserveWithin(p, size, lim) || (p.LastValueKey != "" && q.reserveReplacement(m, p, size, lim)) {
		return route{q: q}, nil
	}
	q.adviseFull(p)
	onFull := p.OnFull
	if lim == limitsFeed && (onFull == FullBlock || onFull == FullFail) {
		onFull = FullDeadLetter
	}
	switch onFull {
	case FullBlock:
		return route{}, ErrWouldBlock
	case FullDiscard:
		q.drop()
		return route{}, nil
	case FullDropOldest:
		if !q.dropOldest(p, size) {
			if lim == limitsFeed {
				q.drop()
				return route{}, nil
			}
			return route{}, q.fullError(p)
		}
		return route{q: q}, nil
	case FullDeadLetter:
		to, err := b.queueFor(p.DeadLetter.queueFor(q.dest), nil)
		if err != nil {
			return route{}, err
		}
		if to == q && lim == limitsFeed {
			q.drop()
			return route{}, nil
		}
		if to == q {
			return route{}, q.fullError(p)
		}
		to.reserve(size)
		over := b.deathOverlay(q.dest, nil, m.Expiration(), m.Persistent(), reasonFull, "the queue was full", "")
		return route{q: to, over: over, dead: true, exp: b.deathExpiry(&p.DeadLetter)}, nil
	}
	return route{}, q.fullError(p)
}

func (q *queue) fullError(p *Policy) error {
	if p.MaxMessages > 0 && q.depth.Load() >= p.MaxMessages {
		return Errorf(CodeFull, "the %s %s is full: it holds %d messages, the policy allows %d; consume some or raise maxMessages", q.dest.Kind, q.dest.Name, q.depth.Load(), p.MaxMessages)
	}
	return Errorf(CodeFull, "the %s %s is full: it holds %d bytes, the policy allows %d; consume some or raise maxBytes", q.dest.Kind, q.dest.Name, q.bytes.Load(), p.MaxBytes)
}

// drop counts a message that the full queue did not take.
func (q *queue) drop() {
	q.mu.Lock()
	q.stats.dropped++
	q.mu.Unlock()
}

func (q *queue) reserve(size int64) {
	q.reserved.Add(1)
	q.reservedBytes.Add(size)
}

// fits is called with q.mu held: only then what moves from reserved to depth is
// counted once.
func (q *queue) fits(p *Policy, size int64) bool {
	if p.MaxMessages > 0 && q.depth.Load()+q.reserved.Load() >= p.MaxMessages {
		return false
	}
	used := q.bytes.Load() + q.reservedBytes.Load()
	// A message larger than the whole limit is let into an empty queue, else it could never be sent.
	return p.MaxBytes <= 0 || used == 0 || used+size <= p.MaxBytes
}

// reserveWithin reserves room if there is some.
func (q *queue) reserveWithin(p *Policy, size int64, lim limits) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.hasRoom(p, size, lim) {
		return false
	}
	q.reserve(size)
	return true
}

// hasRoom is called with q.mu held.
func (q *queue) hasRoom(p *Policy, size int64, lim limits) bool {
	return q.fits(p, size) && (lim == limitsResume || len(q.parked) == 0)
}

// dropOldest takes messages that nobody holds off the queue until size more bytes
// fit, and reserves them. It reports false when that was not possible. Only messages in memory can
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
	if ok {
		q.reserve(size)
	} else {
		q.loadMore()
	}
	q.mu.Unlock()
	if q.lastValued.Load() {
		q.removeReplaced()
	}
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
func (c *Conn) Expiry(dests []Destination, expiration, now int64) (int64, SendRules) {
	var rules SendRules
	for _, d := range dests {
		var p *Policy
		if c.lastQ != nil && c.lastDst == d {
			p = c.lastQ.policy.Load()
		} else if d.Kind.IsQueue() {
			p = c.b.policyOf(d)
		} else {
			p = c.topics.of(c.b, d)
		}
		if expiration == 0 && p.DefaultTTL > 0 {
			expiration = now + p.DefaultTTL.Milliseconds()
		}
		rules.TrustTimestamp = rules.TrustTimestamp || p.TrustTimestamp
		rules.UserID = rules.UserID || p.UserID
		if limit := now + p.MaxTTL.Milliseconds(); p.MaxTTL > 0 && (expiration == 0 || expiration > limit) {
			expiration = limit
		}
	}
	return expiration, rules
}

// SendRules are what policies say about a message that is being made.
type SendRules struct {
	TrustTimestamp bool // it keeps the sender's timestamp
	UserID         bool // it gets the sender's name (FieldUserID)
}

// topicPolicy remembers the policy of the topic that a connection sent to last.
type topicPolicy struct {
	from *func(Destination) Policy // the configuration that it was looked up in
	dest Destination
	p    *Policy
}

func (t *topicPolicy) of(b *Broker, d Destination) *Policy {
	if from := b.policyFn.Load(); t.from != from || t.dest != d {
		p := (*from)(d)
		*t = topicPolicy{from, d, &p}
	}
	return t.p
}
