package stomp

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"treadmq/broker"
)

// cutOff makes a client's system take no more packets for its connection: as for a host that is gone, nothing is
// acknowledged and nothing reset.
func cutOff(t *testing.T, c *client) {
	t.Helper()
	raw, err := c.nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	filter := unix.SockFprog{Len: 1, Filter: &drop[0]}
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter)
	}); e != nil || err != nil {
		t.Fatal(e, err)
	}
}

// A client that comes back from a host or network that was cut off does not wait until its old connection is given up: it
// gets its client id, its durable subscription and what was not acknowledged.
func TestClientIDConflict_ProbeUnanswered(t *testing.T) {
	r := newRig(t, withOptions(func(o *Options) { o.ClientIDConflict = broker.ConflictProbe }))
	first := r.connected("client-id:c\n")
	first.subscribe("/topic/a", "activemq.subscriptionName:n\nack:client\n")
	r.connected("").publish("/topic/a", "", "x")
	first.take("x")
	cutOff(t, first)
	second := r.dial()
	second.send(connectWithID)
	second.expect("CONNECTED")
	second.subscribe("/topic/a", "activemq.subscriptionName:n\nack:client\n")
	if m := second.take("x")[0]; m.get("redelivered") != "true" {
		t.Fatal(m)
	}
}
