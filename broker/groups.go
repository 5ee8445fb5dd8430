package broker

import (
	"crypto/sha256"

	"treadmq/store"
)

// Bounds of what is remembered about message groups.
const (
	maxGroupKey = 128    // longer names of groups are kept as their checksum
	maxGroups   = 16_384 // groups of a queue that are known from behind the window only
)

// group is a message group (JMSXGroupID) of a queue, as long as messages of it are
// in memory, in flight or delayed, or were passed over behind the window: so the
// number of groups is bounded by what is in memory, not by history. Guarded by
// queue.mu.
type group struct {
	key     string
	owner   *scan // the consumer that gets its messages; nil: whoever takes the next
	ready   int   // entries in memory that wait
	held    int   // in flight
	delayed int
	// moving: nothing more is given until nothing is in flight, then it has no owner
	// (closed by a negative JMSXGroupSeq, or another consumer is to have it).
	moving  bool
	fresh   bool // the owner has had no message of it
	skipped []span
}

// span is the part of a lane in which scans passed over a group's messages.
type span struct {
	src       source
	lane      store.Lane
	low, high store.Seq
}

// verdict says what a scan does with a message.
type verdict uint8

const (
	verdictTake verdict = iota
	verdictSkip         // not for this consumer now
	verdictStop         // nobody can have it now, and nothing may overtake it
)

func groupKey(m *Message) string {
	v, _ := m.Field(FieldGroup)
	if len(v) > maxGroupKey {
		sum := sha256.Sum256(v)
		return string(sum[:])
	}
	return string(v)
}

// enlist counts an entry that comes into memory with its group. q.mu is held.
func (q *queue) enlist(e *entry) {
	if e.grp == nil && e.msg != nil && e.msg.Flags()&FlagGroup != 0 {
		e.grp = q.group(groupKey(e.msg))
	}
}

// group finds or makes a group. q.mu is held.
func (q *queue) group(key string) *group {
	if g := q.groups[key]; g != nil {
		return g
	}
	if q.groups == nil {
		q.groups = map[string]*group{}
	}
	if len(q.scans) < len(q.subs) { // the first group: now every consumer has a scan
		for _, s := range q.subs {
			if s.filter == nil && q.scanOf(s) == nil {
				q.addScan(s)
			}
		}
	}
	g := &group{key: key}
	q.groups[key] = g
	return g
}

// offered is called while a message of the group is given to its owner, and reports
// whether it is the owner's first. q.mu is held.
func (g *group) offered(m *Message) (first bool) {
	if seq, _ := m.Field(FieldGroupSeq); len(seq) > 0 && seq[0] == '-' {
		g.moving = true
	}
	first, g.fresh = g.fresh, false
	return first
}

// groupSettled is called when an entry is no longer in flight. q.mu is held.
func (q *queue) groupSettled(g *group) {
	g.held--
	q.groupChanged(g)
}

// groupChanged frees and forgets a group when that is due. q.mu is held.
func (q *queue) groupChanged(g *group) {
	if g.held > 0 || g.delayed > 0 {
		return
	}
	switch {
	case g.moving || g.owner == nil:
		q.free(g)
	case g.owner.sub.filter != nil: // what its owner does not want is for others
		q.lookAgain(g)
	}
	if g.ready > 0 || g.waits(q) || q.groups[g.key] != g {
		return
	}
	g.disown()
	delete(q.groups, g.key)
	if q.stalled {
		q.stalled = false
		for _, sc := range q.scans {
			sc.stalled = false
		}
	}
}

// waits reports whether messages that were passed over have not yet come to the owner.
func (g *group) waits(q *queue) bool {
	for _, sp := range g.skipped {
		if ln := &q.lanes[sp.src][sp.lane]; g.owner.seen[sp.src][sp.lane] < sp.high && ln.paged && ln.pagedAfter < sp.high {
			return true
		}
	}
	return false
}

// free takes a group from its owner. q.mu is held.
func (q *queue) free(g *group) {
	g.disown()
	g.moving = false
	q.lookAgain(g)
}

func (g *group) disown() {
	if g.owner != nil {
		g.owner.groups--
		g.owner = nil
	}
}

// lookAgain sets the scans back to what they passed over of a group. q.mu is held.
func (q *queue) lookAgain(g *group) {
	for _, sp := range g.skipped {
		for _, sc := range q.scans {
			sc.back(sp.src, sp.lane, sp.low)
		}
	}
	g.skipped = nil
}

// pass notes that a scan passed over an entry of the group.
func (g *group) pass(e *entry) {
	for i := range g.skipped {
		if sp := &g.skipped[i]; sp.src == e.src && sp.lane == e.lane {
			sp.low, sp.high = min(sp.low, e.seq), max(sp.high, e.seq)
			return
		}
	}
	g.skipped = append(g.skipped, span{e.src, e.lane, e.seq, e.seq})
}

// ownerFor returns the consumer that is to have the next message of a group, nil if
// none can. blocked says that the group has to wait, so that others may go on. q.mu is held.
func (q *queue) ownerFor(g *group, e *entry) (sc *scan, blocked bool) {
	if g.delayed > 0 || (g.held > 0 && (g.moving || g.owner == nil)) {
		return nil, true
	}
	if g.owner != nil && (g.held > 0 || g.owner.sub.accepts(q, e)) {
		return g.owner, !g.owner.sub.accepts(q, e)
	}
	sc = q.chooseOwner(e)
	if sc != nil {
		g.disown()
		g.owner, g.fresh = sc, true
		sc.groups++
	}
	return sc, false
}

// chooseOwner finds the consumer with room that has the fewest groups, of those with
// the highest priority. One that has not started counts: it is about to. q.mu is held.
func (q *queue) chooseOwner(e *entry) *scan {
	var best *scan
	n := len(q.scans)
	for i := range n {
		at := (i + q.next) % n
		sc := q.scans[at]
		if q.sole && sc.sub != q.subs[0] {
			continue
		}
		if best != nil && (q.rank(sc.sub) < q.rank(best.sub) || (q.rank(sc.sub) == q.rank(best.sub) && sc.groups >= best.groups)) {
			continue
		}
		if !sc.sub.hasRoom() || !sc.sub.accepts(q, e) {
			continue
		}
		if best = sc; sc.groups == 0 && q.rank(sc.sub) == q.rank(q.scans[0].sub) {
			if !q.strict {
				q.next = at + 1
			}
			break
		}
	}
	return best
}

// hasRoom is hasCredit for a subscription that need not have started.
func (s *Subscription) hasRoom() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return !s.closed && !s.stopped && s.credit > 0 && s.creditBytes > 0
}

// giveGrouped offers the message of a group to the one consumer that may have it.
// q.mu is held.
func (q *queue) giveGrouped(e *entry, k *wakes) bool {
	sc, blocked := q.ownerFor(e.grp, e)
	return sc != nil && !blocked && sc.sub.offer(q, e, k)
}

// judge says what a scan does with an entry that is ready. q.mu is held.
func (q *queue) judge(sc *scan, e *entry) verdict {
	if !sc.sub.accepts(q, e) {
		return verdictSkip
	}
	g := e.grp
	if g == nil {
		if e.msg.Flags()&FlagGroup == 0 {
			return verdictTake
		}
		key := groupKey(e.msg) // behind the window
		if g = q.groups[key]; g == nil && len(q.groups) >= maxGroups {
			if q.sweepGroups(); len(q.groups) >= maxGroups {
				sc.stalled, q.stalled = true, true
				return verdictStop
			}
		}
		if g == nil {
			g = q.group(key)
		}
	}
	owner, blocked := q.ownerFor(g, e)
	switch {
	case owner == sc && !blocked:
		e.grp = g
		return verdictTake
	case owner == nil && !blocked:
		q.groupChanged(g)
		return verdictStop
	}
	g.pass(e)
	return verdictSkip
}

// rebalance lets a consumer that has joined have its share of the groups: from those
// with more than their share, and no higher priority, some move when nothing of
// them is in flight. q.mu is held.
func (q *queue) rebalance(joined *scan) {
	all, peers := 0, 0
	for _, sc := range q.scans {
		if q.rank(sc.sub) <= q.rank(joined.sub) {
			all += sc.groups
			peers++
		}
	}
	if peers < 2 {
		return
	}
	fair := (all + peers - 1) / peers
	excess := make(map[*scan]int, peers)
	for _, sc := range q.scans {
		if q.rank(sc.sub) < q.rank(joined.sub) {
			excess[sc] = sc.groups
		} else if q.rank(sc.sub) == q.rank(joined.sub) {
			excess[sc] = sc.groups - fair
		}
	}
	for _, g := range q.groups {
		if g.owner == nil || g.moving || excess[g.owner] <= 0 {
			continue
		}
		excess[g.owner]--
		if g.moving = true; g.held == 0 {
			q.groupChanged(g)
		}
	}
}

// takeGroups moves all groups of others when one consumer alone is served from now on.
// q.mu is held.
func (q *queue) takeGroups(sole *Subscription) {
	for _, g := range q.groups {
		if g.owner == nil || g.owner.sub == sole {
			continue
		}
		if g.moving = true; g.held == 0 {
			q.groupChanged(g)
		}
	}
}

// abandon frees the groups of a consumer that leaves. q.mu is held.
func (q *queue) abandon(sc *scan) {
	if sc.groups == 0 {
		return
	}
	for _, g := range q.groups {
		if g.owner == sc {
			q.free(g)
			q.groupChanged(g)
		}
	}
}

// sweepGroups forgets groups of which nothing is left behind the window. q.mu is held.
func (q *queue) sweepGroups() {
	for _, g := range q.groups {
		q.groupChanged(g)
	}
}

// purgeGroups forgets what was waiting. q.mu is held.
func (q *queue) purgeGroups() {
	for _, g := range q.groups {
		g.skipped = nil
		q.groupChanged(g)
	}
}
