package stomp

import (
	"fmt"
	"testing"

	"treadmq/broker"
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

// With soft errors a frame of a transaction that is refused makes the whole fail, also for a client that sent COMMIT before it
// read the ERROR: all or nothing. ABORT gives the acknowledged messages back to their consumer.
func TestCompatJMS_TransactionWithRefusedFrame(t *testing.T) {
	for name, refused := range map[string]struct{ frame, code string }{
		"full queue":  {"SEND\ndestination:/queue/full\ntransaction:tx\n\nx\x00", "queue-full"},
		"bad name":    {"SEND\ndestination:/queue/*\ntransaction:tx\n\nx\x00", "bad-destination"},
		"unknown ack": {"ACK\nid:none\ntransaction:tx\n\n\x00", "unknown-ack"},
		"bad NACK":    {"NACK\nid:none\nrequeue:perhaps\ntransaction:tx\n\n\x00", "bad-request"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(d broker.Destination, p *broker.Policy) {
				if d.Name == "full" {
					p.MaxMessages, p.OnFull = 1, broker.FullFail
				}
			}))
			c := r.connected("x-errors:soft\n")
			c.publish("/queue/full", "", "first")
			c.publish("/queue/in", "", "in")
			c.subscribe("/queue/in", "ack:client-individual\n")
			m := c.take("in")[0]
			c.send("BEGIN\ntransaction:tx\n\n\x00ACK\nid:" + m.get("ack") + "\ntransaction:tx\n\n\x00" +
				"SEND\ndestination:/queue/out\ntransaction:tx\n\nx\x00" + refused.frame + "COMMIT\ntransaction:tx\nreceipt:c\n\n\x00")
			for _, code := range []string{refused.code, "transaction-failed"} {
				if e := c.expect("ERROR"); e.get("x-code") != code || e.get("x-fatal") != "false" {
					t.Fatalf("want %s, got %v", code, e)
				}
			}
			c.send("ABORT\ntransaction:tx\nreceipt:a\n\n\x00")
			c.expectReceipt("a")
			if in, out := depth(r, "/queue/in"), depth(r, "/queue/out"); in != 1 || out != 0 {
				t.Fatalf("%d messages are in, %d out", in, out)
			}
			c.send("ACK\nid:" + m.get("ack") + "\nreceipt:k\n\n\x00")
			c.expectReceipt("k")
			if in := depth(r, "/queue/in"); in != 0 {
				t.Fatalf("%d messages are in", in)
			}
		})
	}
}

// A power cut while COMMIT is carried out leaves all of the transaction or nothing: what was acknowledged is gone just when
// what was sent, to each destination, is there. With its RECEIPT it is all of it.
func TestCompatJMS_TransactionCutInTheMiddle(t *testing.T) {
	n := newNode(t)
	var before [4]int64
	for i := range 20 {
		c := n.connected("")
		c.publish("/queue/in", "", "x")
		c.subscribe("/queue/in", "ack:client-individual\n")
		m := c.take("x")[0]
		c.send("BEGIN\ntransaction:t\n\n\x00ACK\nid:" + m.get("ack") + "\ntransaction:t\n\n\x00")
		for _, to := range []string{"one", "two"} {
			c.send("SEND\ndestination:/queue/" + to + "\ntransaction:t\n\n\x00")
		}
		c.send("SEND\ndestination:/queue/three\ntransaction:t\nx-delay:1\nreceipt:r\n\n\x00")
		c.expectReceipt("r")
		c.send("COMMIT\ntransaction:t\nreceipt:c\n\n\x00")
		receipt := i%2 == 0
		if receipt {
			c.expectReceipt("c")
		}
		n.powerCut()

		var now [4]int64
		until(t, "the message that was to come later has come, if there is one", func() bool {
			for k, q := range []string{"in", "one", "two", "three"} {
				now[k] = max(0, n.depth(queueNamed(q)))
			}
			return n.b.ScheduleCount() == 0 && now[3]-before[3] == now[1]-before[1]
		})
		done := now[1] - before[1]
		if receipt && done != 1 || now[2]-before[2] != done || now[0] != 1-done {
			t.Fatalf("round %d, receipt %v: %v messages in the queues, %v before", i, receipt, now, before)
		}
		c = n.connected("")
		c.subscribe("/queue/in", "ack:client-individual\n")
		for range now[0] {
			c.ack(c.expect("MESSAGE"), "")
		}
		c.bye()
		before = now
		before[0] = 0
	}
}
