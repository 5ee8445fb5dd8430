package broker_test

import (
	"fmt"
	"testing"

	"treadmq/broker"
)

type allowAll struct{}

func (allowAll) Rights(string, broker.Destination) broker.Right { return broker.AllRights }

// BenchmarkAuthorize is what a send pays for the question whether it is allowed: without
// rules, to one destination, and to 100 in turn.
func BenchmarkAuthorize(b *testing.B) {
	for _, x := range []struct {
		name  string
		guard broker.Guard
		dests int
	}{{"none", nil, 1}, {"one", allowAll{}, 1}, {"hundred", allowAll{}, 100}} {
		b.Run(x.name, func(b *testing.B) {
			r := newRig(b)
			r.b.SetGuard(x.guard)
			c, err := r.b.Connect(broker.ConnOptions{User: "u", Sink: &discard{}})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			var dests []broker.Destination
			for i := range x.dests {
				dests = append(dests, broker.Destination{Kind: broker.Queue, Name: fmt.Sprint("q", i)})
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if err := c.Authorize(broker.RightWrite, dests[i%x.dests]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
