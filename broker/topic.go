package broker

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// topic hands each message to all who are subscribed, from memory. Every
// subscription has a bounded backlog of its own, so that none can hold up a
// publisher or another subscriber.
type topic struct {
	b       *Broker
	dest    Destination
	owner   *Conn // of a temporary topic
	created time.Time

	mu      sync.Mutex // guards changes of subs
	subs    atomic.Pointer[[]*Subscription]
	fan     atomic.Pointer[fan]     // nil: feeds nothing
	history atomic.Pointer[history] // nil: keeps nothing; changed under mu

	published, delivered, dropped atomic.Uint64
	duplicates                    atomic.Uint64 // repeats that were left out

	// Touched by the sweep only.
	idleSince     time.Time
	seenPublished uint64
}

func newTopic(b *Broker, d Destination, owner *Conn) *topic {
	t := &topic{b: b, dest: d, owner: owner, created: b.now(), idleSince: b.now()}
	t.subs.Store(new([]*Subscription))
	p := b.policy(d)
	t.applyPolicy(&p)
	return t
}

func (t *topic) add(s *Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.c.mu.Lock()
	add := !s.closed && !slices.Contains(s.topics, t)
	if add {
		s.topics = append(s.topics, t)
	}
	s.c.mu.Unlock()
	if !add {
		return
	}
	subs := append(slices.Clone(*t.subs.Load()), s)
	defer t.b.adviseConsumer(t.dest, s, "started", len(subs))
	h := t.history.Load()
	if h == nil {
		t.subs.Store(&subs)
		return
	}
	var k wakes
	h.mu.Lock()
	h.replay(t, s, &k)
	t.subs.Store(&subs)
	h.mu.Unlock()
	k.flush()
}

func (t *topic) remove(s *Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	subs := slices.DeleteFunc(slices.Clone(*t.subs.Load()), func(x *Subscription) bool { return x == s })
	t.subs.Store(&subs)
	t.b.adviseConsumer(t.dest, s, "stopped", len(subs))
}

// publish hands a message to every subscription.
func (t *topic) publish(from *Conn, m *Message, over []byte, k *wakes) {
	t.published.Add(1)
	exp := m.Expiration()
	if exp != 0 && exp <= t.b.now().UnixMilli() {
		t.b.advise(advisory{what: "Expired", about: t.dest, msgID: m.id})
		return
	}
	subs := *t.subs.Load()
	if t.history.Load() != nil || m.Flags()&(FlagRetain|FlagUnretain) != 0 {
		subs = t.remember(from, pendingMessage{t, m, exp, over})
	}
	if len(subs) == 0 {
		t.b.advise(advisory{what: "NoConsumer", about: t.dest, msgID: m.id})
	}
	for _, s := range subs {
		if s.opt.NoLocal && s.c == from {
			continue
		}
		if s.filter != nil && !s.filter.matches(t.b, m, t.dest, 0, exp, over) {
			continue
		}
		s.publish(pendingMessage{t, m, exp, over}, k)
	}
}

// publish delivers or keeps one message of a topic.
func (s *Subscription) publish(p pendingMessage, k *wakes) {
	c, t := s.c, p.t
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closed {
		return
	}
	if s.started && s.waiting() == 0 && s.credit > 0 && s.creditBytes > 0 {
		s.deliverTopic(p)
		k.note(c)
		return
	}
	if s.stopped {
		return
	}
	dropped := 0
	if s.spills(p.m) {
		dropped = s.spillOver(p)
		s.backlog.dropped += uint64(dropped)
	} else {
		dropped = s.backlog.push(p)
	}
	t.dropped.Add(uint64(dropped))
	if dropped > 0 {
		s.adviseDropped(t, dropped)
	}
	if dropped > 0 && s.backlog.evict == EvictDisconnect && !s.evictedErr {
		s.evictedErr = true
		sink := c.opt.Sink
		err := Errorf(CodeLimit, "the subscription %q to %s was too slow: more than %d messages waited for it", s.opt.ID, t.dest.Name, s.backlog.limit)
		t.b.later(func() { sink.Kill(err) })
	}
}

// deliverTopic puts a topic's message into the output. c.mu is held and there is credit.
func (s *Subscription) deliverTopic(p pendingMessage) {
	t, m := p.t, p.m
	s.credit--
	s.creditBytes -= int64(m.Size())
	tag := uint64(0)
	if !s.auto {
		tag = s.push(slot{id: m.id, size: uint32(m.Size()), state: slotOut})
	}
	s.countDelivery()
	t.delivered.Add(1)
	s.c.out = append(s.c.out, Delivery{Sub: s, Message: m, Dest: t.dest, Tag: tag, Attempts: 1, Expiration: p.exp, Overlay: p.over})
}

// feed moves waiting messages of topics into the output as far as the credit
// goes. c.mu is held.
func (s *Subscription) feed(k *wakes) {
	if !s.started || s.closed {
		return
	}
	now := int64(0)
	for s.started && s.backlog.len() > 0 && s.credit > 0 && s.creditBytes > 0 {
		s.slow = false
		p := s.backlog.pop()
		if p.exp != 0 {
			if now == 0 {
				now = s.c.b.now().UnixMilli()
			}
			if p.exp <= now {
				continue
			}
		}
		s.deliverTopic(p)
		k.note(s.c)
	}
	s.refill()
}
