package stomp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"treadmq/broker"
)

// blocking makes queues hold n messages and senders wait up to timeout for room.
func blocking(n int64, timeout time.Duration) func(*rig) {
	return withPolicy(func(_ broker.Destination, p *broker.Policy) {
		p.MaxMessages, p.OnFull, p.BlockTimeout = n, broker.FullBlock, timeout
	})
}

// A SEND that waits for room holds up neither acknowledgements nor other destinations, and keeps its order.
func TestFullQueueHoldsOnlyItsSender(t *testing.T) {
	r := newRig(t, blocking(2, 0))
	c := r.connected("")
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nprefetch-count:1\nreceipt:s\n\n\x00")
	c.expectReceipt("s")
	for i := range 2 {
		c.send(fmt.Sprintf("SEND\ndestination:/queue/a\nreceipt:%d\n\n%d\x00", i, i))
	}
	// The receipts and the first message come in any order.
	var first got
	for range 3 {
		g, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if g.command == "MESSAGE" {
			first = g
		}
	}
	for i := 2; i < 5; i++ {
		c.send(fmt.Sprintf("SEND\ndestination:/queue/a\nreceipt:%d\n\n%d\x00", i, i))
	}
	c.send("SEND\ndestination:/queue/b\nreceipt:b\n\nx\x00")
	c.expectReceipt("b")
	if first.body != "0" {
		t.Fatalf("got %v", first)
	}
	ack := first.get("ack")
	for i := 1; i < 5; i++ {
		c.send("ACK\nid:" + ack + "\n\n\x00")
		var receipt, message bool
		for !message || (i < 4 && !receipt) {
			g, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			switch g.command {
			case "MESSAGE":
				message = true
				ack = g.get("ack")
				if g.body != fmt.Sprint(i) {
					t.Fatalf("message %d is %v", i, g)
				}
			case "RECEIPT":
				receipt = true
				if g.get("receipt-id") != fmt.Sprint(i+1) {
					t.Fatalf("receipt after ack %d is %v", i, g)
				}
			}
		}
	}
}

func TestBlockTimeout(t *testing.T) {
	r := newRig(t, blocking(1, 50*time.Millisecond))
	c := r.connected("")
	c.send("SEND\ndestination:/queue/a\nreceipt:1\n\nx\x00SEND\ndestination:/queue/a\nreceipt:2\n\nx\x00")
	c.expectReceipt("1")
	if g := c.expectError("queue-full"); g.get("receipt-id") != "2" {
		t.Fatalf("got %v", g)
	}
	soft := r.connected("x-errors:soft\n")
	soft.send("SEND\ndestination:/queue/a\nreceipt:3\n\nx\x00")
	if g := soft.expect("ERROR"); g.get("receipt-id") != "3" || g.get("x-fatal") != "false" {
		t.Fatalf("got %v", g)
	}
	soft.send("SEND\ndestination:/queue/b\nreceipt:4\n\nx\x00")
	soft.expectReceipt("4")
}

// DISCONNECT waits for SENDs that wait for room.
func TestDisconnectWaitsForParked(t *testing.T) {
	r := newRig(t, blocking(1, 0))
	p, c := r.connected(""), r.connected("")
	p.send("SEND\ndestination:/queue/a\nreceipt:1\n\none\x00SEND\ndestination:/queue/a\nreceipt:2\n\ntwo\x00DISCONNECT\nreceipt:bye\n\n\x00")
	p.expectReceipt("1")
	until(t, "the second SEND waits", func() bool { return len(r.b.Queues(nil)) == 1 && r.b.Queues(nil)[0].Parked == 1 })
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:auto\n\n\x00")
	for _, want := range []string{"one", "two"} {
		if g := c.expect("MESSAGE"); g.body != want {
			t.Fatalf("got %v", g)
		}
	}
	p.expectReceipt("2")
	p.expectReceipt("bye")
	p.expectEnd()
}

// A client whose SENDs wait for room is not read from without bound, but hears from others again when there is room.
func TestParkedBytesAreBounded(t *testing.T) {
	r := newRig(t, blocking(1, 0))
	p, c := r.connected(""), r.connected("")
	const n = 40
	body := strings.Repeat("p", 200<<10)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range n {
			p.send(fmt.Sprintf("SEND\ndestination:/queue/a\n\n%d %s\x00", i, body))
		}
		p.send("SEND\ndestination:/queue/b\nreceipt:last\n\nx\x00")
	}()
	parked := func() int {
		most := 0
		for _, info := range r.b.Connections() {
			most = max(most, info.Parked)
		}
		return most
	}
	until(t, "SENDs wait", func() bool { return parked() > maxParked })
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\nprefetch-count:1\n\n\x00")
	for i := range n {
		g := c.expect("MESSAGE")
		if head, _, _ := strings.Cut(g.body, " "); head != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, head)
		}
		if p := parked(); p > maxParked+maxTicketBytes {
			t.Fatalf("%d bytes wait", p)
		}
		c.send("ACK\nid:" + g.get("ack") + "\n\n\x00")
	}
	<-sent
	p.expectReceipt("last")
}
