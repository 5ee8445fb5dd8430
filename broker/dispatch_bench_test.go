package broker_test

import (
	"fmt"
	"sync"
	"testing"

	"treadmq/broker"
)

// discard is a front end that takes deliveries and acknowledges them at once.
type discard struct {
	*broker.Conn
	wake   chan struct{}
	end    chan struct{}
	seen   sync.WaitGroup
	counts bool
}

func (d *discard) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *discard) Kill(error) {}

func (d *discard) run() {
	var ds []broker.Delivery
	w := d.NewWork()
	for {
		select {
		case <-d.end:
			return
		case <-d.wake:
		}
		ds = d.Output(ds[:0])
		d.Written(ds)
		if len(ds) == 0 {
			continue
		}
		for i := range ds {
			w.Ack(ds[i].Sub, ds[i].Tag, ds[i].Tag, broker.Ack{})
		}
		n := len(ds)
		done := make(chan struct{})
		w.Flush(func(error) { close(done) })
		<-done
		if d.counts {
			d.seen.Add(-n)
		}
	}
}

// BenchmarkDispatch sends non-persistent messages in bursts of 100 to 4 consumers: what
// the core costs without disk and sockets. Groups and keys say how many there are; 0: none.
func BenchmarkDispatch(b *testing.B) {
	for _, x := range []struct {
		name   string
		groups int
		keys   bool
	}{{"plain", 0, false}, {"groups", 100, false}, {"lastvalue", 100, true}} {
		b.Run(x.name, func(b *testing.B) {
			r := newRig(b, withPolicy(func(p *broker.Policy) {
				p.MemoryLimit = 64 << 20
				if x.keys {
					p.LastValueKey = "k"
				}
			}))
			q := queueNamed("q")
			d := &discard{wake: make(chan struct{}, 1), end: make(chan struct{}), counts: !x.keys}
			var err error
			if d.Conn, err = r.b.Connect(broker.ConnOptions{Protocol: "test", Sink: d}); err != nil {
				b.Fatal(err)
			}
			stopped := make(chan struct{})
			go func() { defer close(stopped); d.run() }()
			for range 4 {
				s, err := d.Subscribe(broker.SubscribeOptions{Dests: []broker.Destination{q}, Prefetch: 1000})
				if err != nil {
					b.Fatal(err)
				}
				s.Start()
			}
			p := r.connect()
			msgs := make([]*broker.Message, 100)
			w := p.NewWork()
			b.ResetTimer()
			for n := 0; n < b.N; n += len(msgs) {
				b.StopTimer()
				for i := range msgs {
					opts := []msgOption{volatile}
					switch {
					case x.keys:
						opts = append(opts, property("k", fmt.Sprint(i%x.groups)))
					case x.groups > 0:
						opts = append(opts, inGroup(fmt.Sprint(i%x.groups)))
					}
					msgs[i] = message(q, "0123456789", opts...)
				}
				b.StartTimer()
				if !x.keys {
					d.seen.Add(len(msgs))
				}
				for _, m := range msgs {
					if err := w.Send([]broker.Destination{q}, m); err != nil {
						b.Fatal(err)
					}
				}
				w.Flush(nil)
				if !x.keys {
					d.seen.Wait()
				}
			}
			b.StopTimer()
			close(d.end)
			<-stopped
			d.Conn.Close()
		})
	}
}
