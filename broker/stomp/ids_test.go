package stomp

import "testing"

// An id of a delivery that an earlier run of the broker made is never one of this run's, even if the two began in the
// same second: an ACK with it is ignored, and does not hit a message of this connection.
func TestAckIDsDifferOverRestarts(t *testing.T) {
	n := newNode(t)
	n.connected("").publish("/queue/a", "", "work")
	var ids []string
	for range 4 {
		c := n.connected("")
		c.subscribe("/queue/a", "ack:client-individual\nactivemq.prefetchSize:1\n")
		m := c.take("work")[0]
		for _, old := range ids {
			if old == m.get("ack") {
				t.Fatalf("the id %s was given out twice", old)
			}
			c.send("ACK\nid:" + old + "\nreceipt:k\n\n\x00")
			c.expectReceipt("k")
		}
		ids = append(ids, m.get("ack"))
		if got := depth(n.rig, "/queue/a"); got != 1 {
			t.Fatalf("an ACK of an earlier run acknowledged a message: %d left", got)
		}
		n.restart()
	}
}
