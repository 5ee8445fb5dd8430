package stomp

import (
	"fmt"
	"testing"
)

// One producer's messages come in the order in which they were sent, persistent ones and others mixed.
func TestCompatJMS_Order(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	c.subscribe("/queue/a", "")
	var want []string
	for i := range 500 {
		c.send(fmt.Sprintf("SEND\ndestination:/queue/a\npersistent:%v\n\n%d\x00", i%3 != 0, i))
		want = append(want, fmt.Sprint(i))
	}
	even, odd := 0, 0
	for range want {
		var n int
		m := c.expect("MESSAGE")
		if _, err := fmt.Sscan(m.body, &n); err != nil {
			t.Fatal(err)
		}
		last := &even // of its kind: the two kinds may pass each other
		if n%3 != 0 {
			last = &odd
		}
		if n < *last {
			t.Fatalf("%d came after %d", n, *last)
		}
		*last = n
	}
}

// A queue's messages are shared: none goes to two, a late consumer gets its part, and a large window of another does
// not take more than that.
func TestCompatJMS_CompetingConsumers(t *testing.T) {
	r := newRig(t)
	c, late := r.connected(""), r.connected("")
	fill(c, "/queue/a", 150)
	first := r.connected("")
	first.subscribe("/queue/a", "ack:client-individual\n")
	for i := range 100 { // its window, by default
		first.take(fmt.Sprint(i))
	}
	late.subscribe("/queue/a", "ack:client-individual\n")
	for i := range 50 {
		late.take(fmt.Sprint(100 + i))
	}
	first.nothing()
	late.nothing()
}

// Nothing of a transaction is to be seen before COMMIT, by consumers or browsers; after ABORT, or when the connection
// or the power goes, it has not been. An ACK in it takes effect with it.
func TestCompatJMS_Transaction(t *testing.T) {
	n := newNode(t)
	looks := n.connected("")
	begin := func(tx string) *client {
		c := n.connected("")
		c.publish("/queue/in", "", tx)
		c.subscribe("/queue/in", "ack:client-individual\n")
		m := c.take(tx)[0]
		c.send("BEGIN\ntransaction:" + tx + "\n\n\x00")
		c.publish("/queue/out", "transaction:"+tx+"\n", tx+" 1")
		c.publish("/queue/out,/topic/out", "transaction:"+tx+"\n", tx+" 2")
		c.send("ACK\nid:" + m.get("ack") + "\ntransaction:" + tx + "\nreceipt:ack\n\n\x00")
		c.expectReceipt("ack")
		return c
	}
	browse := func(want ...string) {
		t.Helper()
		looks.subscribe("/queue/out", "browser:true\n")
		looks.take(append(want, "")...)
		looks.unsubscribe("")
	}
	live := n.connected("")
	live.subscribe("/topic/out", "")
	c := begin("kept")
	browse()
	live.nothing()
	c.send("COMMIT\ntransaction:kept\nreceipt:done\n\n\x00")
	c.expectReceipt("done")
	live.take("kept 2")
	browse("kept 1", "kept 2")
	c.bye()

	c = begin("aborted")
	c.send("ABORT\ntransaction:aborted\nreceipt:done\n\n\x00")
	c.expectReceipt("done")
	browse("kept 1", "kept 2")
	c.bye()

	c = n.connected("")
	c.subscribe("/queue/in", "ack:auto\n")
	c.take("aborted")
	c.unsubscribe("")
	c.bye()

	begin("lost").bye()
	browse("kept 1", "kept 2")
	c = n.connected("")
	c.subscribe("/queue/in", "ack:auto\n")
	c.take("lost")
	c.unsubscribe("")
	c.bye()

	begin("cut")
	n.powerCut()
	looks = n.connected("")
	browse("kept 1", "kept 2")
	if got := n.depth(queueNamed("in")); got != 1 {
		t.Fatalf("%d messages are in the queue", got)
	}
}

// ACK in mode client covers what came before on the same subscription, and nothing of another one.
func TestCompatJMS_ClientAcknowledge(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	fill(c, "/queue/a", 3)
	fill(c, "/queue/b", 3)
	c.subscribe("/queue/b", "ack:client\n")
	c.take("0", "1", "2")
	c.send("SUBSCRIBE\nid:a\ndestination:/queue/a\nack:client\n\n\x00")
	list := c.take("0", "1", "2")
	c.send("ACK\nid:" + list[1].get("ack") + "\nreceipt:r\n\n\x00")
	c.expectReceipt("r")
	if a, b := depth(r, "/queue/a"), depth(r, "/queue/b"); a != 1 || b != 3 {
		t.Fatalf("depths %d and %d", a, b)
	}
}
