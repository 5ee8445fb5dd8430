package local

import (
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"treadmq/store"
	"treadmq/store/vfs"
)

// ledger records what a workload was promised: the effect of each batch is in
// one of its steps, acknowledged or still open.
type ledger struct {
	mu    sync.Mutex
	steps []step
	acked int // steps [0,acked) were acknowledged
}

// step is the effect of one batch on one queue: bodies that come and bodies that go.
type step struct{ add, del []string }

func (l *ledger) begin(st step) {
	l.mu.Lock()
	l.steps = append(l.steps, st)
	l.mu.Unlock()
}

func (l *ledger) ack() {
	l.mu.Lock()
	l.acked++
	l.mu.Unlock()
}

// state returns the queue after n steps.
func (l *ledger) state(n int) map[string]bool {
	m := map[string]bool{}
	for _, st := range l.steps[:n] {
		for _, b := range st.add {
			m[b] = true
		}
		for _, b := range st.del {
			delete(m, b)
		}
	}
	return m
}

// verify demands that the store's queue is the one after some number of steps, not
// less than were acknowledged: nothing acknowledged is lost, no batch is there in part.
func verify(t *testing.T, s *Store, l *ledger, acked, began int) {
	t.Helper()
	got := map[string]bool{}
	for _, b := range bodies(t, s, 1, 4) {
		if got[b] {
			t.Fatalf("%q is there twice", b)
		}
		got[b] = true
	}
	for n := acked; n <= began; n++ {
		if fmt.Sprint(l.state(n)) == fmt.Sprint(got) {
			if c := s.Counts()[1][4].Refs; c != int64(len(got)) {
				t.Fatalf("%d references counted, %d found", c, len(got))
			}
			return
		}
	}
	t.Fatalf("after %d acknowledged and %d begun steps found %v\nacknowledged was %v", acked, began, got, l.state(acked))
}

// workload sends, removes, commits transactions, checkpoints and compacts.
func workload(s *Store, l *ledger, rnd *rand.Rand, steps int) error {
	live := map[string]store.Ref{}
	var order []string
	for i := range steps {
		var st step
		var b store.Batch
		for j := range 1 + rnd.Intn(3) {
			body := fmt.Sprintf("m%d.%d %0*d", i, j, rnd.Intn(900), 0)
			st.add = append(st.add, body)
			b.Enqueue(store.Message{Encoded: []byte(body)}, store.NewRef{Dest: 1, Lane: 4})
		}
		for len(order) > 20+rnd.Intn(10) {
			k := rnd.Intn(len(order))
			if rnd.Intn(4) > 0 {
				k = 0
			}
			body := order[k]
			order = append(order[:k], order[k+1:]...)
			st.del = append(st.del, body)
			b.Remove(live[body], store.Loc{})
		}
		l.begin(st)
		done := make(chan error, 1)
		b.Done = func(_ *store.Batch, err error) { done <- err }
		if err := s.Append(&b); err != nil {
			return err
		}
		if err := <-done; err != nil {
			return err
		}
		l.ack()
		for j, body := range st.add {
			live[body] = store.Ref{Dest: 1, Lane: 4, Seq: b.Seq(j)}
			order = append(order, body)
		}
		if i%7 == 3 {
			if err := s.Checkpoint(); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestCrashAtEveryOperation takes the power away before each operation on the
// disk and opens what is left: with nothing unsynced kept, with any part of it, and
// with all of it (only the process was killed).
func TestCrashAtEveryOperation(t *testing.T) {
	type crash struct {
		fs           *vfs.Mem
		acked, began int
		what         string
		boot         string
	}
	var crashes []crash
	mem := vfs.NewMem()
	l := &ledger{}
	rnd := rand.New(rand.NewSource(1))
	var mu sync.Mutex
	hook := func(op vfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		l.mu.Lock()
		acked, began := l.acked, len(l.steps)
		l.mu.Unlock()
		what := fmt.Sprintf("%s %s", op.Kind, op.Name)
		add := func(fs *vfs.Mem, how, boot string) {
			crashes = append(crashes, crash{fs, acked, began, how + " before " + what, boot})
		}
		add(mem.Crash(nil), "power cut", "other")
		add(mem.Crash(rnd.Intn), "power cut with random pages kept", "other")
		add(mem.Snapshot(), "kill", "boot")
		return nil
	}
	o := Options{FS: vfs.NewFaults(mem, hook), SegmentSize: 8 << 10, CheckpointInterval: 1 << 40, CompactRate: 1 << 40}
	s := open(t, o)
	if err := workload(s, l, rand.New(rand.NewSource(2)), 60); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	t.Logf("%d crashes", len(crashes))
	for i, c := range crashes {
		o := Options{FS: c.fs, SegmentSize: 8 << 10, BootID: c.boot}
		s, err := openQuiet(o)
		if err != nil {
			t.Fatalf("crash %d, %s: %v", i, c.what, err)
		}
		verify(t, s, l, c.acked, c.began)
		next := s.NextSeq()
		if b, err := try(s, func(b *store.Batch) {
			b.Enqueue(store.Message{Encoded: []byte("after")}, store.NewRef{Dest: 2, Lane: 4})
		}); err != nil || b.Seq(0) < next {
			t.Fatalf("crash %d, %s: send after restart: %v", i, c.what, err)
		}
		closeStore(t, s)
		if t.Failed() {
			t.Fatalf("crash %d, %s", i, c.what)
		}
	}
}

func openQuiet(o Options) (*Store, error) {
	o.Dir = "/store"
	o.IndexBuffer = 64 << 10
	if o.BootID == "" {
		o.BootID = "boot"
	}
	return Open(o)
}

// TestSyncFailure fails each sync in turn: the store refuses everything from then on,
// says so, and what was acknowledged before is there after a restart.
func TestSyncFailure(t *testing.T) {
	for n := 1; n < 60; n++ {
		mem := vfs.NewMem()
		hook, err := vfs.ParseFault(fmt.Sprintf("sync@.log:%d:EIO", n))
		if err != nil {
			t.Fatal(err)
		}
		l := &ledger{}
		s, err := openQuiet(Options{FS: vfs.NewFaults(mem, hook), SegmentSize: 8 << 10})
		if err != nil {
			continue // failed during Open: refused, nothing was promised
		}
		err = workload(s, l, rand.New(rand.NewSource(int64(n))), 30)
		if err == nil {
			closeErr := s.Close()
			if closeErr == nil {
				break // more syncs than the workload has
			}
			continue
		}
		if !errors.Is(err, store.ErrFailed) {
			t.Fatalf("sync %d: %v", n, err)
		}
		<-s.Failed()
		if _, err := try(s, func(b *store.Batch) { b.Put([]byte("k"), nil) }); !errors.Is(err, store.ErrFailed) {
			t.Fatalf("append after failure: %v", err)
		}
		s.Close()
		s, err = openQuiet(Options{FS: mem.Crash(nil), SegmentSize: 8 << 10, BootID: "other"})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, s, l, l.acked, len(l.steps))
		closeStore(t, s)
	}
}
