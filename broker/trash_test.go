package broker_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"treadmq/broker"
)

// withTrash gives a broker a trash that keeps a thousand messages for an hour.
func withTrash(r *rig) {
	r.trash = broker.TrashLimits{Keep: time.Hour, Messages: 1000, Bytes: 1 << 20}
}

func (r *rig) purge(d broker.Destination, want int64) broker.Trashed {
	r.t.Helper()
	n, item, err := r.b.PurgeToTrash(d, "ann")
	if err != nil || n != want || item == nil {
		r.t.Fatalf("purge: %d, %+v, %v", n, item, err)
	}
	return *item
}

func (r *rig) restore(item broker.Trashed, want int64) {
	r.t.Helper()
	if got, err := r.b.Restore(item.ID); err != nil || got.Messages != want || got.Dest != item.Dest {
		r.t.Fatalf("restore: %+v, %v", got, err)
	}
}

func (r *rig) wantTrash(want ...string) {
	r.t.Helper()
	var got []string
	for _, i := range r.b.Trash() {
		got = append(got, fmt.Sprintf("%s %s %d by %s", i.Action, i.Dest.Name, i.Messages, i.By))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Fatalf("the trash holds %q, not %q", got, want)
	}
}

// What was purged is delivered to nobody and counted nowhere, is there after a power cut, and comes back as it was.
func TestPurgeIsUndone(t *testing.T) {
	for name, memory := range map[string]int64{"in memory": 0, "paged": 4 << 10} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withTrash, func(r *rig) { r.memory = memory })
			q := queueNamed("orders")
			c := r.connect()
			for _, body := range numbers(0, 60, 1) {
				c.send(q, body)
			}
			c.send(q, "urgent", priority(9))
			before, _, _, err := r.b.Browse(q, broker.Cursor{}, 100, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			item := r.purge(q, 61)
			r.wantQueue(q)
			r.wantTrash("purge orders 61 by ann")
			d := r.connect()
			s := d.subscribe(q)
			r.crash()
			_ = s
			r.wantQueue(q)
			r.wantTrash("purge orders 61 by ann")
			if n := r.b.Totals().Messages; n != 0 {
				t.Errorf("%d messages are counted", n)
			}
			r.restore(item, 61)
			r.wantTrash()
			r.wantQueue(q, append([]string{"urgent"}, numbers(0, 60, 1)...)...)
			after, _, _, err := r.b.Browse(q, broker.Cursor{}, 100, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for i := range before {
				if before[i].Message.ID() != after[i].Message.ID() || after[i].Attempts != 0 || !after[i].Persistent {
					t.Fatalf("message %d was %+v and is %+v", i, before[i], after[i])
				}
			}
			e := r.connect()
			e.subscribe(q, auto)
			wantBodies(t, e.take(61), append([]string{"urgent"}, numbers(0, 60, 1)...)...)
			until(t, "the queue is empty", func() bool { return r.queue(q).Messages == 0 })
			r.restart()
			r.wantQueue(q)
			if _, err := r.b.Restore(item.ID); code(err) != broker.CodeNoDestination {
				t.Errorf("restored twice: %v", err)
			}
		})
	}
}

// A purge leaves alone what consumers hold; what comes back from them afterwards, and what is sent, stays before and
// behind what an undo brings.
func TestUndoneBesideConsumersAndSenders(t *testing.T) {
	r := newRig(t, withTrash)
	q := queueNamed("orders")
	c, d := r.connect(), r.connect()
	for _, body := range numbers(0, 6, 1) {
		c.send(q, body)
	}
	s := d.subscribe(q, prefetch(2))
	held := d.take(2)
	c.send(q, "light", volatile)
	item := r.purge(q, 5)
	c.send(q, "later")
	s.Close() // the held ones come back, delivered once
	r.wantQueue(q, "0000", "0001", "later")
	r.restore(item, 5)
	r.wantQueue(q, "0000", "0001", "later", "0002", "0003", "0004", "0005", "light")
	e := r.connect()
	e.subscribe(q)
	ds := e.take(8)
	for i, d := range ds {
		if want := i < 2; d.Redelivered != want {
			t.Errorf("%q redelivered: %v", d.Message.Body(), d.Redelivered)
		}
		if want := string(d.Message.Body()) != "light"; d.Message.Persistent() != want {
			t.Errorf("%q persistent: %v", d.Message.Body(), d.Message.Persistent())
		}
	}
	_ = held
}

// The number of deliveries and what is known of a dead letter survive purge and undo.
func TestUndoneDeadLettersKnowTheirOrigin(t *testing.T) {
	r := newRig(t, withTrash)
	q, dlq := queueNamed("orders"), broker.DefaultPolicy().DeadLetter.Queue
	c := r.connect()
	c.send(q, "bad")
	c.subscribe(q)
	c.settle(broker.AckDeadLetter, c.take(1)...)
	item := r.purge(queueNamed(dlq), 1)
	r.restart()
	r.restore(item, 1)
	at, _ := r.places(queueNamed(dlq))
	if got := r.act(queueNamed(dlq), at, broker.ActRetry, q); got != (broker.Acted{Done: 1}) {
		t.Fatalf("%+v", got)
	}
}

// A deleted queue comes back whole, at once, with its own settings; or, where its name was taken meanwhile, into the
// queue of that name.
func TestDeleteIsUndone(t *testing.T) {
	for name, memory := range map[string]int64{"in memory": 0, "paged": 4 << 10} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withTrash, func(r *rig) { r.memory = memory })
			q := queueNamed("orders")
			if err := r.b.Declare(q, broker.Hints{MaxMessages: 5000}); err != nil {
				t.Fatal(err)
			}
			c, d := r.connect(), r.connect()
			for _, body := range numbers(0, 60, 1) {
				c.send(q, body)
			}
			c.send(q, "light", volatile)
			until(t, "all is there, in the temporary store too", func() bool { return r.queue(q).Messages == 61 })
			s := d.subscribe(q, prefetch(3))
			d.settle(broker.AckAccept, d.take(3)[:1]...)
			if _, err := r.b.DeleteToTrash(q, false, "ann"); code(err) != broker.CodeInUse {
				t.Fatalf("deleted under its consumer: %v", err)
			}
			item, err := r.b.DeleteToTrash(q, true, "ann")
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			if _, err := r.b.Queue(q); err == nil {
				t.Fatal("the queue is still there")
			}
			r.wantTrash("delete orders 60 by ann")
			r.crash()
			r.wantTrash("delete orders 60 by ann")
			r.restore(*item, 60)
			r.wantQueue(q, append(numbers(1, 60, 1), "light")...)
			r.crash()
			r.wantQueue(q, append(numbers(1, 60, 1), "light")...)
			if i := r.queue(q); i.Hints.MaxMessages != 5000 {
				t.Errorf("the queue's own settings are gone: %+v", i.Hints)
			}
			item, err = r.b.DeleteToTrash(q, false, "ann")
			if err != nil {
				t.Fatal(err)
			}
			c = r.connect()
			c.send(q, "new")
			r.restore(*item, 60)
			r.wantQueue(q, append([]string{"new"}, append(numbers(1, 60, 1), "light")...)...)
		})
	}
}

// A durable subscription that was deleted collects again when that is undone.
func TestDeletedDurableSubscriptionIsUndone(t *testing.T) {
	r := newRig(t, withTrash)
	o := broker.DurableOptions{Name: "app.prices", ClientID: "app", Topics: []string{"prices.>"}, Selector: "a = 1"}
	if err := r.b.OpenDurable(o); err != nil {
		t.Fatal(err)
	}
	one := func(b *broker.Builder) { b.AddString([]byte("a"), []byte("1")) }
	c := r.connect()
	c.send(topicNamed("prices.gold"), "before", one)
	d := broker.Destination{Kind: broker.DurableSub, Name: o.Name}
	item, err := r.b.DeleteToTrash(d, false, "ann")
	if err != nil {
		t.Fatal(err)
	}
	c.send(topicNamed("prices.gold"), "missed", one)
	r.restart()
	r.restore(*item, 1)
	c = r.connect()
	c.send(topicNamed("prices.gold"), "after", one)
	c.send(topicNamed("prices.gold"), "not wanted")
	r.wantQueue(d, "before", "after")
	if got, err := r.b.DurableSubscription(o.Name); err != nil || got.ClientID != "app" || got.Selector != o.Selector {
		t.Errorf("%+v, %v", got, err)
	}
}

// What is too old is gone for good and no longer takes room; what is busy or young stays.
func TestTrashForgets(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	r := newRig(t, withTrash, func(r *rig) { r.now = func() time.Time { return time.Unix(0, now.Load()) } })
	q := queueNamed("orders")
	c := r.connect()
	for _, body := range numbers(0, 20, 1) {
		c.send(q, body)
	}
	old := r.purge(q, 20)
	now.Add(int64(40 * time.Minute))
	c.send(q, "young")
	r.purge(q, 1)
	now.Add(int64(30 * time.Minute))
	until(t, "the first purge is forgotten", func() bool { return len(r.b.Trash()) == 1 })
	r.wantTrash("purge orders 1 by ann")
	var left int64
	for _, lanes := range r.st.Counts() {
		for _, n := range lanes {
			left += n.Refs
		}
	}
	if left != 1 {
		t.Errorf("the store holds %d messages", left)
	}
	if _, err := r.b.Restore(old.ID); code(err) != broker.CodeNoDestination {
		t.Errorf("restored what is too old: %v", err)
	}
	r.restart()
	r.wantTrash("purge orders 1 by ann")
	if err := r.b.DropTrash(r.b.Trash()[0].ID); err != nil {
		t.Fatal(err)
	}
	r.wantTrash()
	r.restart()
	r.wantTrash()
}

// What expires in the trash is gone; it does not come back and is no dead letter.
func TestMessagesExpireInTheTrash(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	r := newRig(t, withTrash, func(r *rig) { r.now = func() time.Time { return time.Unix(0, now.Load()) } })
	q := queueNamed("orders")
	c := r.connect()
	c.send(q, "short", expires(time.Unix(0, now.Load()).Add(time.Minute).UnixMilli()))
	c.send(q, "long")
	item := r.purge(q, 2)
	now.Add(int64(2 * time.Minute))
	until(t, "the message expires", func() bool { return r.b.Trash()[0].Messages == 1 })
	r.restore(item, 1)
	r.wantQueue(q, "long")
}

// The trash is bounded: what has been there longest makes room, and what would not fit at all is refused before
// anything is touched.
func TestTrashIsBounded(t *testing.T) {
	r := newRig(t, func(r *rig) { r.trash = broker.TrashLimits{Keep: time.Hour, Messages: 10, Bytes: 1 << 20} })
	c := r.connect()
	for i := range 3 {
		q := queueNamed(fmt.Sprint("q", i))
		for _, body := range numbers(0, 4, 1) {
			c.send(q, body)
		}
		r.purge(q, 4)
	}
	r.wantTrash("purge q2 4 by ann", "purge q1 4 by ann")
	big := queueNamed("big")
	for _, body := range numbers(0, 11, 1) {
		c.send(big, body)
	}
	if _, _, err := r.b.PurgeToTrash(big, "ann"); code(err) != broker.CodeLimit {
		t.Errorf("purged: %v", err)
	}
	if _, err := r.b.DeleteToTrash(big, false, "ann"); code(err) != broker.CodeLimit {
		t.Errorf("deleted: %v", err)
	}
	r.wantQueue(big, numbers(0, 11, 1)...)
	r.wantTrash("purge q2 4 by ann", "purge q1 4 by ann")
	r.b.SetTrash(broker.TrashLimits{})
	if n, item, err := r.b.PurgeToTrash(big, "ann"); n != 11 || item != nil || err != nil {
		t.Errorf("without a trash: %d, %v, %v", n, item, err)
	}
	r.wantQueue(big)
}

// Where the queue has no room for all, the rest stays in the trash and can be brought back later.
func TestUndoneIntoAFullQueue(t *testing.T) {
	r := newRig(t, withTrash, withPolicy(func(p *broker.Policy) { p.MaxMessages, p.OnFull = 5, broker.FullFail }))
	q := queueNamed("orders")
	c := r.connect()
	for _, body := range numbers(0, 5, 1) {
		c.send(q, body)
	}
	item := r.purge(q, 5)
	c.send(q, "a")
	c.send(q, "b")
	got, err := r.b.Restore(item.ID)
	if code(err) != broker.CodeFull || got.Messages != 3 || !strings.Contains(err.Error(), "2 messages are still in the trash") {
		t.Fatalf("%+v, %v", got, err)
	}
	r.wantQueue(q, "a", "b", "0000", "0001", "0002")
	d := r.connect()
	d.subscribe(q, prefetch(3))
	d.settle(broker.AckAccept, d.take(3)...)
	r.restore(item, 2)
	r.wantTrash()
}

// On a full disk a purge works all the same: what only moves goes to the trash, what is only in memory is lost.
func TestPurgeToTrashOnAFullDisk(t *testing.T) {
	tr := &trap{}
	r := newRig(t, withTrash, withTrap(tr))
	q := queueNamed("orders")
	c := r.connect()
	c.send(q, "kept")
	c.send(q, "light", volatile)
	c.send(q, "kept too")
	tr.set(full)
	item := r.purge(q, 3)
	r.wantQueue(q)
	tr.set(nil)
	r.restore(item, 2)
	r.wantQueue(q, "kept", "kept too")
}

// Whatever is sent, consumed, purged, deleted, undone and cut off in between: each message that nobody consumed is, in
// the end, in its queue once.
func TestTrashModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	r := newRig(t, withTrash, withPolicy(func(p *broker.Policy) { p.Redelivery.Maximum = -1 }), func(r *rig) { r.memory = 4 << 10 })
	want := map[string]bool{}
	c := r.connect()
	pick := func() broker.Destination { return queueNamed(fmt.Sprint("q", rng.IntN(3))) }
	for step := range 600 {
		q := pick()
		switch n := rng.IntN(20); {
		case n < 10:
			body := fmt.Sprintf("%s-%04d", q.Name, step)
			c.send(q, body, priority(uint8(rng.IntN(10))))
			want[body] = true
		case n < 13:
			r.consumeSome(q, 1+rng.IntN(4), want)
		case n < 15:
			if _, _, err := r.b.PurgeToTrash(q, "model"); err != nil && code(err) != broker.CodeNoDestination {
				t.Fatal(err)
			}
		case n < 16:
			if _, err := r.b.DeleteToTrash(q, true, "model"); err != nil && code(err) != broker.CodeNoDestination {
				t.Fatal(err)
			}
		case n < 19:
			if list := r.b.Trash(); len(list) > 0 {
				if _, err := r.b.Restore(list[rng.IntN(len(list))].ID); err != nil {
					t.Fatal(err)
				}
			}
		default:
			r.crash()
			c = r.connect()
		}
	}
	for _, i := range r.b.Trash() {
		r.restore(i, i.Messages)
	}
	for i := range 2 {
		got := map[string]int{}
		var depth int64
		for _, info := range r.b.Queues(nil) {
			_, bodies := r.places(info.Destination)
			for _, body := range bodies {
				got[body]++
				if !strings.HasPrefix(body, info.Destination.Name+"-") {
					t.Errorf("%s is in %s", body, info.Destination.Name)
				}
			}
			depth += info.Messages
		}
		for body := range want {
			if got[body] != 1 {
				t.Errorf("%s is there %d times", body, got[body])
			}
		}
		if len(got) != len(want) || depth != int64(len(want)) {
			t.Errorf("round %d: %d messages, %d counted, %d expected", i, len(got), depth, len(want))
		}
		r.crash()
	}
}

// consumeSome acknowledges up to n messages of a queue.
func (r *rig) consumeSome(q broker.Destination, n int, want map[string]bool) {
	r.t.Helper()
	info, err := r.b.Queue(q)
	if err != nil || info.Messages == 0 {
		return
	}
	n = min(n, int(info.Messages))
	c := r.connect()
	defer c.Close()
	c.subscribe(q, prefetch(n))
	for _, d := range c.take(n) {
		c.settle(broker.AckAccept, d)
		delete(want, string(d.Message.Body()))
	}
}

// Messages that are deleted one by one, wherever they are, come back too.
func TestDeletedMessagesAreUndone(t *testing.T) {
	for name, memory := range map[string]int64{"in memory": 0, "paged": 4 << 10} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withTrash, func(r *rig) { r.memory = memory })
			q := queueNamed("orders")
			c := r.connect()
			for _, body := range numbers(0, 60, 1) {
				c.send(q, body)
			}
			c.send(q, "light", volatile)
			until(t, "all is there, in the temporary store too", func() bool { return r.queue(q).Messages == 61 })
			bin, err := r.b.OpenBin(q, "ann")
			if err != nil {
				t.Fatal(err)
			}
			at, _ := r.places(q)
			if got, err := r.b.Act(q, every(at, 2, 0), broker.ActDelete, q, bin); err != nil || got != (broker.Acted{Done: 31}) {
				t.Fatalf("%+v, %v", got, err)
			}
			item, err := bin.Close()
			if err != nil || item == nil || item.Messages != 31 {
				t.Fatalf("%+v, %v", item, err)
			}
			until(t, "the temporary store lets its message go", func() bool { at, _ := r.places(q); return len(at) == 30 })
			r.wantQueue(q, numbers(1, 60, 2)...)
			r.crash()
			r.wantTrash("messages orders 31 by ann")
			r.restore(*item, 31)
			r.wantQueue(q, append(append(numbers(1, 60, 2), numbers(0, 60, 2)...), "light")...)
			if bin, err = r.b.OpenBin(q, "ann"); err != nil {
				t.Fatal(err)
			}
			if item, err := bin.Close(); item != nil || err != nil {
				t.Errorf("an empty bin left %+v, %v", item, err)
			}
			r.wantTrash()
		})
	}
}
