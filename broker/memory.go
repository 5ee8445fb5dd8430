package broker

import (
	"slices"
	"time"

	"treadmq/store"
)

// arriveMemory makes a message visible that has no part in the durable store.
func (b *Broker) arriveMemory(t *target, k *wakes) {
	switch {
	case t.t != nil:
		t.t.publish(t.conn, t.msg, t.over, k)
	case t.q != nil:
		t.q.arriveTransient(t, k)
	}
}

// arriveTransient keeps a non-persistent message in memory, or in the temporary
// store when memory is short.
func (q *queue) arriveTransient(t *target, k *wakes) {
	m := t.msg
	e := &entry{msg: m, id: m.id, expiry: t.exp, overlay: t.over, size: uint32(m.Size()), lane: laneOf(m), src: transient, attempts: t.attempts}
	q.mu.Lock()
	ln := &q.lanes[transient][e.lane]
	full := ln.paged || ln.ready.len() >= maxReady || !q.roomFor(e.cost())
	if q.b.temp != nil && full && !q.deleted.Load() {
		floor := store.Seq(q.b.seq.Load())
		ln.spills = append(ln.spills, floor)
		q.mu.Unlock()
		if q.spill(t, e, floor) {
			return
		}
		q.mu.Lock()
		ln.spilled(floor)
	}
	defer q.mu.Unlock()
	q.unreserve(t.size())
	if q.deleted.Load() {
		return
	}
	e.seq = store.Seq(q.b.nextID()) // under q.mu: order of arrival
	q.count(int64(e.size))
	if q.isTraced() {
		q.traced(e.id, LifeEvent{Kind: LifeReceived}.from(t.conn))
	}
	if q.cameTooLate(e) {
		return
	}
	q.charge(e)
	q.enlist(e)
	ln.ready.insert(e)
	q.news(e.lane)
	if q.last != nil {
		q.arrived(e, m)
	}
	q.dispatch(k)
}

// spilled lets what came after a message go on. queue.mu is held.
func (l *lane) spilled(floor store.Seq) {
	i := slices.Index(l.spills, floor)
	l.spills = slices.Delete(l.spills, i, i+1)
}

// spill writes a non-persistent message to the temporary store; it becomes
// visible when it is there. Its sequence number will be floor or more.
func (q *queue) spill(t *target, e *entry, floor store.Seq) bool {
	size := t.size()
	sb := &store.Batch{}
	sb.Done = func(sb *store.Batch, err error) {
		var k wakes
		q.mu.Lock()
		q.unreserve(size)
		q.lanes[transient][e.lane].spilled(floor)
		switch {
		case err != nil:
			q.stats.dropped++
			q.b.log.Error("non-persistent message lost: the temporary store failed", "dest", q.dest.String(), "err", err)
		case q.deleted.Load():
			e.seq, e.loc = sb.Seq(0), sb.Ops[0].Loc
			q.b.later(func() { q.removeSpilled(e) })
		default:
			e.seq, e.loc, e.stored = sb.Seq(0), sb.Ops[0].Loc, true
			q.count(int64(e.size))
			if q.isTraced() {
				q.traced(e.id, LifeEvent{Kind: LifeReceived}.from(t.conn))
			}
			q.admit(e)
			if q.last != nil {
				q.arrived(e, t.msg)
			}
		}
		q.news(e.lane)
		q.dispatch(&k)
		q.mu.Unlock()
		k.flush()
	}
	sb.Enqueue(store.Message{ID: e.id, Flags: store.Flags(t.msg.Flags()), Expiry: e.expiry, Encoded: t.msg.enc},
		store.NewRef{Dest: q.id, Lane: e.lane, Overlay: e.overlay, Attempts: e.attempts})
	if err := q.b.temp.Append(sb); err != nil {
		if until := q.b.now().Add(spillRetry).UnixNano(); q.b.noSpill.Swap(until) == 0 {
			q.b.log.Warn("the temporary store takes no messages; non-persistent ones are refused where memory is short", "dest", q.dest.String(), "err", err)
		}
		return false
	}
	q.b.noSpill.Store(0)
	return true
}

// spillRetry is how long non-persistent messages are refused, where memory is
// short, after the temporary store refused one.
const spillRetry = time.Second

// mayKeep reports whether there is room for a non-persistent message.
func (q *queue) mayKeep(size int64) bool {
	until := q.b.noSpill.Load()
	return !q.b.tempFull.Load() && (until == 0 || q.b.now().UnixNano() > until) || q.roomFor(size)
}

// removeSpilled takes an entry out of the temporary store.
func (q *queue) removeSpilled(e *entry) {
	sb := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	if e.out {
		sb.Done = func(*store.Batch, error) { q.unhide(e.seq) }
	}
	sb.Remove(q.ref(e), e.loc)
	if err := q.b.temp.Append(sb); err != nil {
		q.b.log.Warn("the temporary store keeps a message that is gone", "dest", q.dest.String(), "err", err)
	}
}

// unhide ends the hiding of a reference that the store has let go. A read that
// began before may still bring it: then it stays hidden until that has ended.
func (q *queue) unhide(s store.Seq) {
	q.mu.Lock()
	if q.reads > 0 {
		q.released = append(q.released, s)
	} else {
		delete(q.out, s)
	}
	q.mu.Unlock()
}

// readDone is called with q.mu held when the result of a read has been looked at.
func (q *queue) readDone() {
	if q.reads--; q.reads > 0 {
		return
	}
	for _, s := range q.released {
		delete(q.out, s)
	}
	q.released = nil
}
