package stomp

import (
	"net"
	"sync/atomic"
	"testing"

	"treadmq/broker"
)

// A writer that goes on after deliveries, into a round that takes none, does not look at the old ones.
func TestRoundWithoutDeliveriesAfterDeliveries(t *testing.T) {
	s := benchSession(t, &deaf{})
	defer s.end(&ending{quiet: true})
	sub, err := s.conn.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{{Kind: broker.Topic, Name: "t"}}, Auto: true})
	if err != nil {
		t.Fatal(err)
	}
	s.enlist(&subscription{core: sub})
	s.out.mu.Lock()
	s.out.closed = true // the test is the writer
	s.out.mu.Unlock()
	sub.Start()
	w := s.conn.NewWork()
	var b broker.Builder
	if err := w.Send([]broker.Destination{{Kind: broker.Topic, Name: "t"}}, b.Build(broker.Destination{Kind: broker.Topic, Name: "t"}, nil)); err != nil {
		t.Fatal(err)
	}
	w.Flush(nil)
	wr := &writer{}
	for _, r := range []round{{conn: s.conn}, {}} {
		if err := s.writeRound(wr, r); err != nil {
			t.Fatal(err)
		}
		if r.conn != nil && len(wr.ds) != 1 {
			t.Fatalf("%d deliveries", len(wr.ds))
		}
	}
}

// While another broker may have been elected no message goes out, and one that waits when the connection ends
// goes to somebody else.
func TestMessagesWaitWhileNotCurrent(t *testing.T) {
	var current atomic.Bool
	var asked atomic.Int64
	r := newRig(t, withOptions(func(o *Options) {
		o.Current = func() bool { asked.Add(1); return current.Load() }
	}))
	held := r.connected("")
	held.send("SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client\nreceipt:s\n\n\x00")
	held.expectReceipt("s")
	sender := r.connected("")
	sender.send("SEND\ndestination:/queue/q\nreceipt:1\n\na\x00")
	sender.expectReceipt("1")
	until(t, "the message is held back", func() bool { return asked.Load() >= 2 })
	if err := held.nc.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	held.expectEnd()
	current.Store(true)
	sender.send("SUBSCRIBE\nid:1\ndestination:/queue/q\nack:auto\n\n\x00")
	sender.expect("MESSAGE")
}

// The end of a browser's messages is marked as ActiveMQ marks it.
func TestBrowseEnd(t *testing.T) {
	s := benchSession(t, &deaf{})
	defer s.end(&ending{quiet: true})
	sub := &subscription{destination: "/queue/a:b", version: s.version, header: []byte("subscription:1\n"), core: &broker.Subscription{}}
	w := &writer{sub: sub}
	s.appendDelivery(w, &broker.Delivery{Sub: sub.core, BrowseEnd: true})
	want := "MESSAGE\nsubscription:1\nmessage-id:0\ndestination:/queue/a\\cb\nbrowser:end\n\n\x00\n"
	if got := string(w.buf); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
