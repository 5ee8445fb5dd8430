package broker

import (
	"slices"
	"sync"
	"time"
)

// RecoveryKind says what a topic keeps for subscribers that come later.
type RecoveryKind uint8

// Kinds of recovery. Whatever the kind, Recovery.Bytes is the most that is kept.
const (
	RecoverNothing   RecoveryKind = iota
	RecoverLastImage              // the last message
	RecoverCount                  // the last Recovery.Count messages
	RecoverBytes                  // the last messages up to Recovery.Bytes
	RecoverTimed                  // those of the last Recovery.Duration
)

// Recovery is what a topic keeps for retroactive subscribers, in memory. Names as
// ActiveMQ's subscriptionRecoveryPolicy.
type Recovery struct {
	Kind     RecoveryKind
	Count    int
	Bytes    int64
	Duration time.Duration
	Always   bool // every subscriber is taken for a retroactive one
}

// PropRetained marks the copy of a retained message that a new subscriber gets.
const PropRetained = "retained"

// history is what a topic keeps: by its policy, and the message that was sent with
// retain. Guarded by mu; order: topic.mu, history.mu, Conn.mu.
type history struct {
	mu       sync.Mutex
	rule     Recovery
	key      string // header: only the last message of each of its values is kept
	keys     int    // values, at most
	items    []past // oldest first; those without message were replaced
	live     int    // items with a message
	bytes    int64
	latest   map[string]int // of each value: index in items
	retained *past
}

// past is a message that was published.
type past struct {
	p    pendingMessage
	from uint64 // the sender's connection
	at   time.Time
	key  string
}

// wantsHistory reports whether the policy has the topic keep something.
func (p *Policy) wantsHistory() bool {
	return p.Recovery.Kind != RecoverNothing || p.LastValueKey != ""
}

// applyPolicy makes the topic keep what the policy says.
func (t *topic) applyPolicy(p *Policy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.history.Load()
	if h == nil && !p.wantsHistory() {
		return
	}
	if h == nil {
		h = &history{}
		defer t.history.Store(h)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.key != p.LastValueKey || !p.wantsHistory() {
		h.items, h.latest, h.live, h.bytes = nil, nil, 0, 0
	}
	h.rule, h.key, h.keys = p.Recovery, p.LastValueKey, p.LastValueKeys
	if h.keys <= 0 {
		h.keys = DefaultLastValues
	}
	h.trim(t.b.now())
}

// remember keeps a message that is published, as far as it is to be kept, and returns
// the subscriptions that get it now: those who come later find it here.
func (t *topic) remember(from *Conn, p pendingMessage) []*Subscription {
	h := t.history.Load()
	if h == nil {
		t.mu.Lock()
		if h = t.history.Load(); h == nil {
			h = &history{}
			t.history.Store(h)
		}
		t.mu.Unlock()
	}
	x := past{p: p, at: t.b.now()}
	if from != nil {
		x.from = from.serial
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if flags := p.m.Flags(); flags&(FlagRetain|FlagUnretain) != 0 {
		t.b.retains(h.retained, &x)
		if h.retained = nil; flags&FlagRetain != 0 {
			h.retained = &x
		}
	}
	h.keep(x)
	return *t.subs.Load()
}

// keep adds a message. h.mu is held.
func (h *history) keep(x past) {
	size := int64(x.p.m.Size())
	if (h.rule.Kind == RecoverNothing && h.key == "") || (h.rule.Bytes > 0 && size > h.rule.Bytes) {
		return
	}
	if h.key != "" {
		if x.key = string(x.p.m.header(h.key)); x.key == "" || len(x.key) > maxLastValueKey {
			return
		}
		if i, ok := h.latest[x.key]; ok {
			h.forget(i)
		}
		if h.latest == nil {
			h.latest = map[string]int{}
		}
		h.latest[x.key] = len(h.items)
	}
	h.items = append(h.items, x)
	h.live++
	h.bytes += size
	h.trim(x.at)
}

// forget takes one message out. h.mu is held.
func (h *history) forget(i int) {
	x := &h.items[i]
	h.live--
	h.bytes -= int64(x.p.m.Size())
	if h.key != "" {
		delete(h.latest, x.key)
	}
	*x = past{}
}

// trim takes out what is beyond the bounds. h.mu is held.
func (h *history) trim(now time.Time) {
	first := 0
	for ; first < len(h.items); first++ {
		x := &h.items[first]
		if x.p.m == nil {
			continue
		}
		if !h.tooMuch(x, now) {
			break
		}
		h.forget(first)
	}
	switch {
	case first == len(h.items):
		h.items = h.items[:0]
	case first > 64 && first > len(h.items)/2, len(h.items) > 64 && h.live < len(h.items)/2:
		h.items = slices.DeleteFunc(h.items, func(x past) bool { return x.p.m == nil })
		for i := range h.items {
			if h.key != "" {
				h.latest[h.items[i].key] = i
			}
		}
	}
}

// tooMuch reports whether the oldest message has to go. h.mu is held.
func (h *history) tooMuch(oldest *past, now time.Time) bool {
	if h.rule.Bytes > 0 && h.bytes > h.rule.Bytes {
		return true
	}
	if h.key != "" {
		return h.live > h.keys
	}
	switch h.rule.Kind {
	case RecoverLastImage:
		return h.live > 1
	case RecoverCount:
		return h.live > max(h.rule.Count, 1)
	case RecoverTimed:
		return now.Sub(oldest.at) > h.rule.Duration
	}
	return false
}

// replay gives a new subscription what is kept for it. h.mu is held; the subscription
// gets nothing live before it returns.
func (h *history) replay(t *topic, s *Subscription, k *wakes) {
	now := t.b.now()
	h.trim(now)
	retroactive := s.opt.Retroactive || h.rule.Always
	if r := h.retained; r != nil && (!retroactive || !h.has(r.p.m)) {
		x := *r
		if len(x.p.over) == 0 {
			var p Properties
			p.Add(PropRetained, "true")
			x.p.over = p.AppendTo(nil)
		}
		s.replay(t, &x, now, k)
	}
	if !retroactive {
		return
	}
	for i := range h.items {
		if h.items[i].p.m != nil {
			s.replay(t, &h.items[i], now, k)
		}
	}
}

func (h *history) has(m *Message) bool {
	return slices.ContainsFunc(h.items, func(x past) bool { return x.p.m == m })
}

// replay gives the subscription one message of the past, if it wants it.
func (s *Subscription) replay(t *topic, x *past, now time.Time, k *wakes) {
	p := x.p
	if (p.exp != 0 && p.exp <= now.UnixMilli()) || (s.opt.NoLocal && s.c.serial == x.from) ||
		!s.filter.matches(t.b, p.m, t.dest, 0, p.exp, p.over) {
		return
	}
	s.publish(p, k)
}
