package broker

import (
	"encoding/binary"
	"errors"

	"treadmq/store"
)

// A topic subscription whose policy is EvictSpill keeps in the temporary store what its backlog has no room for, and
// reads it back in order as the backlog gets shorter. While anything is there, later messages go there too. What
// memory and store hold together is bounded: beyond that the oldest goes (those in the store when they are read, so for a
// moment it may hold up to twice as much; then the new message goes). The temporary store is emptied at every start;
// what a subscription has in it goes with the subscription.

// Bounds of one read of what was spilled.
const (
	spillPage      = 256
	spillPageBytes = 1 << 20
)

// firstSpill is where the store's numbers of spills begin: far above those of queues, which count from 1. They are in
// the temporary store only.
const firstSpill = 1 << 31

// spill is what a subscription has in the temporary store. Guarded by Conn.mu but for after, which is that of the
// goroutine that reads.
type spill struct {
	dest    store.DestID
	limit   int64 // bytes
	n       int   // messages there or on their way there
	ready   int   // of them those that can be read; less than 0 while one was read before that was noted
	bytes   int64 // of n
	topics  []*topic
	skip    int // of the oldest of n, that are dropped when they are read
	reading bool
	after   store.Seq // of the last that was read
}

// setSpill gives the subscription a place in the temporary store, if its policy says so. What is there already stays
// when the policy changes. c.mu is held, or nobody knows the subscription yet.
func (s *Subscription) setSpill(p *Policy) {
	b := s.c.b
	switch {
	case p.Evict != EvictSpill || b.temp == nil:
	case s.spill == nil:
		s.spill = &spill{dest: store.DestID(firstSpill + b.spills.Add(1)), limit: p.SpillLimit}
	default:
		s.spill.limit = p.SpillLimit
	}
}

// waiting is the number of messages that wait for credit. c.mu is held.
func (s *Subscription) waiting() int {
	if s.spill == nil {
		return s.backlog.len()
	}
	return s.backlog.len() + s.spill.n
}

// spills reports whether a message has to go to the temporary store. c.mu is held.
func (s *Subscription) spills(m *Message) bool {
	b := &s.backlog
	switch {
	case s.spill == nil:
		return false
	case s.spill.n > 0:
		return true
	case b.evict != EvictSpill || b.n == 0:
		return false
	}
	return b.limit > 0 && b.n >= b.limit || b.limitBytes > 0 && b.bytes+int64(m.Size()) > b.limitBytes
}

// spillOver writes a message to the temporary store and returns how many went for it. c.mu is held, and given up
// meanwhile: the store may be behind.
func (s *Subscription) spillOver(p pendingMessage) (dropped int) {
	sp, b, c := s.spill, &s.backlog, s.c
	size := int64(p.m.Size())
	bound := sp.limit + b.limitBytes
	for sp.bytes+b.bytes+size > bound && b.len() > 0 {
		b.pop()
		dropped++
	}
	switch over := sp.bytes + size - bound; {
	case over > bound || over > 0 && sp.skip >= sp.n:
		s.refill()
		return dropped + 1
	case over > 0: // memory is empty: the oldest are about to be read, and the first of them goes
		sp.skip++
		dropped++
	}
	sp.n++
	sp.bytes += size
	sb := &store.Batch{Done: func(sb *store.Batch, err error) { s.spilled(sb, size, err) }}
	sb.Enqueue(store.Message{ID: p.m.id, Flags: store.Flags(p.m.Flags()), Encoded: p.m.enc},
		store.NewRef{Dest: sp.dest, Overlay: sp.overlay(p), OwnExpiry: true})
	s.refill()
	c.mu.Unlock()
	err := c.b.temp.Append(sb)
	c.mu.Lock()
	if err != nil {
		s.notSpilled(size, err)
		dropped++
	}
	return dropped
}

// overlay is what is kept with a spilled message: the number of its topic in sp.topics, and its own overlay.
func (sp *spill) overlay(p pendingMessage) []byte {
	i := 0
	for i < len(sp.topics) && sp.topics[i] != p.t {
		i++
	}
	if i == len(sp.topics) {
		sp.topics = append(sp.topics, p.t)
	}
	return append(binary.AppendUvarint(nil, uint64(i)), p.over...)
}

// message is the inverse of what spillOver wrote. ok is false for what cannot be read.
func (sp *spill) message(r *store.Stored) (p pendingMessage, ok bool) {
	i, n := binary.Uvarint(r.Overlay)
	if n <= 0 || i >= uint64(len(sp.topics)) || r.Message == nil {
		return p, false
	}
	m, err := DecodeMessage(r.Message, r.ID)
	if err != nil {
		return p, false
	}
	p = pendingMessage{t: sp.topics[i], m: m, exp: m.Expiration()}
	if over := r.Overlay[n:]; len(over) > 0 {
		p.over = over
	}
	return p, true
}

// notSpilled takes a message off the books that the temporary store did not take. c.mu is held.
func (s *Subscription) notSpilled(size int64, err error) {
	s.spill.n--
	s.spill.bytes -= size
	if !errors.Is(err, store.ErrClosed) && !s.spillFailed {
		s.spillFailed = true
		s.c.b.log.Warn("the temporary store takes no messages; those that wait for a slow subscription are dropped", "subscription", s.opt.ID, "err", err)
	}
}

// spilled is called when the store has a message, or has failed.
func (s *Subscription) spilled(sb *store.Batch, size int64, err error) {
	c, sp := s.c, s.spill
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		s.backlog.dropped++
		s.notSpilled(size, err)
	case s.closed:
		seq := sb.Seq(0)
		c.b.later(func() { c.b.unspill(sp.dest, seq) })
	default:
		s.spillFailed = false
		sp.ready++
		s.refill()
	}
}

// refill has what was spilled read back when the backlog is half empty. c.mu is held.
func (s *Subscription) refill() {
	if s.spill != nil && !s.spill.reading && s.wantsSpilled() {
		s.spill.reading = true
		s.c.b.spawn(s.readSpill)
	}
}

// wantsSpilled reports whether there is something to read, and room for it. c.mu is held.
func (s *Subscription) wantsSpilled() bool {
	b := &s.backlog
	return s.spill.ready > 0 && s.started && !s.closed &&
		(b.limit <= 0 || b.n <= b.limit/2) && (b.limitBytes <= 0 || b.bytes <= b.limitBytes/2)
}

// readSpill reads pages until the backlog has enough.
func (s *Subscription) readSpill() {
	c, sp := s.c, s.spill
	for more := true; more; {
		c.mu.Lock()
		limit, bytes := spillPage, int64(spillPageBytes)
		if l := s.backlog.limit; l > 0 {
			limit = min(limit, max(l/2, 1))
		}
		if l := s.backlog.limitBytes; l > 0 {
			bytes = min(bytes, max(l/2, 1))
		}
		c.mu.Unlock()
		refs, _, err := c.b.temp.Load(nil, sp.dest, 0, sp.after, limit, int(bytes))
		var k wakes
		c.mu.Lock()
		if err == nil && len(refs) > 0 {
			sp.after = refs[len(refs)-1].Seq
			s.takeBack(refs, &k)
		}
		more = err == nil && len(refs) > 0 && s.wantsSpilled()
		sp.reading = more // from here on another goroutine may go on
		upto, closed := sp.after, s.closed
		c.mu.Unlock()
		k.flush()
		switch {
		case err != nil && !closed && !errors.Is(err, store.ErrClosed):
			c.opt.Sink.Kill(Errorf(CodeInternal, "what waited for the subscription %q cannot be read back from the temporary store: %w", s.opt.ID, err))
		case len(refs) > 0:
			c.b.unspill(sp.dest, upto)
		}
	}
}

// takeBack puts what was read behind the backlog, and delivers what there is credit for. c.mu is held.
func (s *Subscription) takeBack(refs []store.Stored, k *wakes) {
	sp := s.spill
	for i := range refs {
		sp.n--
		sp.ready--
		sp.bytes -= int64(refs[i].Size)
		if sp.skip > 0 {
			sp.skip--
			continue
		}
		if p, ok := sp.message(&refs[i]); ok && !s.closed {
			s.backlog.add(p)
		}
	}
	if s.feed(k); sp.n == 0 && !s.closed {
		sp.topics, sp.skip = nil, 0
	}
}

// unspill removes what was spilled up to a message.
func (b *Broker) unspill(d store.DestID, upto store.Seq) {
	sb := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
	sb.Purge(d, upto, nil)
	b.toTemp(sb)
}

// endSpill removes all that a subscription has in the temporary store. c.mu is held.
func (s *Subscription) endSpill() {
	if sp := s.spill; sp != nil && sp.n > 0 {
		b := s.c.b
		b.later(func() {
			sb := &store.Batch{Lazy: true, Done: func(*store.Batch, error) {}}
			sb.Drop(sp.dest)
			b.toTemp(sb)
		})
	}
}

func (b *Broker) toTemp(sb *store.Batch) {
	if err := b.temp.Append(sb); err != nil && !errors.Is(err, store.ErrClosed) {
		b.log.Warn("the temporary store keeps messages that are gone", "err", err)
	}
}
