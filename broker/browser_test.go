package broker_test

import (
	"fmt"
	"testing"

	"treadmq/broker"
)

func browsing(o *broker.SubscribeOptions) { o.Browser = true }

func TestBrowserShowsWhatIsThereAndThenItsEnd(t *testing.T) {
	for name, mode := range map[string]func(*broker.SubscribeOptions){"auto": auto, "client": func(*broker.SubscribeOptions) {}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, withPolicy(func(p *broker.Policy) { p.MemoryLimit = 5_000 }))
			p, q := r.connect(), queueNamed("a")
			const n = 700
			for i := range n {
				opts := []msgOption{property("n", fmt.Sprint(i))}
				if i%7 == 0 {
					opts = append(opts, volatile)
				}
				p.send(q, fmt.Sprint(i), opts...)
			}
			until(t, "all are visible", func() bool { return r.queue(q).Messages == n })
			holder := r.connect()
			holder.subscribe(q, prefetch(3))
			held := holder.take(3)
			c := r.connect()
			s := c.subscribe(q, browsing, mode, prefetch(10), selecting("n < 650"))
			p.send(q, "later", property("n", "0"))
			for i := range 650 {
				d := c.take(1)
				wantBodies(t, d, fmt.Sprint(i))
				if name == "client" {
					c.settle(broker.AckAccept, d...)
				}
			}
			if end := c.take(1)[0]; !end.BrowseEnd {
				t.Fatalf("%q came after what was there", end.Message.Body())
			}
			s.Close()
			if i := r.queue(q); i.Messages != n+1 || i.InFlight != 3 {
				t.Errorf("browsing changed the queue: %+v", i)
			}
			holder.settle(broker.AckAccept, held...)
			for _, d := range holder.take(3) {
				if d.Redelivered {
					t.Error("browsing counted as a delivery")
				}
			}
		})
	}
}

func TestBrowserOfNothingEnds(t *testing.T) {
	r := newRig(t)
	c := r.connect()
	c.subscribe(queueNamed("none"), browsing)
	if !c.take(1)[0].BrowseEnd {
		t.Error("no end mark")
	}
	if _, err := c.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{topicNamed("t")}, Browser: true}); code(err) != broker.CodeBadRequest {
		t.Errorf("browsing a topic: %v", err)
	}
}
