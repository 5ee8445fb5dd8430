package broker

import (
	"iter"
	"sort"
)

type slotState uint8

const (
	slotFree slotState = iota
	slotOut            // in flight
	slotInTx           // acknowledged in an open transaction
)

// slot is one delivery in flight.
type slot struct {
	e     *entry // nil: from a topic
	q     *queue
	id    uint64 // message
	tag   uint64
	size  uint32
	state slotState
	taken bool // the writer has it: it may have reached the client
}

// minSqueeze is the number of slots below which free ones between others stay.
const minSqueeze = 256

// push adds a delivery and returns its tag. c.mu is held.
func (s *Subscription) push(sl slot) uint64 {
	sl.tag = s.next
	s.next++
	s.live++
	s.slots = append(s.slots, sl)
	return sl.tag
}

// find returns the index of the first slot with that tag or a higher one. c.mu is held.
func (s *Subscription) find(tag uint64) int {
	if s.head == len(s.slots) || tag <= s.slots[s.head].tag {
		return s.head
	}
	d := tag - s.slots[s.head].tag
	n := uint64(len(s.slots) - s.head)
	if d < n && s.slots[s.head+int(d)].tag == tag {
		return s.head + int(d) // no slot before it was squeezed out
	}
	live := s.slots[s.head:]
	return s.head + sort.Search(int(min(d, n)), func(i int) bool { return live[i].tag >= tag })
}

// slot returns a delivery in flight, or nil. c.mu is held.
func (s *Subscription) slot(tag uint64) *slot {
	i := s.find(tag)
	if i == len(s.slots) || s.slots[i].tag != tag || s.slots[i].state == slotFree {
		return nil
	}
	return &s.slots[i]
}

// outstanding yields the deliveries with tags first to last that are not in a
// transaction. Slots may be freed meanwhile. c.mu is held.
func (s *Subscription) outstanding(first, last uint64) iter.Seq[*slot] {
	return func(yield func(*slot) bool) {
		for i := s.find(first); i < len(s.slots) && s.slots[i].tag <= last; i++ {
			if s.slots[i].state == slotOut && !yield(&s.slots[i]) {
				return
			}
		}
	}
}

// free ends a delivery; trim is to be called afterwards. c.mu is held.
func (s *Subscription) free(sl *slot) {
	*sl = slot{tag: sl.tag}
	s.live--
}

// trim forgets free slots: those at the front, and when most are free, all, so that an
// old delivery does not pin those that followed. c.mu is held.
func (s *Subscription) trim() {
	for s.head < len(s.slots) && s.slots[s.head].state == slotFree {
		s.head++
	}
	n := len(s.slots) - s.head
	switch {
	case n == 0:
		s.slots, s.head = s.slots[:0], 0
	case n > minSqueeze && s.live < n/2:
		s.squeeze()
	case s.head > minSqueeze && s.head > len(s.slots)/2:
		k := copy(s.slots, s.slots[s.head:])
		clear(s.slots[k:])
		s.slots, s.head = s.slots[:k], 0
	}
}

func (s *Subscription) squeeze() {
	kept := s.slots[:0]
	for i := range s.slots[s.head:] {
		if sl := &s.slots[s.head+i]; sl.state != slotFree {
			kept = append(kept, *sl)
		}
	}
	clear(s.slots[len(kept):])
	s.slots, s.head = kept, 0
}

// FindMessage returns the oldest outstanding delivery of a message.
func (s *Subscription) FindMessage(id uint64) (tag uint64, ok bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for i := s.head; i < len(s.slots); i++ {
		if sl := &s.slots[i]; sl.state == slotOut && sl.id == id {
			return sl.tag, true
		}
	}
	return 0, false
}

// Oldest returns the first outstanding delivery.
func (s *Subscription) Oldest() (tag uint64, ok bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for i := s.head; i < len(s.slots); i++ {
		if s.slots[i].state == slotOut {
			return s.slots[i].tag, true
		}
	}
	return 0, false
}

// Issued reports whether the tag was handed out at some time.
func (s *Subscription) Issued(tag uint64) bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return tag > 0 && tag < s.next
}
