//go:build cluster

package main

import (
	"context"
	"fmt"
	"testing"

	"treadmq/ha/failover"
)

// What a client sends again after the master was killed is there once. In each round the master is killed while many
// messages are without receipts; those of round 0 are sent by hand again at the end, to the third master.
func TestRepeatsAcrossFailovers(t *testing.T) {
	r := newRig(t)
	u, err := failover.ParseURL(r.URL("?initialReconnectDelay=20&maxReconnectDelay=200"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	c, err := failover.Dial(ctx, u, failover.Options{DedupID: true, Window: 500})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const count, rounds, by = 3000, 2, 20
	send := func(name string, opts ...failover.SendOpt) {
		t.Helper()
		results := make(chan error, count)
		for i := range count {
			c.SendAsync(ctx, "/queue/once", "", fmt.Appendf(nil, "%s-%d", name, i), func(err error) { results <- err }, opts...)
		}
		for range count {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
	}
	hand := func() {
		t.Helper()
		for i := range by {
			if err := c.Send(ctx, "/queue/once", "", fmt.Appendf(nil, "by hand-%d", i), failover.H("x-dedup-id", fmt.Sprint("hand ", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	hand()
	for round := range rounds {
		master := r.master()
		killed := make(chan struct{})
		go func() { // while messages are on their way
			defer close(killed)
			master.Kill()
		}()
		send(fmt.Sprint("round ", round))
		<-killed
		hand()
		r.start(master)
		r.await(master, "follower")
	}
	if err := c.Send(ctx, "/queue/once", "", []byte("last")); err != nil {
		t.Fatal(err)
	}
	sub, err := c.Subscribe(ctx, "/queue/once", failover.AckAuto)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for seen["last"] == 0 {
		m, err := sub.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(m.Body)]++; seen[string(m.Body)] > 1 {
			t.Errorf("%s came %d times", m.Body, seen[string(m.Body)])
		}
	}
	if want := rounds*count + by + 1; len(seen) != want {
		t.Errorf("%d messages came, want %d", len(seen), want)
	}
}
