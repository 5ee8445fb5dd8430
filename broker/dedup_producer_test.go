package broker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"treadmq/broker"
	"treadmq/store"
)

// producerRefs is how many references remember producers in the store.
func (r *rig) producerRefs() int64 {
	r.t.Helper()
	var id uint32
	err := r.st.Catalog(func(key, value []byte) error {
		if key[0] == 'w' && key[1] == 0xff {
			id = uint32(value[0])<<24 | uint32(value[1])<<16 | uint32(value[2])<<8 | uint32(value[3])
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.st.Counts()[store.DestID(id)][0].Refs
}

// However often a producer sends, is refused and the broker starts again, it is one reference, and one that the next
// batch removes. Of several numbers in one batch the last one counts.
func TestDedupProducerIsOneReference(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr))
	q := queueNamed("a")
	a := []broker.Destination{q}
	n := uint64(0)
	send := func() {
		t.Helper()
		n++
		r.connect().mustOnce(false, 0, a, numbered("p", n))
	}
	check := func(when string) {
		t.Helper()
		until(t, when+" there are two references at most", func() bool { return r.producerRefs() <= 2 })
	}
	for range 10 {
		send()
	}
	check("after some messages")
	for range 5 {
		tr.set(full)
		if got := r.connect().once(a, "x", numbered("p", n+1)); got.err == nil {
			t.Fatal("it was taken")
		}
		tr.set(nil)
		send()
	}
	check("after refusals")
	for range 5 {
		r.crash()
		send()
		send()
	}
	check("after power cuts")
	c := r.connect()
	w := c.NewWork()
	for range 5 {
		n++
		sendOnce(t, w, q, numbered("p", n))
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	r.crash()
	if last, known := r.connect().ProducerSeq("p"); last != n || !known {
		t.Errorf("the last number is %d (%t), want %d", last, known, n)
	}
}

// A number that is on its way is not taken yet: a repeat waits for it, and nobody is told that it is the last one.
func TestDedupProducerWaits(t *testing.T) {
	h := &heldStore{}
	r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { h.Store = s; return h } })
	q := queueNamed("a")
	c := r.connect()
	c.mustOnce(false, 0, []broker.Destination{q}, numbered("p", 4))
	tx, err := c.Begin("t")
	if err != nil {
		t.Fatal(err)
	}
	m := message(q, "volatile", volatile)
	m.SetDedup(numbered("memory", 1))
	for _, m := range []*broker.Message{m, message(q, "stored")} {
		if err := tx.Send([]broker.Destination{q}, m); err != nil {
			t.Fatal(err)
		}
	}
	h.mu.Lock()
	h.hold = true
	h.mu.Unlock()
	done := make(chan string, 6)
	begin := func(w *broker.Work, who string) {
		w.Flush(func(err error) {
			if err != nil {
				who += err.Error()
			}
			done <- who
		})
	}
	send := func(who string, d *broker.Dedup, opts ...msgOption) *broker.Dedup {
		w := c.NewWork()
		sendOnce(t, w, q, d, opts...)
		begin(w, who)
		return d
	}
	send("fifth", numbered("p", 5))
	send("new", numbered("new", 1))
	again := send("fifth again", numbered("p", 5))
	w := c.NewWork()
	if err := w.Commit(tx); err != nil {
		t.Fatal(err)
	}
	begin(w, "transaction")
	memory := send("memory again", numbered("memory", 1), volatile)
	until(t, "all are on their way", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.held) >= 5 || len(done) > 0 })
	if last, known := c.ProducerSeq("p"); last != 4 || !known {
		t.Errorf("the last number is %d (%t) before the next one is on disk", last, known)
	}
	for _, name := range []string{"new", "memory"} {
		if last, known := c.ProducerSeq(name); known {
			t.Errorf("%s is known, at %d, before its first message is on disk", name, last)
		}
	}
	select {
	case who := <-done:
		t.Fatalf("%s was answered before that was on disk", who)
	default:
	}
	h.release()
	for _, want := range []string{"fifth", "new", "fifth again", "transaction", "memory again"} {
		if who := <-done; who != want {
			t.Errorf("%s was answered, want %s", who, want)
		}
	}
	for _, d := range []*broker.Dedup{again, memory} {
		if of, is := d.Duplicate(); !is || of == 0 {
			t.Errorf("%s: repeat %t of %d", d.Producer, is, of)
		}
	}
	older := numbered("p", 4)
	c.mustOnce(true, 0, []broker.Destination{q}, older)
	if of, _ := older.Duplicate(); of != 0 {
		t.Errorf("the id of the fourth message is said to be %d; it is not known any more", of)
	}
}

// Of too many producers the one that was silent for longest is forgotten. The others are known after a restart, and the
// store has no more of them.
func TestDedupProducersAreBounded(t *testing.T) {
	const most = 10_000
	var mu sync.Mutex
	now := time.Now()
	r := newRig(t, func(r *rig) { r.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now } })
	c, q := r.connect(), queueNamed("a")
	tick := func() { mu.Lock(); now = now.Add(time.Millisecond); mu.Unlock() }
	send := func(w *broker.Work, i int, seq uint64) {
		t.Helper()
		sendOnce(t, w, q, numbered(fmt.Sprint("p", i), seq))
	}
	for i := 0; i < most; {
		w := c.NewWork()
		for ; i < most && w.Size() < 50_000; i++ {
			send(w, i, 1)
		}
		if err := flush(t, w); err != nil {
			t.Fatal(err)
		}
		tick()
	}
	one := func(i int, seq uint64) {
		t.Helper()
		tick()
		w := c.NewWork()
		send(w, i, seq)
		if err := flush(t, w); err != nil {
			t.Fatal(err)
		}
	}
	one(0, 2) // heard of again
	one(most, 1)
	known := func() (n int) {
		for i := range most + 1 {
			if _, is := c.ProducerSeq(fmt.Sprint("p", i)); is {
				n++
			}
		}
		return n
	}
	check := func(when string) {
		t.Helper()
		if n := known(); n != most {
			t.Errorf("%s %d producers are known, want %d", when, n, most)
		}
		for i, want := range map[int]uint64{0: 2, most - 1: 1, most: 1} {
			if last, _ := c.ProducerSeq(fmt.Sprint("p", i)); last != want {
				t.Errorf("%s producer %d is at %d, want %d", when, i, last, want)
			}
		}
	}
	check("at first")
	one(most, 2)
	one(most, 3)
	until(t, "the store forgets it too", func() bool { return r.producerRefs() <= most+1 })
	r.restart()
	c = r.connect()
	for i, want := range map[int]uint64{0: 2, most - 1: 1, most: 3} {
		if last, _ := c.ProducerSeq(fmt.Sprint("p", i)); last != want {
			t.Errorf("after a restart producer %d is at %d, want %d", i, last, want)
		}
	}
}
