package broker

import (
	"time"

	"treadmq/store"
)

// overdueMarks is how many points in time a subscription notes within its timeout:
// a delivery is found overdue at most that part of the timeout late, or a second.
const overdueMarks = 32

// tagMark says that deliveries below tag were handed out before at.
type tagMark struct {
	tag uint64
	at  time.Time
}

// applyPolicy sets what a subscription has from its first destination's policy. It
// is called before the subscription is known, or with c.mu held.
func (s *Subscription) applyPolicy(p *Policy) {
	b := &s.backlog
	b.limit, b.limitBytes = p.PendingLimit, p.PendingBytes
	if p.PendingRate > 0 {
		b.limit = max(int(p.PendingRate*float64(s.window)), 1)
	}
	if s.opt.PendingLimit > 0 {
		b.limit = s.opt.PendingLimit
	}
	b.setEviction(p.Evict, p.EvictKey)
	s.setSpill(p)
	s.ackTimeout, s.overdue = p.AckTimeout, p.Overdue
	if s.opt.AckTimeout > 0 {
		s.ackTimeout = s.opt.AckTimeout
	}
}

// prefetchFor is the default window of a subscription in messages.
func (p *Policy) prefetchFor(o *SubscribeOptions) int {
	switch {
	case o.Browser && p.BrowserPrefetch > 0:
		return p.BrowserPrefetch
	case o.Durable != nil && p.DurablePrefetch > 0:
		return p.DurablePrefetch
	}
	return p.Prefetch
}

// subscriptions returns those of all connections for which want holds. It is called
// with their connection's mu held.
func (b *Broker) subscriptions(want func(*Subscription) bool) (subs []*Subscription) {
	b.connMu.Lock()
	conns := make([]*Conn, 0, len(b.conns))
	for _, c := range b.conns {
		conns = append(conns, c)
	}
	b.connMu.Unlock()
	for _, c := range conns {
		c.mu.Lock()
		for _, s := range c.subs {
			if want(s) {
				subs = append(subs, s)
			}
		}
		c.mu.Unlock()
	}
	return subs
}

// applyToSubscriptions applies new policies to the subscriptions that are there.
func (b *Broker) applyToSubscriptions() {
	for _, s := range b.subscriptions(func(*Subscription) bool { return true }) {
		p := b.policy(s.opt.Dests[0])
		s.c.mu.Lock()
		s.applyPolicy(&p)
		on := s.ackTimeout > 0 && !s.auto && !s.closed
		s.c.mu.Unlock()
		if on {
			b.watch(s)
		}
	}
}

// watch looks from now on for overdue deliveries of a subscription.
func (b *Broker) watch(s *Subscription) {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	if b.watched == nil {
		b.watched = map[*Subscription]struct{}{}
	}
	b.watched[s] = struct{}{}
}

func (b *Broker) unwatch(s *Subscription) {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	delete(b.watched, s)
}

// checkOverdue is called once a second by the sweep.
func (b *Broker) checkOverdue() {
	b.watchMu.Lock()
	subs := make([]*Subscription, 0, len(b.watched))
	for s := range b.watched {
		subs = append(subs, s)
	}
	b.watchMu.Unlock()
	for _, s := range subs {
		s.checkOverdue()
	}
}

// checkOverdue deals with the deliveries of the subscription that have not been
// acknowledged in time.
func (s *Subscription) checkOverdue() {
	c := s.c
	now := c.b.now()
	w := c.b.internalWork()
	c.mu.Lock()
	if s.closed || s.ackTimeout <= 0 {
		c.mu.Unlock()
		c.b.unwatch(s)
		return
	}
	known := s.overdueTo
	s.overdueTo = max(known, s.passMarks(now))
	n := 0
	for sl := range s.outstanding(0, s.overdueTo) {
		switch {
		case !sl.taken: // the client cannot have it yet
		case s.overdue == OverdueRequeue && sl.e != nil:
			w.settle(s, sl, Ack{Kind: AckRelease})
			n++
		case sl.tag > known:
			n++
		}
	}
	overdue, timeout := s.overdue, s.ackTimeout
	s.trim()
	c.mu.Unlock()
	if n == 0 {
		return
	}
	c.b.slow.Add(uint64(n))
	c.b.advise(advisory{what: "SlowConsumer", about: s.opt.Dests[0], conn: c, sub: s})
	c.b.log.Warn("messages were not acknowledged in time", "conn", c.serial, "sub", s.opt.ID, "dest", s.opt.Dests[0].String(), "messages", n, "timeout", timeout)
	if overdue == OverdueClose {
		c.opt.Sink.Kill(Errorf(CodeLimit, "%d messages of the subscription %q were not acknowledged within %v; acknowledge sooner, or take fewer at a time", n, s.opt.ID, timeout))
		return
	}
	w.Flush(nil)
}

// passMarks notes where deliveries have come to, and returns the last tag that is
// overdue, 0 if none has become so. c.mu is held.
func (s *Subscription) passMarks(now time.Time) (upto uint64) {
	n := 0
	for n < len(s.marks) && now.Sub(s.marks[n].at) >= s.ackTimeout {
		upto = s.marks[n].tag - 1
		n++
	}
	s.marks = s.marks[n:]
	if last := len(s.marks) - 1; last < 0 || now.Sub(s.marks[last].at) >= s.ackTimeout/overdueMarks {
		s.marks = append(s.marks, tagMark{tag: s.next, at: now})
	}
	return upto
}

// storeUse is how much of the disk the store has used, of what it has and could have, or of
// its limit if that is more, in percent.
func storeUse(st store.Stats, limit int64) (use int64) {
	if st.FreeDisk >= 0 && st.DiskBytes+st.FreeDisk > 0 {
		use = 100 * st.DiskBytes / (st.DiskBytes + st.FreeDisk)
	}
	if limit > 0 {
		use = max(use, 100*st.LiveBytes/limit)
	}
	return use
}

// storeFull says why a persistent message must not go to a queue, or nil: the store's limit, or the policy's part of it.
func (b *Broker) storeFull(q *queue, p *Policy) error {
	allowed := int64(p.StoreHighWater)
	if allowed == 0 && b.opt.StoreLimit > 0 {
		allowed = 100
	}
	use := b.storeUse.Load()
	if allowed == 0 || use < allowed {
		return nil
	}
	return Errorf(CodeStoreFull, "the store is used up to %d %% of its disk or of storeUsage, and the queue %s may use it up to %d %%; consume some messages, or raise storeUsage or the policy storeUsageHighWaterMark",
		use, q.dest.Name, allowed)
}

// mayCreate says why a destination must not be made: its policy's maxDestinations.
// destMu is held.
func (b *Broker) mayCreate(d Destination) error {
	p := b.policy(d)
	if p.MaxDestinations <= 0 || d.Kind.IsTemporary() {
		return nil
	}
	n := 0
	counts := func(x Destination) bool {
		if x.Kind == d.Kind && MatchName(p.CountedBy, x.Name) {
			n++
		}
		return n < p.MaxDestinations
	}
	for x := range b.queues {
		if !counts(x) {
			break
		}
	}
	for x := range b.topics {
		if !counts(x) {
			break
		}
	}
	if n < p.MaxDestinations {
		return nil
	}
	return Errorf(CodeLimit, "there are %d destinations already that %q covers, the most its policy allows (maxDestinations); delete some", n, p.CountedBy)
}
