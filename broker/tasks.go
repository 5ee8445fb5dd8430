package broker

import (
	"container/heap"
	"sync"
	"time"
)

// tasks runs functions one after the other on one goroutine.
type tasks struct {
	mu     sync.Mutex // guards what follows
	cond   *sync.Cond
	list   []func()
	closed bool
}

func newTasks() *tasks {
	t := &tasks{}
	t.cond = sync.NewCond(&t.mu)
	return t
}

func (t *tasks) add(fn func()) {
	t.mu.Lock()
	t.list = append(t.list, fn)
	t.mu.Unlock()
	t.cond.Signal()
}

// run returns after close, when the list is empty.
func (t *tasks) run() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for len(t.list) == 0 {
			if t.closed {
				return
			}
			t.cond.Wait()
		}
		list := t.list
		t.list = nil
		t.mu.Unlock()
		for _, fn := range list {
			fn()
		}
		t.mu.Lock()
	}
}

func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cond.Signal()
}

// timers call functions and give delayed entries back when their time has come.
type timers struct {
	now    func() time.Time
	mu     sync.Mutex // guards heap and closed
	heap   timerHeap
	closed bool
	kick   chan struct{} // capacity 1: the first timer changed
}

type timer struct {
	at time.Time
	q  *queue
	e  *entry
	fn func()
}

func newTimers(now func() time.Time) *timers {
	return &timers{now: now, kick: make(chan struct{}, 1)}
}

func (t *timers) add(q *queue, e *entry, at time.Time) { t.push(timer{at: at, q: q, e: e}) }
func (t *timers) call(at time.Time, fn func())         { t.push(timer{at: at, fn: fn}) }

func (t *timers) push(x timer) {
	t.mu.Lock()
	heap.Push(&t.heap, x)
	first := t.heap[0].at == x.at
	t.mu.Unlock()
	if first {
		t.wake()
	}
}

func (t *timers) wake() {
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

func (t *timers) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wake()
}

// run returns after close. What is still to come is dropped: delayed entries are
// in the store, and ready again after a start.
func (t *timers) run() {
	for {
		t.mu.Lock()
		var due []timer
		now := t.now()
		for len(t.heap) > 0 && !t.heap[0].at.After(now) {
			due = append(due, heap.Pop(&t.heap).(timer))
		}
		wait := time.Duration(-1)
		if len(t.heap) > 0 {
			wait = t.heap[0].at.Sub(now)
		}
		closed := t.closed
		t.mu.Unlock()
		if closed {
			return
		}
		for _, x := range due {
			if x.fn != nil {
				x.fn()
			} else {
				x.q.due(x.e)
			}
		}
		if len(due) > 0 {
			continue
		}
		t.sleep(wait)
	}
}

func (t *timers) sleep(wait time.Duration) {
	if wait < 0 {
		<-t.kick
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.kick:
	}
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = timer{}
	*h = old[:len(old)-1]
	return x
}
