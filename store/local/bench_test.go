package local

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"treadmq/store"
	"treadmq/store/vfs"
)

func benchStore(b *testing.B) *Store {
	return open(b, Options{FS: vfs.OS{}, Dir: b.TempDir()})
}

// waiting appends and waits each time from n goroutines.
func waiting(b *testing.B, n int) {
	s := benchStore(b)
	body := make([]byte, 300)
	b.ResetTimer()
	var wg sync.WaitGroup
	for g := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			done := make(chan error, 1)
			var batch store.Batch
			for range b.N / n {
				batch.Reset()
				batch.Done = func(_ *store.Batch, err error) { done <- err }
				batch.Enqueue(store.Message{Encoded: body}, store.NewRef{Dest: store.DestID(g + 1), Lane: 4})
				if err := s.Append(&batch); err != nil {
					b.Error(err)
					return
				}
				if err := <-done; err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "append/s")
}

func BenchmarkAppendWaiting1(b *testing.B)  { waiting(b, 1) }
func BenchmarkAppendWaiting16(b *testing.B) { waiting(b, 16) }

// BenchmarkPlainSync is the disk's own rate: the floor for AppendWaiting1.
func BenchmarkPlainSync(b *testing.B) {
	f, err := vfs.OS{}.OpenFile(b.TempDir()+"/plain", 0o102, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Allocate(64 << 20); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 400)
	for i := range b.N {
		if _, err := f.WriteAt(p, int64(i*len(p))); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "append/s")
}

// BenchmarkPipelined keeps a window of appends open and removes each message
// when it is committed: the hot path of a queue that does not fill.
func BenchmarkPipelined(b *testing.B) {
	s := benchStore(b)
	body := make([]byte, 300)
	const window = 2000
	type slot struct{ enq, rem store.Batch }
	free := make(chan *slot, window)
	removes := make(chan *slot, window)
	for range window {
		sl := &slot{}
		free <- sl
	}
	var wg sync.WaitGroup
	wg.Add(1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		defer wg.Done()
		for range b.N {
			sl := <-removes
			op := &sl.enq.Ops[0]
			sl.rem.Reset()
			sl.rem.Lazy = true
			sl.rem.Owner = sl
			sl.rem.Done = func(x *store.Batch, err error) { free <- x.Owner.(*slot) }
			sl.rem.Remove(store.Ref{Dest: 1, Lane: 4, Seq: sl.enq.Seq(0)}, op.Loc)
			if err := s.Append(&sl.rem); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	refs := []store.NewRef{{Dest: 1, Lane: 4}}
	for range b.N {
		sl := <-free
		sl.enq.Reset()
		sl.enq.Owner = sl
		sl.enq.Done = func(x *store.Batch, err error) { removes <- x.Owner.(*slot) }
		sl.enq.Enqueue(store.Message{Encoded: body}, refs...)
		if err := s.Append(&sl.enq); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkFillAndDrain fills a queue in batches of 50, then loads and removes it all.
func BenchmarkFillAndDrain(b *testing.B) {
	s := benchStore(b)
	body := make([]byte, 256)
	refs := []store.NewRef{{Dest: 1, Lane: 4}}
	start := time.Now()
	var wg sync.WaitGroup
	for i := 0; i < b.N; i += 50 {
		wg.Add(1)
		batch := &store.Batch{Done: func(*store.Batch, error) { wg.Done() }}
		for range 50 {
			batch.Enqueue(store.Message{Encoded: body}, refs...)
		}
		if err := s.Append(batch); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "fill/s")
	if err := s.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	start = time.Now()
	var after store.Seq
	var page []store.Stored
	for n := 0; ; {
		var more bool
		var err error
		if page, more, err = s.Load(page[:0], 1, 4, after, 1000, 1<<20); err != nil {
			b.Fatal(err)
		}
		batch := &store.Batch{Done: func(*store.Batch, error) { wg.Done() }}
		for i := range page {
			batch.Remove(page[i].Ref, page[i].Loc)
			after = page[i].Seq
		}
		n += len(page)
		wg.Add(1)
		if err := s.Append(batch); err != nil {
			b.Fatal(err)
		}
		if !more {
			if n < b.N {
				b.Fatalf("drained %d of %d", n, b.N)
			}
			break
		}
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "drain/s")
}

// BenchmarkBacklog fills a queue with b.N messages of 256 bytes, then opens the
// store again as after a kill: memory and the time to start must not depend on b.N.
func BenchmarkBacklog(b *testing.B) {
	dir := b.TempDir()
	s := open(b, Options{FS: vfs.OS{}, Dir: dir})
	body := make([]byte, 256)
	refs := []store.NewRef{{Dest: 1, Lane: 4}}
	var wg sync.WaitGroup
	start := time.Now()
	var peak uint64
	for i := 0; i < b.N; i += 50 {
		wg.Add(1)
		batch := &store.Batch{Done: func(*store.Batch, error) { wg.Done() }}
		for range 50 {
			batch.Enqueue(store.Message{Encoded: body}, refs...)
		}
		if err := s.Append(batch); err != nil {
			b.Fatal(err)
		}
		if i%1_000_000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapSys-m.HeapReleased)
		}
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "fill/s")
	b.ReportMetric(float64(peak>>20), "peak-MiB")
	if err := s.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	closeStore(b, s)
	start = time.Now()
	s = open(b, Options{FS: vfs.OS{}, Dir: dir})
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "open-ms")
	start = time.Now()
	if got, _, err := s.Load(nil, 1, 4, 0, 1000, 1<<20); err != nil || len(got) == 0 {
		b.Fatal(len(got), err)
	}
	b.ReportMetric(float64(time.Since(start).Microseconds()), "first-page-us")
}
