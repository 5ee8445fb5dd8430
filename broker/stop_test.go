package broker_test

import (
	"testing"

	"treadmq/broker"
)

// idleSink is a connection whose output is taken by hand.
type idleSink struct{}

func (idleSink) Wake()      {}
func (idleSink) Kill(error) {}

// TestStop: after Stop a subscription in auto mode can be waited for and closed without any message coming back that
// was written, or that is flagged although nobody saw it.
func TestStop(t *testing.T) {
	r := newRig(t)
	p, q, d := r.connect(), queueNamed("a"), topicNamed("t")
	conn, err := r.b.Connect(broker.ConnOptions{Protocol: "test", Sink: idleSink{}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := conn.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{q, d}, Auto: true, Prefetch: 10})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	p.send(q, "taken 1", volatile)
	p.send(q, "taken 2", volatile)
	taken := conn.Output(nil)
	wantBodies(t, taken, "taken 1", "taken 2")
	p.send(q, "waiting", volatile)
	p.send(d, "of the topic")
	s.Stop()
	p.send(q, "late", volatile)
	s.Start() // comes too late
	if more := conn.Output(nil); len(more) != 0 {
		t.Errorf("%d deliveries after Stop", len(more))
	}
	conn.Written(taken)
	s.Close()
	c := r.connect()
	c.subscribe(q)
	rest := c.take(2)
	wantBodies(t, rest, "waiting", "late")
	for _, d := range rest {
		if d.Redelivered || d.Attempts != 1 {
			t.Errorf("%s is flagged: %d attempts", d.Message.Body(), d.Attempts)
		}
	}
	c.settle(broker.AckAccept, rest...)
	r.drain()
	if i := r.queue(q); i.Messages != 0 {
		t.Errorf("%d messages left", i.Messages)
	}
	conn.Close()
}

// TestStopEndsBrowsing: a browser shows nothing after Stop.
func TestStopEndsBrowsing(t *testing.T) {
	r := newRig(t)
	p, q := r.connect(), queueNamed("a")
	p.send(q, "one", volatile)
	conn, err := r.b.Connect(broker.ConnOptions{Protocol: "test", Sink: idleSink{}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := conn.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{q}, Auto: true, Browser: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	s.Stop()
	r.b.Close(0) // waits for what reads
	if more := conn.Output(nil); len(more) != 0 {
		t.Errorf("%d deliveries after Stop", len(more))
	}
}
