package local

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"treadmq/store"
	"treadmq/store/vfs"
)

// fillUp sends until the store refuses and returns what was taken.
func fillUp(t *testing.T, s *Store, size int) []store.Ref {
	t.Helper()
	body := bytes.Repeat([]byte("x"), size)
	var refs []store.Ref
	for range 1 << 20 {
		b, err := try(s, func(b *store.Batch) {
			b.Enqueue(store.Message{Encoded: body}, store.NewRef{Dest: 1, Lane: 4})
		})
		if errors.Is(err, store.ErrFull) {
			return refs
		}
		if err != nil {
			t.Fatalf("after %d messages: %v", len(refs), err)
		}
		refs = append(refs, store.Ref{Dest: 1, Lane: 4, Seq: b.Seq(0)})
	}
	t.Fatal("never full")
	return nil
}

// testFull fills a disk, consumes, and demands that sends work again.
func testFull(t *testing.T, o Options) {
	o.SegmentSize, o.DiskReserve, o.CheckpointInterval = 256<<10, 4<<20, time.Millisecond
	s := open(t, o)
	for round := range 3 {
		refs := fillUp(t, s, 5000)
		if len(refs) < 100 {
			t.Fatalf("round %d: full after %d messages", round, len(refs))
		}
		if !s.Stats().Full {
			t.Fatal("refused and not full")
		}
		if got := len(bodies(t, s, 1, 4)); got != len(refs) {
			t.Fatalf("round %d: %d messages of %d", round, got, len(refs))
		}
		if round == 1 { // a restart on the full disk
			closeStore(t, s)
			s = open(t, o)
			if got := s.Counts()[1][4].Refs; got != int64(len(refs)) {
				t.Fatalf("%d messages of %d after a restart", got, len(refs))
			}
		}
		for _, r := range refs {
			do(t, s, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
		}
		waitFor(t, func() bool { return !s.Stats().Full })
	}
	send(t, s, 1, 4, "there is room again")
	closeStore(t, s)
}

// waitFor waits for something that other goroutines bring about.
func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
	}
}

func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetLimit(24 << 20)
	testFull(t, Options{FS: mem})
	checkFolder(t, mem)
}

// TestNoSpaceAtEveryOperation makes each operation of the journal and the index
// fail with ENOSPC, once and from then on: what was acknowledged is there afterwards.
func TestNoSpaceAtEveryOperation(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpAllocate, vfs.OpCreate} {
		for _, often := range []bool{false, true} {
			for n := int64(1); n < 200; n += 3 {
				mem := vfs.NewMem()
				var seen atomic.Int64
				hook := func(op vfs.Op) error {
					if op.Kind != kind {
						return nil
					}
					if at := seen.Add(1); at == n || (often && at > n) {
						return fmt.Errorf("%s: %w", op.Name, syscall.ENOSPC)
					}
					return nil
				}
				l := &ledger{}
				s, err := openQuiet(Options{FS: vfs.NewFaults(mem, hook), SegmentSize: 8 << 10})
				if err == nil {
					err = workload(s, l, rand.New(rand.NewSource(n)), 30)
					if err != nil && !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrFailed) && !errors.Is(err, errRetry) {
						t.Fatalf("%s %d: %v", kind, n, err)
					}
					s.Close()
				} else if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, store.ErrFull) {
					t.Fatalf("%s %d: open: %v", kind, n, err)
				}
				s, err = openQuiet(Options{FS: mem.Crash(nil), SegmentSize: 8 << 10, BootID: "other"})
				if err != nil {
					t.Fatalf("%s %d: reopen: %v", kind, n, err)
				}
				verify(t, s, l, l.acked, len(l.steps))
				closeStore(t, s)
			}
		}
	}
}

// TestOldMessageDoesNotPinSegments: one message stays while many come and go, and
// keeps fewer than three segments.
func TestOldMessageDoesNotPinSegments(t *testing.T) {
	o := Options{FS: vfs.NewMem(), SegmentSize: 256 << 10, CheckpointInterval: time.Millisecond, CompactRate: 1 << 40}
	s := open(t, o)
	var old []store.Ref
	for i := range 12 {
		old = append(old, send(t, s, 2, 4, fmt.Sprintf("old %d", i)))
		var refs []store.Ref
		for range 20 {
			b := do(t, s, func(b *store.Batch) {
				for range 100 {
					b.Enqueue(store.Message{Encoded: make([]byte, 200)}, store.NewRef{Dest: 1, Lane: 4})
				}
			})
			for j := range 100 {
				refs = append(refs, store.Ref{Dest: 1, Lane: 4, Seq: b.Seq(j)})
			}
		}
		do(t, s, func(b *store.Batch) {
			for _, r := range refs {
				b.Remove(r, store.Loc{})
			}
		})
	}
	waitFor(t, func() bool { signal(s.compactNow); return s.Stats().Segments < 3 })
	for i, r := range old {
		st, err := s.Find(r)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.Read(st.Loc)
		if err != nil || string(m) != fmt.Sprintf("old %d", i) {
			t.Fatalf("old message %d: %q, %v", i, m, err)
		}
	}
	closeStore(t, s)
	checkFolder(t, o.FS)
}

// TestLockedByAnotherProcess opens a folder that another process has open.
func TestLockedByAnotherProcess(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_HOLD"); dir != "" {
		s, err := Open(Options{Dir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("open")
		var b [1]byte
		os.Stdin.Read(b[:]) // until the parent closes it
		s.Close()
		os.Exit(0)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockedByAnotherProcess$")
	cmd.Env = append(os.Environ(), "STORE_TEST_HOLD="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var line [64]byte
	n, _ := out.Read(line[:])
	if got := string(line[:n]); got != "open\n" {
		t.Fatalf("other process says %q", got)
	}
	_, err = Open(Options{Dir: dir})
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint(cmd.Process.Pid)) {
		t.Fatalf("open: %v", err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
}

// TestIndexShrinks: an index that is mostly traces of what is gone is written anew, and one that is in use is left alone.
func TestIndexShrinks(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	c := &compactor{store: s, indexSmall: 1}
	var refs []store.Ref
	for range 2000 {
		refs = append(refs, send(t, s, 1, 4, "x"))
	}
	if err := errors.Join(s.Checkpoint(), s.index.Compact()); err != nil { // into tables, which are what is measured
		t.Fatal(err)
	}
	if c.index(); !c.rewritten.IsZero() {
		t.Error("an index of live references was written anew")
	}
	for _, r := range refs[1:] {
		do(t, s, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
	}
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	before := s.index.Size()
	c.index()
	if after := s.index.Size(); before == 0 || after > before/4 {
		t.Errorf("the index has %d bytes for one reference, %d before", after, before)
	}
	equal(t, bodies(t, s, 1, 4), []string{"x"})
	closeStore(t, s)
}

// TestTailIsBounded: what is not in the index yet is bounded in bytes, also when no checkpoint is due for a long time.
func TestTailIsBounded(t *testing.T) {
	const limit = 32 << 10
	s := open(t, Options{FS: vfs.NewMem(), TailLimit: limit, CheckpointInterval: 1 << 40})
	most := int64(0)
	for range 500 {
		send(t, s, 1, 4, strings.Repeat("x", 1000))
		most = max(most, s.Stats().TailBytes)
	}
	if most > 4*limit {
		t.Errorf("the tail grew to %d bytes, the limit is %d", most, limit)
	}
	closeStore(t, s)
}

// TestCompactionDoesNotRevive: what is acknowledged while it is being moved stays so, also when its old segment is gone
// and the index is made again.
func TestCompactionDoesNotRevive(t *testing.T) {
	o := Options{FS: vfs.NewMem(), SegmentSize: 4 << 10, CheckpointInterval: 1 << 40}
	s := open(t, o)
	send(t, s, 1, 4, "kept")
	gone := send(t, s, 1, 4, "gone")
	for range 40 {
		r := send(t, s, 1, 4, strings.Repeat("x", 300))
		do(t, s, func(b *store.Batch) { b.Remove(r, store.Loc{}) })
	}
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	c := &compactor{store: s, gave: map[store.Position]int64{}}
	seg := s.journal.Segments()[0]
	found, err := c.survivors(seg)
	if err != nil || len(found) != 2 {
		t.Fatalf("%d survivors: %v", len(found), err)
	}
	var b store.Batch
	var refs []store.Ref
	for i := range found {
		payload, err := c.payload(found[i:i+1], true)
		if err != nil {
			t.Fatal(err)
		}
		b.Ops = append(b.Ops, store.Op{Kind: store.OpMove, Value: payload})
		refs = append(refs, found[i].Ref)
	}
	do(t, s, func(b *store.Batch) { b.Remove(gone, store.Loc{}) })
	if err := errors.Join(c.append(&b, refs, 1), s.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	if s.journal.Segments()[0].First == seg.First {
		t.Fatal("the old segment is still there")
	}
	closeStore(t, s)
	if err := o.FS.RemoveAll("/store/" + indexName); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	equal(t, bodies(t, s, 1, 4), []string{"kept"})
	closeStore(t, s)
}
