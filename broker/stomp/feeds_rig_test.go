package stomp

import (
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"treadmq/broker"
	"treadmq/store/local"
	"treadmq/store/vfs"
)

// node is a server with a broker that can be stopped and started again on the same disk.
type node struct {
	*rig
	fs         *vfs.Mem
	routing    *broker.Routing
	main, temp *local.Store
}

func newNode(t testing.TB, change ...func(*node)) *node {
	n := &node{rig: &rig{t: t, log: &logBuffer{}}, fs: vfs.NewMem()}
	for _, f := range change {
		f(n)
	}
	n.open()
	t.Cleanup(n.close)
	return n
}

func withRouting(r broker.Routing) func(*node) { return func(n *node) { n.routing = &r } }

func nodePolicy(change func(broker.Destination, *broker.Policy)) func(*node) {
	return func(n *node) { withPolicy(change)(n.rig) }
}

func (n *node) open() {
	n.t.Helper()
	seq := new(atomic.Uint64)
	var ready atomic.Pointer[broker.Broker]
	group := func() {
		if b := ready.Load(); b != nil {
			b.OnGroup()
		}
	}
	open := func(o local.Options) *local.Store {
		o.FS, o.Seq, o.SegmentSize, o.BootID = n.fs, seq, 4<<20, "test"
		s, err := local.Open(o)
		if err != nil {
			n.t.Fatal(err)
		}
		return s
	}
	n.main, n.temp = open(local.Options{Dir: "store", OnGroup: group}), open(local.Options{Dir: "temp", Temporary: true})
	log := slog.New(slog.NewTextHandler(n.log, nil))
	b, err := broker.New(broker.Options{Store: n.main, Temp: n.temp, Sequence: seq, Node: "test", Policy: n.policy, Routing: n.routing, Logger: log})
	if err != nil {
		n.t.Fatal(err)
	}
	ready.Store(b)
	n.b = b
	if n.srv, err = New(Options{Anonymous: true, Broker: b, Logger: log}); err != nil {
		n.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.addr, n.served = l.Addr().String(), make(chan error, 1)
	srv, served := n.srv, n.served
	go func() { served <- srv.Serve(l, ListenerOptions{Name: "test"}) }()
}

func (n *node) close() {
	if n.srv == nil {
		return
	}
	if err := n.srv.Close(); err != nil {
		n.t.Error(err)
	}
	<-n.served
	n.srv = nil
	n.b.Close(time.Second)
	for _, st := range []*local.Store{n.main, n.temp} {
		if err := st.Close(); err != nil {
			n.t.Error(err)
		}
	}
}

func (n *node) restart() {
	n.t.Helper()
	n.close()
	n.open()
}

// powerCut loses what was not synced.
func (n *node) powerCut() {
	n.t.Helper()
	disk := n.fs.Crash(nil)
	n.close()
	n.fs = disk
	n.open()
}

// publish sends with a receipt and waits for it.
func (c *client) publish(destination, headers, body string) {
	c.t.Helper()
	c.send("SEND\ndestination:" + destination + "\nreceipt:p\n" + headers + "\n" + body + "\x00")
	for {
		g, err := c.readFrame()
		switch {
		case err != nil:
			c.t.Fatalf("waiting for the receipt of a message: %v", err)
		case g.command == "MESSAGE": // its own may be faster
			c.early = append(c.early, g)
		case g.command != "RECEIPT" || g.get("receipt-id") != "p":
			c.t.Fatalf("want receipt p, got %v", g)
		default:
			return
		}
	}
}

// subscribe subscribes with id s, mode client-individual unless headers say otherwise, and waits for the receipt.
func (c *client) subscribe(destination, headers string) {
	c.t.Helper()
	c.send("SUBSCRIBE\nid:s\ndestination:" + destination + "\n" + headers + "receipt:s\n\n\x00")
	c.expectReceipt("s")
}

// take expects messages with these bodies in this order, without acknowledging them.
func (c *client) take(bodies ...string) (list []got) {
	c.t.Helper()
	for _, want := range bodies {
		m := c.expect("MESSAGE")
		if m.body != want {
			c.t.Fatalf("want %q, got %v", want, m)
		}
		list = append(list, m)
	}
	return list
}

// nothing shows that no message came: a RECEIPT is next.
func (c *client) nothing() {
	c.t.Helper()
	c.send("SEND\ndestination:/topic/nobody.is.there\nreceipt:n\n\n\x00")
	c.expectReceipt("n")
}

func (c *client) unsubscribe(headers string) {
	c.t.Helper()
	c.send("UNSUBSCRIBE\nid:s\nreceipt:u\n" + headers + "\n\x00")
	c.expectReceipt("u")
}

// bye disconnects in order.
func (c *client) bye() {
	c.t.Helper()
	c.send("DISCONNECT\nreceipt:bye\n\n\x00")
	c.expectReceipt("bye")
	c.expectEnd()
}

// depth is the number of messages of a queue, -1 if there is none.
func (n *node) depth(d broker.Destination) int64 {
	q, err := n.b.Queue(d)
	if err != nil {
		return -1
	}
	return q.Messages
}

func bodies(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s%d", prefix, i))
	}
	return list
}
