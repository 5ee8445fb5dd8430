package ha

import (
	"sync/atomic"
	"testing"

	"treadmq/store"
)

// BenchmarkGroup stores messages of 256 bytes with 800 under way, and removes each
// when it is committed, on three members in this process: all of their CPU is in the figure.
func BenchmarkGroup(b *testing.B) {
	g := newGroup(b, 3, memory(), func(o *Options) {
		o.Store.SegmentSize, o.Store.DiskReserve, o.Store.CheckpointInterval = 0, 0, 0
	})
	m := g.master()
	eventually(b, "two followers", func() bool {
		n := 0
		for _, x := range m.node.Status().Members {
			if x.Link != nil && !x.Link.Fetching {
				n++
			}
		}
		return n == 2
	})
	s := m.serving().store
	benchWindow(b, s, 800)
	st := m.node.Status()
	b.ReportMetric(float64(st.End)/float64(b.N), "bytes/msg")
	g.same(m)
}

// BenchmarkGroupOne is one producer that waits for each message.
func BenchmarkGroupOne(b *testing.B) {
	g := newGroup(b, 3, memory(), func(o *Options) {
		o.Store.SegmentSize, o.Store.DiskReserve, o.Store.CheckpointInterval = 0, 0, 0
	})
	benchWindow(b, g.master().serving().store, 1)
}

func benchWindow(b *testing.B, s store.Store, window int) {
	body := make([]byte, 256)
	free := make(chan *store.Batch, window)
	remove := make(chan store.Op, window+1)
	var failed atomic.Bool
	for range window {
		free <- &store.Batch{}
	}
	quit := make(chan struct{})
	go func() { // the consumer's acknowledgements
		defer close(quit)
		for op := range remove {
			x := &store.Batch{}
			x.Remove(store.Ref{Dest: 1, Lane: 4, Seq: store.Seq(op.First)}, op.Loc)
			if s.Append(x) != nil {
				failed.Store(true)
			}
		}
	}()
	b.ResetTimer()
	for range b.N {
		x := <-free
		x.Reset()
		x.Enqueue(store.Message{Encoded: body}, store.NewRef{Dest: 1, Lane: 4})
		x.Done = func(x *store.Batch, err error) {
			if err != nil {
				failed.Store(true)
			} else {
				remove <- store.Op{First: int(x.Seq(0)), Loc: x.Ops[0].Loc}
			}
			free <- x
		}
		if err := s.Append(x); err != nil {
			b.Fatal(err)
		}
	}
	for range window {
		<-free
	}
	close(remove)
	<-quit
	b.StopTimer()
	if failed.Load() {
		b.Fatal("not all was committed")
	}
}
