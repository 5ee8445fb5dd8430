package index

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"pgregory.net/rapid"

	"treadmq/store"
	"treadmq/store/vfs"
)

func mustOpen(t testing.TB, fs vfs.FS) *Index {
	t.Helper()
	x, err := Open(fs, "/x", Options{Logger: slog.New(slog.DiscardHandler), WriteBuffer: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func ref(seq store.Seq) store.Ref { return store.Ref{Dest: 1, Lane: 4, Seq: seq} }

func TestEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Entry{
			Ref: store.Ref{
				Dest: store.DestID(rapid.Uint32().Draw(t, "dest")), Lane: store.Lane(rapid.IntRange(0, 9).Draw(t, "lane")),
				Seq: store.Seq(rapid.Uint64().Draw(t, "seq")),
			},
			Pos: store.Position(rapid.Uint64().Draw(t, "pos")), Size: rapid.Uint32().Draw(t, "size"), CRC: rapid.Uint32().Draw(t, "crc"),
			Share: rapid.Uint32().Draw(t, "share"), ID: rapid.Uint64().Draw(t, "id"), Expiry: rapid.Int64().Draw(t, "expiry"),
			Attempts: rapid.Uint32().Draw(t, "attempts"), Flags: store.Flags(rapid.Uint8().Draw(t, "flags")),
			Key: rapid.StringN(0, 9, -1).Draw(t, "key"),
		}
		if rapid.Bool().Draw(t, "linked") {
			e.RefPos, e.Own = 1+store.Position(rapid.Uint64Range(0, 1<<60).Draw(t, "refpos")), rapid.Uint32().Draw(t, "own")
		}
		if o := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "overlay"); len(o) > 0 {
			e.Overlay = o
		}
		key := refKey(nil, e.Ref)
		value := seal(key, appendEntry(nil, &e))
		var got Entry
		if err := decodeEntry(&got, key, value); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatal(diff)
		}
		i := rapid.IntRange(0, len(value)-1).Draw(t, "flip")
		value[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if err := decodeEntry(&got, key, value); err == nil {
			t.Fatal("a flipped bit was not noticed")
		}
	})
}

// TestGuards takes one batch out of the run: the index is not trusted any more.
func TestGuards(t *testing.T) {
	fs := vfs.NewMem()
	x := mustOpen(t, fs)
	for i := range guardRun + 50 {
		var b Batch
		b.PutRef(&Entry{Ref: ref(store.Seq(i))})
		if err := x.Write(&b, State{Applied: store.Position(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = mustOpen(t, fs)
	if st := x.State(); st.Number != guardRun+50 || st.Applied != guardRun+49 {
		t.Fatalf("%+v", st)
	}
	if err := x.db.Delete(numberKey(prefixGuard, 700), &opt.WriteOptions{Sync: true}); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(fs, "/x", Options{Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("open: %v", err)
	}
}

// TestReopenAfterNoSpace: a write that finds no room fails, and after Reopen the
// index is as it was and can be written.
func TestReopenAfterNoSpace(t *testing.T) {
	full := false
	mem := vfs.NewMem()
	x := mustOpen(t, vfs.NewFaults(mem, func(op vfs.Op) error {
		if full && op.Kind == vfs.OpWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	write := func(i int) error {
		var b Batch
		b.PutRef(&Entry{Ref: ref(store.Seq(i))})
		return x.Write(&b, State{Applied: store.Position(i)})
	}
	if err := write(1); err != nil {
		t.Fatal(err)
	}
	full = true
	if err := write(2); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("write: %v", err)
	}
	full = false
	if err := x.Reopen(); err != nil {
		t.Fatal(err)
	}
	if st := x.State(); st.Applied != 1 {
		t.Fatalf("%+v", st)
	}
	if err := write(3); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]bool{1: true, 2: false, 3: true} {
		if _, err := x.Find(ref(store.Seq(i))); (err == nil) != want {
			t.Errorf("reference %d: %v", i, err)
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSyncError: a failed sync is told apart from a lack of space.
func TestSyncError(t *testing.T) {
	bad := false
	x := mustOpen(t, vfs.NewFaults(vfs.NewMem(), func(op vfs.Op) error {
		if bad && op.Kind == vfs.OpSync {
			return syscall.ENOSPC
		}
		return nil
	}))
	bad = true
	var b Batch
	if err := x.Write(&b, State{}); !errors.Is(err, ErrSync) {
		t.Fatalf("write: %v", err)
	}
	bad = false
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReadOnly: looking at an index changes no byte of it.
func TestReadOnly(t *testing.T) {
	mem := vfs.NewMem()
	x := mustOpen(t, mem)
	for i := range 2000 {
		var b Batch
		b.PutRef(&Entry{Ref: ref(store.Seq(i)), Overlay: []byte(strings.Repeat("x", 50))})
		if err := x.Write(&b, State{Applied: store.Position(i)}); err != nil {
			t.Fatal(err)
		}
	}
	snap := mem.Snapshot()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	before := digest(t, snap)
	x, err := Open(snap, "/x", Options{ReadOnly: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	it := x.AllRefs()
	for it.Next() {
		n++
	}
	if err := it.Close(); err != nil || n != 2000 {
		t.Fatalf("%d references, %v", n, err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, digest(t, snap)); diff != "" {
		t.Fatalf("the files changed:\n%s", diff)
	}
}

func digest(t *testing.T, fs vfs.FS) map[string]string {
	t.Helper()
	names, err := fs.ReadDir("/x")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, n := range names {
		f, err := fs.OpenFile(filepath.Join("/x", n), os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		size, _ := f.Size()
		b := make([]byte, size)
		f.ReadAt(b, 0)
		f.Close()
		out[n] = fmt.Sprintf("%d %x", size, seal(nil, b)[size:])
	}
	return out
}
