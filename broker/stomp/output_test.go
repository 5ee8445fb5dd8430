package stomp

import (
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
