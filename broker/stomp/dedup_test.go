package stomp

import (
	"fmt"
	"testing"

	"treadmq/broker"
)

// A repeat is told in its RECEIPT, with the id of the first one, and is not there twice: with both names of the header,
// over lists of destinations, and in a burst.
func TestCompatDedup_Repeats(t *testing.T) {
	r := newRig(t)
	c := r.connected("")
	const frame = "SEND\ndestination:%s\nreceipt:%d\n%s\n\nbody\x00"
	c.send(fmt.Sprintf(frame, "/queue/a", 1, "x-dedup-id:x") + fmt.Sprintf(frame, "/queue/a", 2, "_AMQ_DUPL_ID:x") + fmt.Sprintf(frame, "/queue/a", 3, "x-dedup-id:y") +
		fmt.Sprintf(frame, "/queue/a,/queue/b", 4, "x-dedup-id:x") + fmt.Sprintf(frame, "/queue/a,/queue/b", 5, "x-dedup-id:x"))
	repeats := map[string]string{}
	for i := range 5 {
		g := c.expect("RECEIPT")
		if g.get("receipt-id") != fmt.Sprint(i+1) {
			t.Fatal(g)
		}
		if g.get("x-duplicate") == "true" {
			repeats[g.get("receipt-id")] = g.get("x-message-id")
		} else if g.get("x-message-id") != "" {
			t.Error(g)
		}
	}
	c.subscribe("/queue/a", "")
	first := c.expect("MESSAGE")
	if first.get("x-dedup-id") != "" || c.expect("MESSAGE").get("x-dedup-id") != "" {
		t.Error(first) // whoever sends it on with all its headers sends another message
	}
	c.nothing()
	if len(repeats) != 2 || repeats["2"] != first.get("message-id") || repeats["5"] == "" {
		t.Errorf("repeats %v, the first one is %s", repeats, first.get("message-id"))
	}
	if n := depth(r, "/queue/b"); n != 1 {
		t.Errorf("b has %d messages", n)
	}
}

// A producer that numbers its messages learns on CONNECT where it was.
func TestDedup_Producer(t *testing.T) {
	r := newRig(t)
	c := r.connected("x-producer-id:p\n")
	c.send("SEND\ndestination:/queue/a\nreceipt:1\nx-producer-seq:7\n\nbody\x00")
	if g := c.expect("RECEIPT"); g.get("x-duplicate") != "" {
		t.Error(g)
	}
	c.send("SEND\ndestination:/queue/b\nreceipt:2\nx-producer-id:p\nx-producer-seq:7\n\nbody\x00")
	if g := c.expect("RECEIPT"); g.get("x-duplicate") != "true" || g.get("x-message-id") == "" {
		t.Error(g)
	}
	again := r.dial()
	again.send("CONNECT\naccept-version:1.2\nhost:test\nx-producer-id:p\n\n\x00")
	if g := again.expect("CONNECTED"); g.get("x-producer-seq") != "7" {
		t.Error(g)
	}
	other := r.dial()
	other.send("CONNECT\naccept-version:1.2\nhost:test\nx-producer-id:q\n\n\x00")
	if g := other.expect("CONNECTED"); g.get("x-producer-seq") != "" {
		t.Error(g)
	}
}

// What cannot be meant is refused.
func TestDedup_Refused(t *testing.T) {
	r := newRig(t)
	long := fmt.Sprintf("%0*d", broker.MaxDedupID+1, 0)
	for header, code := range map[string]string{
		"x-dedup-id:": "bad-request", "x-dedup-id:" + long: "limit", "x-producer-seq:1": "bad-request", "x-producer-id:p": "bad-request",
		"x-producer-id:p\nx-producer-seq:x": "bad-request", "x-dedup-id:a\nx-producer-id:p\nx-producer-seq:1": "bad-request",
		"x-producer-seq:1\nx-producer-id:" + long: "limit",
	} {
		c := r.connected("")
		c.send("SEND\ndestination:/queue/a\nreceipt:1\n" + header + "\n\nbody\x00")
		c.expectError(code)
	}
	if n := depth(r, "/queue/a"); n > 0 {
		t.Errorf("%d messages were taken all the same", n)
	}
}

// Transactions: what is sent again is left out, what was aborted is not remembered, and a full queue's sender waits.
func TestDedup_TransactionsAndRoom(t *testing.T) {
	r := newRig(t, withPolicy(func(_ broker.Destination, p *broker.Policy) { p.MaxMessages, p.OnFull = 2, broker.FullBlock }))
	c := r.connected("")
	c.send("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/queue/a\ntransaction:t\nx-dedup-id:1\n\nno\x00ABORT\ntransaction:t\nreceipt:0\n\n\x00")
	c.expectReceipt("0")
	c.send("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/queue/a\ntransaction:t\nx-dedup-id:1\n\none\x00" +
		"SEND\ndestination:/queue/a\ntransaction:t\nx-dedup-id:1\n\ntwice\x00COMMIT\ntransaction:t\nreceipt:1\n\n\x00")
	c.expectReceipt("1")
	c.send("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/queue/a\ntransaction:t\nx-dedup-id:1\nreceipt:2\n\nagain\x00COMMIT\ntransaction:t\nreceipt:3\n\n\x00")
	if g := c.expect("RECEIPT"); g.get("receipt-id") != "2" || g.get("x-duplicate") != "true" {
		t.Error(g)
	}
	c.expectReceipt("3")
	c.send("SEND\ndestination:/queue/a\nx-dedup-id:2\nreceipt:4\n\ntwo\x00")
	c.expectReceipt("4")
	c.send("SEND\ndestination:/queue/a\nx-dedup-id:3\nreceipt:5\n\nthree\x00" + "SEND\ndestination:/queue/a\nx-dedup-id:2\nreceipt:6\n\ntwo\x00")
	if g := c.expect("RECEIPT"); g.get("receipt-id") != "6" || g.get("x-duplicate") != "true" {
		t.Error(g) // a repeat needs no room
	}
	other := r.connected("")
	other.subscribe("/queue/a", "ack:auto\n")
	other.take("one", "two", "three")
	c.expectReceipt("5")
}
