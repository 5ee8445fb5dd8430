package broker

import (
	"encoding/binary"
	"maps"
	"slices"

	"treadmq/store"
)

// A producer that numbers its messages is remembered by its last number, in memory and, if
// the message is stored, as a reference in a hidden destination. Each batch writes one for a
// producer, and a later one removes it.

// maxProducerIDs is how many producers are remembered. The one that was not heard of for longest goes.
const maxProducerIDs = 10_000

// producerScope stands for the hidden destination in the catalog; no destination has this kind.
var producerScope = Destination{Kind: 0xff}

// producerIDs is guarded by dedups.mu; dest by dedups.order.
type producerIDs struct {
	dest  store.DestID // 0: nothing in the store
	by    map[string]*producerID
	stale []store.Ref // to be removed with the next batch
}

// producerID is what is known of one producer.
type producerID struct {
	last  uint64 // number
	done  uint64 // the last one that is committed
	claim *claim // of the message with that number
	at    int64
	ref   store.Ref // where it is remembered
}

// numbered is what a Work changes about a producer.
type numbered struct {
	key  string
	was  *producerID // nil: it was not known
	now  *producerID
	send onceSend
	ref  int // of the reference that remembers it, -1 = none
}

// producerKey keeps the producers of different users apart.
func producerKey(c *Conn, name string) string { return c.opt.User + "\x00" + name }

// ProducerSeq returns the last number of a producer of the connection's user that is committed.
func (c *Conn) ProducerSeq(name string) (last uint64, known bool) {
	x := &c.b.dedup
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.producer.by[producerKey(c, name)]
	if p == nil || p.done == 0 {
		return 0, false
	}
	return p.done, true
}

// freshNumber is fresh for a numbered message.
func (b *Broker) freshNumber(c *Conn, dests []Destination, d *Dedup) (left []Destination, pending bool, err error) {
	x := &b.dedup
	x.mu.Lock()
	p := x.producer.by[producerKey(c, d.Producer)]
	repeat := p != nil && d.Seq <= p.last
	if repeat {
		d.duplicate, pending = true, !p.claim.committed
		if d.Seq == p.last {
			d.first = p.claim
		}
	}
	x.mu.Unlock()
	if !repeat {
		return dests, false, nil
	}
	return nil, pending, nil
}

// takeNumber claims the number of a message. dedups.order is held.
func (w *Work) takeNumber(s *onceSend) error {
	d, x := s.m.dedup, &w.b.dedup
	key := producerKey(w.c, d.Producer)
	now := w.b.now().UnixMilli()
	c := &claim{key: key, at: now, id: s.m.id, committed: s.op < 0 && !w.atomic, volatile: s.op < 0}
	x.mu.Lock()
	defer x.mu.Unlock()
	was := x.producer.by[key]
	next := &producerID{last: d.Seq, claim: c, at: now}
	if was != nil {
		next.ref, next.done = was.ref, was.done
	} else {
		x.producer.makeRoom()
	}
	if c.committed {
		next.done = d.Seq
	}
	x.producer.by[key] = next
	w.once.numbers = append(w.once.numbers, numbered{key: key, was: was, now: next, send: *s, ref: -1})
	return nil
}

// makeRoom forgets the producer that was not heard of for longest, if there are as many as may be.
func (p *producerIDs) makeRoom() {
	if len(p.by) < maxProducerIDs {
		return
	}
	oldest := ""
	for key, x := range p.by {
		if x.claim.committed && (oldest == "" || x.at < p.by[oldest].at) {
			oldest = key
		}
	}
	if oldest == "" {
		return // all are on their way to the disk
	}
	if ref := p.by[oldest].ref; ref.Seq != 0 {
		p.stale = append(p.stale, ref)
	}
	delete(p.by, oldest)
}

// writeNumbers adds the last number of each producer to the batch, and takes older ones out. dedups.order is held.
func (w *Work) writeNumbers() {
	o, b, x := &w.once, w.b, &w.b.dedup
	if len(o.numbers) == 0 {
		return
	}
	last := map[string]int{}
	for i := range o.numbers {
		if n := &o.numbers[i]; n.send.op >= 0 {
			last[n.key] = i
		}
	}
	if len(last) > 0 && b.makeProducers() {
		for _, i := range slices.Sorted(maps.Values(last)) {
			n := &o.numbers[i]
			rest := append(binary.AppendUvarint(nil, n.now.last), n.key...)
			n.ref = w.enqueueEntry(store.Message{}, x.producer.dest, &n.send, n.now.at, rest)
		}
	}
	x.mu.Lock()
	o.stale, x.producer.stale = x.producer.stale, nil
	x.mu.Unlock()
	for _, r := range o.stale {
		w.sb.Remove(r, store.Loc{})
	}
}

// makeProducers makes the hidden destination if need be; dedups.order is held. false: the store takes nothing, which
// the batch will be told, too.
func (b *Broker) makeProducers() bool {
	x := &b.dedup
	if x.producer.dest != 0 {
		return true
	}
	w := &window{scope: producerScope}
	if b.storeWindow(w) != nil {
		return false
	}
	x.mu.Lock()
	delete(x.byID, w.id)
	x.producer.dest = w.id
	x.mu.Unlock()
	return true
}

// undoNumbers is unclaim for producers: the last number that was taken stays. mu is held.
func (x *dedups) undoNumbers(o *onceWork, published bool) {
	taken := map[string]bool{}
	for i := len(o.numbers) - 1; i >= 0; i-- {
		n := &o.numbers[i]
		if taken[n.key] = taken[n.key] || published && n.now.claim.committed; taken[n.key] {
			continue
		}
		if n.was != nil {
			n.was.ref, n.was.done = n.now.ref, min(max(n.was.done, n.now.done), n.was.last) // it may have been committed meanwhile
			x.producer.by[n.key] = n.was
		} else {
			delete(x.producer.by, n.key)
		}
	}
	x.producer.stale = append(x.producer.stale, o.stale...)
}

// settleNumbers is settleClaims for producers. mu is held.
func (w *Work) settleNumbers(err error) {
	if err != nil {
		return // the store has failed
	}
	x := &w.b.dedup
	for i := range w.once.numbers {
		n := &w.once.numbers[i]
		n.now.claim.committed, n.now.claim.id = true, w.idOf(n.send.m, n.send.op)
		p := x.producer.by[n.key]
		if p != nil {
			p.done = max(p.done, n.now.last)
		}
		if n.ref < 0 {
			continue
		}
		ref := store.Ref{Dest: x.producer.dest, Seq: w.sb.Seq(n.ref)}
		if p == nil { // forgotten meanwhile
			x.producer.stale = append(x.producer.stale, ref)
			continue
		}
		if p.ref.Seq != 0 {
			x.producer.stale = append(x.producer.stale, p.ref)
		}
		p.ref = ref
	}
}

// readProducers reads the last numbers from the store, at the start.
func (b *Broker) readProducers() error {
	x := &b.dedup
	x.producer.by = map[string]*producerID{}
	if x.producer.dest == 0 {
		return nil
	}
	var after store.Seq
	for more := true; more; {
		var refs []store.Stored
		var err error
		if refs, more, err = b.store.Load(nil, x.producer.dest, 0, after, evictPage, 0); err != nil {
			return err
		}
		for i := range refs {
			after = refs[i].Seq
			x.producer.adopt(&refs[i])
		}
	}
	return nil
}

// adopt takes up one reference; later ones of a producer count.
func (p *producerIDs) adopt(r *store.Stored) {
	at, back, rest, ok := parseEntryInfo(r.Overlay)
	last, n := binary.Uvarint(rest)
	if !ok || n <= 0 {
		return
	}
	key := string(rest[n:])
	if old := p.by[key]; old != nil {
		p.stale = append(p.stale, old.ref)
	} else {
		p.makeRoom()
	}
	p.by[key] = &producerID{last: last, done: last, claim: &claim{at: at, id: r.ID - back, committed: true}, at: at, ref: r.Ref}
}
