package broker

import (
	"encoding/binary"
	"sync/atomic"

	"treadmq/store"
)

// Bounds of what is retained for topics; it is in memory.
const (
	maxRetained      = 10_000
	maxRetainedBytes = 64 << 20
	maxRetainedSize  = 1 << 20 // of one message
)

// catalogRetained is the key of the hidden queue that keeps retained messages over a
// restart -> id u32, created i64.
var catalogRetained = []byte("r")

// propRetainedFor names, in the overlay of a reference in the hidden queue, the topic.
const propRetainedFor = "retained-for"

// retaining is what the broker knows about retained messages of topics. Persistent
// ones are also in a hidden last-value queue whose keys are the topics: order in the
// journal decides what is kept, whatever happens in between.
type retaining struct {
	q     atomic.Pointer[queue] // nil: none was ever stored
	count atomic.Int64
	bytes atomic.Int64
}

// isKept reports whether the message stays in the hidden queue; otherwise it only ends
// what was there.
func (m *Message) isKept() bool { return m.Flags()&FlagRetain != 0 && m.Persistent() }

// retains counts what a topic retains now instead of old.
func (b *Broker) retains(old, x *past) {
	if old != nil {
		b.retained.count.Add(-1)
		b.retained.bytes.Add(-int64(old.p.m.Size()))
	}
	if x.p.m.Flags()&FlagRetain != 0 {
		b.retained.count.Add(1)
		b.retained.bytes.Add(int64(x.p.m.Size()))
	}
}

// routeRetained adds the hidden queue to the places that a message for a topic goes to,
// if what it says about retaining concerns what is stored.
func (b *Broker) routeRetained(dst []route, t *topic, m *Message) ([]route, error) {
	flags := m.Flags()
	if flags&(FlagRetain|FlagUnretain) == 0 || t.dest.Kind != Topic {
		return dst, nil
	}
	size := int64(m.Size())
	if flags&FlagRetain != 0 {
		switch r := &b.retained; {
		case size > maxRetainedSize:
			return dst, Errorf(CodeTooLarge, "a message of %d bytes cannot be retained for the topic %s, at most %d can; send it without retain", size, t.dest.Name, maxRetainedSize)
		case t.retains():
		case r.count.Load() >= maxRetained || r.bytes.Load()+size > maxRetainedBytes:
			return dst, Errorf(CodeLimit, "%d topics retain messages of %d bytes, the most allowed; send retain:remove to some", r.count.Load(), r.bytes.Load())
		}
	}
	q := b.retained.q.Load()
	if q == nil && m.isKept() {
		var err error
		if q, err = b.makeRetained(); err != nil {
			return dst, err
		}
	}
	if q == nil || (!m.isKept() && !q.keepsValue(t.dest.Name)) {
		return dst, nil
	}
	var p Properties
	p.Add(propRetainedFor, t.dest.Name)
	q.reserve(size)
	return append(dst, route{q: q, over: p.AppendTo(nil), dead: true}), nil
}

func (t *topic) retains() bool {
	h := t.history.Load()
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.retained != nil
}

// keepsValue reports whether the queue has a message of that key, or may soon.
func (q *queue) keepsValue(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reserved.Load() > 0 || q.last.newest[key] != nil
}

func (b *Broker) hiddenQueue(id store.DestID) *queue {
	q := b.newQueue(Destination{Queue, "retained messages of topics"}, id)
	q.last = nil
	q.useLastValues(propRetainedFor, true, maxRetained)
	b.byID[id] = q
	b.retained.q.Store(q)
	return q
}

// makeRetained makes the hidden queue if there is none.
func (b *Broker) makeRetained() (*queue, error) {
	b.destMu.Lock()
	defer b.destMu.Unlock()
	if q := b.retained.q.Load(); q != nil {
		return q, nil
	}
	id := binary.BigEndian.AppendUint32(nil, b.nextDest+1)
	put := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	put.Put(catalogNext, id)
	put.Put(catalogRetained, id)
	if err := b.store.Append(put); err != nil { // under the lock, as for queues
		return nil, b.storeError(err)
	}
	b.nextDest++
	return b.hiddenQueue(store.DestID(b.nextDest)), nil
}

// readRetained gives the topics what was retained before the start. There are at most
// maxRetained messages.
func (b *Broker) readRetained() error {
	q := b.retained.q.Load()
	if q == nil {
		return nil
	}
	latest := map[string]*store.Stored{}
	for l := range store.Lanes {
		more := true
		for after := store.Seq(0); more; {
			refs, m, err := b.read(durable, q.id, store.Lane(l), after, lastValueRefs, lastValueBytes)
			if err != nil {
				return err
			}
			more = m
			for i := range refs {
				r := &refs[i]
				after = r.Seq
				if key := retainedFor(r.Overlay); latest[key] == nil || latest[key].Seq < r.Seq {
					latest[key] = r
				}
			}
			q.seenAll(q.last, refs, durable)
		}
	}
	for name, r := range latest {
		if err := b.retainAgain(name, r); err != nil {
			b.log.Error("a retained message is left out", "topic", name, "err", err)
		}
	}
	return nil
}

func retainedFor(overlay []byte) string {
	for it := IterProperties(overlay); it.Next(); {
		if string(it.Name) == propRetainedFor {
			return string(it.Bytes)
		}
	}
	return ""
}

func (b *Broker) retainAgain(name string, r *store.Stored) error {
	m, err := DecodeMessage(r.Message, r.ID)
	if err != nil || !m.isKept() {
		return err
	}
	t, err := b.topicFor(Destination{Topic, name})
	if err != nil {
		return err
	}
	t.remember(nil, pendingMessage{t: t, m: m, exp: m.Expiration()})
	return nil
}

// forgetRetained ends what a topic retains that is deleted.
func (b *Broker) forgetRetained(t *topic) {
	h := t.history.Load()
	if h == nil {
		return
	}
	h.mu.Lock()
	if h.retained != nil {
		b.retained.count.Add(-1)
		b.retained.bytes.Add(-int64(h.retained.p.m.Size()))
		h.retained = nil
	}
	h.mu.Unlock()
	q := b.retained.q.Load()
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if v := q.last.newest[t.dest.Name]; v != nil {
		q.last.left(v.seq)
		q.supersede(q.last, v)
	}
}
