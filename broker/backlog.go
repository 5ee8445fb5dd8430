package broker

import "slices"

// pendingMessage is a topic's message for one subscription.
type pendingMessage struct {
	t    *topic
	m    *Message // nil: was taken out of the middle of a backlog
	exp  int64
	over []byte // of a copy that was forwarded
}

// backlog is what waits for a topic subscription's credit, bounded in messages
// and bytes. When it is full one goes: which is the eviction's to say.
type backlog struct {
	limit      int
	limitBytes int64
	evict      Evict
	items      []pendingMessage
	head       int
	n          int // items from head on with a message
	bytes      int64
	dropped    uint64
	base       uint64 // position of items[0]; positions only grow
	eviction   *eviction
}

// eviction knows, beside the oldest, which messages of a backlog go first. It names
// them by position; those that have been delivered meanwhile are passed over.
type eviction struct {
	byPriority [10][]uint64      // lowest priority first
	key        string            // header: of messages with one value the older go first
	latest     map[string]uint64 // of each value
	older      []uint64          // those with a newer one of their value, oldest first
}

// setEviction changes what goes when the backlog is full.
func (b *backlog) setEviction(e Evict, key string) {
	b.evict = e
	if e != EvictLowestPriority && e != EvictOlderOfKey {
		b.eviction = nil
		return
	}
	if b.eviction != nil && b.eviction.key == key {
		return
	}
	b.eviction = &eviction{key: key}
	for i := b.head; i < len(b.items); i++ {
		if m := b.items[i].m; m != nil {
			b.note(m, b.base+uint64(i))
		}
	}
}

func (b *backlog) len() int { return b.n }

// pop takes the oldest. There must be one.
func (b *backlog) pop() pendingMessage {
	for b.items[b.head].m == nil {
		b.head++
	}
	p := b.items[b.head]
	b.take(b.head)
	b.head++
	b.shrink()
	return p
}

// take leaves a gap.
func (b *backlog) take(i int) {
	m := b.items[i].m
	b.n--
	b.bytes -= int64(m.Size())
	if e := b.eviction; e != nil && e.latest != nil {
		if key := string(m.header(e.key)); e.latest[key] == b.base+uint64(i) {
			delete(e.latest, key)
		}
	}
	b.items[i] = pendingMessage{}
}

// shrink gives back the room of what is gone.
func (b *backlog) shrink() {
	switch {
	case b.n == 0:
		b.base += uint64(len(b.items))
		b.items, b.head = b.items[:0], 0
	case b.head > 256 && b.head > len(b.items)/2:
		n := copy(b.items, b.items[b.head:])
		clear(b.items[n:])
		b.base += uint64(b.head)
		b.items, b.head = b.items[:n], 0
	}
}

// add puts a message behind the others.
func (b *backlog) add(p pendingMessage) {
	b.items = append(b.items, p)
	b.n++
	b.bytes += int64(p.m.Size())
}

// push adds a message and returns how many went for it.
func (b *backlog) push(p pendingMessage) (dropped int) {
	b.add(p)
	if b.eviction != nil {
		b.note(p.m, b.base+uint64(len(b.items)-1))
	}
	for b.n > 1 && ((b.limit > 0 && b.n > b.limit) || (b.limitBytes > 0 && b.bytes > b.limitBytes)) {
		b.dropOne()
		dropped++
	}
	b.dropped += uint64(dropped)
	if len(b.items)-b.head > 2*b.n+256 {
		b.closeGaps()
	}
	return dropped
}

// closeGaps gives every message a new position.
func (b *backlog) closeGaps() {
	b.base += uint64(len(b.items))
	kept := slices.DeleteFunc(b.items[b.head:], func(p pendingMessage) bool { return p.m == nil })
	b.items, b.head = slices.Clone(kept), 0
	if b.eviction == nil {
		return
	}
	b.eviction = &eviction{key: b.eviction.key}
	for i := range b.items {
		b.note(b.items[i].m, b.base+uint64(i))
	}
}

// note keeps the position of a message.
func (b *backlog) note(m *Message, pos uint64) {
	e := b.eviction
	if e.key == "" {
		l := &e.byPriority[min(m.Priority(), 9)]
		*l = append(b.waiting(*l), pos)
		return
	}
	key := string(m.header(e.key))
	if key == "" {
		return
	}
	if e.latest == nil {
		e.latest = map[string]uint64{}
	}
	if old, ok := e.latest[key]; ok {
		e.older = b.waiting(e.older)
		at, _ := slices.BinarySearch(e.older, old)
		e.older = slices.Insert(e.older, at, old)
	}
	e.latest[key] = pos
}

// waiting leaves out the positions at the front that are delivered.
func (b *backlog) waiting(list []uint64) []uint64 {
	for len(list) > 0 && !b.has(list[0]) {
		list = list[1:]
	}
	return list
}

func (b *backlog) has(pos uint64) bool {
	return pos >= b.base+uint64(b.head) && b.items[pos-b.base].m != nil
}

// dropOne makes room.
func (b *backlog) dropOne() {
	if e := b.eviction; e != nil {
		lists := e.byPriority[:]
		if e.key != "" {
			lists = [][]uint64{e.older}
		}
		for i := range lists {
			list := b.waiting(lists[i])
			if len(list) > 0 {
				b.take(int(list[0] - b.base))
				b.setList(i, list[1:])
				return
			}
			b.setList(i, nil)
		}
	}
	b.pop()
}

func (b *backlog) setList(i int, list []uint64) {
	if b.eviction.key != "" {
		b.eviction.older = list
	} else {
		b.eviction.byPriority[i] = list
	}
}

func (b *backlog) clear() {
	b.items, b.head, b.n, b.bytes = nil, 0, 0, 0
	if b.eviction != nil {
		b.eviction = &eviction{key: b.eviction.key}
	}
}
