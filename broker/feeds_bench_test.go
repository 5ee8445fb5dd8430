package broker_test

import (
	"fmt"
	"testing"

	"treadmq/broker"
)

// BenchmarkTopicSend measures what a message costs its sender: to a topic that
// feeds nothing, which touches no disk, and to topics that feed
// durable subscriptions.
func BenchmarkTopicSend(b *testing.B) {
	for _, feeds := range []int{0, 1, 50} {
		b.Run(fmt.Sprintf("durable=%d", feeds), func(b *testing.B) {
			r := &rig{t: b, fs: newFS()}
			r.open()
			defer r.close()
			d := topicNamed("t")
			for i := range feeds {
				err := r.b.OpenDurable(broker.DurableOptions{Name: fmt.Sprint(i), Topics: []string{"t"}})
				if err != nil {
					b.Fatal(err)
				}
			}
			c := r.connect()
			dests := []broker.Destination{d}
			m := message(d, "0123456789")
			w := c.NewWork()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if err := w.Send(dests, broker.Again(m)); err != nil {
					b.Fatal(err)
				}
				if i%64 == 63 {
					if err := flush(b, w); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := flush(b, w); err != nil {
				b.Fatal(err)
			}
		})
	}
}
