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
			page, laneMore, err := q.browseLane(l, next.Seq, max-len(list), maxBytes)
			if err != nil {
				return nil, after, false, err
			}
			for _, m := range page {
				maxBytes -= m.Message.Size()
				next.Seq = m.Seq
			}
			list = append(list, page...)
			if len(list) >= max || maxBytes <= 0 {
				return list, next, laneMore || l+1 < store.Lanes, nil
			}
			if !laneMore {
				break
			}
		}
	}
	return list, next, false, nil
}

// browseLane merges what the stores hold of a lane with what is only in memory.
func (q *queue) browseLane(l store.Lane, after store.Seq, max, maxBytes int) ([]Browsed, bool, error) {
	page := q.inMemory(l, after)
	more, known := false, ^store.Seq(0) // beyond known a source was not read: the order is open
	for src := range sources {
		st := q.b.storeOf(src)
		if st == nil || (src == durable && !q.durable) {
			continue
		}
		refs, m, err := q.b.read(src, q.id, l, after, max, maxBytes)
		if err != nil {
			return nil, false, q.b.storeError(err)
		}
		for i := range refs {
			if refs[i].Message == nil {
				continue // damaged
			}
			e, err := q.stored(&refs[i], src)
			if err != nil {
				return nil, false, Errorf(CodeInternal, "a stored message of %s cannot be decoded: %w", q.dest.Name, err)
			}
			page = append(page, q.browsed(e))
		}
		if m && len(refs) > 0 {
			more, known = true, min(known, refs[len(refs)-1].Seq)
		}
	}
	page = slices.DeleteFunc(page, func(m Browsed) bool { return m.Seq > known })
	slices.SortFunc(page, func(a, b Browsed) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(page) > max {
		page, more = page[:max], true
	}
	return page, more, nil
}

func (q *queue) browsed(e *entry) Browsed {
	return Browsed{Message: e.msg, Dest: q.shownDest(e.msg, e.overlay), Lane: e.lane, Seq: e.seq, Attempts: e.attempts,
		Expiration: e.expiry, Overlay: e.overlay, Persistent: e.src == durable}
}

// inMemory returns a lane's messages that no store has, ready, delayed and in flight.
func (q *queue) inMemory(l store.Lane, after store.Seq) (page []Browsed) {
	q.mu.Lock()
	defer q.mu.Unlock()
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
	return page
}
