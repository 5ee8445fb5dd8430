package stomp

import (
	"strings"
	"testing"

	"treadmq/broker"
)

const connectWithID = "CONNECT\naccept-version:1.2\nhost:test\nclient-id:c\n\n\x00"

// A client id is one connection's at a time: the newcomer is refused (section 3, Client id).
func TestClientIDConflict_Reject(t *testing.T) {
	r := newRig(t)
	first := r.connected("client-id:c\n")
	second := r.dial()
	second.send(connectWithID)
	if e := second.expectError("in-use"); !strings.Contains(e.body, first.nc.LocalAddr().String()) {
		t.Fatal(e)
	}
	first.nothing()
}

// Or takes it over, with the durable subscription and what was not acknowledged.
func TestClientIDConflict_Steal(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.ClientIDConflict = broker.ConflictSteal }))
	first := r.connected("client-id:c\n")
	first.subscribe("/topic/a", "activemq.subscriptionName:n\nack:client\n")
	r.connected("").publish("/topic/a", "", "x")
	first.take("x")
	second := r.dial()
	second.send(connectWithID)
	second.expect("CONNECTED")
	second.subscribe("/topic/a", "activemq.subscriptionName:n\nack:client\n")
	if m := second.take("x")[0]; m.get("redelivered") != "true" {
		t.Fatal(m)
	}
	first.expectError("in-use")
}

// A client that is back at once after it closed its connection is not refused because of that.
func TestClientIDConflict_QuickReconnect(t *testing.T) {
	r := newRig(t)
	for range 50 {
		c := r.connected("client-id:c\n")
		c.subscribe("/topic/a", "activemq.subscriptionName:n\n")
		c.nc.Close()
	}
}

// A connection whose client answers keeps its client id, however long it was silent.
func TestClientIDConflict_ProbeAnswered(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.ClientIDConflict = broker.ConflictProbe }))
	first := r.connected("client-id:c\n")
	second := r.dial()
	second.send(connectWithID)
	second.expectError("in-use")
	first.nothing()
}
