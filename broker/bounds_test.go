package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"treadmq/broker"
)

// What a transaction holds is bounded in number and bytes; what was refused is no part of it.
func TestTransactionsAreBounded(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.options = func(o *broker.Options) { o.MaxTransactions, o.MaxTxOps, o.MaxTxBytes = 2, 3, 4000 }
	})
	c, q := r.connect(), queueNamed("a")
	begin := func(name string) *broker.Tx {
		t.Helper()
		tx, err := c.Begin(name)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	refused := func(what string, err error) {
		t.Helper()
		if code(err) != broker.CodeLimit {
			t.Errorf("%s: %v", what, err)
		}
	}
	first, second := begin("1"), begin("2")
	_, err := c.Begin("3")
	refused("a third transaction", err)
	second.Abort()
	second = begin("3")

	send := func(tx *broker.Tx, body string) error {
		return tx.Send([]broker.Destination{q}, message(q, body))
	}
	c.send(q, "in")
	s := c.subscribe(q, prefetch(1))
	d := c.take(1)[0]
	for i := range 3 {
		if err := send(first, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	refused("a fourth operation", send(first, "too many"))
	if n, err := first.Ack(s, d.Tag, d.Tag, broker.Ack{}); n != 0 || code(err) != broker.CodeLimit {
		t.Errorf("%d acknowledged: %v", n, err)
	}
	if err := send(second, strings.Repeat("x", 3000)); err != nil {
		t.Fatal(err)
	}
	refused("more bytes", send(second, strings.Repeat("x", 1000)))
	s.Close()

	w := c.NewWork()
	if err := w.Commit(first); err != nil {
		t.Fatal(err)
	}
	if err := flush(t, w); err != nil {
		t.Fatal(err)
	}
	c.subscribe(q)
	wantBodies(t, c.take(4), "in", "0", "1", "2")
}

// What was written to a client and can be read again does not stay in memory until it is acknowledged, however large
// the window; what comes back is read again.
func TestDeliveredMessagesLeaveMemory(t *testing.T) {
	r := newRig(t)
	c, q := r.connect(), queueNamed("a")
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint(i))
		c.send(q, want[i])
	}
	s := c.subscribe(q, prefetch(50))
	wantBodies(t, c.take(50), want...)
	until(t, "their bodies are gone", func() bool { return s.Bodies() == 0 })
	s.Close()
	c.subscribe(q, prefetch(50))
	wantBodies(t, c.take(50), want...)
}
