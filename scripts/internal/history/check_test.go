package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func onlyQ(queue string) bool { return queue == "q" }

func key(seq int) Key { return Key{Producer: 1, Seq: seq, Queue: "q"} }

// good is a history in which every rule had its chance to be broken.
func good() []Event {
	other := Key{Producer: 1, Seq: 4, Queue: "other"}
	return []Event{
		{Kind: Sent, Key: key(1), Epoch: 1}, {Kind: Receipted, Key: key(1), Epoch: 1},
		{Kind: Sent, Key: key(2), Epoch: 1}, {Kind: Receipted, Key: key(2), Epoch: 1},
		{Kind: Delivered, Key: key(1), Epoch: 1}, {Kind: Acked, Key: key(1), Epoch: 1},
		{Kind: Delivered, Key: key(2), Epoch: 1},
		{Kind: Sent, Key: key(3), Tx: 7, Epoch: 1}, {Kind: Sent, Key: other, Tx: 7, Epoch: 1},
		{Kind: Committing, Tx: 7, Epoch: 1}, {Kind: Committed, Tx: 7, Epoch: 1},
		{Kind: Sent, Key: key(5), Tx: 8, Epoch: 1},  // and aborted, or cut off
		{Kind: Sent, Key: key(6), Tx: 9, Epoch: 1},  // COMMIT without an answer
		{Kind: Committing, Tx: 9, Epoch: 1},         //
		{Kind: Sent, Key: key(10), Tx: 9, Epoch: 1}, //
		{Kind: Sent, Key: key(7), Epoch: 1},         // no answer: may exist or not
		// killed
		{Kind: Delivered, Key: key(2), Epoch: 2, Redelivered: true}, {Kind: Acked, Key: key(2), Epoch: 2},
		{Kind: Delivered, Key: key(3), Epoch: 2, Redelivered: true}, {Kind: Nacked, Key: key(3), Epoch: 2},
		{Kind: Delivered, Key: other, Epoch: 2}, {Kind: Acked, Key: other, Epoch: 2},
		{Kind: Delivered, Key: key(3), Epoch: 2, Redelivered: true}, {Kind: Acked, Key: key(3), Epoch: 2},
		{Kind: Sent, Key: key(8), Epoch: 2}, {Kind: Receipted, Key: key(8), Epoch: 2},
		{Kind: Delivered, Key: key(8), Epoch: 2}, {Kind: Acked, Key: key(8), Epoch: 2},
	}
}

func TestGoodHistory(t *testing.T) {
	if found := Check(good(), onlyQ).Faults; len(found) > 0 {
		t.Fatal(strings.Join(found, "\n"))
	}
}

// Every way in which a broker can break its promise is found, and named.
func TestViolations(t *testing.T) {
	find := func(k Kind, key Key, nth int) int {
		for i, e := range good() {
			if e.Kind == k && e.Key == key {
				if nth--; nth == 0 {
					return i
				}
			}
		}
		panic("no such event")
	}
	drop := func(k Kind, key Key, nth int) func([]Event) []Event {
		return func(l []Event) []Event { i := find(k, key, nth); return slices.Delete(l, i, i+1) }
	}
	add := func(e Event) func([]Event) []Event { return func(l []Event) []Event { return append(l, e) } }
	change := func(k Kind, key Key, nth int, f func(*Event)) func([]Event) []Event {
		return func(l []Event) []Event { f(&l[find(k, key, nth)]); return l }
	}
	other := Key{Producer: 1, Seq: 4, Queue: "other"}
	for _, test := range []struct {
		name, want string
		mutate     func([]Event) []Event
	}{
		{"a receipted message never arrives", "lost: message 8", func(l []Event) []Event { return l[:find(Delivered, key(8), 1)] }},
		{"half of a committed transaction never arrives", "lost: transaction 7", func(l []Event) []Event {
			i := find(Delivered, other, 1)
			return slices.Delete(l, i, i+2)
		}},
		{"a refused message never comes back", "lost: message 3", func(l []Event) []Event {
			i := find(Delivered, key(3), 2)
			return slices.Delete(l, i, i+2)
		}},
		{"a delivery after the receipt of the ACK", "after ack: message 1 ", add(Event{Kind: Delivered, Key: key(1), Epoch: 2, Redelivered: true})},
		{"a message that nobody sent", "phantom: message 99", add(Event{Kind: Delivered, Key: key(99), Epoch: 2})},
		{"a message in the wrong queue", "phantom: message 1 of producer 1 in other", add(Event{Kind: Delivered, Key: Key{1, 1, "other"}, Epoch: 2})},
		{"a message of another producer", "phantom: message 1 of producer 2", add(Event{Kind: Delivered, Key: Key{2, 1, "q"}, Epoch: 2})},
		{"a message of an aborted transaction", "uncommitted: message 5", add(Event{Kind: Delivered, Key: key(5), Epoch: 2})},
		{"half of a transaction of unknown outcome", "torn: 1 of the 2 messages of transaction 9", add(Event{Kind: Delivered, Key: key(10), Epoch: 2})},
		{"two messages in the wrong order", "order: message 7", add(Event{Kind: Delivered, Key: key(7), Epoch: 2})},
		{"two messages in the wrong order after a new epoch", "order: message 7", func(l []Event) []Event {
			return append(l, Event{Kind: Lost, Key: Key{Queue: "q"}, Epoch: 1}, Event{Kind: Delivered, Key: key(7), Epoch: 2, Redelivered: true})
		}},
		{"a second delivery without the flag", "unflagged: delivery 2 of message 2", change(Delivered, key(2), 2, func(e *Event) { e.Redelivered = false })},
		{"the flag on a first delivery", "flagged: the first delivery of message 8", change(Delivered, key(8), 1, func(e *Event) { e.Redelivered = true })},
		{"a body with a wrong checksum", "garbled: checksum", add(Event{Kind: Garbled, Note: "checksum"})},
		{"an ERROR out of nowhere", "refused: why", add(Event{Kind: Refused, Note: "why"})},
		{"a message left behind", "left: message 8", add(Event{Kind: Left, Key: key(8)})},
		{"two deliveries in the same life without the flag", "unflagged: delivery 3 of message 8", func(l []Event) []Event {
			return append(l, Event{Kind: Delivered, Key: key(8), Epoch: 2, Conn: 1}, Event{Kind: Delivered, Key: key(8), Epoch: 2, Conn: 2})
		}},
		{"a later broker's delivery without the flag", "unflagged: delivery 2 of message 8", add(Event{Kind: Delivered, Key: key(8), Epoch: 3, Conn: 1})},
		{"a second delivery in the same life", "unflagged: delivery 2 of message 8", add(Event{Kind: Delivered, Key: key(8), Epoch: 2})},
		{"a receipt for what was never sent", "phantom: message 42", add(Event{Kind: Receipted, Key: key(42), Epoch: 2})},
		{"a message of a transaction of which nothing was done", "uncommitted: 1 messages of transaction 9", func(l []Event) []Event {
			return append(l, Event{Kind: Undone, Tx: 9}, Event{Kind: Delivered, Key: key(10), Epoch: 2})
		}},
		{"a receipt of a deposed broker", "fenced: SEND of message 8", func(l []Event) []Event {
			return receipts(l, Event{Kind: Receipted, Key: key(8), Epoch: 1, At: 30, Began: 20})
		}},
		{"an ACK's receipt of a deposed broker", "fenced: ACK of message 8", func(l []Event) []Event {
			return receipts(l, Event{Kind: Acked, Key: key(8), Epoch: 1, At: 30, Began: 20})
		}},
		{"a COMMIT's receipt of a deposed broker", "fenced: COMMIT of transaction 7", func(l []Event) []Event {
			return receipts(l, Event{Kind: Committed, Tx: 7, Epoch: 1, At: 30, Began: 20})
		}},
		{"two copies of what is never sent again", "twice: message 2", func(l []Event) []Event {
			l[find(Sent, key(2), 1)].Once = true
			return copies(l, 2)
		}},
		{"two copies of what was sent once", "twice: message 2", func(l []Event) []Event { return copies(l, 1) }},
		{"a scheduled message before its time", "early: message 2", change(Sent, key(2), 1, func(e *Event) { e.Due = time.Second })},
		{"a sent message that is forgotten", "phantom: message 2", drop(Sent, key(2), 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := Check(test.mutate(good()), onlyQ).Faults
			if !slices.ContainsFunc(found, func(s string) bool { return strings.HasPrefix(s, test.want) }) {
				t.Errorf("want a fault that begins with %q, got %q", test.want, found)
			}
		})
	}
}

// receipts adds a receipt that follows one of epoch 2 at time 10.
func receipts(l []Event, e Event) []Event {
	return append(l, Event{Kind: Receipted, Key: key(8), Epoch: 2, At: 10, Began: 5}, e)
}

// copies makes the deliveries of message 2 those of two copies; its RECEIPT came by a connection.
func copies(l []Event, conn int) []Event {
	id := 0
	for i := range l {
		if e := &l[i]; e.Key == key(2) {
			switch e.Kind {
			case Sent:
				e.Conn = 1
			case Receipted:
				e.Conn = conn
			case Delivered, Acked:
				id = min(id+1, 2)
				e.MessageID = fmt.Sprint("id", id)
			}
		}
	}
	return l
}

// What a deposed broker may do is no fault: it delivers what it does not know to be acknowledged, and receipts what was
// begun before the new epoch was seen. What was sent again without a mark may be stored twice. After a consumer lost
// its connection a first delivery may be flagged.
func TestDeposed(t *testing.T) {
	l := good()
	l = append(l,
		Event{Kind: Delivered, Key: Key{1, 4, "other"}, Epoch: 1},
		Event{Kind: Receipted, Key: key(8), Epoch: 3, At: 10, Began: 5},
		Event{Kind: Acked, Key: key(8), Epoch: 2, At: 30, Began: 9},
		Event{Kind: Sent, Key: key(20), Epoch: 3, At: 40}, Event{Kind: Sent, Key: key(21), Epoch: 3, At: 40},
		Event{Kind: Lost, Key: Key{Queue: "q"}, At: 42, Epoch: 3}, Event{Kind: Delivered, Key: key(21), Epoch: 3, At: 42},
		Event{Kind: Delivered, Key: key(20), Epoch: 3, At: 43, Redelivered: true}, // its consumer had left with it
	)
	v := Check(copies(l, 2), onlyQ)
	if len(v.Faults) > 0 || v.Stale != 1 {
		t.Errorf("%d stale; %v", v.Stale, v.Faults)
	}
}

// What the broker may do is no fault: unanswered messages and transactions exist as a whole or not at all.
func TestUnknownOutcomes(t *testing.T) {
	for _, more := range [][]Event{
		{{Kind: Delivered, Key: Key{1, 6, "q"}, Epoch: 2, Redelivered: true}},
		nil,
	} {
		l := good()
		l = slices.DeleteFunc(l, func(e Event) bool { return e.Key == key(10) || e.Key == key(8) })
		if found := Check(append(l, more...), onlyQ).Faults; len(found) > 0 {
			t.Errorf("%v: %v", more, found)
		}
	}
}

// A COMMIT without an answer may be carried out after what its producer sent over its next connection.
func TestLateTransaction(t *testing.T) {
	l := append(good(), Event{Kind: Delivered, Key: key(6), Epoch: 2, Redelivered: true}, Event{Kind: Delivered, Key: key(10), Epoch: 2, Redelivered: true})
	if found := Check(l, onlyQ).Faults; len(found) > 0 {
		t.Error(found)
	}
}

// model is a broker that keeps its promises, on paper.
func model(r *rand.Rand, events int) []Event {
	type entry struct {
		key       Key
		delivered bool
	}
	var list []Event
	var queue []*entry
	life, seq := uint64(1), 0
	for range events {
		switch r.IntN(6) {
		case 0: // killed: what was delivered comes back
			life++
		case 1, 2:
			seq++
			list = append(list, Event{Kind: Sent, Key: key(seq), Epoch: life})
			if r.IntN(8) > 0 {
				list = append(list, Event{Kind: Receipted, Key: key(seq), Epoch: life})
			} else if r.IntN(2) == 0 {
				continue // it never arrived
			}
			queue = append(queue, &entry{key: key(seq)})
		default:
			if len(queue) == 0 {
				continue
			}
			e := queue[0]
			list = append(list, Event{Kind: Delivered, Key: e.key, Epoch: life, Redelivered: e.delivered})
			e.delivered = true
			if r.IntN(3) > 0 {
				list = append(list, Event{Kind: Acked, Key: e.key, Epoch: life})
				queue = queue[1:]
			}
		}
	}
	for _, e := range queue {
		list = append(list, Event{Kind: Delivered, Key: e.key, Epoch: life, Redelivered: e.delivered}, Event{Kind: Acked, Key: e.key, Epoch: life})
	}
	return list
}

// A broker that keeps its promises is never accused; one that loses or repeats a message always is.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		list := model(r, rapid.IntRange(1, 200).Draw(t, "events"))
		if found := Check(list, onlyQ).Faults; len(found) > 0 {
			t.Fatalf("accused: %q\n%v", found, list)
		}
		var acked, receipted []Key
		for _, e := range list {
			switch e.Kind {
			case Acked:
				acked = append(acked, e.Key)
			case Receipted:
				receipted = append(receipted, e.Key)
			}
		}
		if len(acked) > 0 {
			again := acked[r.IntN(len(acked))]
			more := append(slices.Clone(list), Event{Kind: Delivered, Key: again, Epoch: 1 << 20, Redelivered: true})
			mustFind(t, more, "after ack: "+again.String())
		}
		if len(receipted) > 0 {
			gone := receipted[r.IntN(len(receipted))]
			less := slices.DeleteFunc(slices.Clone(list), func(e Event) bool { return e.Key == gone && (e.Kind == Delivered || e.Kind == Acked) })
			mustFind(t, less, "lost: "+gone.String())
		}
	})
}

func mustFind(t *rapid.T, list []Event, want string) {
	if found := Check(list, onlyQ).Faults; !slices.ContainsFunc(found, func(s string) bool { return strings.HasPrefix(s, want) }) {
		t.Fatal(fmt.Sprintf("want %q, got %q", want, found))
	}
}
