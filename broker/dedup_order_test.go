package broker_test

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"treadmq/broker"
	"treadmq/store"
)

// Of many that send one id at a time exactly one is taken, and nobody is told of a repeat before that is on disk.
func TestDedupConcurrent(t *testing.T) {
	r := newRig(t)
	a := []broker.Destination{queueNamed("a")}
	const senders, ids = 8, 200
	taken := make([][senders]sent, ids)
	var wg sync.WaitGroup
	for s := range senders {
		c := r.connect()
		wg.Go(func() {
			for i := range ids {
				taken[i][s] = c.once(a, "x", withID(fmt.Sprint(i)))
			}
		})
	}
	wg.Wait()
	for i, all := range taken {
		fresh := 0
		for _, x := range all {
			if x.err != nil || x.first != all[0].first {
				t.Fatalf("id %d: %+v", i, all)
			}
			if !x.repeat {
				fresh++
			}
		}
		if fresh != 1 {
			t.Fatalf("id %d was taken %d times", i, fresh)
		}
	}
	if n := r.depth(a[0]); n != ids {
		t.Errorf("%d messages", n)
	}
}

// heldStore holds back what was committed until it is told to go on.
type heldStore struct {
	store.Store
	mu    sync.Mutex
	hold  bool
	held  []func()
	fails error
}

func (h *heldStore) Append(b *store.Batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails != nil && b.Grows() {
		return h.fails
	}
	if done := b.Done; done != nil {
		b.Done = func(b *store.Batch, err error) {
			h.mu.Lock()
			if h.hold {
				h.held = append(h.held, func() { done(b, err) })
				h.mu.Unlock()
				return
			}
			h.mu.Unlock()
			done(b, err)
		}
	}
	return h.Store.Append(b)
}

// FindKey knows nothing of what is held back.
func (h *heldStore) FindKey(d store.DestID, l store.Lane, key string) (store.Stored, error) {
	h.mu.Lock()
	hold := h.hold
	h.mu.Unlock()
	if hold {
		return store.Stored{}, store.ErrNotFound
	}
	return h.Store.FindKey(d, l, key)
}

func (h *heldStore) release() {
	h.mu.Lock()
	held := h.held
	h.held, h.hold = nil, false
	h.mu.Unlock()
	for _, f := range held {
		f()
	}
}

// A repeat of what is on its way to the disk is answered when that is there, and not before. Such an id is
// not forgotten, however many follow.
func TestDedupWaitsForTheFirst(t *testing.T) {
	h := &heldStore{}
	r := newRig(t, func(r *rig) { r.options = func(o *broker.Options) { o.RecentIDs = 1 } }, func(r *rig) { r.wrap = func(s store.Store) store.Store { h.Store = s; return h } })
	a := []broker.Destination{queueNamed("a")}
	c := r.connect()
	c.send(a[0], "makes the queue")
	h.mu.Lock()
	h.hold = true
	h.mu.Unlock()
	done := make(chan string, 4)
	send := func(who, id string) *broker.Dedup {
		w, m, d := c.NewWork(), message(a[0], who), withID(id)
		m.SetDedup(d)
		if err := w.Send(a, m); err != nil {
			t.Fatal(err)
		}
		w.Flush(func(err error) {
			if err != nil {
				who += err.Error()
			}
			done <- who
		})
		return d
	}
	send("first", "x")
	send("other", "y")
	send("another", "z")
	second := send("second", "x")
	until(t, "it comes to that", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.held) >= 5 })
	select {
	case who := <-done:
		t.Fatalf("%s was answered before the disk had it", who)
	default:
	}
	h.release()
	for _, want := range []string{"first", "other", "another", "second"} {
		if who := <-done; who != want {
			t.Errorf("%s was answered, want %s", who, want)
		}
	}
	if first, repeat := second.Duplicate(); !repeat || first == 0 {
		t.Errorf("the second one: repeat %t of %d", repeat, first)
	}
}

// slowAppend keeps whoever appends an id waiting, and then takes it or not.
type slowAppend struct {
	store.Store
	entered chan struct{}
	verdict chan error
}

func (s *slowAppend) Append(b *store.Batch) error {
	for i := range b.Ops {
		if b.Ops[i].Message.DedupKey == "slow" {
			s.entered <- struct{}{}
			if err := <-s.verdict; err != nil {
				return err
			}
		}
	}
	return s.Store.Append(b)
}

// flushing is how many goroutines append a message with an id, or wait to do so.
func flushing() int {
	stacks := make([]byte, 4<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte(".(*Work).flushOnce("))
}

// A message that comes while the first one is claimed and not yet appended is decided when that is: it is a repeat,
// or takes its place if the store refused it.
func TestDedupBeforeTheFirstIsAppended(t *testing.T) {
	for _, verdict := range []error{nil, store.ErrFull} {
		for _, scheduled := range []bool{false, true} {
			slow := &slowAppend{entered: make(chan struct{}), verdict: make(chan error)}
			r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { slow.Store = s; return slow } })
			a := []broker.Destination{queueNamed("a")}
			one, two := r.connect(), r.connect()
			first := make(chan sent, 1)
			go func() { first <- one.once(a, "first", withID("slow")) }()
			<-slow.entered
			w, m, d := two.NewWork(), message(a[0], "second"), withID("slow")
			m.SetDedup(d)
			var err error
			if scheduled {
				err = w.Schedule(a, m, &broker.Schedule{Delay: time.Hour})
			} else {
				err = w.Send(a, m)
			}
			if err != nil || w.Empty() {
				t.Fatalf("the second one: %v, empty: %t", err, w.Empty())
			}
			done := make(chan error, 1)
			go w.Flush(func(err error) { done <- err })
			until(t, "the second one waits for the first", func() bool { return len(done) > 0 || flushing() > 1 })
			if len(done) > 0 {
				t.Fatal("the second one is answered before the first one is appended")
			}
			slow.verdict <- verdict
			if verdict != nil {
				select {
				case <-slow.entered:
					slow.verdict <- nil
				case err := <-done:
					t.Fatalf("the first one was refused, the second one is answered (%v) and was not sent", err)
				}
			}
			got := <-first
			if err := <-done; err != nil || (got.err != nil) != (verdict != nil) {
				t.Fatalf("first %+v, then %v", got, err)
			}
			of, repeat := d.Duplicate()
			if repeat != (verdict == nil) || (repeat && of != got.first) {
				t.Errorf("the store said %v: first %+v, then repeat %t of %d", verdict, got, repeat, of)
			}
			if n := r.depth(a[0]) + r.b.ScheduleCount(); n != 1 {
				t.Errorf("the store said %v: %d messages", verdict, n)
			}
			r.close()
		}
	}
}

// What the store refuses leaves the id free, and a producer's number.
func TestDedupRefused(t *testing.T) {
	h := &heldStore{}
	r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { h.Store = s; return h } })
	a := []broker.Destination{queueNamed("a")}
	c := r.connect()
	c.mustOnce(false, 0, a, withID("0"))
	c.mustOnce(false, 0, a, numbered("p", 1))
	set := func(err error) { h.mu.Lock(); h.fails = err; h.mu.Unlock() }
	for range 2 {
		set(store.ErrFull)
		for _, d := range []*broker.Dedup{withID("1"), numbered("p", 2), numbered("new", 7)} {
			if got := c.once(a, "x", d); got.err == nil {
				t.Fatalf("%+v was taken: %+v", *d, got)
			}
		}
		set(nil)
		if last, known := c.ProducerSeq("p"); !known || last != 1 {
			t.Fatalf("the producer's last number is %d (%t)", last, known)
		}
	}
	c.mustOnce(false, 0, a, withID("1"))
	c.mustOnce(false, 0, a, numbered("p", 2))
	c.mustOnce(false, 0, a, numbered("new", 7))
	r.restart()
	c = r.connect()
	c.mustOnce(true, 0, a, withID("1"))
	c.mustOnce(true, 0, a, numbered("p", 2))
	c.mustOnce(true, 0, a, numbered("new", 6))
}

// A transaction keeps a message whose first one is not appended yet, and sends it if that was refused. What it left out
// is counted.
func TestDedupTransactionBeforeTheFirstIsAppended(t *testing.T) {
	slow := &slowAppend{entered: make(chan struct{}), verdict: make(chan error)}
	r := newRig(t, withRecent(1), func(r *rig) { r.wrap = func(s store.Store) store.Store { slow.Store = s; return slow } })
	q := queueNamed("a")
	a := []broker.Destination{q}
	one, two := r.connect(), r.connect()
	old := one.mustOnce(false, 0, a, withID("old"))
	tx, err := two.Begin("t")
	if err != nil {
		t.Fatal(err)
	}
	add := func(id string) *broker.Dedup {
		t.Helper()
		m, d := message(q, id), withID(id)
		m.SetDedup(d)
		if err := tx.Send(a, m); err != nil {
			t.Fatal(err)
		}
		return d
	}
	if of, is := add("old").Duplicate(); !is || of != old {
		t.Errorf("repeat %t of %d, want %d", is, of, old)
	}
	first := make(chan sent, 1)
	go func() { first <- one.once(a, "first", withID("slow")) }()
	<-slow.entered
	d := add("slow")
	if _, is := d.Duplicate(); is {
		t.Error("it is called a repeat of what is not appended yet")
	}
	slow.verdict <- store.ErrFull
	if got := <-first; got.err == nil {
		t.Fatal("the first one was taken")
	}
	w, done := two.NewWork(), make(chan error, 1)
	if err := w.Commit(tx); err != nil {
		t.Fatal(err)
	}
	go w.Flush(func(err error) { done <- err })
	<-slow.entered
	slow.verdict <- nil
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, is := d.Duplicate(); is || r.depth(q) != 2 || r.queue(q).Duplicates != 1 {
		t.Errorf("repeat %t, %d messages, %d repeats are counted", is, r.depth(q), r.queue(q).Duplicates)
	}
}

// The same for an id that may have been forgotten, which is looked up again while the first one is being appended.
func TestDedupLookedUpBeforeTheFirstIsAppended(t *testing.T) {
	slow, tr := &slowAppend{entered: make(chan struct{}), verdict: make(chan error)}, &trap{}
	r := newRig(t, withRecent(1), func(r *rig) {
		r.wrap = func(s store.Store) store.Store { slow.Store = s; return &trapped{slow, tr} }
	})
	q := queueNamed("a")
	a := []broker.Destination{q}
	one, two := r.connect(), r.connect()
	one.mustOnce(false, 0, a, withID("makes the window"))
	w, d := two.NewWork(), withID("slow")
	sendOnce(t, w, q, d)
	sendOnce(t, w, q, withID("is looked up next"))
	for i := range 3 {
		one.mustOnce(false, 0, a, withID(fmt.Sprint(i)))
	}
	first := make(chan sent, 1)
	go func() { first <- one.once(a, "first", withID("slow")) }()
	<-slow.entered
	next := make(chan struct{})
	var once sync.Once
	tr.setFind(func(id string) error {
		if id == "is looked up next" {
			once.Do(func() { close(next) })
		}
		return nil
	})
	done := make(chan error, 1)
	go w.Flush(func(err error) { done <- err })
	<-next
	slow.verdict <- store.ErrFull
	<-slow.entered
	slow.verdict <- nil
	if got := <-first; got.err == nil {
		t.Fatal("the first one was taken")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, is := d.Duplicate(); is || r.depth(q) != 6 {
		t.Errorf("repeat %t, %d messages", is, r.depth(q))
	}
}
