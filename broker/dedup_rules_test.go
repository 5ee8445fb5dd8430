package broker_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"treadmq/broker"
	"treadmq/store"
)

// A repeat in its own batch leaves nothing in the store, and gives back the room that was reserved for it.
func TestDedupRepeatInOneBatch(t *testing.T) {
	r := newRig(t, withPolicy(func(p *broker.Policy) { p.MaxMessages, p.OnFull = 3, broker.FullBlock }))
	c, q := r.connect(), queueNamed("a")
	w := c.NewWork()
	for range 3 {
		sendOnce(t, w, q, withID("x"))
	}
	parked := make(chan error, 1)
	r.connect().SendWhenRoom([]broker.Destination{q}, message(q, "waits"), func(err error) { parked <- err })
	r.b.Stall()() // it waits
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	if err := <-parked; err != nil {
		t.Fatal(err)
	}
	c.send(q, "the last one that fits")
	if n := r.depth(q); n != 3 {
		t.Errorf("%d messages", n)
	}
	r.crash()
	if n := r.depth(q); n != 3 {
		t.Errorf("%d messages after a power cut", n)
	}
}

// Of a list of destinations a message goes to those that have not had it when it is sent in the end, scheduled or not.
func TestDedupPartOfAList(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr), withRecent(1))
	c, other := r.connect(), r.connect()
	var all []broker.Destination
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, queueNamed(name))
		other.mustOnce(false, 0, all[len(all)-1:], withID("first"))
	}
	forget := func() {
		for range 2 {
			other.mustOnce(false, 0, []broker.Destination{queueNamed("filler")}, withID(fmt.Sprint(time.Now().UnixNano())))
		}
	}
	add := func(w *broker.Work, id string, s *broker.Schedule) *broker.Dedup {
		t.Helper()
		m, d := message(all[0], id), withID(id)
		m.SetDedup(d)
		err := error(nil)
		if s == nil {
			err = w.Send(all, m)
		} else {
			err = w.Schedule(all, m, s)
		}
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	w := c.NewWork()
	later := add(w, "later", &broker.Schedule{Delay: time.Hour})
	other.mustOnce(false, 0, all[:1], withID("later"))
	now := add(w, "now", nil)
	other.mustOnce(false, 0, all[:1], withID("now"))
	forget()
	asked := 0
	tr.setFind(func(id string) error {
		if id != "now" {
			return nil
		}
		if asked++; asked == len(all) { // a and b are looked up: that b has it shows when they are again
			other.mustOnce(false, 0, all[1:2], withID("now"))
			forget()
		}
		return nil
	})
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	tr.setFind(nil)
	for _, d := range []*broker.Dedup{later, now} {
		if _, is := d.Duplicate(); is {
			t.Errorf("%s is called a repeat", d.ID)
		}
	}
	want := []int64{3, 2, 2}
	check := func(when string) {
		t.Helper()
		for i, q := range all {
			if n := r.depth(q); n != want[i] {
				t.Errorf("%s: %s has %d messages, want %d", when, q.Name, n, want[i])
			}
		}
		list, _, err := r.b.Schedules(broker.ScheduleQuery{Max: 10})
		if err != nil || len(list) != 1 || fmt.Sprint(list[0].Destinations) != fmt.Sprint(all[1:]) {
			t.Errorf("%s: schedules %+v, %v", when, list, err)
		}
	}
	check("at once")
	r.crash()
	check("after a power cut")
}

// A repeat in a list whose first one is on its way in one destination, and on disk in another, waits for it. So does one of
// what a transaction has sent that is not committed, even if that is in memory only.
func TestDedupWaitsForSome(t *testing.T) {
	h := &heldStore{}
	r := newRig(t, func(r *rig) { r.wrap = func(s store.Store) store.Store { h.Store = s; return h } })
	a, b := queueNamed("a"), queueNamed("b")
	c := r.connect()
	c.mustOnce(false, 0, []broker.Destination{a, b}, withID("both have a window"))
	c.mustOnce(false, 0, []broker.Destination{b}, withID("x"))
	tx, err := c.Begin("t")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*broker.Message{message(a, "volatile", volatile), message(a, "stored")} {
		if !m.Persistent() {
			m.SetDedup(withID("volatile"))
		}
		if err := tx.Send([]broker.Destination{a}, m); err != nil {
			t.Fatal(err)
		}
	}
	h.mu.Lock()
	h.hold = true
	h.mu.Unlock()
	done := make(chan string, 4)
	begin := func(w *broker.Work, who string) {
		w.Flush(func(err error) {
			if err != nil {
				who += err.Error()
			}
			done <- who
		})
	}
	send := func(who string, to []broker.Destination, opts ...msgOption) *broker.Dedup {
		w, m, d := c.NewWork(), message(to[0], who, opts...), withID("x")
		if len(opts) > 0 {
			d = withID("volatile")
		}
		m.SetDedup(d)
		if err := w.Send(to, m); err != nil {
			t.Fatal(err)
		}
		begin(w, who)
		return d
	}
	send("first", []broker.Destination{a})
	list := send("list", []broker.Destination{a, b})
	w := c.NewWork()
	if err := w.Commit(tx); err != nil {
		t.Fatal(err)
	}
	begin(w, "transaction")
	again := send("again", []broker.Destination{a}, volatile)
	until(t, "all are on their way", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.held) >= 4 || len(done) > 0 })
	select {
	case who := <-done:
		t.Fatalf("%s was answered before the first one was on disk", who)
	default:
	}
	h.release()
	for _, want := range []string{"first", "list", "transaction", "again"} {
		if who := <-done; who != want {
			t.Errorf("%s was answered, want %s", who, want)
		}
	}
	for _, d := range []*broker.Dedup{list, again} {
		if _, is := d.Duplicate(); !is {
			t.Errorf("%s is not called a repeat", d.ID)
		}
	}
}

// Ids that the store refused take no place among those that are remembered, and let older ones leave memory.
func TestDedupRefusedTakesNoPlace(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr), withRecent(1), withPolicy(func(p *broker.Policy) { p.Dedup.Count = 3 }))
	c, a := r.connect(), []broker.Destination{queueNamed("a")}
	c.mustOnce(false, 0, a, withID("0"))
	tr.set(full)
	for i := range 5 {
		if got := c.once(a, "x", withID(fmt.Sprint("refused ", i))); got.err == nil {
			t.Fatal("it was taken")
		}
	}
	tr.set(nil)
	for i := 1; i < 3; i++ {
		c.mustOnce(false, 0, a, withID(fmt.Sprint(i)))
	}
	r.b.Stall()() // what was to be forgotten is by now
	var asked []string
	tr.setFind(func(id string) error { asked = append(asked, id); return nil })
	for i := range 3 {
		c.mustOnce(true, 0, a, withID(fmt.Sprint(i)))
	}
	if fmt.Sprint(asked) != "[0 1]" {
		t.Errorf("the store was asked for %v", asked)
	}
}

// An id that was too old and came again is remembered as of then, though the older one is forgotten later; and who is
// beyond the window is forgotten in memory too.
func TestDedupForgetting(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	r := newRig(t, withRecent(3), withPolicy(func(p *broker.Policy) { p.Dedup = broker.DedupPolicy{Count: 2, Time: time.Hour} }), func(r *rig) {
		r.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	c, a := r.connect(), []broker.Destination{queueNamed("a")}
	c.mustOnce(false, 0, a, withID("v"), volatile)
	mu.Lock()
	now = now.Add(time.Hour)
	mu.Unlock()
	second := c.mustOnce(false, 0, a, withID("v"), volatile)
	for i := range 2 {
		c.mustOnce(false, 0, []broker.Destination{queueNamed("other")}, withID(fmt.Sprint(i)), volatile)
	}
	c.mustOnce(true, second, a, withID("v"), volatile)
	for i := range 3 {
		c.mustOnce(false, 0, a, withID(fmt.Sprint(i)))
	}
	until(t, "the first is forgotten", func() bool { return r.remembered("a") == 2 })
	c.mustOnce(true, 0, a, withID("2"))
	c.mustOnce(false, 0, a, withID("0"))
}

// A window of which nothing is left goes, with its place in the store, and others take its place. A policy that changes
// counts at once.
func TestDedupIdleWindows(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	r := newRig(t, func(r *rig) {
		r.limit = 3
		r.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	c := r.connect()
	topic := func(name string) []broker.Destination { return []broker.Destination{topicNamed(name)} }
	a := []broker.Destination{queueNamed("a")}
	for i := range 10 {
		c.mustOnce(false, 0, a, withID(fmt.Sprint(i)))
	}
	for _, count := range []int64{4, 2} {
		p := broker.DefaultPolicy()
		p.Dedup = broker.DedupPolicy{Count: count, Time: time.Hour}
		r.b.SetPolicy(func(broker.Destination) broker.Policy { return p })
		until(t, "the policy counts", func() bool { return r.remembered("a") == count })
	}
	c.mustOnce(false, 0, topic("t1"), withID("x"))
	c.mustOnce(false, 0, topic("t2"), withID("x"))
	for _, name := range []string{"t1", "t2"} { // their ids stay
		if err := r.b.DeleteTopic(topicNamed(name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.once(topic("t3"), "x", withID("x")); code(got.err) != broker.CodeLimit {
		t.Fatalf("a window too many: %+v", got)
	}
	mu.Lock()
	now = now.Add(time.Hour + 30*time.Second)
	mu.Unlock()
	until(t, "the ids are too old", func() bool { return r.remembered("a") == 0 })
	if windows := r.windows(); len(windows) != 1 {
		t.Errorf("a window that was in use a moment ago is gone; there are %q", windows)
	}
	c.mustOnce(false, 0, a, withID("0")) // it is in use again
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	until(t, "there is room", func() bool { return c.once(topic("t3"), "x", withID("x")).err == nil })
	c.mustOnce(true, 0, a, withID("0"))
	mu.Lock()
	now = now.Add(time.Hour + 2*time.Minute)
	mu.Unlock()
	until(t, "the window is gone", func() bool { return len(r.windows()) == 0 })
	c.mustOnce(false, 0, a, withID("0"))
	r.restart()
	r.connect().mustOnce(true, 0, a, withID("0"))
}

// windows are the catalog's keys of ids that are in the store.
func (r *rig) windows() (keys []string) {
	r.t.Helper()
	err := r.st.Catalog(func(key, value []byte) error {
		if key[0] == 'w' {
			keys = append(keys, string(key))
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return keys
}

// Of many that send one id at a time, while the disk is full every now and then, one is taken if anybody was told that it
// was; and everybody else who was told so names it.
func TestDedupConcurrentOnAFullDisk(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr))
	a := []broker.Destination{queueNamed("a")}
	r.connect().send(a[0], "makes the queue")
	var mu sync.Mutex
	appends := 0
	tr.set(func(b *store.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if appends++; appends%2 == 0 {
			return full(b)
		}
		return nil
	})
	const senders, ids = 8, 300
	told := make([][senders]sent, ids)
	var wg sync.WaitGroup
	for s := range senders {
		c := r.connect()
		wg.Go(func() {
			for i := range ids {
				told[i][s] = c.once(a, "x", withID(fmt.Sprint(i)))
			}
		})
	}
	wg.Wait()
	tr.set(nil)
	taken := int64(0)
	for i, all := range told {
		fresh, ok := uint64(0), 0
		for _, x := range all {
			if x.err == nil {
				ok++
			}
			if x.err == nil && !x.repeat {
				fresh = x.first
				taken++
			}
		}
		for _, x := range all {
			if x.err == nil && x.first != fresh || ok > 0 && fresh == 0 {
				t.Fatalf("id %d: %+v", i, all)
			}
		}
	}
	if n := r.depth(a[0]) - 1; n != taken {
		t.Errorf("%d messages, %d were taken", n, taken)
	}
}

// A service remembers no ids. Producers of different users are different ones.
func TestDedupServicesAndUsers(t *testing.T) {
	r := newRig(t)
	c, other := r.connectAs("one"), r.connectAs("other")
	service := broker.Destination{Kind: broker.Service, Name: "ActiveMQ.Statistics.Broker"}
	if got := c.once([]broker.Destination{service}, "", withID("x")); code(got.err) != broker.CodeBadRequest {
		t.Errorf("an id for a service: %+v", got)
	}
	a := []broker.Destination{queueNamed("a")}
	c.mustOnce(false, 0, a, numbered("p", 5))
	if n, known := other.ProducerSeq("p"); known {
		t.Errorf("the other user's producer is at %d", n)
	}
	other.mustOnce(false, 0, a, numbered("p", 5))
}

// Repeats are counted by each destination that was spared one.
func TestDedupCounts(t *testing.T) {
	r := newRig(t)
	c, a, b, top := r.connect(), queueNamed("a"), queueNamed("b"), topicNamed("t")
	c.subscribe(top, auto)
	c.mustOnce(false, 0, []broker.Destination{a}, withID("x"))
	c.mustOnce(false, 0, []broker.Destination{top}, withID("x"))
	list := []broker.Destination{a, b, top, queueNamed("c")}
	c.send(list[3], "makes the queue")
	c.mustOnce(false, 0, list, withID("x"))
	c.mustOnce(true, 0, list, withID("x"))
	topics := r.b.Topics(func(d broker.Destination) bool { return d == top })
	if len(topics) != 1 {
		t.Fatalf("topics %+v", topics)
	}
	got := fmt.Sprint(r.queue(a).Duplicates, r.queue(b).Duplicates, topics[0].Duplicates, r.queue(list[3]).Duplicates)
	if got != "2 1 2 1" {
		t.Errorf("%s repeats are counted, want 2 1 2 1", got)
	}
	c.take(1)
}

// A transaction whose ids cannot be looked up when it is committed puts back what it acknowledged, once.
func TestDedupLookupFailsInATransaction(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr), withRecent(1))
	c, q, a := r.connect(), queueNamed("q"), queueNamed("a")
	c.send(q, "back")
	s := c.subscribe(q)
	d := c.take(1)[0]
	tx, err := c.Begin("t")
	if err != nil {
		t.Fatal(err)
	}
	m := message(a, "x")
	m.SetDedup(withID("x"))
	if err := tx.Send([]broker.Destination{a}, m); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Ack(s, d.Tag, d.Tag, broker.Ack{}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r.connect().mustOnce(false, 0, []broker.Destination{a}, withID(fmt.Sprint(i)))
	}
	tr.setFind(func(string) error { return errors.New("the disk does not answer") })
	w := c.NewWork()
	if err := w.Commit(tx); err != nil {
		t.Fatal(err)
	}
	if err := flush(t, w); err == nil {
		t.Fatal("it was committed")
	}
	tr.setFind(nil)
	back := c.take(1)
	wantBodies(t, back, "back")
	if i := r.queue(q); i.Messages != 1 || i.InFlight != 1 {
		t.Errorf("the books say %+v", i)
	}
	c.settle(broker.AckAccept, back...)
	if i := r.queue(q); i.Messages != 0 || i.InFlight != 0 || i.Bytes != 0 {
		t.Errorf("the books say %+v", i)
	}
}
