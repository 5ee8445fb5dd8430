package local

import (
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/vfs"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain")) // ends a second after Close
}

// TestConcurrentUse sends, loads, links and removes from several goroutines while
// checkpoints and compaction run: each message is seen by its consumer once.
func TestConcurrentUse(t *testing.T) {
	o := Options{
		FS: vfs.NewMem(), SegmentSize: 32 << 10, TailLimit: 32 << 10, CheckpointInterval: time.Millisecond, CompactRate: 1 << 40,
		MaxPending: 64 << 10, MaxLag: 64 << 10,
	}
	s := open(t, o)
	const each = 1500
	var wg sync.WaitGroup
	for d := store.DestID(1); d <= 4; d++ {
		var sent atomic.Bool
		wg.Go(func() {
			defer sent.Store(true)
			for i := range each {
				b, err := try(s, func(b *store.Batch) {
					b.Lazy = i%3 == 0
					b.Enqueue(store.Message{Encoded: fmt.Appendf(nil, "%d/%d %0*d", d, i, i%500, 0)}, store.NewRef{Dest: d, Lane: 4})
				})
				if err != nil {
					t.Error(err)
					return
				}
				if i%50 == 0 { // some stay for good and are moved by compaction
					if _, err := try(s, func(b *store.Batch) {
						b.Link(store.Ref{Dest: d, Lane: 4, Seq: b.Seq(0)}, store.NewRef{Dest: d + 10, Lane: 0})
					}); err != nil {
						t.Error(err)
					}
					_ = b
				}
			}
		})
		wg.Go(func() { drain(t, s, d, each, rand.New(rand.NewSource(int64(d)))) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	closeStore(t, s)
	checkFolder(t, o.FS)
	s = open(t, o)
	for d, lanes := range s.Counts() {
		if d < 10 && lanes[4].Refs != 0 {
			t.Fatalf("destination %d has %v left", d, lanes[4])
		}
	}
	closeStore(t, s)
}

// drain loads and removes messages of one queue until it has seen n.
func drain(t *testing.T, s *Store, d store.DestID, n int, rnd *rand.Rand) {
	seen := map[string]bool{}
	for len(seen) < n && !t.Failed() {
		got, _, err := s.Load(nil, d, 4, 0, 1+rnd.Intn(60), 1<<20)
		if err != nil {
			t.Error(err)
			return
		}
		if len(got) == 0 {
			time.Sleep(time.Millisecond) // nothing there yet
			continue
		}
		rnd.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		_, err = try(s, func(b *store.Batch) {
			for _, m := range got {
				if seen[string(m.Message)] {
					t.Errorf("%.20q came twice", m.Message)
				}
				seen[string(m.Message)] = true
				b.Remove(m.Ref, m.Loc)
			}
		})
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// TestOrderOfDone: batches complete in the order of Append, and OnGroup comes after them.
func TestOrderOfDone(t *testing.T) {
	var groups atomic.Int64
	s := open(t, Options{OnGroup: func() { groups.Add(1) }})
	var order []int // only the commit goroutine appends to it
	var wg sync.WaitGroup
	const n = 2000
	wg.Add(n)
	var last store.Seq
	for i := range n {
		b := &store.Batch{Lazy: i%2 == 0, Done: func(_ *store.Batch, err error) {
			if err != nil {
				t.Error(err)
			}
			order = append(order, i)
			wg.Done()
		}}
		b.Enqueue(store.Message{Encoded: []byte("m")}, store.NewRef{Dest: 1})
		if err := s.Append(b); err != nil {
			t.Fatal(err)
		}
		if b.Seq(0) <= last {
			t.Fatal("sequence numbers do not rise")
		}
		last = b.Seq(0)
	}
	wg.Wait()
	for i, got := range order {
		if got != i {
			t.Fatalf("batch %d completed as number %d", got, i)
		}
	}
	if n := groups.Load(); n == 0 {
		t.Fatal("OnGroup was not called")
	}
}

// TestLazy: a lazy batch waits LazyDelay for company and no longer; an urgent one
// takes it along at once.
func TestLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(Options{FS: vfs.NewMem(), Dir: "/store", LazyDelay: 5 * time.Millisecond, BootID: "boot"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			s.Close()
			time.Sleep(2 * time.Second) // goleveldb's last goroutine ends a second later
		}()
		start := time.Now()
		if _, err := try(s, func(b *store.Batch) { b.Lazy = true; b.Put([]byte("k"), nil) }); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 5*time.Millisecond {
			t.Errorf("a lazy batch alone took %v", d)
		}
		start = time.Now()
		done := make(chan error, 1)
		lazy := &store.Batch{Lazy: true, Done: func(_ *store.Batch, err error) { done <- err }}
		lazy.Put([]byte("k"), nil)
		if err := s.Append(lazy); err != nil {
			t.Fatal(err)
		}
		if _, err := try(s, func(b *store.Batch) { b.Put([]byte("k"), nil) }); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil || time.Since(start) != 0 {
			t.Errorf("with company a lazy batch took %v, %v", time.Since(start), err)
		}
	})
}

// testGate is a commit position moved by hand.
type testGate struct {
	mu     sync.Mutex
	cond   *sync.Cond
	synced store.Position
	commit store.Position
	err    error
}

func newTestGate() *testGate {
	g := &testGate{}
	g.cond = sync.NewCond(&g.mu)
	return g
}

func (g *testGate) Written(store.Epoch, store.Position) {}

func (g *testGate) Synced(_ store.Epoch, end store.Position) {
	g.mu.Lock()
	g.synced = end
	g.cond.Broadcast()
	g.mu.Unlock()
}

func (g *testGate) Wait(end store.Position) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.commit < end && g.err == nil {
		g.cond.Wait()
	}
	return g.err
}

func (g *testGate) move(to store.Position, err error) {
	g.mu.Lock()
	g.commit, g.err = to, err
	g.cond.Broadcast()
	g.mu.Unlock()
}

// TestGate: nothing is visible, done or in the index before the gate says so, and
// a gate that gives up fails the store.
func TestGate(t *testing.T) {
	gate := newTestGate()
	gate.commit = 1 << 40
	s := open(t, Options{Gate: gate})
	send(t, s, 1, 4, "before")
	gate.move(s.Stats().End, nil)
	done := make(chan error, 1)
	b := &store.Batch{Done: func(_ *store.Batch, err error) { done <- err }}
	b.Enqueue(store.Message{Encoded: []byte("waiting")}, store.NewRef{Dest: 1, Lane: 4})
	if err := s.Append(b); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.Stats().Synced > gate.commit })
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	equal(t, bodies(t, s, 1, 4), []string{"before"})
	if st := s.Stats(); st.Applied > gate.commit || st.Commit > gate.commit {
		t.Fatalf("applied %d, commit %d behind the gate at %d", st.Applied, st.Commit, gate.commit)
	}
	select {
	case <-done:
		t.Fatal("done before the gate opened")
	default:
	}
	gate.move(1<<40, nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	equal(t, bodies(t, s, 1, 4), []string{"before", "waiting"})
	gate.move(0, errors.New("fenced"))
	if _, err := try(s, func(b *store.Batch) { b.Put([]byte("k"), nil) }); !errors.Is(err, store.ErrFailed) {
		t.Fatalf("after the gate gave up: %v", err)
	}
	<-s.Failed()
}

// TestSequenceSurvives: over restarts and crashes no sequence number comes twice,
// and two stores with one counter never give the same.
func TestSequenceSurvives(t *testing.T) {
	var counter atomic.Uint64
	mem := vfs.NewMem()
	o := Options{FS: mem, Seq: &counter}
	tmp := open(t, Options{FS: vfs.NewMem(), Temporary: true, Seq: &counter})
	seen := map[store.Seq]bool{}
	epoch := store.Epoch(0)
	for range 5 {
		s := open(t, o)
		if s.Epoch() <= epoch {
			t.Fatalf("epoch %d after %d", s.Epoch(), epoch)
		}
		epoch = s.Epoch()
		for range 20 {
			for _, st := range []store.Store{s, tmp} {
				r := send(t, st, 1, 4, "m")
				if seen[r.Seq] {
					t.Fatalf("%d came twice", r.Seq)
				}
				seen[r.Seq] = true
				do(t, st, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
			}
		}
		after := mem.Snapshot()
		closeStore(t, s)
		mem = after
		o.FS = mem
		counter.Store(0) // a new process
	}
}

// TestTemporary: a temporary store works like another and is empty when opened again.
func TestTemporary(t *testing.T) {
	fs := vfs.NewMem()
	syncs := 0
	var mu sync.Mutex
	hook := func(op vfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind == vfs.OpSync {
			syncs++
		}
		return nil
	}
	o := Options{FS: vfs.NewFaults(fs, hook), Temporary: true, SegmentSize: 4 << 10}
	s := open(t, o)
	mu.Lock()
	before := syncs
	mu.Unlock()
	for range 100 {
		send(t, s, 1, 4, "spilled over to the disk, worth nothing after a restart")
	}
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if syncs > before+2 { // goleveldb syncs its manifest
		t.Errorf("%d syncs", syncs-before)
	}
	mu.Unlock()
	if n := len(bodies(t, s, 1, 4)); n != 100 {
		t.Fatalf("%d messages", n)
	}
	closeStore(t, s)
	s = open(t, o)
	if n := len(bodies(t, s, 1, 4)); n != 0 {
		t.Fatalf("%d messages after a restart", n)
	}
}

// TestCloseWaits: what was appended before Close is committed, what comes after is refused.
func TestCloseWaits(t *testing.T) {
	o := Options{FS: vfs.NewMem()}
	s := open(t, o)
	var acked atomic.Int64
	for range 500 {
		b := &store.Batch{Lazy: true, Done: func(_ *store.Batch, err error) {
			if err == nil {
				acked.Add(1)
			}
		}}
		b.Enqueue(store.Message{Encoded: []byte("m")}, store.NewRef{Dest: 1})
		if err := s.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	if n := acked.Load(); n != 500 {
		t.Fatalf("%d of 500 committed", n)
	}
	if _, err := try(s, func(b *store.Batch) { b.Put([]byte("k"), nil) }); !errors.Is(err, store.ErrClosed) {
		t.Fatalf("append after Close: %v", err)
	}
	if err := s.Checkpoint(); !errors.Is(err, store.ErrClosed) {
		t.Fatalf("checkpoint after Close: %v", err)
	}
	if n := len(bodies(t, open(t, o), 1, 0)); n != 500 {
		t.Fatalf("%d of 500 after a restart", n)
	}
}

// TestTooLarge: a batch beyond the limit is refused in words; one far above the
// usual segment size is taken and survives.
func TestTooLarge(t *testing.T) {
	o := Options{FS: vfs.NewMem(), SegmentSize: 64 << 10}
	s := open(t, o)
	big := string(make([]byte, 3<<20))
	send(t, s, 1, 4, big)
	_, err := try(s, func(b *store.Batch) {
		b.Enqueue(store.Message{Encoded: make([]byte, 256<<20)}, store.NewRef{Dest: 1})
	})
	if !errors.Is(err, store.ErrTooLarge) {
		t.Fatalf("256 MiB: %v", err)
	}
	closeStore(t, s)
	equal(t, bodies(t, open(t, o), 1, 4), []string{big})
}

// TestLoadBeginsAgain: what was read of the index before a checkpoint was completed
// is not merged with the tail after it, or references would be missing.
func TestLoadBeginsAgain(t *testing.T) {
	s := open(t, Options{})
	send(t, s, 1, 4, "m")
	id := laneID{Dest: 1, Lane: 4}
	s.tail.mu.RLock()
	before := s.tail.version
	s.tail.mu.RUnlock()
	var last store.Seq
	var p page // the index has nothing yet
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if s.mergeTail(&p, 0, id, before, true, &last, 10) {
		t.Fatal("an index read of before the checkpoint was merged with the tail of after it")
	}
	if ok := s.settle(store.Ref{Dest: 1, Lane: 4, Seq: 1}, &index.Entry{}, before); ok {
		t.Fatal("the same for one reference")
	}
	if _, ok := s.mergeExpiring(nil, 0, nil, before, 1); ok {
		t.Fatal("the same for expired references")
	}
	equal(t, bodies(t, s, 1, 4), []string{"m"})
}
