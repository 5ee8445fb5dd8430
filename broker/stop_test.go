package broker_test

import (
	"fmt"
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

// TestMost: a subscription that wants so many messages takes no further ones, however much it acknowledges.
func TestMost(t *testing.T) {
	for _, d := range []broker.Destination{queueNamed("a"), topicNamed("t")} {
		r := newRig(t)
		p, c := r.connect(), r.connect()
		s := c.subscribe(d, func(o *broker.SubscribeOptions) { o.Most, o.Prefetch = 3, 2 })
		for i := range 20 {
			p.send(d, fmt.Sprint(i), volatile)
		}
		for i := range 3 {
			got := c.take(1)
			wantBodies(t, got, fmt.Sprint(i))
			c.settle(broker.AckAccept, got...)
		}
		r.drain()
		if n := c.waiting(); n != 0 {
			t.Errorf("%s: %d more came", d, n)
		}
		s.Close()
		if d.Kind == broker.Queue {
			next := r.connect()
			next.subscribe(d)
			if got := next.take(1)[0]; string(got.Message.Body()) != "3" || got.Attempts != 1 || got.Redelivered {
				t.Errorf("the next one has %s, attempt %d", got.Message.Body(), got.Attempts)
			}
		}
	}
}
