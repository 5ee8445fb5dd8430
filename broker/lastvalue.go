package broker

import (
	"treadmq/store"
)

// Bounds of a last-value queue.
const (
	DefaultLastValues = 100_000 // keys, where the policy says nothing
	maxLastValueKey   = 1 << 10 // bytes of a key
	lastValueRefs     = 1024    // of one read at the start
	lastValueBytes    = 1 << 20
)

// PropLastValue is the header that has the key of a last-value queue where the
// policy's header is missing (Artemis).
const PropLastValue = "_AMQ_LVQ_NAME"

// lastValues is what a last-value queue knows: for each key the newest message that
// is in the queue. An older one goes with the batch of a newer one (Work.supersede) or when
// that arrives, unless a consumer holds it; then it goes when it comes back. At the start, and when a policy makes a queue
// one, the queue is read through before anything is delivered; so a crash between
// a newer message and the removal of the older never shows both. Guarded by queue.mu.
type lastValues struct {
	header  string
	byDest  bool // the hidden queue of retained messages: the key is the topic
	limit   int
	newest  map[string]*lastValue
	keys    map[store.Seq]string   // of the newest
	stale   map[store.Seq]struct{} // held by consumers, or not visible yet, and no longer wanted
	gone    map[store.Seq]struct{} // while reading: has left the queue
	reading bool
	partial bool // the queue has more keys than are allowed
}

type lastValue struct {
	seq  store.Seq
	loc  store.Loc
	size uint32
	lane store.Lane
	src  source
}

// isReading reports whether the queue has to wait.
func (l *lastValues) isReading() bool { return l != nil && l.reading }

// header returns the text of one of the message's fields or properties, as STOMP
// names it; nil if it has none.
func (m *Message) header(name string) []byte {
	f, ok := headerFields[name]
	if ok {
		v, _ := m.Field(f)
		return v
	}
	for it := m.Properties(); it.Next(); {
		if string(it.Name) == name {
			return it.AppendText(nil)
		}
	}
	return nil
}

var headerFields = map[string]Field{
	"correlation-id": FieldCorrelationID, "JMSCorrelationID": FieldCorrelationID, "type": FieldType, "JMSType": FieldType,
	"JMSXGroupID": FieldGroup, "JMSXUserID": FieldUserID, "content-type": FieldContentType,
}

// key returns a message's key, "" if it has none.
func (l *lastValues) key(m *Message) string {
	if m == nil {
		return ""
	}
	v := m.header(l.header)
	if len(v) == 0 && l.header != PropLastValue {
		v = m.header(PropLastValue)
	}
	if len(v) > maxLastValueKey {
		return ""
	}
	return string(v)
}

// useLastValues makes the queue a last-value queue, or an ordinary one, as its policy
// says. q.mu is held.
func (q *queue) useLastValues(header string, byDest bool, limit int) {
	if limit <= 0 {
		limit = DefaultLastValues
	}
	q.lastValued.Store(header != "")
	switch l := q.last; {
	case header == "":
		q.last = nil
		return
	case l != nil && l.header == header:
		l.limit = limit
		return
	}
	q.last = &lastValues{header: header, byDest: byDest, limit: limit}
	q.readLastValues()
}

// readLastValues begins to read the queue through, unless it is empty. q.mu is held.
func (q *queue) readLastValues() {
	l := q.last
	l.newest, l.keys = map[string]*lastValue{}, map[store.Seq]string{}
	l.stale, l.gone = map[store.Seq]struct{}{}, map[store.Seq]struct{}{}
	l.partial = false
	if q.depth.Load() == 0 {
		return
	}
	l.reading = true
	for lane := range store.Lanes {
		for _, e := range q.lanes[transient][lane].ready.all() {
			if !e.stored && !l.partial && e.msg != nil {
				q.seen(l, e.msg, e.overlay, &lastValue{seq: e.seq, size: e.size, lane: e.lane, src: transient})
			}
		}
	}
	q.b.spawn(func() {
		err := q.readKeys(l)
		var k wakes
		q.mu.Lock()
		l.reading, l.gone = false, nil
		if err != nil {
			l.partial = true
			q.b.log.Error("the keys of a last-value queue cannot be read; it takes no messages", "dest", q.dest.String(), "err", err)
		} else if l.partial {
			q.b.log.Error("a last-value queue has more keys than lastValueKeys allows; it takes no messages until some are consumed", "dest", q.dest.String(), "limit", l.limit)
		}
		q.dispatch(&k)
		q.mu.Unlock()
		k.flush()
	})
}

// readKeys goes through what is stored.
func (q *queue) readKeys(l *lastValues) error {
	for src := range sources {
		if src == transient && q.b.temp == nil || src == durable && !q.durable {
			continue
		}
		for lane := range store.Lanes {
			more := true
			for after := store.Seq(0); more; {
				refs, m, err := q.b.read(src, q.id, store.Lane(lane), after, lastValueRefs, lastValueBytes)
				if err != nil {
					return err
				}
				if more = m; len(refs) > 0 {
					after = refs[len(refs)-1].Seq
				}
				if !q.seenAll(l, refs, src) {
					return nil
				}
			}
		}
	}
	return nil
}

// seenAll takes what was read; false = enough.
func (q *queue) seenAll(l *lastValues, refs []store.Stored, src source) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last != l || q.deleted.Load() {
		return false
	}
	for i := range refs {
		r := &refs[i]
		if _, gone := l.gone[r.Seq]; gone || r.Message == nil {
			continue
		}
		m, err := DecodeMessage(r.Message, r.ID)
		if err != nil {
			continue
		}
		if q.seen(l, m, r.Overlay, &lastValue{seq: r.Seq, loc: r.Loc, size: r.Size, lane: r.Lane, src: src}); l.partial {
			return false
		}
	}
	return true
}

// arrived is called when an entry has become visible, or came back. q.mu is held.
func (q *queue) arrived(e *entry, m *Message) {
	q.seen(q.last, m, e.overlay, &lastValue{seq: e.seq, loc: e.loc, size: e.size, lane: e.lane, src: e.src})
}

// seen notes a message, and takes the older one of its key away. q.mu is held.
func (q *queue) seen(l *lastValues, m *Message, overlay []byte, v *lastValue) {
	if _, stale := l.stale[v.seq]; stale { // it was superseded before it was visible
		delete(l.stale, v.seq)
		q.supersede(l, v)
		return
	}
	key := l.keyOf(m, overlay)
	if key == "" {
		return
	}
	old := l.newest[key]
	switch {
	case old == nil && len(l.newest) >= l.limit && l.reading:
		l.partial = true
		return
	case old == nil:
	case old.seq == v.seq:
		return
	case old.seq > v.seq:
		q.supersede(l, v)
		return
	default:
		delete(l.keys, old.seq)
		q.supersede(l, old)
	}
	l.newest[key], l.keys[v.seq] = v, key
	if l.byDest && !m.isKept() {
		l.left(v.seq)
		q.supersede(l, v)
	}
}

// supersede takes a message off the queue for which there is a newer one. q.mu is held.
func (q *queue) supersede(l *lastValues, v *lastValue) {
	e, _ := q.takeValue(v)
	if e == nil {
		l.stale[v.seq] = struct{}{}
		return
	}
	q.replace(e)
}

// replace drops an entry that is in no list any more. q.mu is held.
func (q *queue) replace(e *entry) {
	q.takeOff(e)
	if e.stored { // its message is not needed for that
		q.release(e)
		e.msg = nil
	}
	q.replaced = append(q.replaced, settle{q: q, e: e, ack: Ack{Kind: AckDiscard}, outdated: true})
	if len(q.replaced) == 1 {
		q.b.later(q.removeReplaced)
	}
}

// removeReplaced removes the older values that have left the lists. Whoever takes a message off a last-value queue calls
// it first: were the newer one's removal in the journal before the older one's, a crash between them would bring the
// older one back.
func (q *queue) removeReplaced() {
	q.replacing.Lock()
	defer q.replacing.Unlock()
	q.mu.Lock()
	list := q.replaced
	q.replaced = nil
	q.mu.Unlock()
	if len(list) > 0 {
		q.b.expire(list)
	}
}

// outdated reports whether an entry that comes back is not wanted any more, and
// drops it then. q.mu is held.
func (q *queue) outdated(e *entry) bool {
	l := q.last
	if _, stale := l.stale[e.seq]; stale {
		delete(l.stale, e.seq)
		q.replace(e)
		return true
	}
	return false
}

// left is called when a message is off the queue. q.mu is held.
func (l *lastValues) left(s store.Seq) {
	if key, ok := l.keys[s]; ok {
		delete(l.keys, s)
		delete(l.newest, key)
	}
	delete(l.stale, s)
	if l.reading {
		l.gone[s] = struct{}{}
	}
}

// purged forgets all but what consumers hold. q.mu is held.
func (l *lastValues) purged(kept map[store.Seq]bool) {
	for s := range l.keys {
		if !kept[s] {
			l.left(s)
		}
	}
}

// roomForKey says why a message must not be sent: its key would be one too many.
func (q *queue) roomForKey(m *Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.last
	if l == nil {
		return nil
	}
	if v := m.header(l.header); len(v) > maxLastValueKey {
		return Errorf(CodeLimit, "the header %s of a message for the last-value queue %s has %d bytes, more than %d", l.header, q.dest.Name, len(v), maxLastValueKey)
	}
	if l.partial && !l.reading && q.depth.Load() < int64(l.limit) {
		q.readLastValues()
	}
	key := l.key(m)
	if key == "" || l.newest[key] != nil && !l.partial || len(l.newest) < l.limit && !l.partial {
		return nil
	}
	return Errorf(CodeFull, "the last-value queue %s has messages of %d keys, its policy allows %d; consume some or raise lastValueKeys", q.dest.Name, len(l.newest), l.limit)
}

// reserveReplacement reserves room in a full queue for a message that takes the place of an older one. A larger one must
// still find the bytes. One that a consumer holds leaves only with it, so such a queue may be that much over its limit.
func (q *queue) reserveReplacement(m *Message, p *Policy, size int64, lim limits) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil || (lim != limitsResume && len(q.parked) > 0) {
		return false
	}
	old := q.last.newest[q.last.key(m)]
	if old == nil {
		return false
	}
	used := q.bytes.Load() + q.reservedBytes.Load()
	if grown := size - int64(old.size); p.MaxBytes > 0 && grown > 0 && used+grown > p.MaxBytes {
		return false
	}
	q.reserve(size)
	return true
}

// readAllLastValues reads through the last-value queues that were there before the start.
func (b *Broker) readAllLastValues() {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	for _, q := range b.queues {
		q.mu.Lock()
		if q.last != nil {
			q.readLastValues()
		}
		q.mu.Unlock()
	}
}
