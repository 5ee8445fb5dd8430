package main

import (
	"testing"

	"treadmq/ha/failover"
)

// TestDelayedBoundIsConfigured: with room for one delayed message the queue waits for it, so that it comes again before
// the next one does.
func TestDelayedBoundIsConfigured(t *testing.T) {
	p := serve(t, t.TempDir(), nil, "--set", "memory.queueDelayed=1")
	u, err := failover.ParseURL("tcp://" + p.state.Stomp[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := failover.Dial(t.Context(), u, failover.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, body := range []string{"one", "two"} {
		if err := c.Send(t.Context(), "/queue/a", "text/plain", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := c.Subscribe(t.Context(), "/queue/a", failover.AckClientIndividual, failover.H("activemq.prefetchSize", "1"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"one", "one", "two"} {
		m, err := sub.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Body) != want {
			t.Fatalf("message %d is %s, want %s", i, m.Body, want)
		}
		if i == 0 {
			err = m.Nack(t.Context(), failover.H("x-delay", "200"))
		} else {
			err = m.Ack(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
