package broker

// Older values of last-value queues go in the batch of what takes their place: one record, so that after a crash there
// is one or the other. Until the batch is committed the older one is kept like a message that a consumer holds; if the
// store refuses the batch, it is back. Three kinds go later, by a record of their own: what a consumer holds at that
// moment, what is not committed yet, and what is only in memory. That record is in the journal before any that takes the
// newer value off the queue (queue.removeReplaced), except while another consumer still holds the older one.

// superseded is an older value that a Work takes away.
type superseded struct {
	q    *queue
	e    *entry
	read bool // e stands for a reference that was not in memory
}

// supersede finds the older values of what the Work sends, and removes them in its batch. It comes last before the
// batch is appended.
func (w *Work) supersede() {
	for i := range w.targets {
		t := &w.targets[i]
		if t.op < 0 || t.q == nil || t.msg == nil || !t.q.lastValued.Load() {
			continue
		}
		if s, ok := t.q.takeOlder(t); ok {
			w.sb.Remove(s.q.ref(s.e), s.e.loc)
			w.older = append(w.older, s)
		}
	}
}

// takeOlder takes off the queue what a message to it replaces.
func (q *queue) takeOlder(t *target) (superseded, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.last
	if l == nil || l.reading || q.deleted.Load() {
		return superseded{}, false
	}
	key := l.keyOf(t.msg, t.over)
	v := l.newest[key]
	if key == "" || v == nil || v.src != durable {
		return superseded{}, false
	}
	e, read := q.takeValue(v)
	if e == nil {
		return superseded{}, false
	}
	q.takeOff(e)
	return superseded{q: q, e: e, read: read}, true
}

// keyOf is a message's key in this queue, "" if it has none.
func (l *lastValues) keyOf(m *Message, overlay []byte) string {
	if l.byDest {
		return retainedFor(overlay)
	}
	return l.key(m)
}

// takeValue takes a value from where it waits; nil if somebody holds it or it is not visible yet. q.mu is held.
func (q *queue) takeValue(v *lastValue) (e *entry, read bool) {
	ln := &q.lanes[v.src][v.lane]
	if e := ln.ready.take(v.seq); e != nil {
		return e, false
	}
	if _, taken := q.out[v.seq]; taken || !ln.paged || v.seq <= ln.pagedAfter || v.seq > ln.maxSeq {
		return nil, false
	}
	e = &entry{seq: v.seq, loc: v.loc, size: v.size, lane: v.lane, src: v.src, stored: true, out: true}
	q.hide(e)
	return e, true
}

// olderGone takes the older values off their queues' books: the batch is committed.
func (w *Work) olderGone(k *wakes) {
	for _, s := range w.older {
		s.q.mu.Lock()
		s.q.putDown(s.e, AckDiscard)
		s.q.dispatch(k) // somebody may wait until nothing is in flight
		s.q.mu.Unlock()
		if s.e.out {
			s.q.unhide(s.e.seq)
		}
		s.q.resumeParked()
	}
}

// olderBack puts the older values into their places again: the batch was refused.
func (w *Work) olderBack() {
	list := w.older
	if w.older = nil; len(list) == 0 {
		return
	}
	w.b.later(func() {
		var k wakes
		for _, s := range list {
			s.back(&k)
		}
		k.flush()
	})
}

func (s *superseded) back(k *wakes) {
	q, kind := s.q, AckRelease
	if s.read {
		r, err := q.b.store.Find(q.ref(s.e))
		e, bad := q.stored(&r, durable)
		if err != nil || bad != nil {
			kind = AckDiscard // it is gone, or the store has failed for good
		} else {
			e.out, e.size = true, s.e.size
			s.e = e
		}
	}
	q.mu.Lock()
	q.putDown(s.e, kind)
	q.dispatch(k)
	q.mu.Unlock()
}

// putDown ends the holding of a value. q.mu is held.
func (q *queue) putDown(e *entry, kind AckKind) {
	q.settled(&settle{q: q, e: e, ack: Ack{Kind: kind}})
	if e.grp != nil {
		q.groupSettled(e.grp)
	}
}
