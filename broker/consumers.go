package broker

import (
	"slices"
	"time"
)

// addConsumer keeps the exclusive one and the highest priority first. q.mu is held.
func (q *queue) addConsumer(s *Subscription) {
	q.closeGate()
	i := len(q.subs)
	for i > 0 && q.before(s, q.subs[i-1]) {
		i--
	}
	if i == 0 && len(q.subs) > 0 && q.sole && q.rank(s) <= q.rank(q.subs[0]) {
		i = 1 // who is exclusive stays so until it leaves, or one with a higher priority comes (ActiveMQ)
	}
	q.subs = slices.Insert(q.subs, i, s)
	if s.filter != nil {
		q.filters++
	}
	var sc *scan
	if s.filter != nil || len(q.groups) > 0 {
		sc = q.addScan(s)
	}
	q.elect()
	q.heard()
	q.openGate()
	if len(q.groups) > 0 {
		q.rebalance(sc)
	}
}

// removeConsumer is called with q.mu held.
func (q *queue) removeConsumer(s *Subscription) {
	n := len(q.subs)
	q.subs = slices.DeleteFunc(q.subs, func(x *Subscription) bool { return x == s })
	if len(q.subs) == n {
		return
	}
	if s.filter != nil {
		q.filters--
	}
	q.removeScan(s)
	q.elect()
	q.heard()
	if len(q.subs) == 0 {
		q.gated, q.private = false, nil
	}
}

// before reports whether a is served before b. q.mu is held.
func (q *queue) before(a, b *Subscription) bool {
	if a.opt.Exclusive != b.opt.Exclusive {
		return a.opt.Exclusive
	}
	return a.opt.Priority > b.opt.Priority
}

// rank is the priority of a consumer, as far as the policy lets it count. q.mu is held.
func (q *queue) rank(s *Subscription) int {
	if q.flat {
		return 0
	}
	return s.opt.Priority
}

// peers returns the end of the run of consumers that are served in turn with the
// one at lo. q.mu is held.
func (q *queue) peers(lo, n int, at func(int) *Subscription) int {
	hi := lo + 1
	for hi < n && q.rank(at(hi)) == q.rank(at(lo)) {
		hi++
	}
	return hi
}

// elect is called when the consumers or the policy have changed. A new sole consumer
// gets nothing before all that others hold is settled: never do two hold messages
// at once. q.mu is held.
func (q *queue) elect() {
	p := q.policy.Load()
	q.flat, q.strict = p.IgnorePriority, p.StrictOrder
	var elected *Subscription
	if len(q.subs) > 0 && (q.subs[0].opt.Exclusive || p.AllExclusive) {
		elected = q.subs[0]
	}
	if elected != nil && elected != q.elected {
		q.handover = q.inflight > 0
		q.takeGroups(elected)
	}
	q.elected, q.sole = elected, elected != nil
	if !q.sole {
		q.handover = false
	}
}

// handedOver reports whether the sole consumer may begin. q.mu is held.
func (q *queue) handedOver() bool {
	q.handover = q.inflight > 0
	return !q.handover
}

// policyChanged applies a new policy to those who are there.
func (q *queue) policyChanged(k *wakes) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.applyPolicy()
	q.openGate()
	q.dispatch(k)
}

// applyPolicy is called with q.mu held, or before anybody knows the queue.
func (q *queue) applyPolicy() {
	p := q.policy.Load()
	q.elect()
	q.useLastValues(p.LastValueKey, false, p.LastValueKeys)
	q.useHeaderIndex(p.IndexHeaders)
}

// maxGate is how long consumersBeforeDispatchStarts holds a queue up when no time is set.
const maxGate = time.Second

// closeGate is called before the first consumer is there. q.mu is held.
func (q *queue) closeGate() {
	p := q.policy.Load()
	if len(q.subs) > 0 || (p.ConsumersToStart <= 0 && p.TimeBeforeStart <= 0) {
		return
	}
	wait := p.TimeBeforeStart
	if wait <= 0 {
		wait = maxGate
	}
	q.gated = true
	q.gates++
	this := q.gates
	q.b.timers.call(q.b.now().Add(wait), func() {
		var k wakes
		q.mu.Lock()
		if q.gates == this {
			q.gated = false
			q.dispatch(&k)
		}
		q.mu.Unlock()
		k.flush()
	})
}

// openGate lets the queue begin when enough consumers are there, or the policy wants
// none any more. q.mu is held.
func (q *queue) openGate() {
	p := q.policy.Load()
	enough := p.ConsumersToStart > 0 && len(q.subs) >= p.ConsumersToStart
	if q.gated && (enough || (p.ConsumersToStart <= 0 && p.TimeBeforeStart <= 0)) {
		q.gated = false
	}
}

// heard notes who listens to the queue, for virtual topics that are selector-aware. q.mu is held.
func (q *queue) heard() {
	if len(q.subs) == 0 {
		return
	}
	var all []*filter
	for _, s := range q.subs {
		if s.filter == nil {
			all = nil
			break
		}
		all = append(all, s.filter)
	}
	q.audience.Store(&all)
}

// wanted reports whether a consumer of the queue selects a message; of those it had last, if it has none.
func (q *queue) wanted(m *Message, overlay []byte) bool {
	audience := q.audience.Load()
	if audience == nil || len(*audience) == 0 {
		return true
	}
	for _, f := range *audience {
		if f.matches(q.b, m, q.dest, 0, m.Expiration(), overlay) {
			return true
		}
	}
	return false
}
