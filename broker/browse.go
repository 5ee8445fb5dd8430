package broker

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"treadmq/store"
)

// Browsed is a message as a browser sees it: nothing about it changes.
type Browsed struct {
	Message    *Message
	Dest       Destination
	Lane       store.Lane
	Seq        store.Seq
	Attempts   uint32 // deliveries so far
	Expiration int64
	Overlay    []byte
	Persistent bool
}

// Cursor says where a browser stands: behind Seq in Lane.
type Cursor struct {
	Lane store.Lane
	Seq  store.Seq
}

// String is the form that ParseCursor reads.
func (c Cursor) String() string {
	return strconv.Itoa(int(c.Lane)) + "." + strconv.FormatUint(uint64(c.Seq), 16)
}

// ParseCursor reads a cursor; "" is the head of the queue.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	l, q, ok := strings.Cut(s, ".")
	lane, err1 := strconv.ParseUint(l, 10, 8)
	seq, err2 := strconv.ParseUint(q, 16, 64)
	if !ok || err1 != nil || err2 != nil || lane >= store.Lanes {
		return Cursor{}, Errorf(CodeBadRequest, "%q is not a cursor of a browser", s)
	}
	return Cursor{store.Lane(lane), store.Seq(seq)}, nil
}

// Browse returns up to max messages of a queue behind a cursor, in the order of
// delivery, with those in flight, and where to go on; more is false at the end.
// maxBytes bounds the memory taken (at least one message is returned).
func (b *Broker) Browse(d Destination, after Cursor, max int, maxBytes int) (list []Browsed, next Cursor, more bool, err error) {
	q, err := b.existing(d)
	if err != nil {
		return nil, after, false, err
	}
	next = after
	for l := after.Lane; l < store.Lanes; l++ {
		if l != after.Lane {
			next = Cursor{Lane: l}
		}
		for {
			p, err := q.browseLane(l, [sources]store.Seq{next.Seq, next.Seq}, max-len(list), maxBytes)
			if err != nil {
				return nil, after, false, err
			}
			for _, m := range p.list {
				maxBytes -= m.Message.Size()
			}
			list, next.Seq = append(list, p.list...), p.end
			if len(list) >= max || maxBytes <= 0 {
				return list, next, p.more || l+1 < store.Lanes, nil
			}
			if !p.more {
				break
			}
		}
	}
	return list, next, false, nil
}

// lanePage is what one look at a lane found.
type lanePage struct {
	list []Browsed
	end  store.Seq          // the lane was looked through up to here
	more bool               // it may go on behind end
	last [sources]store.Seq // the last reference that each store gave, 0 = none
	open store.Seq          // non-persistent messages from here on may come later than higher ones
}

// browseLane merges what the stores hold of a lane with what is only in memory.
func (q *queue) browseLane(l store.Lane, after [sources]store.Seq, max, maxBytes int) (lanePage, error) {
	p := lanePage{end: slices.Max(after[:])}
	p.list, p.open = q.inMemory(l, after[transient])
	known := ^store.Seq(0) // beyond known a source was not read: the order is open
	for src := range sources {
		st := q.b.storeOf(src)
		if st == nil || (src == durable && !q.durable) {
			continue
		}
		refs, more, err := q.b.read(src, q.id, l, after[src], max, maxBytes)
		if err != nil {
			return p, q.b.storeError(err)
		}
		for i := range refs {
			p.last[src] = refs[i].Seq
			if refs[i].Message == nil {
				continue // damaged
			}
			e, err := q.stored(&refs[i], src)
			if err != nil {
				return p, Errorf(CodeInternal, "a stored message of %s cannot be decoded: %w", q.dest.Name, err)
			}
			p.list = append(p.list, q.browsed(e))
		}
		if more && len(refs) > 0 {
			p.more, known = true, min(known, p.last[src])
		}
	}
	p.list = slices.DeleteFunc(p.list, func(m Browsed) bool { return m.Seq > known })
	slices.SortFunc(p.list, func(a, b Browsed) int { return cmp.Compare(a.Seq, b.Seq) })
	switch n := len(p.list); {
	case n > max:
		p.list, p.more = p.list[:max], true
		p.end = p.list[max-1].Seq
	case p.more:
		p.end = known
	case n > 0:
		p.end = p.list[n-1].Seq
	}
	return p, nil
}

func (q *queue) browsed(e *entry) Browsed {
	return Browsed{Message: e.msg, Dest: q.shownDest(e.msg, e.overlay), Lane: e.lane, Seq: e.seq, Attempts: e.attempts,
		Expiration: e.expiry, Overlay: e.overlay, Persistent: e.src == durable}
}

// inMemory returns a lane's messages that no store has, ready, delayed and in flight, and lanePage.open.
func (q *queue) inMemory(l store.Lane, after store.Seq) (page []Browsed, open store.Seq) {
	q.mu.Lock()
	defer q.mu.Unlock()
	open = store.Seq(q.b.seq.Load())
	if spills := q.lanes[transient][l].spills; len(spills) > 0 {
		open = min(open, spills[0])
	}
	see := func(e *entry) {
		if !e.stored && e.lane == l && e.seq > after && e.msg != nil {
			page = append(page, q.browsed(e))
		}
	}
	for _, e := range q.lanes[transient][l].ready.all() {
		see(e)
	}
	for _, e := range q.timed {
		see(e)
	}
	for _, s := range q.subs {
		s.c.mu.Lock()
		for _, sl := range s.slots[s.head:] {
			if sl.state != slotFree && sl.q == q && sl.e != nil {
				see(sl.e)
			}
		}
		s.c.mu.Unlock()
	}
	return page, open
}
