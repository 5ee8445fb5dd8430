package stomp

import (
	"sync"
	"time"
)

// beats sends the server's heart-beats: one timer wheel and one goroutine for all connections, none per connection.
// The goroutine runs while any connection wants heart-beats, writes nothing itself and waits for nobody.
type beats struct {
	clock func() int64 // ms

	mu     sync.Mutex // guards what follows, and every beatEntry
	slots  [beatSlots]*session
	n      int   // sessions in slots
	tick   int64 // the last tick that was handled
	stop   chan struct{}
	closed bool
	wg     sync.WaitGroup
}

// The wheel turns once in 409.6 s, more than the longest interval that can be granted at 0.8 of its length. Longer
// ones take more than one turn.
const (
	beatTick  = 50 // ms
	beatSlots = 8192
)

// beatEntry is a session's place on the wheel.
type beatEntry struct {
	next, prev *session
	every      int64 // ms after the last write
	due        int64 // tick
	on         bool
}

// add begins to send s a heart-beat whenever nothing else was written for 0.8 of interval. STOMP 1.2, Heart-beating.
func (b *beats) add(s *session, interval time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if b.n == 0 {
		b.tick = b.clock() / beatTick
		b.stop = make(chan struct{})
		b.wg.Add(1)
		go b.run(b.stop)
	}
	s.beat.every = interval.Milliseconds() * 4 / 5
	s.wrote()
	b.insert(s, s.lastWrite.Load()+s.beat.every)
	b.n++
}

// remove ends the heart-beats of s, if it has any.
func (b *beats) remove(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.beat.on {
		return
	}
	b.unlink(s)
	if b.n--; b.n == 0 {
		close(b.stop)
	}
}

// close ends everything.
func (b *beats) close() {
	b.mu.Lock()
	if b.n > 0 {
		close(b.stop)
	}
	b.n, b.closed = 0, true
	b.mu.Unlock()
	b.wg.Wait()
}

func (b *beats) run(stop chan struct{}) {
	defer b.wg.Done()
	t := time.NewTicker(beatTick * time.Millisecond)
	defer t.Stop()
	var due []*session
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		due = b.turn(due[:0])
		for i, s := range due {
			s.out.heartBeat()
			due[i] = nil
		}
	}
}

// turn moves the wheel to the present and appends the sessions that have been silent for long enough.
func (b *beats) turn(due []*session) []*session {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == 0 {
		return due
	}
	now := b.clock()
	for to := now / beatTick; b.tick < to; {
		b.tick++
		for s := b.slots[b.tick%beatSlots]; s != nil; {
			next := s.beat.next
			if s.beat.due <= b.tick {
				due = b.look(s, now, due)
			}
			s = next
		}
	}
	return due
}

// look puts s in its next place and appends it to due if it was silent. b.mu is held.
func (b *beats) look(s *session, now int64, due []*session) []*session {
	at := s.lastWrite.Load() + s.beat.every
	if at < now+beatTick {
		due = append(due, s)
		at = now + s.beat.every
	}
	b.unlink(s)
	b.insert(s, at)
	return due
}

// insert puts s where it is looked at in the tick before at, in ms, but never in the present one. b.mu is held.
func (b *beats) insert(s *session, at int64) {
	e := &s.beat
	e.on, e.due = true, max(at/beatTick, b.tick+1)
	slot := &b.slots[e.due%beatSlots]
	e.next, e.prev = *slot, nil
	if e.next != nil {
		e.next.beat.prev = s
	}
	*slot = s
}

// unlink takes s off the wheel. b.mu is held.
func (b *beats) unlink(s *session) {
	e := &s.beat
	if e.prev != nil {
		e.prev.beat.next = e.next
	} else {
		b.slots[e.due%beatSlots] = e.next
	}
	if e.next != nil {
		e.next.beat.prev = e.prev
	}
	e.next, e.prev, e.on = nil, nil, false
}
