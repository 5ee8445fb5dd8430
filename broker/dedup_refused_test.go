package broker_test

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"treadmq/broker"
)

func withRecent(n int) func(*rig) {
	return func(r *rig) { r.options = func(o *broker.Options) { o.RecentIDs = n } }
}

// sendOnce adds a message whose repeats are recognised to a Work.
func sendOnce(t *testing.T, w *broker.Work, to broker.Destination, d *broker.Dedup, opts ...msgOption) {
	t.Helper()
	m := message(to, "body", opts...)
	m.SetDedup(d)
	if err := w.Send([]broker.Destination{to}, m); err != nil {
		t.Fatal(err)
	}
}

// A batch that the store refuses has delivered what is only in memory. That is not delivered again when its sender, who
// was told of the refusal, repeats it; what was to be stored is.
func TestDedupRefusedAfterMemory(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr))
	q := queueNamed("a")
	a := []broker.Destination{q}
	c := r.connect()
	c.send(q, "makes the queue")
	tr.set(full)
	w := c.NewWork()
	sendOnce(t, w, q, withID("memory"), volatile)
	sendOnce(t, w, q, withID("disk"))
	sendOnce(t, w, q, numbered("p", 1), volatile)
	sendOnce(t, w, q, numbered("p", 2))
	sendOnce(t, w, q, numbered("q", 1))
	sendOnce(t, w, q, numbered("q", 2), volatile)
	if err := flush(t, w); code(err) != broker.CodeStoreFull {
		t.Fatalf("a full disk: %v", err)
	}
	tr.set(nil)
	if n := r.depth(q); n != 4 {
		t.Fatalf("the queue holds %d messages, want the first one and three in memory", n)
	}
	for name, last := range map[string]uint64{"p": 1, "q": 2} {
		if n, known := c.ProducerSeq(name); n != last || !known {
			t.Errorf("the last number of %s is %d (%t)", name, n, known)
		}
	}
	c.mustOnce(true, 0, a, withID("memory"), volatile)
	c.mustOnce(false, 0, a, withID("disk"))
	c.mustOnce(true, 0, a, numbered("p", 1), volatile)
	c.mustOnce(false, 0, a, numbered("p", 2))
	c.mustOnce(true, 0, a, numbered("q", 1))
	c.mustOnce(true, 0, a, numbered("q", 2))
	c.mustOnce(false, 0, a, numbered("q", 3))
}

// When an id cannot be looked up at the last moment, nothing is sent, and what was acknowledged with it is settled all
// the same: consumed, or offered again.
func TestDedupLookupFails(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr), withRecent(1))
	c, q, a := r.connect(), queueNamed("q"), queueNamed("a")
	c.send(q, "consumed")
	c.send(q, "again")
	c.subscribe(q, prefetch(2))
	ds := c.take(2)
	w := c.NewWork()
	sendOnce(t, w, a, withID("x"))
	sendOnce(t, w, a, withID("volatile x"), volatile)
	w.Ack(ds[0].Sub, ds[0].Tag, ds[0].Tag, broker.Ack{})
	w.Ack(ds[1].Sub, ds[1].Tag, ds[1].Tag, broker.Ack{Kind: broker.AckRequeue})
	for i := range 3 { // so that x may have been claimed and forgotten
		r.connect().mustOnce(false, 0, []broker.Destination{a}, withID(fmt.Sprint(i)))
	}
	tr.setFind(func(string) error { return errors.New("the disk does not answer") })
	if err := flush(t, w); err == nil {
		t.Fatal("it was sent")
	}
	tr.setFind(nil)
	back := c.take(1)
	wantBodies(t, back, "again")
	c.settle(broker.AckAccept, back...)
	if i := r.queue(q); i.Messages != 0 || i.InFlight != 0 || i.Bytes != 0 {
		t.Errorf("the books say %+v", i)
	}
	c.mustOnce(false, 0, []broker.Destination{a}, withID("x"))
	c.mustOnce(false, 0, []broker.Destination{a}, withID("volatile x"), volatile)
	if n := r.depth(a); n != 5 {
		t.Errorf("the other queue holds %d messages", n)
	}
	r.restart()
	if n := r.depth(q); n != 0 {
		t.Errorf("%d messages are back after a restart", n)
	}
}

// The same when that happens while ids are being claimed: so many others are claimed during each look-up that the last one
// comes then. What was claimed before it is given back.
func TestDedupLookupFailsLate(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr), withRecent(1))
	c, other, a := r.connect(), r.connect(), queueNamed("a")
	others := 0
	forget := func() {
		for range 3 {
			others++
			other.mustOnce(false, 0, []broker.Destination{a}, withID(fmt.Sprint(others)))
		}
	}
	forget()
	w := c.NewWork()
	sendOnce(t, w, a, withID("volatile"), volatile)
	sendOnce(t, w, a, numbered("p", 1), volatile)
	sendOnce(t, w, a, withID("x"))
	forget()
	asked := 0
	tr.setFind(func(id string) error {
		switch {
		case id != "x":
			return nil
		case asked == broker.LookRounds:
			return errors.New("the disk does not answer")
		}
		asked++
		forget()
		return nil
	})
	if err := flush(t, w); err == nil {
		t.Fatal("it was sent")
	}
	tr.setFind(nil)
	if n := r.depth(a); n != int64(others) {
		t.Errorf("the queue holds %d messages of %d", n, others)
	}
	c.mustOnce(false, 0, []broker.Destination{a}, withID("volatile"), volatile)
	c.mustOnce(false, 0, []broker.Destination{a}, numbered("p", 1), volatile)
	c.mustOnce(false, 0, []broker.Destination{a}, withID("x"))
}

// Who has to look up many ids on a slow disk, because they may have been claimed and forgotten while its transaction was
// open, does not hold up others with ids.
func TestDedupSlowLookupHoldsUpNobody(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrap(tr), withRecent(1))
	c, other, q := r.connect(), r.connect(), queueNamed("a")
	a := []broker.Destination{q}
	tx, err := c.Begin("t")
	if err != nil {
		t.Fatal(err)
	}
	both := []broker.Destination{q, queueNamed("b")}
	ds := map[string]*broker.Dedup{"x": withID("x"), "y": withID("y"), "both": withID("both")}
	for id, d := range ds {
		m := message(q, id)
		m.SetDedup(d)
		to := a
		if id == "both" {
			to = both
		}
		if err := tx.Send(to, m); err != nil {
			t.Fatal(err)
		}
	}
	first := other.mustOnce(false, 0, a, withID("x"))
	other.mustOnce(false, 0, a, withID("both"))
	for i := range 3 {
		other.mustOnce(false, 0, a, withID(fmt.Sprint(i)))
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(answer) })
	defer goOn()
	var slow atomic.Bool
	tr.setFind(func(string) error {
		if !slow.Swap(true) {
			close(asked)
			<-answer
		}
		return nil
	})
	w := c.NewWork()
	if err := w.Commit(tx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go w.Flush(func(err error) { done <- err })
	<-asked
	other.mustOnce(false, 0, a, withID("meanwhile"))
	other.mustOnce(false, 0, both[1:], withID("meanwhile"))
	goOn()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"x": true, "y": false, "both": false} {
		if of, is := ds[id].Duplicate(); is != want || (is && of != first) {
			t.Errorf("%s: repeat %t of %d", id, is, of)
		}
	}
	if n, m := r.depth(q), r.depth(both[1]); n != 7 || m != 2 {
		t.Errorf("%d and %d messages, want x, both, 0, 1, 2, meanwhile and y, and two", n, m)
	}
	if n := r.queue(q).Duplicates; n != 2 {
		t.Errorf("%d repeats are counted", n)
	}
}

// TestLastValueOnceOnAFullDisk is TestLastValueAgainstModel with ids against repeats and a disk that is full now and then:
// what was refused has changed nothing, neither the values nor the ids that are known.
func TestLastValueOnceOnAFullDisk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, tr := &rig{t: t}, &trap{}
		withPolicy(func(p *broker.Policy) {
			p.MemoryLimit = int64(rapid.SampledFrom([]int{1000, 1 << 20}).Draw(rt, "memory"))
			p.Redelivery.Maximum, p.Redelivery.Initial = -1, 0
			p.LastValueKey = "k"
		})(r)
		withRecent(rapid.SampledFrom([]int{2, 1000}).Draw(rt, "recent"))(r)
		withTrap(tr)(r)
		r.fs = newFS()
		r.open()
		defer r.close()
		m := &lastValueModel{r: r, q: queueNamed("q"), newest: map[string]int{}, delivered: map[string]int{}}
		m.producer = r.connect()
		ids := map[string]bool{}
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(rt *rapid.T) { m.sendOnce(rt, tr, ids) }, "consume": m.consume, "ack": m.ack, "requeue": m.requeue,
			"leave": m.leave, "restart": m.restart,
		})
		m.drain(rt)
	})
}

func (m *lastValueModel) sendOnce(t *rapid.T, tr *trap, ids map[string]bool) {
	w := m.producer.NewWork()
	newest, taken := maps.Clone(m.newest), map[string]bool{}
	var repeats []bool
	var told []*broker.Dedup
	for range rapid.IntRange(1, 6).Draw(t, "messages") {
		key, id := fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "key")), fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "id"))
		m.sent++
		x := message(m.q, fmt.Sprintf("%05d", m.sent), property("k", key), priority(uint8(4+m.sent%2)))
		d := withID(id)
		x.SetDedup(d)
		if err := w.Send([]broker.Destination{m.q}, x); err != nil {
			t.Fatal(err)
		}
		repeat := ids[id] || taken[id]
		told, repeats = append(told, d), append(repeats, repeat)
		if !repeat {
			newest[key], taken[id] = m.sent, true
		}
	}
	isFull := rapid.Bool().Draw(t, "full")
	if isFull {
		tr.set(full)
	}
	err := flush(m.r.t, w)
	tr.set(nil)
	if isFull && len(taken) > 0 {
		if code(err) != broker.CodeStoreFull {
			t.Fatalf("a full disk: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.newest = newest
	maps.Copy(ids, taken)
	for i, d := range told {
		if _, is := d.Duplicate(); is != repeats[i] {
			t.Fatalf("the id %s: repeat %t, want %t", d.ID, is, repeats[i])
		}
	}
}
