package stomp

import (
	"fmt"
	"strings"
	"testing"

	"treadmq/broker"
)

// Who sends where is known: how much, also in transactions, and when last; connections that have ended are forgotten.
func TestProducers(t *testing.T) {
	n := newNode(t)
	a, b := n.connected("client-id:first\n"), n.connected("client-id:second\n")
	for range 3 {
		a.publish("/queue/a", "", "x")
		a.publish("/topic/t", "", "x")
	}
	b.publish("/queue/a", "", "x")
	b.send("BEGIN\ntransaction:t\n\n\x00")
	b.publish("/queue/a", "transaction:t\n", "x")
	look := func(d broker.Destination) string {
		var all []string
		for _, p := range n.b.Producers(d) {
			all = append(all, fmt.Sprint(p.ClientID, " ", p.Messages, " ", !p.Last.IsZero() && p.Remote != "" && p.Destination == d))
		}
		return strings.Join(all, ", ")
	}
	q := broker.Destination{Kind: broker.Queue, Name: "a"}
	if got := look(q); got != "first 3 true, second 2 true" && got != "second 2 true, first 3 true" {
		t.Errorf("the queue's producers are %s", got)
	}
	if got := look(broker.Destination{Kind: broker.Topic, Name: "t"}); got != "first 3 true" {
		t.Errorf("the topic's producers are %s", got)
	}
	serial := n.b.Producers(q)[0].Connection
	if list := n.b.ProducesTo(serial); len(list) == 0 || list[0].Connection != serial {
		t.Errorf("%+v", list)
	}
	a.send("DISCONNECT\nreceipt:bye\n\n\x00")
	a.expectReceipt("bye")
	a.expectEnd()
	until(t, "the one that left is forgotten", func() bool { return look(q) == "second 2 true" })
}
