package stomp

import (
	"fmt"
	"testing"
)

func TestSendAndReceive(t *testing.T) {
	r := newRig(t)
	p, c := r.connected(""), r.connected("")
	c.send("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nreceipt:s\n\n\x00")
	c.expectReceipt("s")
	for i := range 100 {
		p.send(fmt.Sprintf("SEND\ndestination:/queue/a\nreceipt:%d\nkey:v%d\n\nhello %d\x00", i, i, i))
	}
	for i := range 100 {
		p.expectReceipt(fmt.Sprint(i))
	}
	for i := range 100 {
		g := c.expect("MESSAGE")
		if g.body != fmt.Sprintf("hello %d", i) || g.get("key") != fmt.Sprintf("v%d", i) || g.get("subscription") != "1" {
			t.Fatalf("message %d is %v", i, g)
		}
		c.send("ACK\nid:" + g.get("ack") + "\n\n\x00")
	}
	c.send("DISCONNECT\nreceipt:bye\n\n\x00")
	c.expectReceipt("bye")
	c.expectEnd()
}
