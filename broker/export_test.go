package broker

import (
	"fmt"
	"strings"
	"sync"

	"treadmq/store"
)

// Stall stops the broker's own goroutine, which does what can wait, until the returned function is called.
func (b *Broker) Stall() (goOn func()) {
	stalled, end := make(chan struct{}), make(chan struct{})
	b.later(func() { close(stalled); <-end })
	<-stalled
	return sync.OnceFunc(func() { close(end) })
}

// LookRounds is how often a Work looks up ids before it claims them.
const LookRounds = lookRounds

// Dump shows a queue's inside, for a test that failed.
func (b *Broker) Dump(d Destination) string {
	q, err := b.existing(d)
	if err != nil {
		return err.Error()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var w strings.Builder
	fmt.Fprintf(&w, "depth %d inflight %d delayed %d reserved %d mem %d paged %d held %d out %v loadErr %v\n",
		q.depth.Load(), q.inflight, q.delayed, q.reserved.Load(), q.mem.Load(), q.paged, q.held, q.out, q.loadErr)
	for src := range sources {
		for l := range store.Lanes {
			ln := &q.lanes[src][l]
			if ln.ready.len() == 0 && !ln.paged {
				continue
			}
			fmt.Fprintf(&w, "source %d lane %d paged %v loading %v after %x max %x mark %x asked %x:", src, l, ln.paged, ln.loading, ln.pagedAfter, ln.maxSeq, ln.mark, ln.asked)
			for _, e := range ln.ready.all() {
				key, body := "", []byte("not in memory")
				if e.msg != nil {
					v, _ := findProperty(e.msg.Properties(), "key")
					key, body = fmt.Sprint(v), e.msg.Body()
				}
				fmt.Fprintf(&w, " %x(%s %s out %v)", e.seq, body, key, e.out)
			}
			fmt.Fprintln(&w)
		}
	}
	for _, s := range q.subs {
		s.c.mu.Lock()
		fmt.Fprintf(&w, "sub %d started %v closed %v credit %d/%d bytes %d selector %q\n", s.serial, s.started, s.closed, s.credit, s.window, s.creditBytes, s.opt.Selector)
		s.c.mu.Unlock()
	}
	for _, sc := range q.scans {
		fmt.Fprintf(&w, "scan of %d reading %v seen %x\n", sc.sub.serial, sc.reading, sc.seen)
	}
	return w.String()
}

// Wildcards is the number of subscriptions with patterns.
func (b *Broker) Wildcards() int {
	b.destMu.RLock()
	defer b.destMu.RUnlock()
	return len(b.wild)
}

// Hidden is the number of references of a queue that are noted as taken from behind its window.
func (b *Broker) Hidden(d Destination) int {
	q, err := b.existing(d)
	if err != nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.out)
}

// Groups is the number of message groups that a queue remembers.
func (b *Broker) Groups(d Destination) int {
	q, err := b.existing(d)
	if err != nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.groups)
}

// Again is the same message as a new one.
func Again(m *Message) *Message { return &Message{enc: m.enc, dest: m.dest} }

// WakeScheduler lets the scheduler look at the clock, which a test has set.
func (b *Broker) WakeScheduler() { b.sched.wake() }

// SetStoreUse sets how much of the store's disk is used, until the next sweep.
func (b *Broker) SetStoreUse(percent int64) { b.storeUse.Store(percent) }

// IndexState is what a queue's index over headers is made of: runs, those of them without keys, bytes, and whether it is complete.
func (b *Broker) IndexState(d Destination) (runs, blind int, bytes int64, complete bool) {
	complete = true
	q, err := b.existing(d)
	if err != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for src := range sources {
		for l := range store.Lanes {
			ln := &q.lanes[src][l]
			if ln.index == nil {
				continue
			}
			var sum int64
			for _, bl := range ln.index.runs {
				runs++
				sum += bl.size()
				if bl.blind {
					blind++
				}
				complete = complete && !bl.gap
			}
			if sum != ln.index.bytes {
				panic(fmt.Sprintf("an index counts %d bytes and has %d", ln.index.bytes, sum))
			}
			bytes += sum
		}
	}
	return
}

// IndexMemory is what all indexes over headers are charged with.
func (b *Broker) IndexMemory() int64 { return b.indexMem.Load() }

// Bodies is how many of the deliveries in flight have their message in memory.
func (s *Subscription) Bodies() (n int) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for i := range s.slots {
		if e := s.slots[i].e; e != nil && e.msg != nil {
			n++
		}
	}
	return n
}
