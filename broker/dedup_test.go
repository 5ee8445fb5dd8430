package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"treadmq/broker"
	"treadmq/store"
	"treadmq/store/local"
)

// sent is what came of a message with an id.
type sent struct {
	err    error
	repeat bool
	first  uint64
}

// once sends a message and waits.
func (c *client) once(dests []broker.Destination, body string, d *broker.Dedup, opts ...msgOption) sent {
	c.r.t.Helper()
	w := c.NewWork()
	m := message(dests[0], body, opts...)
	m.SetDedup(d)
	if err := w.Send(dests, m); err != nil {
		return sent{err: err}
	}
	if err := flush(c.r.t, w); err != nil {
		return sent{err: err}
	}
	first, repeat := d.Duplicate()
	if !repeat {
		first = m.ID()
	}
	return sent{repeat: repeat, first: first}
}

func withID(id string) *broker.Dedup { return &broker.Dedup{ID: id} }

func numbered(name string, n uint64) *broker.Dedup { return &broker.Dedup{Producer: name, Seq: n} }

func (c *client) mustOnce(repeat bool, first uint64, dests []broker.Destination, d *broker.Dedup, opts ...msgOption) uint64 {
	c.r.t.Helper()
	got := c.once(dests, "body", d, opts...)
	if got.err != nil || got.repeat != repeat || (first != 0 && got.first != first) {
		c.r.t.Fatalf("%+v: got %+v, want repeat %t of %d", *d, got, repeat, first)
	}
	return got.first
}

func (r *rig) depth(d broker.Destination) int64 {
	r.t.Helper()
	q, err := r.b.Queue(d)
	if err != nil {
		return 0
	}
	return q.Messages
}

// A repeat is recognised in its destination, over restarts and power cuts, wherever the index has the id.
func TestDedupOverRestarts(t *testing.T) {
	r := newRig(t)
	a, b := queueNamed("a"), queueNamed("b")
	first := r.connect().mustOnce(false, 0, []broker.Destination{a}, withID("x"))
	for _, again := range []func(){func() {}, r.restart, r.crash, func() { r.check() }, func() { r.lose(); r.open() }} {
		again()
		r.connect().mustOnce(true, first, []broker.Destination{a}, withID("x"))
	}
	c := r.connect()
	c.mustOnce(false, 0, []broker.Destination{b}, withID("x"))
	if r.depth(a) != 1 || r.depth(b) != 1 || r.queue(a).Duplicates != 1 {
		t.Fatalf("a has %d, b has %d; %d repeats", r.depth(a), r.depth(b), r.queue(a).Duplicates)
	}
}

func (r *rig) check() {
	r.t.Helper()
	if err := r.st.Checkpoint(); err != nil {
		r.t.Fatal(err)
	}
}

// lose closes the broker and takes the index away, so that it is made again from the journal.
func (r *rig) lose() {
	r.t.Helper()
	r.close()
	names, err := r.fs.ReadDir("store")
	if err != nil {
		r.t.Fatal(err)
	}
	if !slices.Contains(names, "index") {
		r.t.Fatalf("no index among %v", names)
	}
	if err := r.fs.RemoveAll("store/index"); err != nil {
		r.t.Fatal(err)
	}
}

// An index that is lost when the messages are consumed and their segments gone still has the ids.
func TestDedupOverCompaction(t *testing.T) {
	r := newRig(t)
	c, a := r.connect(), queueNamed("a")
	first := c.mustOnce(false, 0, []broker.Destination{a}, withID("x"))
	s := c.subscribe(a)
	c.settle(broker.AckAccept, c.take(1)...)
	filler := queueNamed("filler")
	f := c.subscribe(filler)
	big := string(make([]byte, 200<<10))
	for range 40 {
		c.send(filler, big)
		c.settle(broker.AckAccept, c.take(1)...)
	}
	_, _ = s, f
	r.close()
	if _, _, err := local.Compact(local.Options{FS: r.fs, Dir: "store"}); err != nil {
		t.Fatal(err)
	}
	r.open()
	if start := r.st.Stats().Start; start == 0 {
		t.Fatal("nothing was compacted away")
	}
	r.lose()
	r.open()
	r.connect().mustOnce(true, first, []broker.Destination{a}, withID("x"))
}

// The window ends by number and by time, exactly in the order in which ids came.
func TestDedupWindow(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.Dedup = broker.DedupPolicy{Count: 3, Time: time.Hour} }), func(r *rig) {
		r.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	a := []broker.Destination{queueNamed("a")}
	c := r.connect()
	for i := range 6 {
		c.mustOnce(false, 0, a, withID(fmt.Sprint(i)))
	}
	until(t, "it comes to that", func() bool { return c.once(a, "b", withID("5")).repeat && r.remembered("a") == 3 })
	for _, i := range []int{3, 4, 5} {
		c.mustOnce(true, 0, a, withID(fmt.Sprint(i)))
	}
	r.restart()
	c = r.connect()
	for _, i := range []int{3, 4, 5} {
		c.mustOnce(true, 0, a, withID(fmt.Sprint(i)))
	}
	c.mustOnce(false, 0, a, withID("2"))
	mu.Lock()
	now = now.Add(time.Hour)
	mu.Unlock()
	second := c.mustOnce(false, 0, a, withID("5"))
	c.mustOnce(true, second, a, withID("5"))
	until(t, "it comes to that", func() bool { return r.remembered("a") == 1 })
	c.mustOnce(true, second, a, withID("5"))
	mu.Lock()
	now = now.Add(time.Hour)
	mu.Unlock()
	third := c.mustOnce(false, 0, a, withID("5")) // what is in memory is too old, too
	r.restart()
	r.connect().mustOnce(true, third, a, withID("5"))
}

// remembered is how many ids the store has for a queue.
func (r *rig) remembered(name string) int64 {
	r.t.Helper()
	var id uint32
	err := r.st.Catalog(func(key, value []byte) error {
		if string(key) == "w"+string([]byte{byte(broker.Queue)})+name {
			id = uint32(value[0])<<24 | uint32(value[1])<<16 | uint32(value[2])<<8 | uint32(value[3])
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.st.Counts()[store.DestID(id)][0].Refs
}

// Lists, topics, durable subscriptions, memory, schedules.
func TestDedupDestinations(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	a, b := queueNamed("a"), queueNamed("b")
	both := []broker.Destination{a, b}
	c.mustOnce(false, 0, both, withID("1"))
	c.mustOnce(true, 0, both, withID("1"))
	c.mustOnce(false, 0, both[:1], withID("2"))
	c.mustOnce(false, 0, both, withID("2")) // b has not had it
	if r.depth(a) != 2 || r.depth(b) != 2 {
		t.Errorf("a has %d, b has %d", r.depth(a), r.depth(b))
	}
	vt := []broker.Destination{topicNamed("VirtualTopic.T")}
	consumer := queueNamed("Consumer.A.VirtualTopic.T")
	c.subscribe(consumer, prefetch(1))
	first := c.mustOnce(false, 0, vt, withID("1"))
	plain := []broker.Destination{topicNamed("t")}
	c.subscribe(plain[0], auto)
	c.mustOnce(false, 0, plain, withID("1"))
	c.mustOnce(true, 0, plain, withID("1"))
	c.mustOnce(false, 0, []broker.Destination{queueNamed("v")}, withID("1"), volatile)
	c.mustOnce(true, 0, []broker.Destination{queueNamed("v")}, withID("1"), volatile)
	c.take(2)
	later := func(want bool) {
		t.Helper()
		w, m, d := c.NewWork(), message(a, "later"), withID("later")
		m.SetDedup(d)
		if err := w.Schedule([]broker.Destination{a}, m, &broker.Schedule{Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if err := flush(t, w); err != nil {
			t.Fatal(err)
		}
		if _, repeat := d.Duplicate(); repeat != want {
			t.Errorf("scheduled: repeat %t", repeat)
		}
	}
	later(false)
	later(true)
	r.restart()
	c = r.connect()
	c.mustOnce(true, first, vt, withID("1"))
	later(true)
	c.mustOnce(false, 0, plain, withID("1")) // it was in memory only
	c.mustOnce(false, 0, []broker.Destination{queueNamed("v")}, withID("1"), volatile)
	if n := r.depth(consumer); n != 1 {
		t.Errorf("the virtual topic's consumer has %d", n)
	}
	if n := r.b.ScheduleCount(); n != 1 {
		t.Errorf("%d schedules", n)
	}
	c.take(0)
}

// All or nothing: repeats are left out of a transaction, and what it did not commit is not remembered.
func TestDedupTransactions(t *testing.T) {
	r := newRig(t)
	c, a := r.connect(), queueNamed("a")
	c.mustOnce(false, 0, []broker.Destination{a}, withID("old"))
	send := func(tx *broker.Tx, id string) *broker.Dedup {
		t.Helper()
		m, d := message(a, id), withID(id)
		m.SetDedup(d)
		if err := tx.Send([]broker.Destination{a}, m); err != nil {
			t.Fatal(err)
		}
		return d
	}
	tx, err := c.Begin("aborted")
	if err != nil {
		t.Fatal(err)
	}
	send(tx, "new")
	tx.Abort()
	tx, err = c.Begin("committed")
	if err != nil {
		t.Fatal(err)
	}
	if _, repeat := send(tx, "old").Duplicate(); !repeat {
		t.Error("the repeat in the transaction was not told")
	}
	send(tx, "new")
	send(tx, "new")
	send(tx, "raced")
	r.connect().mustOnce(false, 0, []broker.Destination{a}, withID("raced"))
	w := c.NewWork()
	if err := errors.Join(w.Commit(tx), flush(t, w)); err != nil {
		t.Fatal(err)
	}
	if n := r.depth(a); n != 3 {
		t.Errorf("%d messages, want old, raced and new", n)
	}
	c.mustOnce(true, 0, []broker.Destination{a}, withID("new"))
	r.crash()
	r.connect().mustOnce(true, 0, []broker.Destination{a}, withID("new"))
}

// With few ids in memory the store is asked, also for one that came and was forgotten while a transaction was open.
func TestDedupFewInMemory(t *testing.T) {
	r := newRig(t, func(r *rig) { r.options = func(o *broker.Options) { o.RecentIDs = 2 } })
	c, a := r.connect(), []broker.Destination{queueNamed("a")}
	tx, err := c.Begin("t")
	if err != nil {
		t.Fatal(err)
	}
	m := message(a[0], "x")
	m.SetDedup(withID("x"))
	if err := tx.Send(a, m); err != nil {
		t.Fatal(err)
	}
	other := r.connect()
	first := other.mustOnce(false, 0, a, withID("x"))
	for i := range 5 {
		other.mustOnce(false, 0, a, withID(fmt.Sprint(i)))
		other.mustOnce(false, 0, a, withID(fmt.Sprint("volatile ", i)), volatile)
	}
	w := c.NewWork()
	if err := errors.Join(w.Commit(tx), flush(t, w)); err != nil {
		t.Fatal(err)
	}
	if n := r.depth(a[0]); n != 11 {
		t.Errorf("%d messages", n)
	}
	other.mustOnce(true, first, a, withID("x"))
	other.mustOnce(true, 0, a, withID("volatile 4"), volatile)
	other.mustOnce(false, 0, a, withID("volatile 0"), volatile)
}

// A producer's numbers rise; whose it is counts, and one reference is kept for each.
func TestDedupProducers(t *testing.T) {
	r := newRig(t)
	a := []broker.Destination{queueNamed("a")}
	c := r.connect()
	if _, known := c.ProducerSeq("p"); known {
		t.Error("the producer is known before it sent anything")
	}
	var last uint64
	for n := uint64(1); n <= 20; n++ {
		last = c.mustOnce(false, 0, a, numbered("p", 2*n))
		c.mustOnce(true, last, a, numbered("p", 2*n))
		c.mustOnce(true, 0, a, numbered("p", 2*n-1))
	}
	for _, again := range []func(){r.restart, r.crash, func() { r.lose(); r.open() }} {
		again()
		c = r.connect()
		if n, known := c.ProducerSeq("p"); !known || n != 40 {
			t.Fatalf("the last number is %d (%t)", n, known)
		}
		c.mustOnce(true, last, a, numbered("p", 40))
	}
	c.mustOnce(false, 0, a, numbered("q", 1))
	until(t, "it comes to that", func() bool {
		n := int64(0)
		for id, lanes := range r.st.Counts() {
			if id != r.queue(a[0]).ID {
				n += lanes[0].Refs
			}
		}
		return n <= 3 // two producers, and one that the next batch removes
	})
	for _, bad := range []*broker.Dedup{{}, {ID: "x", Seq: 1}, {Producer: "p"}, withID(string(make([]byte, broker.MaxDedupID+1)))} {
		if got := c.once(a, "x", bad); got.err == nil {
			t.Errorf("%+v was taken", *bad)
		}
	}
}

// TestDedupModel sends, repeats, restarts and cuts the power at random, and expects each id once.
func TestDedupModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		defer r.close()
		dests := []broker.Destination{queueNamed("a"), queueNamed("b")}
		ids := map[broker.Destination]map[string]uint64{dests[0]: {}, dests[1]: {}}
		var last uint64
		numbers := 0
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(rt *rapid.T) {
				to := slices.Clone(dests[rapid.IntRange(0, 1).Draw(rt, "from"):rapid.IntRange(1, 2).Draw(rt, "to")])
				if len(to) == 0 {
					return
				}
				id := fmt.Sprint(rapid.IntRange(0, 20).Draw(rt, "id"))
				repeat := !slices.ContainsFunc(to, func(d broker.Destination) bool { return ids[d][id] == 0 })
				got := r.connect().once(to, id, withID(id))
				if got.err != nil || got.repeat != repeat || (repeat && len(to) == 1 && got.first != ids[to[0]][id]) {
					rt.Fatalf("%s to %v: %+v, want repeat %t of %d", id, to, got, repeat, ids[to[0]][id])
				}
				for _, d := range to {
					if ids[d][id] == 0 {
						ids[d][id] = got.first
					}
				}
			},
			"number": func(rt *rapid.T) {
				n := uint64(max(1, int(last)+rapid.IntRange(-2, 3).Draw(rt, "step")))
				got := r.connect().once(dests[:1], "n", numbered("p", n))
				if got.err != nil || got.repeat != (n <= last) {
					rt.Fatalf("number %d after %d: %+v", n, last, got)
				}
				if n > last {
					last = n
					numbers++
				}
			},
			"consume": func(rt *rapid.T) { r.check() },
			"restart": func(*rapid.T) { r.restart() },
			"crash":   func(*rapid.T) { r.crash() },
			"lose":    func(*rapid.T) { r.lose(); r.open() },
			"": func(rt *rapid.T) {
				if n := r.depth(dests[0]); n != int64(len(ids[dests[0]])+numbers) {
					rt.Fatalf("a has %d messages, want %d and %d", n, len(ids[dests[0]]), numbers)
				}
				if n := r.depth(dests[1]); n != int64(len(ids[dests[1]])) {
					rt.Fatalf("b has %d messages, want %d", n, len(ids[dests[1]]))
				}
			},
		})
	})
}
