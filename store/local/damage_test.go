package local

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"treadmq/store"
	"treadmq/store/index"
	"treadmq/store/vfs"
)

// filled returns the disk of a store that was used for a while, and its ledger.
// Nothing was checkpointed in the last steps, and it was killed, not closed.
func filled(t *testing.T) (*vfs.Mem, *ledger) {
	t.Helper()
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem, SegmentSize: 8 << 10, CheckpointInterval: 1 << 40})
	l := &ledger{}
	if err := workload(s, l, rand.New(rand.NewSource(5)), 24); err != nil {
		t.Fatal(err)
	}
	after := mem.Snapshot()
	closeStore(t, s)
	return after, l
}

func segmentFiles(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.ReadDir("/store")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range names {
		if strings.HasSuffix(n, ".log") {
			out = append(out, filepath.Join("/store", n))
		}
	}
	return out
}

// TestBitFlips inverts bits all over the journal. Whatever the store then does, it
// says so or loses nothing: an open with other contents than acknowledged is a failure.
func TestBitFlips(t *testing.T) {
	disk, l := filled(t)
	refused, found, harmless := 0, 0, 0
	for _, name := range segmentFiles(t, disk) {
		size, _ := disk.Stat(name)
		for off := int64(0); off < size; off += 13 {
			fs := disk.Snapshot()
			fs.Flip(name, off, uint(off))
			s, err := openQuiet(Options{FS: fs, SegmentSize: 8 << 10})
			if err != nil {
				if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), name) {
					t.Fatalf("flip in %s at %d: %v", name, off, err)
				}
				refused++
				continue
			}
			if readable(t, s) {
				verify(t, s, l, l.acked, len(l.steps))
				harmless++
			} else {
				found++
			}
			s.Close()
		}
	}
	t.Logf("%d refused at the start, %d found when read, %d hit nothing alive", refused, found, harmless)
	if refused == 0 || found == 0 {
		t.Fatal("the flips did not reach replayed journal and stored messages")
	}
}

// readable loads everything and reports false if a message is reported as corrupt.
func readable(t *testing.T, s *Store) bool {
	t.Helper()
	var after store.Seq
	for {
		got, more, err := s.Load(nil, 1, 4, after, 100, 1<<20)
		if errors.Is(err, store.ErrCorrupt) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return true
		}
		after = got[len(got)-1].Seq
	}
}

// TestTornTail cuts the last write at every byte: the store starts without that
// batch, or says that the journal is damaged; it never starts with a part of it.
func TestTornTail(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem, SegmentSize: 16 << 10})
	send(t, s, 1, 4, "first")
	before := s.Stats().End
	do(t, s, func(b *store.Batch) {
		b.Enqueue(store.Message{Encoded: bytes.Repeat([]byte("x"), 300)}, store.NewRef{Dest: 1, Lane: 4})
		b.Enqueue(store.Message{Encoded: []byte("second")}, store.NewRef{Dest: 1, Lane: 4})
	})
	end := s.Stats().End
	disk := mem.Snapshot()
	closeStore(t, s)
	name := segmentFiles(t, disk)[0]
	for cut := before; cut < end; cut += 3 {
		for _, boot := range []string{"boot", "other"} {
			fs := disk.Snapshot()
			f, err := fs.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Truncate(int64(cut)); err != nil {
				t.Fatal(err)
			}
			s, err := openQuiet(Options{FS: fs, BootID: boot, SegmentSize: 16 << 10})
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			equal(t, bodies(t, s, 1, 4), []string{"first"})
			send(t, s, 1, 4, "third")
			closeStore(t, s)
			s, err = openQuiet(Options{FS: fs, BootID: boot, SegmentSize: 16 << 10})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, bodies(t, s, 1, 4), []string{"first", "third"})
			closeStore(t, s)
		}
	}
}

// TestIndexDamage flips bits in every file of the index: the store rebuilds it from
// the journal, or the flip hit nothing that is read; never other contents.
func TestIndexDamage(t *testing.T) {
	disk, l := filled(t)
	names, err := disk.ReadDir("/store/index")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		name := filepath.Join("/store/index", n)
		size, _ := disk.Stat(name)
		for off := int64(0); off < size; off += 1 + size/60 {
			fs := disk.Snapshot()
			fs.Flip(name, off, uint(off))
			s, err := openQuiet(Options{FS: fs, SegmentSize: 8 << 10})
			if err != nil {
				if errors.Is(err, store.ErrCorrupt) {
					continue // it says so
				}
				t.Fatalf("flip in %s at %d: %v", name, off, err)
			}
			if readable(t, s) {
				subset(t, s, l)
			}
			s.Close()
		}
	}
}

// subset demands that every acknowledged live message is there; what else is there
// must be flagged as possibly repeated.
func subset(t *testing.T, s *Store, l *ledger) {
	t.Helper()
	want := l.state(l.acked)
	got, _, err := s.Load(nil, 1, 4, 0, 1<<20, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range got {
		if !want[string(m.Message)] && m.Attempts == 0 {
			t.Fatalf("%.20q came back without a flag", m.Message)
		}
		delete(want, string(m.Message))
	}
	if len(want) > 0 {
		t.Fatalf("lost %v", want)
	}
}

// TestLostIndex deletes the index: with all segments there the rebuild is exact; with
// segments gone nothing alive is lost and what may be a repeat is flagged.
func TestLostIndex(t *testing.T) {
	for _, size := range []int64{1 << 20, 4 << 10} {
		mem := vfs.NewMem()
		o := Options{FS: mem, SegmentSize: size, CompactRate: 1 << 40}
		s := open(t, o)
		do(t, s, func(b *store.Batch) { b.Put([]byte("queue"), []byte("orders")) })
		l := &ledger{}
		if err := workload(s, l, rand.New(rand.NewSource(7)), 150); err != nil {
			t.Fatal(err)
		}
		if err := (&compactor{store: s, gave: map[store.Position]int64{}, all: true}).run(); err != nil {
			t.Fatal(err)
		}
		first := s.journal.Segments()[0].First
		next := s.NextSeq()
		closeStore(t, s)
		if (first > 0) != (size == 4<<10) {
			t.Fatalf("first segment at %d", first)
		}
		if err := mem.RemoveAll("/store/index"); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
		if size == 1<<20 {
			verify(t, s, l, l.acked, l.acked)
		} else {
			subset(t, s, l)
		}
		if s.NextSeq() < next {
			t.Fatalf("sequence went back from %d to %d", next, s.NextSeq())
		}
		if err := s.Catalog(func(k, v []byte) error {
			if string(k) != "queue" || string(v) != "orders" {
				return fmt.Errorf("catalog has %q=%q", k, v)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
		checkFolder(t, mem)
	}
}

// checkFolder runs Check and demands that it finds nothing.
func checkFolder(t testing.TB, fs vfs.FS) {
	t.Helper()
	var out bytes.Buffer
	r, err := Check(fs, "/store", &out)
	if err != nil || r.Problems > 0 {
		t.Fatalf("check: %v\n%s", err, &out)
	}
}

// TestIndexDamageWhileRunning: damage that is met while the store runs is reported,
// and the next start makes the index again.
func TestIndexDamageWhileRunning(t *testing.T) {
	o := Options{FS: vfs.NewMem()}
	s := open(t, o)
	r := send(t, s, 1, 4, "kept")
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if err := s.damaged(fmt.Errorf("load: %w", index.ErrDamaged)); !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, o)
	equal(t, bodies(t, s, 1, 4), []string{"kept"})
	if _, err := s.Find(r); err != nil {
		t.Fatal(err)
	}
	if _, err := o.FS.Stat("/store/" + rebuildName); err == nil {
		t.Fatal("the mark is still there")
	}
}

// TestMissingSegment: a segment with live messages that is not there is an error, not an empty queue.
func TestMissingSegment(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem, SegmentSize: 4 << 10})
	for range 40 {
		send(t, s, 1, 4, strings.Repeat("x", 300))
	}
	closeStore(t, s)
	name := segmentFiles(t, mem)[1]
	if err := mem.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := openQuiet(Options{FS: mem}); !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("open: %v", err)
	}
}

// TestCheckFindsDamage flips a bit in a message: Check prints where.
func TestCheckFindsDamage(t *testing.T) {
	disk, _ := filled(t)
	s := open(t, Options{FS: disk, SegmentSize: 8 << 10})
	closeStore(t, s)
	checkFolder(t, disk)
	name := segmentFiles(t, disk)[0]
	disk.Flip(name, 2000, 3)
	var out bytes.Buffer
	r, err := Check(disk, "/store", &out)
	if err != nil || r.Problems == 0 || !strings.Contains(out.String(), name) {
		t.Fatalf("check: %v\n%s", err, &out)
	}
}

// TestDump prints a small journal; the lines are kept in testdata.
func TestDump(t *testing.T) {
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem})
	r := send(t, s, 1, 4, "hello")
	do(t, s, func(b *store.Batch) {
		b.Put([]byte("k"), []byte("v"))
		b.Attempts(r, 2, 1500)
		b.Mark(r)
		b.Link(r, store.NewRef{Dest: 2, Lane: 0, Overlay: []byte("why"), Attempts: 1})
		b.Remove(r, store.Loc{})
		b.Purge(2, 1, []store.Seq{1})
		b.Drop(3)
		b.Delete([]byte("k"))
	})
	closeStore(t, s)
	var out bytes.Buffer
	if err := Dump(mem, "/store", &out, Filter{Body: 10}); err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(out.String(), s.Node(), "NODE")
	golden := filepath.Join("testdata", "dump.txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got != string(want) {
		t.Fatalf("dump (%v):\n%s\nwant:\n%s", err, got, want)
	}
}
