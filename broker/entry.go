package broker

import (
	"slices"
	"sort"

	"treadmq/store"
)

// source says where a reference lives.
type source uint8

const (
	durable   source = iota // the store
	transient               // memory, or the temporary store when memory is short
	sources
)

// entry is a reference in memory: a message's place in one queue. It belongs to
// the queue (guarded by queue.mu) while it is ready or delayed, and to the
// subscription's connection (guarded by Conn.mu) while it is in flight.
type entry struct {
	seq      store.Seq
	loc      store.Loc
	msg      *Message // nil: not in memory, read it at loc
	id       uint64
	expiry   int64
	overlay  []byte
	attempts uint32 // deliveries so far
	size     uint32
	lane     store.Lane
	src      source
	stored   bool // in a store: the message can be read again
	charged  bool // its bytes count as memory
	out      bool // taken from beyond the window: queue.out hides it from the loader
	grp      *group
}

// entryOverhead is what an entry costs in memory beside its encoded message, in
// bytes; maxReady bounds the entries of a lane in memory whatever their size.
const (
	entryOverhead = 256
	maxReady      = 16_384
)

// maxExpiring bounds the expired entries of a queue that wait to be settled.
const maxExpiring = 4096

// cost is what the entry with its message takes of the memory's budget.
func (e *entry) cost() int64 { return int64(e.size) + entryOverhead }

// entryList is a list of entries in order of seq. Adding at the end and taking
// from the front are cheap.
type entryList struct {
	items []*entry
	head  int
}

func (l *entryList) len() int      { return len(l.items) - l.head }
func (l *entryList) first() *entry { return l.items[l.head] }
func (l *entryList) last() *entry  { return l.items[len(l.items)-1] }
func (l *entryList) all() []*entry { return l.items[l.head:] }
func (l *entryList) search(s store.Seq) int {
	live := l.all()
	return sort.Search(len(live), func(i int) bool { return live[i].seq >= s })
}

func (l *entryList) pop() *entry {
	e := l.items[l.head]
	if e.grp != nil {
		e.grp.ready--
	}
	l.items[l.head] = nil
	l.head++
	switch {
	case l.head == len(l.items):
		l.items, l.head = l.items[:0], 0
		if cap(l.items) > 4096 {
			l.items = nil
		}
	case l.head > 1024 && l.head > len(l.items)/2:
		n := copy(l.items, l.items[l.head:])
		clear(l.items[n:])
		l.items, l.head = l.items[:n], 0
	}
	return e
}

// insert puts e in its place and reports false when its seq is there already.
func (l *entryList) insert(e *entry) bool {
	ok := l.place(e)
	if ok && e.grp != nil {
		e.grp.ready++
	}
	return ok
}

func (l *entryList) place(e *entry) bool {
	if l.len() == 0 || l.last().seq < e.seq {
		l.items = append(l.items, e)
		return true
	}
	if l.head > 0 && e.seq < l.first().seq {
		l.head--
		l.items[l.head] = e
		return true
	}
	i := l.search(e.seq)
	if l.all()[i].seq == e.seq {
		return false
	}
	l.items = slices.Insert(l.items, l.head+i, e)
	return true
}

// take removes the entry with the given seq.
func (l *entryList) take(s store.Seq) *entry {
	i := l.search(s)
	if i >= l.len() || l.all()[i].seq != s {
		return nil
	}
	e := l.all()[i]
	if i == 0 {
		return l.pop()
	}
	l.items = slices.Delete(l.items, l.head+i, l.head+i+1)
	if e.grp != nil {
		e.grp.ready--
	}
	return e
}

func (l *entryList) reset() []*entry {
	all := slices.Clone(l.all())
	for _, e := range all {
		if e.grp != nil {
			e.grp.ready--
		}
	}
	l.items, l.head = nil, 0
	return all
}

// hasHead reports whether the lane's next entry is in memory. What was taken out
// from behind the window and came back is not next before the window reaches it,
// nor is what arrived after a message that is on its way to the temporary store.
func (l *lane) hasHead() bool {
	if l.ready.len() == 0 {
		return false
	}
	s := l.ready.first().seq
	return (!l.paged || s <= l.pagedAfter) && (len(l.spills) == 0 || s < l.spills[0])
}

// waits reports whether the lane has something although it has no head.
func (l *lane) waits() bool { return l.paged || l.ready.len() > 0 }

// window is how many entries in memory are before the paged ones, loadLow if more.
func (l *lane) window() int {
	if l.ready.len() < loadLow {
		return l.ready.len()
	}
	return min(l.ready.search(l.pagedAfter+1), loadLow)
}

// lane is one priority of a queue and source. Entries with seq <= pagedAfter, or
// all when the lane is not paged, are in memory or held by a consumer; the
// others are only in the store.
type lane struct {
	ready      entryList
	paged      bool
	loading    bool
	pagedAfter store.Seq
	maxSeq     store.Seq   // highest that became visible in a store
	mark       store.Seq   // committed delivery mark (durable only)
	asked      store.Seq   // mark that was asked for
	spills     []store.Seq // each message on its way to the temporary store has a higher one
	index      *laneIndex  // of what is paged, by headers; nil: none
	recovered  store.Seq   // mark at start: up to here a message may have been delivered before
}
